/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * deadlines - one time limit for many waits: a queue in the order in which they began, so that
 * starting, stopping and finding what is due cost the same however many there are.
 *
 * Threading: its owner.  No clock is read: now_ns is the owner's.
 */
#ifndef CLV_HTTP_DEADLINES_H
#define CLV_HTTP_DEADLINES_H

#include <stdint.h>
#include <sys/queue.h>

/* One wait.  Zeroed but for expired: not started. */
struct clv_deadline {
	TAILQ_ENTRY(clv_deadline) link;
	uint64_t at_ns; /* 0: not in the queue */
	/* It is due, and not in the queue any more.  May free what it is part of. */
	void (*expired)(struct clv_deadline *d);
};

struct clv_deadlines {
	TAILQ_HEAD(clv_deadline_queue, clv_deadline) queue;
	uint64_t limit_ns;
	const uint64_t *now_ns; /* borrows for life; the time of this step */
};

void clv_deadlines_init(struct clv_deadlines *ds, uint64_t limit_ns, const uint64_t *now_ns);

/* d: borrows until it is stopped or due; not started. */
void clv_deadlines_start(struct clv_deadlines *ds, struct clv_deadline *d);
/* One that is not started is fine. */
void clv_deadlines_stop(struct clv_deadlines *ds, struct clv_deadline *d);

/* When the earliest is due; UINT64_MAX: none is started. */
uint64_t clv_deadlines_next_ns(const struct clv_deadlines *ds);
/* Report all that are due now. */
void clv_deadlines_run(struct clv_deadlines *ds);

#endif
