/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pace - when a thread that steps should step again, pause or sleep.
 *
 * Waking up costs more than a datagram.  So a thread spins on for a moment after it had something to
 * do, as long as that turns out well (an answer often follows a question) and little comes, so that
 * what is spent on it is for the delay of each.  When much comes, but not enough to be busy all the
 * time, it pauses until a batch is there, within bounds, instead of waking for each one.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_PACE_H
#define CLV_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct clv_pace_params {
	uint64_t spin_ns;      /* how long to look on; 0: not at all */
	uint32_t spin_per_sec; /* things to do in a second above which it does not */
	uint32_t batch;	       /* things to do at a time that it pauses for; 0: never pause */
	uint64_t pause_max_ns; /* longest pause */
};

/* Zeroed but for p is the start. */
struct clv_pace {
	struct clv_pace_params p;
	uint64_t last_work_ns;
	uint64_t window_ns;	      /* begin of the time that work is counted over */
	uint64_t work;		      /* in it */
	uint64_t per_sec;	      /* in the one before */
	uint32_t found, missed;	      /* looking on: something came, or nothing */
	uint32_t skipped;	      /* times not looked on since */
	uint64_t spins, spins_useful; /* all of them, and those that something came */
	bool is_spinning;	      /* on for more after work; */
	bool has_waited;	      /* in vain so far */
};

enum clv_pace_action {
	CLV_PACE_STEP = 0, /* again, at once */
	CLV_PACE_PAUSE,	   /* for *pause_ns, whatever comes */
	CLV_PACE_SLEEP,	   /* until something comes */
};

/* After a step that did so much (0: nothing). */
enum clv_pace_action clv_pace_next(struct clv_pace *pace, unsigned work, uint64_t now_ns,
				   uint64_t *pause_ns);

#endif
