/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/pace.h"

#include "datapath/base/clock.h"

enum {
	OUTCOMES_MAX = 16,   /* outcomes of spins that are remembered */
	MISSES_PER_FIND = 4, /* a lower share of useful spins: stop spinning */
	TRY_AGAIN = 16,	     /* sleeps without a spin, then try one again */
	PAUSE_WORTH = 8,     /* smallest batch that is worth a pause */
};

#define WINDOW_NS CLV_MSEC
#define QUIET_NS  (200 * UINT64_C(1000)) /* idle for so long: the burst is over */

static void count_window(struct clv_pace *pace, uint64_t now_ns)
{
	uint64_t length_ns = now_ns - pace->window_ns;

	if (length_ns < WINDOW_NS)
		return;
	pace->per_sec = pace->work * CLV_SEC / length_ns;
	pace->work = 0;
	pace->window_ns = now_ns;
}

static void remember(struct clv_pace *pace, bool found)
{
	pace->spins++;
	pace->spins_useful += found;
	if (found)
		pace->found++;
	else
		pace->missed++;
	if (pace->found + pace->missed < OUTCOMES_MAX)
		return;
	pace->found /= 2;
	pace->missed /= 2;
}

static bool is_worth_spinning(const struct clv_pace *pace)
{
	if (pace->per_sec > pace->p.spin_per_sec)
		return false;
	return pace->missed < OUTCOMES_MAX / 4 || pace->found * MISSES_PER_FIND >= pace->missed ||
	       pace->skipped >= TRY_AGAIN;
}

static enum clv_pace_action rest(struct clv_pace *pace, uint64_t idle_ns)
{
	if (pace->is_spinning && idle_ns < pace->p.spin_ns) {
		pace->has_waited = true;
		return CLV_PACE_STEP;
	}
	if (pace->is_spinning) {
		pace->is_spinning = false;
		remember(pace, false);
	}
	return CLV_PACE_SLEEP;
}

/*
 * How long the rest of a batch takes to arrive.  Returns 0 if half of one was there already, since
 * packets fall out of the cache in a deeper queue, or if hardly anything would arrive meanwhile.
 */
static uint64_t pause(const struct clv_pace *pace, unsigned work, uint64_t idle_ns)
{
	uint32_t worth = pace->p.batch < PAUSE_WORTH ? pace->p.batch : PAUSE_WORTH;
	uint64_t missing_ns;

	if (work * 2 >= pace->p.batch || idle_ns >= QUIET_NS ||
	    pace->per_sec * pace->p.pause_max_ns < worth * CLV_SEC)
		return 0;
	missing_ns = (pace->p.batch - work) * CLV_SEC / pace->per_sec;
	return missing_ns < pace->p.pause_max_ns ? missing_ns : pace->p.pause_max_ns;
}

enum clv_pace_action clv_pace_next(struct clv_pace *pace, unsigned work, uint64_t now_ns,
				   uint64_t *pause_ns)
{
	uint64_t idle_ns = now_ns - pace->last_work_ns;

	pace->work += work;
	count_window(pace, now_ns);
	if (work) {
		if (pace->is_spinning && pace->has_waited)
			remember(pace, true); /* else it was there anyway */
		pace->has_waited = false;
		pace->is_spinning = pace->p.spin_ns && is_worth_spinning(pace);
		pace->skipped = pace->is_spinning ? 0 : pace->skipped + 1;
		pace->last_work_ns = now_ns;
		idle_ns = 0;
	}
	*pause_ns = pause(pace, work, idle_ns);
	if (*pause_ns)
		return CLV_PACE_PAUSE;
	return work ? CLV_PACE_STEP : rest(pace, idle_ns);
}
