/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * capsule - the Capsule Protocol on a request stream: a streaming parser and the DATAGRAM encoder.
 *
 *   capsule = type (varint) | length (varint) | value
 *
 * The parser never holds more than one value of a known type, and that only when the value is cut
 * by a chunk's end.  Capsules of unknown type and DATAGRAM capsules above the bound pass through it
 * without being stored, whatever their length.
 *
 * Spec: RFC 9297 sections 1.1 (varints need not be minimal), 3.2, 3.3, 3.5.
 * Threading: control; no state but the struct.
 */
#ifndef CLV_CAPSULE_H
#define CLV_CAPSULE_H

#include <stddef.h>
#include <stdint.h>

/* Every capsule type we read or write; the one place that knows the numbers. */
enum clv_capsule_type {
	CLV_CAPSULE_DATAGRAM = 0x00, /* context ID (varint) and payload */
};

enum {
	CLV_CAPSULE_HEAD_MAX = 16, /* type and length, two 8-byte varints */
	CLV_CAPSULE_PEEK_MAX = 8,  /* first bytes of a skipped DATAGRAM that are still reported */
};

struct clv_capsule_ops {
	/* One whole DATAGRAM value.  value: borrows.  Returns 0, or negative to stop the parse. */
	int (*on_datagram)(void *user, const uint8_t *value, size_t len);
	/*
	 * A DATAGRAM capsule longer than the bound is skipped.  len: its whole length in bytes;
	 * head[0..head_len): its first bytes, at most CLV_CAPSULE_PEEK_MAX.  Called once for each,
	 * before the rest of the value arrived.  Returns as on_datagram.
	 */
	int (*on_skipped)(void *user, uint64_t len, const uint8_t *head, size_t head_len);
};

/* Zeroed is the state at the start of a stream. */
struct clv_capsule_parser {
	uint8_t head[CLV_CAPSULE_HEAD_MAX]; /* type and length as far as they came */
	uint8_t head_len;
	uint8_t state;
	uint64_t length; /* of the value now being read */
	uint64_t left;	 /* bytes of it still to come */
	size_t bound;	 /* longest DATAGRAM value that is delivered */
	uint8_t *value;	 /* a value cut by a chunk's end; NULL otherwise */
	size_t value_len;
};

/* bound: longest DATAGRAM value to deliver, in bytes (context ID and payload). */
void clv_capsule_parser_init(struct clv_capsule_parser *p, size_t bound);
void clv_capsule_parser_fini(struct clv_capsule_parser *p);

/* Change the bound; a capsule already begun keeps the old one. */
void clv_capsule_parser_set_bound(struct clv_capsule_parser *p, size_t bound);

/*
 * Feed the next bytes of the stream.  data: borrows.
 * Returns 0; -ENOMEM; or whatever negative number a callback returned.  After an error the parser
 * is not fed again.
 */
int clv_capsule_parser_feed(struct clv_capsule_parser *p, const uint8_t *data, size_t len,
			    const struct clv_capsule_ops *ops, void *user);

/* The stream ended.  Returns 0, or CLV_EPROTO inside a capsule: the message is malformed. */
int clv_capsule_parser_end(const struct clv_capsule_parser *p);

/*
 * Write the head of a DATAGRAM capsule whose value has value_len bytes.
 * Returns the bytes written, at most CLV_CAPSULE_HEAD_MAX.
 */
size_t clv_capsule_encode_datagram_head(size_t value_len, uint8_t buf[static CLV_CAPSULE_HEAD_MAX]);

#endif
