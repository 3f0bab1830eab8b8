/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/crypto/aead_fixture.h"

#include <ngtcp2/ngtcp2_crypto_wolfssl.h>
#include <stdlib.h>

#include "tests/unit/check.h"

/* In the library but not in its headers. */
ngtcp2_crypto_ctx *ngtcp2_crypto_ctx_initial(ngtcp2_crypto_ctx *ctx);
ngtcp2_crypto_aead *ngtcp2_crypto_aead_init(ngtcp2_crypto_aead *aead, void *aead_native_handle);
int ngtcp2_crypto_cipher_ctx_encrypt_init(ngtcp2_crypto_cipher_ctx *cipher_ctx,
					  const ngtcp2_crypto_cipher *cipher, const uint8_t *key);
void ngtcp2_crypto_cipher_ctx_free(ngtcp2_crypto_cipher_ctx *cipher_ctx);
int ngtcp2_crypto_derive_packet_protection_key(uint8_t *key, uint8_t *iv, uint8_t *hp_key,
					       uint32_t version, const ngtcp2_crypto_aead *aead,
					       const ngtcp2_crypto_md *md, const uint8_t *secret,
					       size_t secretlen);

const ngtcp2_cid aead_dcid = { 8, { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 } };

/* RFC 9001 A.2: the CRYPTO frame, which PADDING follows up to 1162 bytes. */
const char aead_client_hello[] =
	"060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c"
	"00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006"
	"001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4"
	"7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
	"0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ff"
	"ff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

const struct aead_case aead_suites[AEAD_SUITES] = {
	{ CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V1 },
	{ CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V2 },
	{ CLV_SUITE_AES_256_GCM_SHA384, NGTCP2_PROTO_VER_V1 },
	{ CLV_SUITE_AES_256_GCM_SHA384, NGTCP2_PROTO_VER_V2 },
};

size_t aead_unhex(const char *text, uint8_t *out)
{
	size_t len = strlen(text) / 2;

	for (size_t i = 0; i < len; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return len;
}

void aead_nonce(const uint8_t *iv, uint64_t packet_number, uint8_t *nonce)
{
	memcpy(nonce, iv, CLV_AEAD_NONCE_LEN);
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(packet_number >> 8 * i);
}

size_t aead_protect(const struct clv_aead_keys *keys, const char *header, size_t pn_len,
		    uint64_t packet_number, const uint8_t *payload, size_t len, uint8_t *packet)
{
	size_t header_len = aead_unhex(header, packet);
	uint8_t nonce[CLV_AEAD_NONCE_LEN], mask[NGTCP2_HP_SAMPLELEN];

	aead_nonce(keys->iv, packet_number, nonce);
	assert_int_equal(clv_aead_key_seal(keys->aead, packet + header_len, payload, len, nonce,
					   packet, header_len),
			 0);
	assert_int_equal(clv_hp_key_mask(keys->hp, mask, packet + header_len - pn_len + 4), 0);
	packet[0] ^= mask[0] & 0x0f;
	for (size_t i = 0; i < pn_len; i++)
		packet[header_len - pn_len + i] ^= mask[1 + i];
	return header_len + len + CLV_AEAD_TAG_LEN;
}

size_t aead_client_packet(uint8_t packet[1200])
{
	struct clv_aead_keys client, server;
	uint8_t payload[1162] = { 0 };
	size_t len;

	aead_unhex(aead_client_hello, payload);
	assert_int_equal(
		clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &aead_dcid, &client, &server), 0);
	len = aead_protect(&client, "c300000001088394c8f03e5157080000449e00000002", 4, 2, payload,
			   sizeof(payload), packet);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
	return len;
}

void stock_derive(struct stock *s, enum clv_suite id, uint32_t version, const uint8_t *secret,
		  size_t secret_len)
{
	ngtcp2_crypto_ctx_initial(&s->ctx);
	if (id == CLV_SUITE_AES_256_GCM_SHA384) {
		ngtcp2_crypto_aead_init(&s->ctx.aead, (void *)wolfSSL_EVP_aes_256_gcm());
		s->ctx.md.native_handle = (void *)wolfSSL_EVP_sha384();
		s->ctx.hp.native_handle = (void *)wolfSSL_EVP_aes_256_ecb();
	}
	assert_int_equal(ngtcp2_crypto_derive_packet_protection_key(s->key, s->iv, s->hp_key,
								    version, &s->ctx.aead,
								    &s->ctx.md, secret, secret_len),
			 0);
}

void stock_compare_seal(struct stock *s, const struct clv_aead_keys *keys)
{
	uint8_t plain[300], aad[21], nonce[12], ours[316], theirs[316], mask[16], their_mask[16];
	ngtcp2_crypto_aead_ctx aead_ctx = { 0 };
	ngtcp2_crypto_cipher_ctx hp_ctx = { 0 };

	memset(plain, 0x11, sizeof(plain));
	memset(aad, 0x22, sizeof(aad));
	assert_memory_equal(keys->iv, s->iv, CLV_AEAD_NONCE_LEN);
	aead_nonce(keys->iv, 0x1234567, nonce);
	assert_int_equal(
		clv_aead_key_seal(keys->aead, ours, plain, sizeof(plain), nonce, aad, sizeof(aad)),
		0);
	assert_int_equal(ngtcp2_crypto_aead_ctx_encrypt_init(&aead_ctx, &s->ctx.aead, s->key, 12),
			 0);
	assert_int_equal(ngtcp2_crypto_encrypt(theirs, &s->ctx.aead, &aead_ctx, plain,
					       sizeof(plain), nonce, 12, aad, sizeof(aad)),
			 0);
	assert_memory_equal(ours, theirs, sizeof(ours));
	ngtcp2_crypto_aead_ctx_free(&aead_ctx);

	if (!keys->hp)
		return;
	assert_int_equal(ngtcp2_crypto_cipher_ctx_encrypt_init(&hp_ctx, &s->ctx.hp, s->hp_key), 0);
	assert_int_equal(ngtcp2_crypto_hp_mask(their_mask, &s->ctx.hp, &hp_ctx, ours), 0);
	assert_int_equal(clv_hp_key_mask(keys->hp, mask, ours), 0);
	assert_memory_equal(mask, their_mask, NGTCP2_HP_MASKLEN);
	ngtcp2_crypto_cipher_ctx_free(&hp_ctx);
}
