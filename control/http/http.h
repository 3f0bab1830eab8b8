/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * http - an HTTP connection as the layers above use it, whatever its version: the events it reports
 * and what can be done with a request stream.
 *
 * The version's own module makes the connection and feeds it with what its transport receives (h3.h
 * for HTTP/3).  To add a version, embed the two structs below as the first members of its own and
 * fill a clv_http_ops.  What differs between versions stays inside that module:
 *
 *   Tunnels    are requested by extended CONNECT (RFC 8441, RFC 9220).  HTTP/1.1 presents its
 *              Upgrade as one, and its 101 as 200 (RFC 9298 sections 3.2 and 3.3).
 *   Datagrams  are capsules in the body, unless settings allow QUIC DATAGRAM frames.
 *   Codes      are those of HTTP/3, the finest; others map them to their own (RFC 9114 appendix
 *              A.4).
 *
 * Threading: control.
 */
#ifndef CLV_HTTP_HTTP_H
#define CLV_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "datapath/quic/h3_code.h"

struct clv_http;	/* a connection */
struct clv_http_stream; /* a request and its response; lent from on_begin, or from
			   clv_http_request, until on_closed returns */

enum {
	CLV_HTTP_FIELD_SECTION_MAX =
		16384,		  /* bytes of a field section we accept, as SETTINGS count */
	CLV_HTTP_FIELDS_MAX = 64, /* fields of a section that are kept */
};

/* A field.  Strings are zero-terminated; the value may hold any bytes but zero. */
struct clv_http_field {
	const char *name;
	const char *value;
	size_t value_len;
};

/* A field section as received, pseudo-header fields first. */
struct clv_http_head {
	const struct clv_http_field *fields;
	size_t len;
	unsigned status; /* client: of the response; server: 0 */
	bool too_large;	 /* beyond the limits above; the fields after them are missing */
	bool is_refused; /* server: on_begin did not want it */
};

/* What the peer supports. */
struct clv_http_settings {
	bool datagrams;	       /* HTTP Datagrams in QUIC DATAGRAM frames, in both directions */
	bool extended_connect; /* client: the server takes :protocol; server: always false */
};

/* Arguments are borrowed for the call.  The ops may call every function below but free. */
struct clv_http_event_ops {
	/* The peer's settings are known; once, and before its first response. */
	void (*on_settings)(void *user, const struct clv_http_settings *settings);
	/*
	 * Server: the first byte of a request came.  Returns whether it is welcome; if not, its
	 * field section says so.  NULL: all are.
	 */
	bool (*on_begin)(void *user, struct clv_http_stream *s);
	/*
	 * Server: a whole request waits for its response beyond the time limit.  Respond or abort
	 * now.  May be NULL where the version's module has no time limit.
	 */
	void (*on_overdue)(void *user, struct clv_http_stream *s);
	/* A whole field section: a request (server) or a response, interim ones too (client). */
	void (*on_headers)(void *user, struct clv_http_stream *s, const struct clv_http_head *head);
	/* Bytes of the body; flow-control credit for them is returned after the call. */
	void (*on_body)(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len);
	/* The peer finished its half. */
	void (*on_end)(void *user, struct clv_http_stream *s);
	/* The peer cancelled its half (RESET_STREAM), or does not want ours (STOP_SENDING). */
	void (*on_reset)(void *user, struct clv_http_stream *s, uint64_t code);
	void (*on_stop)(void *user, struct clv_http_stream *s, uint64_t code);
	/* The stream is gone; its last event.  On free it is called for every stream still open. */
	void (*on_closed)(void *user, struct clv_http_stream *s, uint64_t code);
	/* Client: the server takes no new requests.  Server: the client goes away.  May be NULL. */
	void (*on_goaway)(void *user);
};

/* What a version implements; the contracts are those of the functions below. */
struct clv_http_ops {
	void (*free)(struct clv_http *http);
	int (*request)(struct clv_http *http, const struct clv_http_field *fields, size_t len,
		       struct clv_http_stream **out);
	int (*respond)(struct clv_http_stream *s, unsigned status,
		       const struct clv_http_field *fields, size_t len, bool end);
	int (*send)(struct clv_http_stream *s, const uint8_t *a, size_t a_len, const uint8_t *b,
		    size_t b_len, bool fin);
	void (*stop)(struct clv_http_stream *s, uint64_t code);
	void (*abort)(struct clv_http_stream *s, uint64_t code);
};

/* Written by the version's module alone, but for clv_http_set_events. */
struct clv_http {
	const struct clv_http_ops *ops;
	const struct clv_http_event_ops *event_ops;
	void *user;
	struct clv_http_settings settings;
	bool has_settings;
	bool is_closed; /* nothing can be sent, and no event but on_closed comes any more */
};

/* Written by the version's module alone, but for user. */
struct clv_http_stream {
	struct clv_http *http;
	int64_t id; /* of the QUIC stream in HTTP/3 */
	void *user; /* of the layer above; NULL at first */
	/* Bytes of our half, framing included: in the transport, of those at the peer, not yet in
	 * the transport. */
	uint64_t sent, acked, waiting;
};

/* ---- the connection ---- */

/* Receive its events, before the version's module starts it. */
static inline void clv_http_set_events(struct clv_http *http, const struct clv_http_event_ops *ops,
				       void *user)
{
	http->event_ops = ops;
	http->user = user;
}

/* Not from inside an event. */
static inline void clv_http_free(struct clv_http *http)
{
	http->ops->free(http);
}

/* The peer's settings; NULL before they are known. */
static inline const struct clv_http_settings *clv_http_peer_settings(const struct clv_http *http)
{
	return http->has_settings ? &http->settings : NULL;
}

/* ---- requests ---- */

/*
 * Client: send a request; pseudo-header fields come first; our half stays open.  fields: copies.
 * Returns 0 and fills *out; CLV_ECLOSED; CLV_EFULL (too many streams); CLV_ERANGE (too many fields);
 * -ENOMEM.
 */
static inline int clv_http_request(struct clv_http *http, const struct clv_http_field *fields,
				   size_t len, struct clv_http_stream **out)
{
	return http->ops->request(http, fields, len, out);
}

/*
 * Server: answer a request.  fields: copies; without :status.  end: no body follows.
 * Returns 0; CLV_ECLOSED (the connection or this half); CLV_ERANGE (too many fields); -ENOMEM.
 */
static inline int clv_http_respond(struct clv_http_stream *s, unsigned status,
				   const struct clv_http_field *fields, size_t len, bool end)
{
	return s->http->ops->respond(s, status, fields, len, end);
}

/*
 * Send body bytes, and with fin the end of our half.  The two parts are joined, so that a capsule's
 * header need not be copied in front of its value; each may be empty.  data: copies.
 * Returns 0, CLV_ECLOSED or -ENOMEM.
 */
static inline int clv_http_send(struct clv_http_stream *s, const uint8_t *a, size_t a_len,
				const uint8_t *b, size_t b_len, bool fin)
{
	return s->http->ops->send(s, a, a_len, b, b_len, fin);
}

/* End our half; nothing more is sent.  Returns as clv_http_send. */
static inline int clv_http_finish(struct clv_http_stream *s)
{
	return clv_http_send(s, NULL, 0, NULL, 0, true);
}

/* Read no more of the stream and ask the peer to stop sending; our half goes on. */
static inline void clv_http_stop(struct clv_http_stream *s, uint64_t code)
{
	s->http->ops->stop(s, code);
}

/* Cancel both halves.  on_closed follows when the transport has closed the stream. */
static inline void clv_http_abort(struct clv_http_stream *s, uint64_t code)
{
	s->http->ops->abort(s, code);
}

/* Bytes of ours that the peer has not acknowledged; the layer above bounds them. */
static inline uint64_t clv_http_stream_backlog(const struct clv_http_stream *s)
{
	return s->sent - s->acked + s->waiting;
}

/* Where our half stands: everything written so far, and how much of it the peer acknowledged. */
static inline uint64_t clv_http_stream_written(const struct clv_http_stream *s)
{
	return s->sent + s->waiting;
}

static inline uint64_t clv_http_stream_delivered(const struct clv_http_stream *s)
{
	return s->acked;
}

/* ---- fields ---- */

static inline struct clv_http_field clv_http_field_text(const char *name, const char *value)
{
	return (struct clv_http_field){ .name = name, .value = value, .value_len = strlen(value) };
}

/* The next field of that name; after: the one found before, NULL to begin.  NULL: no more. */
const struct clv_http_field *clv_http_find_field(const struct clv_http_head *head, const char *name,
						 const struct clv_http_field *after);
/* The field of that name; NULL when it is absent or comes more than once. */
const struct clv_http_field *clv_http_find_only(const struct clv_http_head *head, const char *name);

#endif
