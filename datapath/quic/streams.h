/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * streams - the send side of a connection's streams: bytes are kept until the peer acknowledged
 * them.
 *
 * Stream IDs of our own are handed out by control in order; a stream the peer does not allow yet is
 * opened as soon as it does.
 *
 * Spec: RFC 9000 sections 2 to 4.
 * Threading: the owner of the connection.
 */
#ifndef CLV_QUIC_STREAMS_H
#define CLV_QUIC_STREAMS_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/budget.h"

struct clv_stream;

/* Streams in the order of their turn. */
struct clv_stream_queue {
	struct clv_stream *head, *tail;
};

/*
 * Those with anything to send or to be acknowledged; a stream with neither is not kept.  A peer may
 * open many thousands, so no operation walks them all.
 */
struct clv_streams {
	struct clv_stream **buckets; /* by ID; NULL: none yet */
	size_t buckets_len;	     /* a power of two */
	size_t count;
	struct clv_stream_queue ready;	  /* to send now */
	struct clv_stream_queue unopened; /* ours, waiting for the peer, in order of ID */
	size_t backlog;			  /* bytes written and not acknowledged */
	struct clv_budget_holder *holder; /* borrows; charged for the backlog; NULL: none */
};

void clv_streams_fini(struct clv_streams *ss);

/* Queue bytes (and FIN) on a stream.  data: copies.  Returns 0 or -ENOMEM. */
int clv_streams_write(struct clv_streams *ss, int64_t id, const uint8_t *data, size_t len,
		      bool fin);

/*
 * Open our own stream id, which must be the next of its type, now or when the peer allows it.
 * Returns 0 or -ENOMEM.
 */
int clv_streams_open(struct clv_streams *ss, ngtcp2_conn *qc, int64_t id);
/* More streams are allowed: open what waits. */
void clv_streams_retry_open(struct clv_streams *ss, ngtcp2_conn *qc);

/*
 * The next stream with bytes or a FIN to send, at most max vectors of it.
 * Returns the number of vectors, with *id, *fin set; -1 when there is none.
 */
int clv_streams_next(struct clv_streams *ss, int64_t *id, ngtcp2_vec *vec, int max, bool *fin);
/* len bytes of it (and its FIN, when fin) went into a packet. */
void clv_streams_sent(struct clv_streams *ss, int64_t id, size_t len, bool fin);
/* It is blocked by flow control: skip it until unblock. */
void clv_streams_block(struct clv_streams *ss, int64_t id);
void clv_streams_unblock(struct clv_streams *ss, int64_t id);
/* The peer has len more bytes: free them. */
void clv_streams_acked(struct clv_streams *ss, int64_t id, uint64_t len);
/* Drop what is left of a stream: it was closed or reset. */
void clv_streams_drop(struct clv_streams *ss, int64_t id);

#endif
