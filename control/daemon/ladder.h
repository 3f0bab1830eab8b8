/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay_ladder - how far up each interface gets: zero-copy, copy, generic, kernel.
 *
 * Every step down is logged with its reason and kept in the link.
 *
 * Threading: control; while it runs no worker has a socket of these.
 * Order: 1. attach, each link  2. populate  3. detach, each link, when the sockets are closed
 */
#ifndef CLV_DAEMON_LADDER_H
#define CLV_DAEMON_LADDER_H

#include "control/daemon/daemon.h"

/* Attach the program at the best mode allowed that works; link_fd stays -1 when none does. */
void clv_ladder_attach(struct clv_relay *relay, struct clv_relay_link *link);

void clv_ladder_detach(struct clv_relay_link *link);

/* A link leaves a rung for a lower one.  why: copies.  What it has open there is the caller's. */
void clv_ladder_step_down(struct clv_relay_link *link, enum clv_rung from, enum clv_rung to,
			  const char *why);

/*
 * Open a port for each worker, with the sockets of its queues, in relay->workers[].xsk.  A link that
 * does not get all of its own steps down.  Returns 0, or a negative number with a line in
 * relay->error when there is no memory for packets; ports may be open then.
 */
int clv_ladder_populate(struct clv_relay *relay);

/* Close the ports that no worker has taken yet. */
void clv_ladder_close_ports(struct clv_relay *relay);

/* Wait until drivers have let go of the sockets that were closed: some time later, and only under a
 * program, so call it before detach. */
void clv_ladder_wait_for_drivers(const struct clv_relay *relay);

/*
 * Whether every link got as far as the configuration demands.  Returns 0, or -EOPNOTSUPP or -ENODEV
 * with a line in relay->error.
 */
int clv_ladder_check_demands(struct clv_relay *relay);

#endif
