/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sources of expected bytes: RFC 9001 appendix A, RFC 9369 appendix A, and the helpers that come
 * with ngtcp2, which share no code with ours above the cipher.
 */
#include "tests/unit/check.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_wolfssl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/session/aead.h"
#include "datapath/session/aead_keys.h"

enum { PAGE = 4096 };

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
int ngtcp2_crypto_update_traffic_secret(uint8_t *dest, uint32_t version, const ngtcp2_crypto_md *md,
					const uint8_t *secret, size_t secretlen);

static const ngtcp2_cid client_dcid = { 8, { 0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08 } };

/* RFC 9001 A.2: the CRYPTO frame, which PADDING follows up to 1162 bytes. */
static const char client_hello[] =
	"060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c"
	"00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006"
	"001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa4"
	"7fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
	"0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ff"
	"ff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

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

static size_t unhex(const char *text, uint8_t *out)
{
	size_t len = strlen(text) / 2;

	for (size_t i = 0; i < len; i++) {
		char byte[3] = { text[2 * i], text[2 * i + 1], '\0' };

		out[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return len;
}

static void assert_hex(const uint8_t *data, const char *text)
{
	uint8_t expected[512];

	assert_memory_equal(data, expected, unhex(text, expected));
}

static void nonce_of(const uint8_t *iv, uint64_t packet_number, uint8_t *nonce)
{
	memcpy(nonce, iv, CLV_AEAD_NONCE_LEN);
	for (int i = 0; i < 8; i++)
		nonce[11 - i] ^= (uint8_t)(packet_number >> 8 * i);
}

/* RFC 9001 sections 5.3 and 5.4, for a long header whose last pn_len bytes are the number. */
static size_t protect(const struct clv_aead_keys *keys, const char *header, size_t pn_len,
		      uint64_t packet_number, const uint8_t *payload, size_t len, uint8_t *packet)
{
	size_t header_len = unhex(header, packet);
	uint8_t nonce[CLV_AEAD_NONCE_LEN], mask[NGTCP2_HP_SAMPLELEN];

	nonce_of(keys->iv, packet_number, nonce);
	assert_int_equal(clv_aead_key_seal(keys->aead, packet + header_len, payload, len, nonce,
					   packet, header_len),
			 0);
	assert_int_equal(clv_hp_key_mask(keys->hp, mask, packet + header_len - pn_len + 4), 0);
	packet[0] ^= mask[0] & 0x0f;
	for (size_t i = 0; i < pn_len; i++)
		packet[header_len - pn_len + i] ^= mask[1 + i];
	return header_len + len + CLV_AEAD_TAG_LEN;
}

static size_t client_packet(uint8_t packet[1200])
{
	struct clv_aead_keys client, server;
	uint8_t payload[1162] = { 0 };
	size_t len;

	unhex(client_hello, payload);
	assert_int_equal(
		clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &client_dcid, &client, &server),
		0);
	len = protect(&client, "c300000001088394c8f03e5157080000449e00000002", 4, 2, payload,
		      sizeof(payload), packet);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
	return len;
}

static void makes_packets_of_rfc_9001(void **state)
{
	struct clv_aead_keys client, server;
	uint8_t packet[1200], payload[200];
	size_t len;

	(void)state;
	assert_int_equal(client_packet(packet), 1200);
	assert_hex(packet, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b1"
			   "23dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399");
	assert_hex(packet + 1200 - 16, "e221af44860018ab0856972e194cd934");

	clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &client_dcid, &client, &server);
	assert_hex(client.iv, "fa044b2f42a3fd3b46fb255c");
	assert_hex(server.iv, "0ac1493ca1905853b0bba03e");
	len = protect(&server, "c1000000010008f067a5502a4262b50040750001", 2, 1, payload,
		      unhex(server_hello, payload), packet);
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
		size_t len = 9 + unhex(rows[i].retry, pseudo + 9);
		struct clv_aead_key *key;
		ngtcp2_crypto_aead_ctx ctx;
		ngtcp2_callbacks cb;

		memcpy(pseudo + 1, client_dcid.data, 8);
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

/* ---- against the helpers of ngtcp2 ---- */

struct stock {
	ngtcp2_crypto_ctx ctx;
	uint8_t key[32], iv[16], hp_key[32];
};

static void stock_derive(struct stock *s, enum clv_suite id, uint32_t version,
			 const uint8_t *secret, size_t secret_len)
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

/* Whether a packet sealed by us is what the stock helper seals. */
static void compare_seal(struct stock *s, const struct clv_aead_keys *keys)
{
	uint8_t plain[300], aad[21], nonce[12], ours[316], theirs[316], mask[16], their_mask[16];
	ngtcp2_crypto_aead_ctx aead_ctx = { 0 };
	ngtcp2_crypto_cipher_ctx hp_ctx = { 0 };

	memset(plain, 0x11, sizeof(plain));
	memset(aad, 0x22, sizeof(aad));
	assert_memory_equal(keys->iv, s->iv, CLV_AEAD_NONCE_LEN);
	nonce_of(keys->iv, 0x1234567, nonce);
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

static const struct {
	enum clv_suite id;
	uint32_t version;
} suites[] = {
	{ CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V1 },
	{ CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V2 },
	{ CLV_SUITE_AES_256_GCM_SHA384, NGTCP2_PROTO_VER_V1 },
	{ CLV_SUITE_AES_256_GCM_SHA384, NGTCP2_PROTO_VER_V2 },
};

static void derives_as_ngtcp2_does(void **state)
{
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 11);
	for (size_t i = 0; i < COUNT(suites); i++) {
		const struct clv_aead_suite *suite = clv_aead_suite(suites[i].id);
		size_t len = clv_aead_secret_len(suite);
		struct clv_aead_keys keys, next = { 0 };
		uint8_t secret[48], ours[48], theirs[48];
		struct stock s;

		assert_int_equal(len, suites[i].id == CLV_SUITE_AES_128_GCM_SHA256 ? 32 : 48);
		clv_rand_bytes(&r, secret, sizeof(secret));
		assert_int_equal(clv_aead_keys_derive(suite, suites[i].version, secret, &keys), 0);
		stock_derive(&s, suites[i].id, suites[i].version, secret, len);
		compare_seal(&s, &keys);
		clv_aead_keys_fini(&keys);

		/* and of the key update that follows */
		assert_int_equal(clv_aead_keys_update(suite, suites[i].version, secret, ours,
						      &next.aead, next.iv),
				 0);
		assert_int_equal(ngtcp2_crypto_update_traffic_secret(theirs, suites[i].version,
								     &s.ctx.md, secret, len),
				 0);
		assert_memory_equal(ours, theirs, len);
		stock_derive(&s, suites[i].id, suites[i].version, theirs, len);
		compare_seal(&s, &next);
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
		clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V2, &client_dcid, &client, &server),
		0);
	/* RFC 9369 A.1 */
	assert_hex(client.iv, "91f73e2351d8fa91660e909f");
	assert_hex(server.iv, "dd13c276499c0249d3310652");
	unhex("14ec9d6eb9fd7af83bf5a668bc17a7e283766aade7ecd0891f70f9ff7f4bf47b", secret);
	stock_derive(&s, CLV_SUITE_AES_128_GCM_SHA256, NGTCP2_PROTO_VER_V2, secret, 32);
	compare_seal(&s, &client);
	clv_aead_keys_fini(&client);
	clv_aead_keys_fini(&server);
}

/* ---- providers ---- */

static void *prepared_key(const struct clv_aead_provider *p, const uint8_t *raw, size_t raw_len)
{
	size_t bytes = (p->key_bytes + 63) & ~(size_t)63;
	void *key = aligned_alloc(CLV_AEAD_ALIGN, bytes);

	memset(key, 0, bytes);
	assert_int_equal(p->key_init(key, raw, raw_len), 0);
	return key;
}

static void providers_agree(void **state)
{
	enum { LEN_MAX = 1500 };
	const struct clv_aead_provider *a = clv_aead_wolfcrypt(), *b = clv_aead_ipsec_mb();
	static uint8_t plain[LEN_MAX], x[LEN_MAX + 16], y[LEN_MAX + 16], back[LEN_MAX];
	uint8_t raw[32], nonce[12], aad[64];
	struct clv_rand r;

	(void)state;
	if (!b) {
		print_message("no ipsec-mb in this build or for this CPU\n");
		skip();
	}
	clv_rand_init(&r, 12);
	clv_rand_bytes(&r, raw, sizeof(raw));
	clv_rand_bytes(&r, plain, sizeof(plain));
	for (size_t raw_len = 16; raw_len <= 32; raw_len += 16) {
		void *ka = prepared_key(a, raw, raw_len), *kb = prepared_key(b, raw, raw_len);

		for (size_t len = 0; len <= LEN_MAX; len++) {
			size_t aad_len = len % sizeof(aad);

			clv_rand_bytes(&r, nonce, sizeof(nonce));
			clv_rand_bytes(&r, aad, sizeof(aad));
			assert_int_equal(a->seal(ka, x, plain, len, nonce, aad, aad_len), 0);
			memcpy(y, plain, len); /* in place */
			assert_int_equal(b->seal(kb, y, y, len, nonce, aad, aad_len), 0);
			assert_memory_equal(x, y, len + CLV_AEAD_TAG_LEN);
			assert_int_equal(b->open(kb, back, x, len, nonce, aad, aad_len), 0);
			assert_memory_equal(back, plain, len);
			assert_int_equal(a->open(ka, y, y, len, nonce, aad, aad_len), 0);
			assert_memory_equal(y, plain, len);
		}
		a->key_fini(ka);
		b->key_fini(kb);
		free(ka);
		free(kb);
	}
}

static void providers_refuse_odd_keys(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	static const uint8_t raw[64];

	(void)state;
	for (size_t i = 0; i < COUNT(p); i++) {
		void *key;

		if (!p[i])
			continue;
		key = aligned_alloc(CLV_AEAD_ALIGN, (p[i]->key_bytes + 63) & ~(size_t)63);
		assert_int_equal(p[i]->key_init(key, raw, 17), CLV_ETLS);
		assert_int_equal(p[i]->key_init(key, raw, 0), CLV_ETLS);
		free(key);
	}
}

/* A page with nothing readable before and behind it. */
static uint8_t *lonely_page(void)
{
	uint8_t *p = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	return p + PAGE;
}

/* Sanitizers do not see what assembly touches. */
static void providers_keep_to_their_buffers(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	static const uint8_t raw[32] = { 1 };
	uint8_t *page[4];

	(void)state;
	for (size_t i = 0; i < COUNT(page); i++)
		page[i] = lonely_page();
	for (size_t i = 0; i < COUNT(p); i++) {
		void *key;

		if (!p[i])
			continue;
		key = prepared_key(p[i], raw, sizeof(raw));
		for (size_t len = 0; len <= 1500; len++) {
			size_t aad_len = len % 33;

			for (int at_end = 0; at_end < 2; at_end++) {
				size_t end = at_end ? PAGE : 0;
				uint8_t *in = page[0] + (end ? end - len : 0);
				uint8_t *out = page[1] + (end ? end - len - CLV_AEAD_TAG_LEN : 0);
				uint8_t *nonce = page[2] + (end ? end - CLV_AEAD_NONCE_LEN : 0);
				uint8_t *aad = page[3] + (end ? end - aad_len : 0);

				p[i]->seal(key, out, in, len, nonce, aad, aad_len);
				assert_int_equal(p[i]->open(key, in, out, len, nonce, aad, aad_len),
						 0);
			}
		}
		p[i]->key_fini(key);
		free(key);
	}
	for (size_t i = 0; i < COUNT(page); i++)
		munmap(page[i] - PAGE, 3 * PAGE);
}

/* Every bit of ciphertext, tag, nonce and associated data counts, in both providers. */
static void refuses_tampering(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	enum { LEN = 50, AAD = 20 };
	static const uint8_t raw[16] = { 1 }, plain[LEN] = { 2 };
	/* one array, so that one index reaches all of it */
	struct {
		uint8_t sealed[LEN + CLV_AEAD_TAG_LEN], nonce[CLV_AEAD_NONCE_LEN], aad[AAD];
	} m = { { 0 }, { 3 }, { 4 } };

	(void)state;
	for (size_t i = 0; i < COUNT(p); i++) {
		uint8_t out[LEN];
		void *key;

		if (!p[i])
			continue;
		key = prepared_key(p[i], raw, sizeof(raw));
		p[i]->seal(key, m.sealed, plain, LEN, m.nonce, m.aad, AAD);
		for (size_t bit = 0; bit < sizeof(m) * 8; bit++) {
			((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD),
					 CLV_EPROTO);
			((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD), 0);
		assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD - 1),
				 CLV_EPROTO);
		p[i]->key_fini(key);
		free(key);
	}
}

static void decrypt_says_what_failed(void **state)
{
	struct clv_aead_keys client, server;
	uint8_t sealed[30 + CLV_AEAD_TAG_LEN], out[30];
	ngtcp2_crypto_aead_ctx ctx;
	ngtcp2_callbacks cb;

	(void)state;
	clv_aead_callbacks(&cb);
	clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &client_dcid, &client, &server);
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

/* ---- in a connection ---- */

struct got {
	uint8_t crypto[512];
	size_t len;
	int refuse_keys;
};

static int on_client_initial(ngtcp2_conn *qc, void *user_data)
{
	(void)qc;
	(void)user_data;
	return 0;
}

static int on_recv_client_initial(ngtcp2_conn *qc, const ngtcp2_cid *dcid, void *user_data)
{
	(void)user_data;
	assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1, dcid, 1), 0);
	return 0;
}

static int on_recv_retry(ngtcp2_conn *qc, const ngtcp2_pkt_hd *hd, void *user_data)
{
	(void)user_data;
	assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1, &hd->scid, 0), 0);
	return 0;
}

static int on_recv_crypto(ngtcp2_conn *qc, ngtcp2_encryption_level level, uint64_t offset,
			  const uint8_t *data, size_t len, void *user_data)
{
	struct got *got = user_data;

	(void)qc;
	(void)level;
	assert_true(offset + len <= sizeof(got->crypto));
	memcpy(got->crypto + offset, data, len);
	got->len = (size_t)offset + len;
	return 0;
}

static int on_key(ngtcp2_conn *qc, ngtcp2_encryption_level level, void *user_data)
{
	struct got *got = user_data;

	(void)qc;
	(void)level;
	return got->refuse_keys ? NGTCP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_rand(uint8_t *dest, size_t len, const ngtcp2_rand_ctx *ctx)
{
	(void)ctx;
	memset(dest, 0x77, len);
}

static int on_new_cid(ngtcp2_conn *qc, ngtcp2_cid *cid, ngtcp2_stateless_reset_token *token,
		      size_t len, void *user_data)
{
	(void)qc;
	(void)user_data;
	memset(cid->data, 0x66, len);
	cid->datalen = len;
	memset(token, 0x55, sizeof(*token));
	return 0;
}

static int on_path_challenge(ngtcp2_conn *qc, ngtcp2_path_challenge_data *data, void *user_data)
{
	(void)qc;
	(void)user_data;
	memset(data, 0x44, sizeof(*data));
	return 0;
}

static struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = 1 };
static const ngtcp2_path path = { .local = { (ngtcp2_sockaddr *)&here, sizeof(here) },
				  .remote = { (ngtcp2_sockaddr *)&here, sizeof(here) } };

static ngtcp2_conn *make_conn(bool is_server, struct got *got)
{
	static const ngtcp2_cid ours = { 8, { 1, 2, 3, 4, 5, 6, 7, 8 } };
	static const ngtcp2_cid none = { 0, { 0 } };
	ngtcp2_callbacks cb = {
		.client_initial = on_client_initial,
		.recv_client_initial = on_recv_client_initial,
		.recv_crypto_data = on_recv_crypto,
		.recv_retry = on_recv_retry,
		.recv_rx_key = on_key,
		.recv_tx_key = on_key,
		.rand = on_rand,
		.get_new_connection_id2 = on_new_cid,
		.get_path_challenge_data2 = on_path_challenge,
	};
	ngtcp2_transport_params tp;
	ngtcp2_settings settings;
	ngtcp2_conn *qc = NULL;

	clv_aead_callbacks(&cb);
	ngtcp2_settings_default(&settings);
	settings.initial_ts = 1;
	ngtcp2_transport_params_default(&tp);
	if (is_server) {
		tp.original_dcid = client_dcid;
		tp.original_dcid_present = 1;
		assert_int_equal(ngtcp2_conn_server_new(&qc, &none, &ours, &path,
							NGTCP2_PROTO_VER_V1, &cb, &settings, &tp,
							NULL, got),
				 0);
	} else {
		assert_int_equal(ngtcp2_conn_client_new(&qc, &client_dcid, &ours, &path,
							NGTCP2_PROTO_VER_V1, &cb, &settings, &tp,
							NULL, got),
				 0);
	}
	return qc;
}

/* RFC 9001 A.2 as a server gets it: read by ngtcp2 through our keys. */
static void reads_the_initial_of_rfc_9001(void **state)
{
	size_t live = clv_aead_live();
	struct got got = { 0 };
	ngtcp2_conn *qc = make_conn(true, &got);
	uint8_t packet[1200], expected[300];
	ngtcp2_pkt_info pi = { 0 };
	size_t len;

	(void)state;
	client_packet(packet);
	packet[1199] ^= 1;
	assert_int_equal(ngtcp2_conn_read_pkt(qc, &path, &pi, packet, sizeof(packet), 2),
			 NGTCP2_ERR_DROP_CONN);
	assert_int_equal(got.len, 0);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);

	qc = make_conn(true, &got);
	client_packet(packet);
	assert_int_equal(ngtcp2_conn_read_pkt(qc, &path, &pi, packet, sizeof(packet), 2), 0);
	len = unhex(client_hello, expected) - 4; /* frame type, offset, length */
	assert_int_equal(got.len, len);
	assert_memory_equal(got.crypto, expected + 4, len);
	assert_int_equal(clv_aead_live(), live + 4);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);
}

static void installs_every_level(void **state)
{
	static const uint8_t secret[48] = { 1 };
	size_t live = clv_aead_live();

	(void)state;
	for (int is_server = 0; is_server < 2; is_server++) {
		for (size_t i = 0; i < COUNT(suites); i += 2) {
			enum clv_suite id = suites[i].id;
			size_t len = clv_aead_secret_len(clv_aead_suite(id));
			struct got got = { 0 };
			ngtcp2_conn *qc = make_conn(is_server, &got);
			const ngtcp2_crypto_ctx *ctx;

			assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1,
								  &client_dcid, is_server),
					 0);
			/* once more, as after Retry */
			assert_int_equal(clv_aead_install_initial(qc, NGTCP2_PROTO_VER_V1,
								  &client_dcid, is_server),
					 0);
			if (!is_server)
				assert_int_equal(clv_aead_install_retry(qc, NGTCP2_PROTO_VER_V1),
						 0);
			assert_int_equal(clv_aead_live(), live + 4 + !is_server);

			for (int l = 0; l < 2; l++) {
				ngtcp2_encryption_level level =
					l ? NGTCP2_ENCRYPTION_LEVEL_1RTT
					  : NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;

				assert_int_equal(clv_aead_install_rx(qc, id, level, secret, len),
						 0);
				assert_int_equal(clv_aead_install_tx(qc, id, level, secret, len),
						 0);
			}
			assert_int_equal(clv_aead_live(), live + 12 + !is_server);

			ctx = ngtcp2_conn_get_crypto_ctx2(qc);
			assert_int_equal(ctx->aead.max_overhead, 16);
			assert_true(ctx->max_encryption == 1 << 23);
			assert_true(ctx->max_decryption_failure == UINT64_C(1) << 52);
			ngtcp2_conn_del(qc);
			assert_int_equal(clv_aead_live(), live);
		}
	}
}

static void refuses_bad_installation(void **state)
{
	static const uint8_t secret[48] = { 1 };
	const enum clv_suite id = CLV_SUITE_AES_128_GCM_SHA256;
	const ngtcp2_encryption_level level = NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
	size_t live = clv_aead_live();
	struct got got = { .refuse_keys = 1 };
	ngtcp2_conn *qc = make_conn(true, &got);

	(void)state;
	assert_int_equal(clv_aead_install_rx(qc, id, level, secret, 48), CLV_ETLS);
	assert_int_equal(clv_aead_install_rx(qc, id, NGTCP2_ENCRYPTION_LEVEL_INITIAL, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_install_tx(qc, id, NGTCP2_ENCRYPTION_LEVEL_0RTT, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_install_rx(qc, id, level, secret, 32), CLV_EQUIC);
	assert_int_equal(clv_aead_install_tx(qc, id, NGTCP2_ENCRYPTION_LEVEL_1RTT, secret, 32),
			 CLV_EQUIC);
	assert_int_equal(clv_aead_live(), live);
	ngtcp2_conn_del(qc);
	assert_int_equal(clv_aead_live(), live);
}

static void updates_keys(void **state)
{
	size_t live = clv_aead_live();

	(void)state;
	for (size_t i = 0; i < COUNT(suites); i += 2) {
		size_t len = clv_aead_secret_len(clv_aead_suite(suites[i].id));
		uint8_t rx[48] = { 1 }, tx[48] = { 2 }, new_rx[48], new_tx[48];
		struct clv_aead_keys new_keys[2] = { { 0 }, { 0 } };
		ngtcp2_crypto_aead_ctx rx_ctx, tx_ctx;
		struct got got = { 0 };
		ngtcp2_conn *qc = make_conn(false, &got);
		ngtcp2_crypto_ctx ctx;
		ngtcp2_callbacks cb;
		struct stock s;

		clv_aead_crypto_ctx(suites[i].id, &ctx);
		ngtcp2_conn_set_crypto_ctx(qc, &ctx);
		clv_aead_callbacks(&cb);
		assert_int_equal(cb.update_key(qc, new_rx, new_tx, &rx_ctx, new_keys[0].iv, &tx_ctx,
					       new_keys[1].iv, rx, tx, len, NULL),
				 0);
		new_keys[0].aead = rx_ctx.native_handle;
		new_keys[1].aead = tx_ctx.native_handle;
		stock_derive(&s, suites[i].id, NGTCP2_PROTO_VER_V1, new_rx, len);
		compare_seal(&s, &new_keys[0]);
		stock_derive(&s, suites[i].id, NGTCP2_PROTO_VER_V1, new_tx, len);
		compare_seal(&s, &new_keys[1]);
		cb.delete_crypto_aead_ctx(qc, &rx_ctx, NULL);
		cb.delete_crypto_aead_ctx(qc, &tx_ctx, NULL);
		assert_null(rx_ctx.native_handle);
		cb.delete_crypto_aead_ctx(qc, &rx_ctx, NULL);
		ngtcp2_conn_del(qc);
	}
	assert_int_equal(clv_aead_live(), live);
}

static void names_provider(void **state)
{
	(void)state;
	assert_string_equal(clv_aead_provider(), clv_aead_ipsec_mb() ? "ipsec-mb" : "wolfcrypt");
	print_message("%s\n", clv_aead_provider());
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
		CASE("both providers make and read the same bytes", providers_agree),
		CASE("keys of another length are refused", providers_refuse_odd_keys),
		CASE("no byte outside the buffers is touched", providers_keep_to_their_buffers),
		CASE("one wrong bit anywhere is refused", refuses_tampering),
		CASE("a forged or cut packet is a decryption error", decrypt_says_what_failed),
		CASE("ngtcp2 reads the client Initial of RFC 9001", reads_the_initial_of_rfc_9001),
		CASE("keys of every level live and die with their connection",
		     installs_every_level),
		CASE("what cannot be installed leaves nothing behind", refuses_bad_installation),
		CASE("a key update gives the keys of the next secret", updates_keys),
		CASE("the provider in use has a name", names_provider),
	};

	return cmocka_run_group_tests_name("aead", cases, NULL, NULL);
}
