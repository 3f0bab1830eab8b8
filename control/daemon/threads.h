/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * threads - the workers and the threads they run on.
 *
 * Threading: control calls these; each worker's thread runs clv_worker_step in between.
 * Order: 1. open  2. start  3. check, park and resume  4. stop  5. close
 */
#ifndef CLV_DAEMON_THREADS_H
#define CLV_DAEMON_THREADS_H

#include "control/daemon/daemon.h"

enum {
	CLV_THREADS_MAILBOX_BYTES = 1 << 20, /* of each direction between control and a worker */
	CLV_THREADS_HANDOFF_BYTES = 1 << 20, /* from one worker to another */
};

/*
 * Open the workers with their rings; each takes its ports.  No thread runs yet.
 * Returns 0, or an error number with one line in daemon->error; clv_threads_close removes the rest.
 */
int clv_threads_open(struct clv_daemon *daemon);
/* After the threads are stopped. */
void clv_threads_close(struct clv_daemon *daemon);

/* Start one pinned thread for each worker.  Returns as clv_threads_open. */
int clv_threads_start(struct clv_daemon *daemon);
/* Returns when all threads have ended. */
void clv_threads_stop(struct clv_daemon *daemon);

/* Once a second: returns whether all threads make progress.  Wakes those that have not since the
 * last call, so that a sleeping thread is not taken for a stuck one. */
bool clv_threads_check(struct clv_daemon *daemon);

/* Stop all threads between two steps; returns when they have stopped.  resume lets them go on. */
void clv_threads_park(struct clv_daemon *daemon);
void clv_threads_resume(struct clv_daemon *daemon);

#endif
