/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * listeners - the kernel UDP sockets on which clients reach the relay.
 *
 * Each listener's port has one socket for control and one for every worker, all with SO_REUSEPORT.
 * A BPF program steers packets of known connection IDs to their worker and all others to control;
 * where it may not be loaded, a classic filter serves a single worker.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_LISTENERS_H
#define CLV_DAEMON_LISTENERS_H

#include "control/daemon/daemon.h"

/*
 * Find out whether the steering program may be loaded, which more than one worker needs: sets
 * daemon->is_steered.  Returns 0, or -ENOMEM with one line in daemon->error.
 */
int clv_listeners_probe_steering(struct clv_daemon *daemon);

/*
 * Open control's and the workers' socket ports, and the sockets of all listeners in them.
 * Returns 0, or an error number with one line in daemon->error; clv_listeners_close removes the
 * rest.
 */
int clv_listeners_open(struct clv_daemon *daemon);
void clv_listeners_close(struct clv_daemon *daemon);

/* Write the listeners' ports on all our addresses to the XDP program's map. */
int clv_listeners_publish(struct clv_daemon *daemon);

/* "both", "ipv4" or "ipv6"; lives as long as the program. */
const char *clv_listeners_families(const struct clv_daemon_listener *l);

#endif
