/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stream_ops - the streams of one QUIC connection, as a protocol that runs over them sees them.
 *
 * The control core implements the table of functions, because a session's streams live in its
 * worker; HTTP/3 is written against it.  What happens to the streams comes back as events.
 *
 * Spec: RFC 9000 sections 2 to 4.
 * Threading: control.
 */
#ifndef CLV_QUIC_STREAM_OPS_H
#define CLV_QUIC_STREAM_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* None of these may free the protocol's state or call back into it. */
struct clv_stream_ops {
	/* Take the ID of our next stream of that kind; it opens as soon as the peer allows.
	   Returns 0, CLV_EFULL or -ENOMEM. */
	int (*open_uni)(void *transport, int64_t *id);
	int (*open_bidi)(void *transport, int64_t *id); /* client only */
	/* data: copies; at most CLV_STREAM_CHUNK_MAX bytes; len 0 only with fin.  0 or -ENOMEM. */
	int (*write)(void *transport, int64_t id, const uint8_t *data, size_t len, bool fin);
	/* Extend the flow control window: the peer may send len more bytes. */
	void (*consumed)(void *transport, int64_t id, uint64_t len);
	void (*reset)(void *transport, int64_t id, uint64_t code); /* RESET_STREAM */
	void (*stop)(void *transport, int64_t id, uint64_t code);  /* STOP_SENDING */
	/* Close the connection with an application error code.  No event follows. */
	void (*close)(void *transport, uint64_t code, const char *reason);
};

enum clv_stream_event_type {
	CLV_STREAM_DATA = 1,  /* data[0..len) in order; code 1: FIN after it */
	CLV_STREAM_ACKED,     /* the peer has code more bytes of ours */
	CLV_STREAM_RESET,     /* the peer's RESET_STREAM with code */
	CLV_STREAM_STOP,      /* the peer's STOP_SENDING with code */
	CLV_STREAM_NO_TUNNEL, /* datagrams came for this request stream, which never had a tunnel */
	CLV_STREAM_CLOSED,    /* both halves are done; the last event of a stream */
};

struct clv_stream_event {
	enum clv_stream_event_type type;
	int64_t id;
	uint64_t code;
	const uint8_t *data; /* borrows for the call */
	size_t len;
	uint64_t now_ns;
};

#endif
