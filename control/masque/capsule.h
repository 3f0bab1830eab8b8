/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * capsule - the Capsule Protocol on a request stream: a streaming parser, encoders, and the values of
 * the capsules that register contexts of a bound tunnel.  Those of a signal stream are in signal.h.
 *
 *   capsule             = type (varint) | length (varint) | value
 *   COMPRESSION_ASSIGN  = context ID (varint) | IP version (1) [| address (4 or 16) | port (2)]
 *   COMPRESSION_ACK     = context ID (varint)
 *   COMPRESSION_CLOSE   = context ID (varint)
 *
 * IP version 0 registers the uncompressed context, without address and port.
 *
 * The parser stores at most one value, and only when a chunk ends inside it.  Capsules of unknown
 * type and DATAGRAM capsules above the bound are skipped without being stored, whatever their length.
 *
 * Spec: RFC 9297 sections 1.1 (varints need not be minimal), 3.2, 3.3, 3.5;
 * draft-ietf-masque-connect-udp-listen-13 sections 3.1 to 3.3.
 * Threading: control; no state but the struct.
 */
#ifndef CLV_MASQUE_CAPSULE_H
#define CLV_MASQUE_CAPSULE_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/budget.h"

/* Every capsule type we read or write. */
enum clv_capsule_type {
	CLV_CAPSULE_DATAGRAM = 0x00, /* context ID (varint) and payload */
	CLV_CAPSULE_COMPRESSION_ASSIGN = 0x11,
	CLV_CAPSULE_COMPRESSION_ACK = 0x12,
	CLV_CAPSULE_COMPRESSION_CLOSE = 0x13,
};

enum {
	CLV_CAPSULE_HEAD_MAX = 16, /* type and length, two 8-byte varints */
	CLV_CAPSULE_PEEK_MAX = 8,  /* first bytes of a skipped DATAGRAM that are still reported */
	CLV_CAPSULE_CONTEXT_VALUE_MAX = 27, /* the longest COMPRESSION_* value: ASSIGN of an IPv6
					       remote, with an 8-byte Context ID */
	CLV_CAPSULE_CONTEXT_MAX = 29,	    /* the longest such capsule we write */
};

struct clv_capsule_ops {
	/*
	 * One whole DATAGRAM value.  value: borrows.  Returns 0, or negative to stop the parse.
	 * NULL: this stream has no datagrams, and they are skipped.
	 */
	int (*on_datagram)(void *user, const uint8_t *value, size_t len);
	/*
	 * A DATAGRAM capsule longer than the bound is skipped.  len: its whole length in bytes;
	 * head[0..head_len): its first bytes, at most CLV_CAPSULE_PEEK_MAX.  Called once for each,
	 * before the rest of the value arrived.  Returns as on_datagram.
	 */
	int (*on_skipped)(void *user, uint64_t len, const uint8_t *head, size_t head_len);
	/*
	 * One whole value of a COMPRESSION_* capsule.  NULL: this request has no contexts, and such
	 * capsules are skipped.  value: borrows.  Returns as on_datagram.
	 */
	int (*on_context)(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len);
	/*
	 * Of a type that is none of the above: the longest value of it that on_value takes, in bytes; a
	 * longer one is malformed.  0: such capsules are skipped.  Both may be NULL: all are.
	 */
	size_t (*value_max)(void *user, uint64_t type);
	/* One whole such value.  value: borrows.  Returns as on_datagram. */
	int (*on_value)(void *user, uint64_t type, const uint8_t *value, size_t len);
};

/* Zeroed is the state at the start of a stream. */
struct clv_capsule_parser {
	uint8_t head[CLV_CAPSULE_HEAD_MAX]; /* type and length as far as they came */
	uint8_t head_len;
	uint8_t state;
	uint64_t type;	 /* of the value now being read */
	uint64_t length; /* of it */
	uint64_t left;	 /* bytes of it still to come */
	size_t bound;	 /* longest DATAGRAM value that is delivered */
	uint8_t *value;	 /* the stored part of a value that is incomplete; else NULL */
	size_t value_len;
	struct clv_budget_holder *holder; /* borrows; charged for what is stored; NULL: no limit */
	bool is_refused;		  /* by its budget */
};

/* bound: longest DATAGRAM value to deliver, in bytes (context ID and payload). */
void clv_capsule_parser_init(struct clv_capsule_parser *p, size_t bound);
void clv_capsule_parser_fini(struct clv_capsule_parser *p);

/* Change the bound; a capsule already begun keeps the old one. */
void clv_capsule_parser_set_bound(struct clv_capsule_parser *p, size_t bound);

/*
 * Feed the next bytes of the stream.  data: borrows.
 * Returns 0; -ENOMEM; CLV_EPROTO (a COMPRESSION_* capsule longer than any can be: the message is
 * malformed); or the negative number that a callback returned.  After an error the parser is not
 * fed again.
 */
int clv_capsule_parser_feed(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
			    const struct clv_capsule_ops *ops, void *user);

/* The HTTP/3 error code to reset the stream with, for what feed returned. */
uint64_t clv_capsule_h3_error(int err);

/* The stream ended.  Returns 0, or CLV_EPROTO inside a capsule: the message is malformed. */
int clv_capsule_parser_end(const struct clv_capsule_parser *p);

/*
 * Write the head of a capsule of any type up to CLV_VARINT_MAX whose value has value_len bytes.
 * Returns the bytes written, at most CLV_CAPSULE_HEAD_MAX.
 */
size_t clv_capsule_encode_head(uint64_t type, size_t value_len,
			       uint8_t buf[static CLV_CAPSULE_HEAD_MAX]);
/* The same of a DATAGRAM capsule. */
size_t clv_capsule_encode_datagram_head(size_t value_len, uint8_t buf[static CLV_CAPSULE_HEAD_MAX]);

/* ---- contexts of a bound tunnel ---- */

/* A COMPRESSION_ASSIGN. */
struct clv_capsule_assign {
	uint64_t context_id;
	uint8_t ip_version;	    /* 4, 6, or 0: the uncompressed context */
	struct clv_endpoint remote; /* zero for version 0.  Version 6 may still hold ::ffff:a.b.c.d;
				       the caller decides about that. */
};

/*
 * Read values.  Return 0 and fill *out, or CLV_EPROTO: a byte is missing or left over, the IP
 * version is none, or the Context ID is 0; the message is malformed.
 */
int clv_capsule_decode_assign(const uint8_t *value, size_t len, struct clv_capsule_assign *out);
/* of ACK and CLOSE */
int clv_capsule_decode_context_id(const uint8_t *value, size_t len, uint64_t *out);

/*
 * Write whole capsules.  remote: NULL for the uncompressed context; its family decides the IP
 * version.  context_id: at most CLV_VARINT_MAX.  type: ACK or CLOSE.
 * Return the bytes written, at most CLV_CAPSULE_CONTEXT_MAX.
 */
size_t clv_capsule_encode_assign(uint64_t context_id, const struct clv_endpoint *remote,
				 uint8_t buf[static CLV_CAPSULE_CONTEXT_MAX]);
size_t clv_capsule_encode_context_id(enum clv_capsule_type type, uint64_t context_id,
				     uint8_t buf[static CLV_CAPSULE_CONTEXT_MAX]);

#endif
