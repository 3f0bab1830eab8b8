/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * h3 - one HTTP/3 connection over byte streams that somebody else carries, server or client.
 *
 * Bytes to send are handed to the transport at once and copied there; what the peer has not
 * acknowledged yet is counted for each stream, so that the layer above can bound it.
 *
 * Order: 1. new  2. start (opens our control and QPACK streams)  3. read, acked, ... as the
 * transport reports  4. free.  free only from outside of every callback.
 * Spec: RFC 9114, RFC 9220 (extended CONNECT), RFC 9297 section 2.1.1 (H3_DATAGRAM setting).
 * Threading: control.
 */
#ifndef CLV_HTTP_H3_H
#define CLV_HTTP_H3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/rand.h"
#include "datapath/quic/h3_code.h"

struct clv_h3;
struct clv_h3_stream; /* a request stream; lent from on_headers or request until on_closed ends */

enum {
	CLV_H3_FIELD_SECTION_MAX =
		16384,		/* bytes of a header section we accept, as SETTINGS count */
	CLV_H3_FIELDS_MAX = 64, /* fields of a header section we keep */
};

/* What carries the streams.  No function may free the h3 or call back into it. */
struct clv_h3_transport_ops {
	/* Number our next stream of that kind and open it as soon as the peer allows.  0, CLV_EFULL
	 * or -ENOMEM. */
	int (*open_uni)(void *transport, int64_t *id);
	int (*open_bidi)(void *transport, int64_t *id); /* client only */
	/* data: copies; at most CLV_STREAM_CHUNK_MAX bytes; len 0 only with fin.  0 or -ENOMEM. */
	int (*write)(void *transport, int64_t id, const uint8_t *data, size_t len, bool fin);
	/* The peer may send len bytes more. */
	void (*consumed)(void *transport, int64_t id, uint64_t len);
	void (*reset)(void *transport, int64_t id, uint64_t code); /* RESET_STREAM */
	void (*stop)(void *transport, int64_t id, uint64_t code);  /* STOP_SENDING */
	/* Close the connection; called once.  Every later call to the h3 does nothing. */
	void (*close)(void *transport, uint64_t code, const char *reason);
};

struct clv_h3_settings {
	bool datagram;	       /* the peer takes HTTP Datagrams */
	bool extended_connect; /* the server takes :protocol; always false in a server */
};

/* One header field.  Strings are zero-terminated; value may hold any bytes but zero. */
struct clv_h3_field {
	const char *name;
	const char *value;
	size_t value_len;
};

/* A header section as received, pseudo-header fields first. */
struct clv_h3_head {
	const struct clv_h3_field *fields;
	size_t len;
	unsigned status; /* client: of the response; server: 0 */
	bool too_large;	 /* more than we keep: what is beyond is missing */
};

/* Upward; arguments are borrowed for the call.  The ops may call every function below but free. */
struct clv_h3_event_ops {
	/* The peer's SETTINGS came; once. */
	void (*on_settings)(void *user, const struct clv_h3_settings *settings);
	/*
	 * A whole header section: the request (server) or a response, interim ones too (client).
	 */
	void (*on_headers)(void *user, struct clv_h3_stream *s, const struct clv_h3_head *head);
	/* Bytes of DATA frames; flow-control credit goes back when it returns. */
	void (*on_body)(void *user, struct clv_h3_stream *s, const uint8_t *data, size_t len);
	/* The peer finished its half. */
	void (*on_end)(void *user, struct clv_h3_stream *s);
	/* The peer gave its half up (RESET_STREAM), or does not want ours (STOP_SENDING). */
	void (*on_reset)(void *user, struct clv_h3_stream *s, uint64_t code);
	void (*on_stop)(void *user, struct clv_h3_stream *s, uint64_t code);
	/* The stream is gone; last event of it.  Comes for every open stream on free too. */
	void (*on_closed)(void *user, struct clv_h3_stream *s, uint64_t code);
	/* Client: the server takes no new requests.  Server: the client goes away.  May be NULL. */
	void (*on_goaway)(void *user);
};

enum clv_h3_role {
	CLV_H3_SERVER = 1,
	CLV_H3_CLIENT,
};

struct clv_h3_params {
	enum clv_h3_role role;
	const struct clv_h3_transport_ops *transport_ops;
	void *transport;
	const struct clv_h3_event_ops *event_ops;
	void *user;
	uint32_t streams_max;  /* request streams open at a time; what the transport grants */
	struct clv_rand *rand; /* borrows during new */
};

/* Returns 0 and fills *out, -ENOMEM, or CLV_EHTTP. */
int clv_h3_new(const struct clv_h3_params *params, struct clv_h3 **out);
void clv_h3_free(struct clv_h3 *h);

/* Open our unidirectional streams and send SETTINGS.  Returns 0 or an error of the transport. */
int clv_h3_start(struct clv_h3 *h);

/* ---- what the transport reports ---- */

/*
 * Stream bytes in order.  data: borrows.
 * Returns 0, or CLV_EHTTP after the connection was closed with the code that fits.
 */
int clv_h3_read(struct clv_h3 *h, int64_t id, const uint8_t *data, size_t len, bool fin,
		uint64_t now_ns);
/* The peer has len more of our bytes. */
void clv_h3_acked(struct clv_h3 *h, int64_t id, uint64_t len);
void clv_h3_stream_reset(struct clv_h3 *h, int64_t id, uint64_t code);
void clv_h3_stream_stopped(struct clv_h3 *h, int64_t id, uint64_t code);
/*
 * HTTP Datagrams came for a request stream, and no tunnel has taken them.  One whose request nobody
 * above has anything to do with any more is aborted (RFC 9297 section 2).
 */
void clv_h3_stream_datagrams(struct clv_h3 *h, int64_t id);
void clv_h3_stream_closed(struct clv_h3 *h, int64_t id, uint64_t code);

/* ---- requests ---- */

/*
 * Server: answer a request.  fields: copies; without :status.  end: no body follows.
 * Client: send a request; fields with the pseudo-header fields first; the stream stays open.
 * Return 0; CLV_ECLOSED (the connection or this half is closed); CLV_EFULL (streams_max); -ENOMEM.
 */
int clv_h3_respond(struct clv_h3 *h, struct clv_h3_stream *s, unsigned status,
		   const struct clv_h3_field *fields, size_t len, bool end);
int clv_h3_request(struct clv_h3 *h, const struct clv_h3_field *fields, size_t len,
		   struct clv_h3_stream **out);

/*
 * Send body bytes as one DATA frame, and FIN behind them.  data: copies; two parts that are joined,
 * so that a capsule's head need not be copied together with its value; each may be empty.
 * Returns 0, CLV_ECLOSED or -ENOMEM.
 */
int clv_h3_send(struct clv_h3 *h, struct clv_h3_stream *s, const uint8_t *a, size_t a_len,
		const uint8_t *b, size_t b_len, bool fin);

/* Bytes of ours that the peer has not acknowledged, framing included. */
uint64_t clv_h3_stream_backlog(const struct clv_h3_stream *s);
/* How far into our half a stream is: bytes sent so far, and those of them that the peer has. */
uint64_t clv_h3_stream_written(const struct clv_h3_stream *s);
uint64_t clv_h3_stream_delivered(const struct clv_h3_stream *s);
int64_t clv_h3_stream_id(const struct clv_h3_stream *s);
/* One pointer of the layer above; NULL at first. */
void clv_h3_stream_set_user(struct clv_h3_stream *s, void *user);
void *clv_h3_stream_user(const struct clv_h3_stream *s);

/* Give both halves up with a code.  on_closed comes when the transport has closed the stream. */
void clv_h3_abort(struct clv_h3 *h, struct clv_h3_stream *s, uint64_t code);
/* Read no more of it: STOP_SENDING; our half goes on. */
void clv_h3_stop(struct clv_h3 *h, struct clv_h3_stream *s, uint64_t code);

/* ---- the connection ---- */

/* Close the connection, as for a protocol error found above. */
void clv_h3_close(struct clv_h3 *h, uint64_t code, const char *reason);
bool clv_h3_is_closed(const struct clv_h3 *h);
/* The peer's settings, or NULL before they came. */
const struct clv_h3_settings *clv_h3_peer_settings(const struct clv_h3 *h);

#endif
