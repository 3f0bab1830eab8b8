/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys and what they seal, byte for byte as the RFCs and ngtcp2's helpers have it. */
#include "tests/unit/check.h"

#include "datapath/base/rand.h"
#include "datapath/crypto/aead.h"
#include "tests/unit/crypto/aead_fixture.h"

/* In the library but not in its headers. */
int ngtcp2_crypto_update_traffic_secret(uint8_t *dest, uint32_t version, const ngtcp2_crypto_md *md,
					const uint8_t *secret, size_t secretlen);

/* RFC 9001 A.3 */
static const char server_hello[] =
	"02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b"
	"9a045a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d53"
	"11bcf32bb9da1a002b00020304";
static const char server_packet[] =
	"cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c6979"
	"7554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f"
	"3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc421"
	"58407dd074ee";

static void assert_hex(const uint8_t *data, const char *text)
{
	uint8_t expected[512];

	assert_memory_equal(data, expected, aead_unhex(text, expected));
}

static void makes_packets_of_rfc_9001(void **state)
{
	struct clv_aead_keys client, server;
	uint8_t packet[1200], payload[200];
	size_t len;

	(void)state;
	assert_int_equal(aead_client_packet(packet), 1200);
	assert_hex(packet, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b1"
			   "23dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399");
	assert_hex(packet + 1200 - 16, "e221af44860018ab0856972e194cd934");

	clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &aead_dcid, &client, &server);
	assert_hex(client.iv, "fa044b2f42a3fd3b46fb255c");
	assert_hex(server.iv, "0ac1493ca1905853b0bba03e");
	len = aead_protect(&server, "c1000000010008f067a5502a4262b50040750001", 2, 1, payload,
			   aead_unhex(server_hello, payload), packet);
	assert_int_equal(len, strlen(server_packet) / 2);
	assert_hex(packet, server_packet);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
}

/* RFC 9001 A.4, RFC 9369 A.4: the tag over the pseudo-packet, no plaintext at all. */
static void makes_retry_tags(void **state)
{
	static const struct {
		uint32_t version;
		const char *nonce, *retry, *tag;
	} rows[] = {
		{ NGTCP2_PROTO_VER_V1, NGTCP2_RETRY_NONCE_V1,
		  "ff000000010008f067a5502a4262b5746f6b656e", "04a265ba2eff4d829058fb3f0f2496ba" },
		{ NGTCP2_PROTO_VER_V2, NGTCP2_RETRY_NONCE_V2,
		  "cf6b3343cf0008f067a5502a4262b5746f6b656e", "c8646ce8bfe33952d955543665dcc7b6" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t pseudo[64] = { 8 }, tag[CLV_AEAD_TAG_LEN];
		size_t len = 9 + aead_unhex(rows[i].retry, pseudo + 9);
		struct clv_aead_key *key;
		ngtcp2_crypto_aead_ctx ctx;
		ngtcp2_callbacks cb;

		memcpy(pseudo + 1, aead_dcid.data, 8);
		assert_int_equal(clv_aead_key_retry(rows[i].version, &key), 0);
		ctx.native_handle = key;
		clv_aead_callbacks(&cb);
		assert_int_equal(cb.encrypt(tag, NULL, &ctx, NULL, 0,
					    (const uint8_t *)rows[i].nonce, 12, pseudo, len),
				 0);
		assert_hex(tag, rows[i].tag);
		clv_aead_key_free(key);
	}
}

static void derives_as_ngtcp2_does(void **state)
{
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 11);
	for (size_t i = 0; i < AEAD_SUITES; i++) {
		const struct clv_aead_suite *suite = clv_aead_suite(aead_suites[i].id);
		size_t len = clv_aead_secret_len(suite);
		struct clv_aead_keys keys, next = { 0 };
		uint8_t secret[48], ours[48], theirs[48];
		struct stock s;

		assert_int_equal(len, aead_suites[i].id == CLV_SUITE_AES_128_GCM_SHA256 ? 32 : 48);
		clv_rand_bytes(&r, secret, sizeof(secret));
		assert_int_equal(clv_aead_keys_derive(suite, aead_suites[i].version, secret, &keys),
				 0);
		stock_derive(&s, aead_suites[i].id, aead_suites[i].version, secret, len);
		stock_compare_seal(&s, &keys);
		clv_aead_keys_fini(&keys);

		/* and of the key update that follows */
		assert_int_equal(clv_aead_keys_update(suite, aead_suites[i].version, secret, ours,
						      &next.aead, next.iv),
				 0);
		assert_int_equal(ngtcp2_crypto_update_traffic_secret(theirs, aead_suites[i].version,
								     &s.ctx.md, secret, len),
				 0);
		assert_memory_equal(ours, theirs, len);
		stock_derive(&s, aead_suites[i].id, aead_suites[i].version, theirs, len);
		stock_compare_seal(&s, &next);
		clv_aead_keys_fini(&next);
	}
}

static void derives_initial_of_version_2(void **state)
{
	struct clv_aead_keys client, server;
	uint8_t secret[32];
	struct stock s;

	(void)state;
	assert_int_equal(
		clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V2, &aead_dcid, &client, &server), 0);
	/* RFC 9369 A.1 */
	assert_hex(client.iv, "91f73e2351d8fa91660e909f");
	assert_hex(server.iv, "dd13c276499c0249d3310652");
	aead_unhex("14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b", secret);
	stock_derive(&s, CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V2, secret, 32);
	stock_compare_seal(&s, &client);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
}

static void decrypt_says_what_failed(void **state)
{
	struct clv_aead_keys client, server;
	uint8_t sealed[30 + CLV_AEAD_TAG_LEN], out[30];
	ngtcp2_crypto_aead_ctx ctx;
	ngtcp2_callbacks cb;

	(void)state;
	clv_aead_callbacks(&cb);
	clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &aead_dcid, &client, &server);
	ctx.native_handle = client.aead;
	memset(out, 0, sizeof(out));
	assert_int_equal(cb.encrypt(sealed, NULL, &ctx, out, sizeof(out), client.iv, 12, out, 5),
			 0);
	assert_int_equal(cb.decrypt(out, NULL, &ctx, sealed, sizeof(sealed), client.iv, 12, out, 5),
			 0);
	sealed[0] ^= 1;
	assert_int_equal(cb.decrypt(out, NULL, &ctx, sealed, sizeof(sealed), client.iv, 12, out, 5),
			 NGTCP2_ERR_DECRYPT);
	for (size_t len = 0; len < CLV_AEAD_TAG_LEN; len++)
		assert_int_equal(cb.decrypt(out, NULL, &ctx, sealed, len, client.iv, 12, out, 5),
				 NGTCP2_ERR_DECRYPT);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("Initial packets are those of RFC 9001", makes_packets_of_rfc_9001),
		CASE("Retry tags are those of RFC 9001 and RFC 9369", makes_retry_tags),
		CASE("keys of both suites and versions are those of ngtcp2's helpers",
		     derives_as_ngtcp2_does),
		CASE("Initial keys of version 2 are those of RFC 9369",
		     derives_initial_of_version_2),
		CASE("a forged or cut packet is a decryption error", decrypt_says_what_failed),
	};

	return cmocka_run_group_tests_name("aead_keys", cases, NULL, NULL);
}
