/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cid - connection IDs and what belongs to them: random IDs, stateless reset tokens, parsing.
 *
 * Spec: RFC 8999 (version-independent header), RFC 9000 sections 5.1 and 10.3.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_QUIC_CID_H
#define CLV_QUIC_CID_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/rand.h"

enum {
	CLV_CID_TOKEN_LEN = 16,
	CLV_CID_SECRET_LEN = 32,
};

/* A fresh unpredictable ID; no packet with it looks like STUN, see bpf/stun.h. */
void clv_cid_random(struct clv_rand *rand, struct clv_cid *out);

/* Stateless reset token of an ID: HMAC-SHA256(secret, id), first 16 bytes. */
void clv_cid_token(const uint8_t secret[static CLV_CID_SECRET_LEN], const struct clv_cid *cid,
		   uint8_t token[static CLV_CID_TOKEN_LEN]);

/* What can be read of any QUIC packet without keys. */
struct clv_quic_header {
	int is_long;
	uint8_t first;
	uint32_t version;    /* long only */
	const uint8_t *dcid; /* borrows the packet */
	size_t dcid_len;     /* short: always CLV_CID_LEN */
	const uint8_t *scid; /* long only */
	size_t scid_len;
};

/*
 * Read the version-independent fields of a packet, short headers with our fixed ID length.
 * Returns 0 or CLV_ETRUNC leaving *out untouched.
 */
int clv_quic_header_decode(const uint8_t *packet, size_t len, struct clv_quic_header *out);

/*
 * Write a stateless reset that answers a packet of trigger_len bytes: 21 bytes or more, less than
 * the trigger and never its length or more (RFC 9000 section 10.3.3).
 * Returns its length, or 0 when the trigger or the room is too short for one.
 */
size_t clv_stateless_reset_write(struct clv_rand *rand,
				 const uint8_t token[static CLV_CID_TOKEN_LEN], size_t trigger_len,
				 uint8_t *out, size_t room);

#endif
