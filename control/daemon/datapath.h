/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * datapath - attach the XDP program to interfaces and open AF_XDP sockets on their queues.
 *
 * Each interface gets the best datapath mode it supports: zero-copy, copy, generic XDP, or none,
 * when the kernel's sockets receive its packets.  Every fallback is logged with its reason, which
 * stays in struct clv_interface.
 *
 * Threading: control, while no worker holds a socket of these interfaces.
 * Order: 1. attach, each interface  2. open_sockets  3. when the sockets are closed: detach, each
 */
#ifndef CLV_DAEMON_DATAPATH_H
#define CLV_DAEMON_DATAPATH_H

#include "control/daemon/daemon.h"

/* The entries of the maps, by what the workers of the plan have together at most. */
struct clv_bpf_sizes clv_datapath_map_sizes(const struct clv_daemon *daemon);

/* "zerocopy", "copy", "generic" or "kernel". */
const char *clv_datapath_mode_name(enum clv_datapath_mode mode);

/*
 * Attach the XDP program in the best mode that works and the configuration allows.  Where none
 * does, link_fd stays -1.
 */
void clv_datapath_attach(struct clv_daemon *daemon, struct clv_interface *interface);

void clv_datapath_detach(struct clv_interface *interface);

/*
 * Record and log that an interface falls back to a lesser mode.  The caller closes what it has open
 * in the old mode.
 * why: copies.
 */
void clv_datapath_fall_back(struct clv_interface *interface, enum clv_datapath_mode from,
			    enum clv_datapath_mode to, const char *why);

/*
 * Leave the mode of an interface for the next one that can be attached, all its sockets closed.
 * why: copies.
 */
void clv_datapath_step_down(struct clv_daemon *daemon, struct clv_interface *interface,
			    const char *why);

/*
 * Count the receive queues of an attached interface again.  With fewer than workers, or too many, it
 * falls back to kernel sockets: a worker sends from a socket of its own.
 */
void clv_datapath_recount(const struct clv_daemon *daemon, struct clv_interface *interface);

/*
 * Open an AF_XDP port for each worker, with the sockets of its queues, in daemon->workers[].xsk.
 * An interface that does not get all its sockets falls back.
 * Returns 0, or an error number with one line in daemon->error when there is no memory for packets;
 * ports may be open then.
 */
int clv_datapath_open_sockets(struct clv_daemon *daemon);

/* Close the ports that no worker has taken yet. */
void clv_datapath_close_sockets(struct clv_daemon *daemon);

/*
 * Wait until drivers have released the closed sockets.  They do so some time later, and only while
 * the program is attached: call this before detach.
 */
void clv_datapath_wait_for_drivers(const struct clv_daemon *daemon);

/*
 * Check that every interface reached the datapath that the configuration requires.
 * Returns 0, or -EOPNOTSUPP or -ENODEV with one line in daemon->error.
 */
int clv_datapath_check_required(struct clv_daemon *daemon);

#endif
