/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/timers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int clv_timers_init(struct clv_timers *ts, size_t limit)
{
	struct clv_timer **heap = NULL;

	if (limit < SIZE_MAX / sizeof(*heap))
		heap = calloc(limit + 1, sizeof(*heap));
	if (!heap)
		return -ENOMEM;
	*ts = (struct clv_timers){ .heap = heap, .limit = limit };
	return 0;
}

void clv_timers_fini(struct clv_timers *ts)
{
	free(ts->heap);
	*ts = (struct clv_timers){ 0 };
}

static void place(struct clv_timers *ts, struct clv_timer *timer, size_t pos)
{
	ts->heap[pos] = timer;
	timer->heap_pos = pos;
}

/* Put timer where it belongs, starting from the hole at pos. */
static void sift(struct clv_timers *ts, struct clv_timer *timer, size_t pos)
{
	while (pos > 1 && timer->at_ns < ts->heap[pos / 2]->at_ns) {
		place(ts, ts->heap[pos / 2], pos);
		pos /= 2;
	}
	for (;;) {
		size_t child = pos * 2;

		if (child < ts->count && ts->heap[child + 1]->at_ns < ts->heap[child]->at_ns)
			child++;
		if (child > ts->count || timer->at_ns <= ts->heap[child]->at_ns)
			break;
		place(ts, ts->heap[child], pos);
		pos = child;
	}
	place(ts, timer, pos);
}

static void disarm(struct clv_timers *ts, struct clv_timer *timer)
{
	size_t hole = timer->heap_pos;
	struct clv_timer *last;

	timer->at_ns = CLV_TIMER_NEVER;
	if (!hole)
		return;
	timer->heap_pos = 0;
	last = ts->heap[ts->count--];
	if (last != timer)
		sift(ts, last, hole);
}

void clv_timers_set(struct clv_timers *ts, struct clv_timer *timer, uint64_t at_ns)
{
	if (at_ns == CLV_TIMER_NEVER) {
		disarm(ts, timer);
		return;
	}
	timer->at_ns = at_ns;
	if (!timer->heap_pos) {
		assert(ts->count < ts->limit);
		timer->heap_pos = ++ts->count;
	}
	sift(ts, timer, timer->heap_pos);
}

uint64_t clv_timers_next_ns(const struct clv_timers *ts)
{
	return ts->count ? ts->heap[1]->at_ns : CLV_TIMER_NEVER;
}

struct clv_timer *clv_timers_expire(struct clv_timers *ts, uint64_t now_ns)
{
	struct clv_timer *first;

	if (clv_timers_next_ns(ts) > now_ns || !ts->count)
		return NULL;
	first = ts->heap[1];
	disarm(ts, first);
	return first;
}
