/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * slice - set the scheduler time slice of the calling thread.
 *
 * A thread with a short slice is scheduled sooner when it wakes up: it waits at most its own slice
 * for another thread on its core, instead of the scheduler's default of three milliseconds.
 *
 * Spec: sched_setattr(2), sched_runtime of SCHED_OTHER; Linux 6.12 and newer, older ones ignore it.
 * Threading: the calling thread.
 */
#ifndef CLV_HOST_SLICE_H
#define CLV_HOST_SLICE_H

#include <stdint.h>

/* ns: the kernel clamps it to 100 us to 100 ms; 0: no change.  Returns 0, or -errno. */
int clv_slice_set(uint64_t ns);

#endif
