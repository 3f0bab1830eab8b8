/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * aead_fixture - what keys are compared with: the Initial of RFC 9001 appendix A, and the helpers that
 * come with ngtcp2 ("stock"), which share no code with ours above the cipher.
 */
#ifndef CLV_TEST_CRYPTO_AEAD_FIXTURE_H
#define CLV_TEST_CRYPTO_AEAD_FIXTURE_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/crypto/aead.h"
#include "datapath/crypto/aead_keys.h"

enum { AEAD_SUITES = 4 };

/* Both suites with both versions; those of version 1 are at even places. */
struct aead_case {
	enum clv_suite id;
	uint32_t version;
};

extern const struct aead_case aead_suites[AEAD_SUITES];

extern const ngtcp2_cid aead_dcid;     /* of the client's Initial */
extern const char aead_client_hello[]; /* its CRYPTO frame, in hex */

/* The client's Initial as the RFC has it.  Returns its length, 1200. */
size_t aead_client_packet(uint8_t packet[1200]);

/* Returns how many bytes it wrote to out. */
size_t aead_unhex(const char *text, uint8_t *out);
/* RFC 9001 section 5.3: the IV and a packet number. */
void aead_nonce(const uint8_t *iv, uint64_t packet_number, uint8_t *nonce);
/*
 * RFC 9001 sections 5.3 and 5.4, for a long header whose last pn_len bytes are the number.  header:
 * in hex.  Returns the length of the packet.
 */
size_t aead_protect(const struct clv_aead_keys *keys, const char *header, size_t pn_len,
		    uint64_t packet_number, const uint8_t *payload, size_t len, uint8_t *packet);

struct stock {
	ngtcp2_crypto_ctx ctx;
	uint8_t key[32], iv[16], hp_key[32];
};

void stock_derive(struct stock *s, enum clv_suite id, uint32_t version, const uint8_t *secret,
		  size_t secret_len);
/* Whether a packet sealed by us is what the stock helper seals. */
void stock_compare_seal(struct stock *s, const struct clv_aead_keys *keys);

#endif
