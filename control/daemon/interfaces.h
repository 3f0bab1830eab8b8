/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * interfaces - choose the interfaces to serve, at start and when they come and go later.
 *
 * The datapath mode of each is chosen in datapath.h.
 *
 * Threading: control.
 * Order: 1. choose  2. plan  3. open  4. follow, as often as interfaces change, and reopen  5. close
 */
#ifndef CLV_DAEMON_INTERFACES_H
#define CLV_DAEMON_INTERFACES_H

#include "control/daemon/daemon.h"

/* Choose the interfaces that the configuration means.  Nothing is attached yet. */
int clv_interfaces_choose(struct clv_daemon *daemon);

/* Decide the number of workers and their cores. */
int clv_interfaces_plan(struct clv_daemon *daemon);

/* Load the XDP program, attach it, and open the AF_XDP sockets of each worker's queues. */
int clv_interfaces_open(struct clv_daemon *daemon);

/*
 * Interfaces came, went or changed: attach to those that the configuration means, and forget those
 * that are gone.  For either, workers are parked and get new sockets.  Returns whether they did.
 */
bool clv_interfaces_follow(struct clv_daemon *daemon);

/* Apply one remedy to an interface.  Its workers are parked and get new sockets.  why: copies. */
void clv_interfaces_reopen(struct clv_daemon *daemon, struct clv_interface *interface,
			   enum clv_interface_remedy remedy, const char *why);

/* Detach.  After the workers are closed: some drivers cannot unbind sockets otherwise. */
void clv_interfaces_close(struct clv_daemon *daemon);

#endif
