/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/cid.h"

#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>

#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/base/stun.h"

enum {
	HEADER_LONG = 0x80,
	HEADER_FIXED = 0x40,
	/* RFC 9000 section 10.3: 5 bytes that look like a packet, and the token. */
	RESET_LEN_MIN = 5 + CLV_CID_TOKEN_LEN,
	/* Up to here a reset is one byte shorter than its trigger (section 10.3.3); above, a length
	 * that any short packet might have, so that a reset does not stand out. */
	RESET_LEN_SMALL = 42,
	RESET_LEN_SPREAD = 32,
};

void clv_cid_random(struct clv_rand *rand, struct clv_cid *out)
{
	do
		clv_rand_bytes(rand, out->id, sizeof(out->id));
	while (clv_load_be32(out->id + CLV_STUN_COOKIE_CID_AT) == CLV_STUN_COOKIE);
}

void clv_cid_token(const uint8_t secret[static CLV_CID_SECRET_LEN], const struct clv_cid *cid,
		   uint8_t token[static CLV_CID_TOKEN_LEN])
{
	uint8_t digest[WC_SHA256_DIGEST_SIZE];
	Hmac hmac;

	/* A token that others could guess would let them end connections: better to end ourselves.
	 * The library fails here only when it cannot allocate. */
	if (wc_HmacInit(&hmac, NULL, INVALID_DEVID) ||
	    wc_HmacSetKey(&hmac, WC_SHA256, secret, CLV_CID_SECRET_LEN) ||
	    wc_HmacUpdate(&hmac, cid->id, sizeof(cid->id)) || wc_HmacFinal(&hmac, digest))
		abort();
	wc_HmacFree(&hmac);
	memcpy(token, digest, CLV_CID_TOKEN_LEN);
}

/* A connection ID and the length byte in front of it.  Moves *p; returns whether all is there. */
static int read_cid(const uint8_t **p, const uint8_t *end, const uint8_t **cid, size_t *len)
{
	const uint8_t *b = *p;

	if (b == end || end - b - 1 < *b)
		return 0;
	*cid = b + 1;
	*len = *b;
	*p = b + 1 + *b;
	return 1;
}

int clv_quic_header_decode(const uint8_t *packet, size_t len, struct clv_quic_header *out)
{
	const uint8_t *p = packet, *const end = packet + len;
	struct clv_quic_header h = { 0 };

	if (len < 1)
		return CLV_ETRUNC;
	h.first = *p++;
	h.is_long = (h.first & HEADER_LONG) != 0;

	if (h.is_long) {
		if (end - p < 4)
			return CLV_ETRUNC;
		h.version = clv_load_be32(p);
		p += 4;
		if (!read_cid(&p, end, &h.dcid, &h.dcid_len) ||
		    !read_cid(&p, end, &h.scid, &h.scid_len))
			return CLV_ETRUNC;
	} else {
		if (end - p < CLV_CID_LEN)
			return CLV_ETRUNC;
		h.dcid = p;
		h.dcid_len = CLV_CID_LEN;
	}
	*out = h;
	return 0;
}

size_t clv_stateless_reset_write(struct clv_rand *rand,
				 const uint8_t token[static CLV_CID_TOKEN_LEN], size_t trigger_len,
				 uint8_t *out, size_t room)
{
	size_t len = RESET_LEN_SMALL + clv_rand_u64(rand) % RESET_LEN_SPREAD;

	if (trigger_len <= RESET_LEN_MIN)
		return 0;
	/* Shorter than the trigger, always: two relays must not answer each other for ever. */
	if (len >= trigger_len)
		len = trigger_len - 1;
	if (len > room)
		len = room;
	if (len < RESET_LEN_MIN)
		return 0;

	clv_rand_bytes(rand, out, len - CLV_CID_TOKEN_LEN);
	out[0] = (uint8_t)((out[0] & ~HEADER_LONG) | HEADER_FIXED);
	memcpy(out + len - CLV_CID_TOKEN_LEN, token, CLV_CID_TOKEN_LEN);
	return len;
}
