/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * loop - the control thread's event loop: packets, workers, routes, ICMP, signals, reload and stop.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_LOOP_H
#define CLV_DAEMON_LOOP_H

#include "control/daemon/daemon.h"

/* Returns 0, or an error number with one line in daemon->error. */
int clv_loop_open(struct clv_daemon *daemon);

/* Serve until SIGTERM or SIGINT, and until connections are closed or three seconds have passed. */
void clv_loop_run(struct clv_daemon *daemon);

/*
 * Read the users file again and end the tunnels of clients that may not use the relay any more.
 * Returns 0, or an error number with one line in daemon->error, with nothing changed.
 */
int clv_loop_reload_users(struct clv_daemon *daemon);

/* Close the loop's handles, the resolver's too: free it afterwards. */
void clv_loop_close(struct clv_daemon *daemon);

#endif
