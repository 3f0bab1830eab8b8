/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * metrics - the relay's metrics in Prometheus' text format (version 0.0.4).
 *
 * Labels name threads, interfaces, queues, modes and reasons: a bounded number, never a
 * client, a target or a tunnel.
 *
 * Threading: control.
 */
#ifndef CLV_ADMIN_METRICS_H
#define CLV_ADMIN_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "control/daemon/daemon.h"

/* All metrics.  Returns text that the caller frees and its length, or NULL when out of memory. */
char *clv_metrics_text(const struct clv_daemon *daemon, size_t *len);

struct clv_metrics_load {
	uint64_t connections; /* established */
	uint64_t handshaking, tunnels;
};

/* Count what is open now. */
void clv_metrics_count(const struct clv_daemon *daemon, struct clv_metrics_load *out);

/* Bytes that were allocated and not freed, in the whole process. */
uint64_t clv_metrics_heap_bytes(void);

#endif
