/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * slice - how long the calling thread computes before others of its core have a turn.
 *
 * Who asks for short turns goes ahead sooner when there is something to do: of what else runs there
 * it waits for its own slice at most, instead of the scheduler's three milliseconds.
 *
 * Spec: sched_setattr(2), sched_runtime of SCHED_OTHER: Linux 6.12 and newer, ignored before.
 * Threading: the calling thread.
 */
#ifndef CLV_HOST_SLICE_H
#define CLV_HOST_SLICE_H

#include <stdint.h>

/* ns: 100 us to 100 ms are kept; 0: leave it.  Returns 0, or -errno with nothing changed. */
int clv_slice_set(uint64_t ns);

#endif
