/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * datapath - attach the XDP program to interfaces and open AF_XDP sockets on their queues.
 *
 * Each interface gets the best datapath mode it supports: zero-copy, copy, generic XDP, or none,
 * when the kernel's sockets receive its packets.  Every fallback is logged with its reason, which
 * stays in struct clv_interface.
 *
 * An interface is attached and detached alone: the sockets of the others stay as they are, and
 * workers that run stand still only while they get or give the sockets, which the kernel opens before
 * and closes after that.
 *
 * Threading: control.
 * Order: 1. open  2. attach, remedy and detach, each interface  3. when the workers are closed: detach, each
 */
#ifndef CLV_DAEMON_DATAPATH_H
#define CLV_DAEMON_DATAPATH_H

#include "control/daemon/daemon.h"

/* The entries of the maps, by what the workers of the plan have together at most. */
struct clv_bpf_sizes clv_datapath_map_sizes(const struct clv_daemon *daemon);

/* "zerocopy", "copy", "generic" or "kernel". */
const char *clv_datapath_mode_name(enum clv_datapath_mode mode);

/*
 * Make an AF_XDP port for each worker, without sockets, in daemon->workers[].xsk.
 * Returns 0, or an error number with one line in daemon->error; ports may be open then.
 */
int clv_datapath_open(struct clv_daemon *daemon);

/*
 * Attach the XDP program in the best mode that works and the configuration allows, and give each
 * worker the sockets of its queues.  Logs the mode.  Where none works, link_fd stays -1.
 */
void clv_datapath_attach(struct clv_daemon *daemon, struct clv_interface *interface);

/* The reverse of attach.  What workers have not read by then is counted as LINK_GONE. */
void clv_datapath_detach(struct clv_daemon *daemon, struct clv_interface *interface);

/*
 * Apply one remedy to an interface, which gets new sockets; if nothing was attached, the best mode is
 * tried.  why: copies.
 */
void clv_datapath_remedy(struct clv_daemon *daemon, struct clv_interface *interface,
			 enum clv_interface_remedy remedy, const char *why);

/*
 * Check that every interface that is there reached the datapath that the configuration requires.
 * Returns 0, or -EOPNOTSUPP with one line in daemon->error.
 */
int clv_datapath_check_required(struct clv_daemon *daemon);

#endif
