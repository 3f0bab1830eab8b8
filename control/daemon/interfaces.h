/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * interfaces - choose the interfaces to serve, at start and when they come and go later.
 *
 * Those that the configuration names, there or not, or else those of control/host/choice.h.  The
 * datapath mode of each is chosen in datapath.h.  An interface that is served has a place, which is
 * free again when it goes; one that is named keeps it.
 *
 * Threading: control.
 * Order: 1. choose  2. plan  3. open  4. follow, as often as interfaces change, and reopen  5. close
 */
#ifndef CLV_DAEMON_INTERFACES_H
#define CLV_DAEMON_INTERFACES_H

#include "control/daemon/daemon.h"

/* Choose the interfaces that the configuration means, and say what is missing.  Nothing is attached yet. */
int clv_interfaces_choose(struct clv_daemon *daemon);

/* Decide the number of workers and their cores. */
int clv_interfaces_plan(struct clv_daemon *daemon);

/* Load the XDP program, attach it where it is to serve, and open the sockets. */
int clv_interfaces_open(struct clv_daemon *daemon);

/*
 * Interfaces, addresses or default routes came, went or changed: attach to interfaces that are to be
 * served now, and detach from those that are gone.  Nothing else is touched.  Returns whether there
 * were any.
 */
bool clv_interfaces_follow(struct clv_daemon *daemon);

/* Apply one remedy to an attached interface, which gets new sockets.  why: copies. */
void clv_interfaces_reopen(struct clv_daemon *daemon, struct clv_interface *interface,
			   enum clv_interface_remedy remedy, const char *why);

/* Detach.  After the workers are closed: some drivers cannot unbind sockets otherwise. */
void clv_interfaces_close(struct clv_daemon *daemon);

#endif
