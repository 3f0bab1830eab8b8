/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * timers - the earliest of many deadlines: a binary heap of caller-owned nodes.
 *
 * Threading: its owner.  No clock is read: the caller passes now.
 */
#ifndef CLV_BASE_TIMERS_H
#define CLV_BASE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#define CLV_TIMER_NEVER UINT64_MAX

struct clv_timer {
	uint64_t at_ns;	 /* CLV_TIMER_NEVER when not armed */
	size_t heap_pos; /* private; 0 when not in the heap */
};

struct clv_timers {
	struct clv_timer **heap; /* 1-based */
	size_t count;
	size_t limit;
};

/* Reserve room for limit armed timers.  Returns 0 or -ENOMEM. */
int clv_timers_init(struct clv_timers *ts, size_t limit);
void clv_timers_fini(struct clv_timers *ts);

/*
 * Arm, move or (CLV_TIMER_NEVER) disarm a timer.  timer: borrows until disarmed or expired; starts
 * as { CLV_TIMER_NEVER, 0 }.  The caller never arms more than limit timers.
 */
void clv_timers_set(struct clv_timers *ts, struct clv_timer *timer, uint64_t at_ns);

/* When the earliest timer is due; CLV_TIMER_NEVER when none is armed. */
uint64_t clv_timers_next_ns(const struct clv_timers *ts);

/* Disarm and return one timer due at or before now_ns, earliest first; NULL when none is. */
struct clv_timer *clv_timers_expire(struct clv_timers *ts, uint64_t now_ns);

#endif
