/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * metrics_http - serve GET /metrics from the control loop.
 *
 * The number of connections, their time and their memory are limited.  No TLS and no access
 * control: the operator chooses the address, which is loopback by default.
 *
 * Order: 1. open  2. run the loop  3. close, and run the loop once more
 * Threading: control.
 */
#ifndef CLV_ADMIN_METRICS_HTTP_H
#define CLV_ADMIN_METRICS_HTTP_H

#include <uv.h>

#include "bpf/abi.h"

struct clv_metrics_http;

/* Returns text that the callee frees, or NULL when out of memory. */
typedef char *clv_metrics_fn(void *user, size_t *len);

/*
 * Listen on a TCP address.
 * Returns 0 and fills *out, or -EADDRINUSE, -EADDRNOTAVAIL, -ENOMEM or another -errno.
 */
int clv_metrics_http_open(uv_loop_t *loop, const struct clv_endpoint *listen, clv_metrics_fn *text,
			  void *user, struct clv_metrics_http **out);
/* A later iteration of the loop frees it.  Accepts NULL. */
void clv_metrics_http_close(struct clv_metrics_http *http);

#endif
