/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pace - whether a thread that steps should step again at once, pause, or sleep.
 *
 * Waking up costs more than handling a datagram.  So after it had work, a thread spins (busy-polls)
 * for a moment before it sleeps, as long as that pays off: an answer often follows a question.  It
 * does so only while little arrives, since then the delay of each datagram is what counts.  When
 * much arrives, but not enough to be busy all the time, it pauses until a batch is there, within
 * bounds, instead of waking for each one.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_PACE_H
#define CLV_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct clv_pace_params {
	uint64_t spin_ns;      /* how long to spin after work; 0: never */
	uint32_t spin_per_sec; /* units of work per second above which it does not spin */
	uint32_t batch;	       /* units of work that it pauses for; 0: never pause */
	uint64_t pause_max_ns; /* longest pause */
};

/* Starts zeroed, but for p. */
struct clv_pace {
	struct clv_pace_params p;
	uint64_t last_work_ns;
	uint64_t window_ns;	      /* when the window over which work is counted began */
	uint64_t work;		      /* in this window */
	uint64_t per_sec;	      /* rate of work in the window before */
	uint32_t found, missed;	      /* recent spins during which work arrived, or none did */
	uint32_t skipped;	      /* times it did not spin since it last did */
	uint64_t spins, spins_useful; /* all spins, and those during which work arrived */
	bool is_spinning;	      /* after work, until it sleeps */
	bool has_waited;	      /* a step of this spin found nothing */
};

enum clv_pace_action {
	CLV_PACE_STEP = 0, /* step again at once */
	CLV_PACE_PAUSE,	   /* wait for *pause_ns, whatever arrives */
	CLV_PACE_SLEEP,	   /* wait until something arrives */
};

/* What to do after a step that did `work` units of work (0: none). */
enum clv_pace_action clv_pace_next(struct clv_pace *pace, unsigned work, uint64_t now_ns,
				   uint64_t *pause_ns);

#endif
