/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * estimate - what a plan takes and brings, before anything is opened.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_DAEMON_ESTIMATE_H
#define CLV_DAEMON_ESTIMATE_H

#include "control/daemon/daemon.h"

#include <stdio.h>

struct clv_estimate {
	uint64_t packets_bytes; /* frames of the AF_XDP sockets, locked */
	uint64_t maps_bytes;	/* of the kernel, locked */
	uint64_t handoff_bytes; /* rings between workers */
	uint64_t mailbox_bytes; /* between control and workers */
	unsigned queues;	/* of each interface */
	unsigned interfaces;	/* with AF_XDP sockets */
	unsigned handoff_percent;
};

/* daemon: with its plan made, and nothing open. */
void clv_estimate_make(const struct clv_daemon *daemon, struct clv_estimate *out);

/* Print it as readable text. */
void clv_estimate_print(const struct clv_daemon *daemon, FILE *out);

#endif
