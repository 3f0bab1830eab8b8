/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * h3 - HTTP/3 under http.h: one connection, server or client, over QUIC streams that a transport
 * carries.
 *
 * Bytes to send are copied to the transport at once; what the peer has not acknowledged is counted
 * for each stream.
 *
 * Order: 1. new  2. clv_http_set_events  3. start (opens our control and QPACK streams)  4. read,
 * acked, ... as the transport reports  5. clv_http_free
 * Spec: RFC 9114, RFC 9220 (extended CONNECT), RFC 9297 section 2.1.1 (H3_DATAGRAM setting).
 * Threading: control.
 */
#ifndef CLV_HTTP_H3_H
#define CLV_HTTP_H3_H

#include "control/http/deadlines.h"
#include "control/http/http.h"
#include "datapath/base/budget.h"
#include "datapath/base/counters.h"
#include "datapath/base/rand.h"
#include "datapath/quic/stream_ops.h"

struct clv_h3;

enum clv_h3_role {
	CLV_H3_SERVER = 1,
	CLV_H3_CLIENT,
};

struct clv_h3_params {
	enum clv_h3_role role;
	const struct clv_stream_ops *transport_ops;
	void *transport;
	bool quic_datagrams;   /* the peer's transport parameter allows DATAGRAM frames */
	uint32_t streams_max;  /* request streams open at a time; what the transport grants */
	struct clv_rand *rand; /* borrows during new */
	/*
	 * Server.  The time limit of each request from its first byte to its response, and for the
	 * client's SETTINGS from start.  A connection without SETTINGS is closed, a request that is
	 * not whole is reset, and one that is whole is reported by on_overdue.  Borrows for life, as
	 * counters, where it is counted; NULL: no limit.
	 */
	struct clv_deadlines *deadlines;
	struct clv_counters *counters;
	/* Charged for all memory of the connection; borrows until it is freed; NULL: no limit. */
	struct clv_budget_holder *memory;
	uint32_t unfinished_max; /* server: requests that are not whole at a time; 0: no limit */
};

/* Returns 0 and fills *out, -ENOMEM, or CLV_EHTTP. */
int clv_h3_new(const struct clv_h3_params *params, struct clv_h3 **out);

/* The connection as requests use it, and with which it is freed.  Lends. */
struct clv_http *clv_h3_http(struct clv_h3 *h);

/* Open our unidirectional streams and send SETTINGS.  Returns 0 or an error of the transport. */
int clv_h3_start(struct clv_h3 *h);

/* Close the connection with a code. */
void clv_h3_close(struct clv_h3 *h, uint64_t code, const char *reason);

/* ---- what the transport reports ---- */

/* Any of the events below, by the transport's own record of it. */
void clv_h3_stream_event(struct clv_h3 *h, const struct clv_stream_event *e);

/*
 * Stream bytes in order.  data: borrows.
 * Returns 0, or CLV_EHTTP after the connection was closed with the code that fits.
 */
int clv_h3_read(struct clv_h3 *h, int64_t id, const uint8_t *data, size_t len, bool fin,
		uint64_t now_ns);
/* The peer acknowledged len more of our bytes. */
void clv_h3_acked(struct clv_h3 *h, int64_t id, uint64_t len);
void clv_h3_stream_reset(struct clv_h3 *h, int64_t id, uint64_t code);
void clv_h3_stream_stopped(struct clv_h3 *h, int64_t id, uint64_t code);
/*
 * HTTP Datagrams came for a request stream that has no tunnel.  The stream is aborted when its
 * request has no user any more (RFC 9297 section 2).
 */
void clv_h3_stream_datagrams(struct clv_h3 *h, int64_t id);
void clv_h3_stream_closed(struct clv_h3 *h, int64_t id, uint64_t code);

#endif
