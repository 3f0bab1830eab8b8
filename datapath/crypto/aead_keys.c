/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/crypto/aead_keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/kdf.h>

#include "datapath/base/err.h"

enum {
	KEY_MAX = 32,
	INITIAL_SECRET_LEN = 32,
	RETRY_KEY_LEN = 16,
};

struct clv_aead_suite {
	size_t key_len;
	size_t hash_len; /* also of traffic secrets */
	int hash;	 /* wolfCrypt's number */
};

/* What differs between the versions: RFC 9001 section 5, RFC 9369 section 3.3. */
struct version {
	uint8_t initial_salt[20];
	const char *key, *iv, *hp, *update; /* labels */
	const char *retry_key;
};

static const struct version version_1 = {
	.initial_salt = { 0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
			  0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a },
	.key = "quic key",
	.iv = "quic iv",
	.hp = "quic hp",
	.update = "quic ku",
	.retry_key = NGTCP2_RETRY_KEY_V1,
};

static const struct version version_2 = {
	.initial_salt = { 0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
			  0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9 },
	.key = "quicv2 key",
	.iv = "quicv2 iv",
	.hp = "quicv2 hp",
	.update = "quicv2 ku",
	.retry_key = NGTCP2_RETRY_KEY_V2,
};

struct clv_aead_key {
	const struct clv_aead_provider *provider;
	_Alignas(CLV_AEAD_ALIGN) uint8_t prepared[];
};

struct clv_hp_key {
	_Alignas(CLV_AEAD_ALIGN) Aes aes;
};

static const struct clv_aead_provider *provider;
static pthread_once_t provider_once = PTHREAD_ONCE_INIT;

/* Keys are made in one thread and freed in another; not touched per packet. */
static size_t live;

static void choose_provider(void)
{
	provider = clv_aead_ipsec_mb();
	if (!provider)
		provider = clv_aead_wolfcrypt();
}

static const struct clv_aead_provider *get_provider(void)
{
	pthread_once(&provider_once, choose_provider);
	return provider;
}

const char *clv_aead_provider(void)
{
	return get_provider()->name;
}

size_t clv_aead_live(void)
{
	return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

const struct clv_aead_suite *clv_aead_suite(enum clv_suite id)
{
	static const struct clv_aead_suite aes_128 = { 16, 32, WC_SHA256 };
	static const struct clv_aead_suite aes_256 = { 32, 48, WC_SHA384 };

	return id == CLV_SUITE_AES_256_GCM_SHA384 ? &aes_256 : &aes_128;
}

size_t clv_aead_secret_len(const struct clv_aead_suite *suite)
{
	return suite->hash_len;
}

static const struct version *version_of(uint32_t number)
{
	return number == NGTCP2_PROTO_VER_V2 ? &version_2 : &version_1;
}

/* ---- life of keys ---- */

static void *key_alloc(size_t bytes)
{
	void *key;

	bytes = (bytes + CLV_AEAD_ALIGN - 1) & ~(size_t)(CLV_AEAD_ALIGN - 1);
	key = aligned_alloc(CLV_AEAD_ALIGN, bytes);
	if (!key)
		return NULL;
	memset(key, 0, bytes);
	__atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
	return key;
}

static void key_free(void *key, size_t bytes)
{
	explicit_bzero(key, bytes);
	free(key);
	__atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
}

static size_t bytes_of(const struct clv_aead_provider *p)
{
	return sizeof(struct clv_aead_key) + p->key_bytes;
}

int clv_aead_key_new(const uint8_t *raw, size_t raw_len, struct clv_aead_key **out)
{
	const struct clv_aead_provider *p = get_provider();
	struct clv_aead_key *key = key_alloc(bytes_of(p));
	int err;

	if (!key)
		return -ENOMEM;
	key->provider = p;
	err = p->key_init(key->prepared, raw, raw_len);
	if (err) {
		key_free(key, bytes_of(p));
		return err;
	}
	*out = key;
	return 0;
}

static int hp_key_new(const uint8_t *raw, size_t raw_len, struct clv_hp_key **out)
{
	struct clv_hp_key *key = key_alloc(sizeof(*key));

	if (!key)
		return -ENOMEM;
	if (wc_AesInit(&key->aes, NULL, INVALID_DEVID))
		goto free_key;
	if (wc_AesSetKey(&key->aes, raw, (word32)raw_len, NULL, AES_ENCRYPTION))
		goto free_aes;
	*out = key;
	return 0;

free_aes:
	wc_AesFree(&key->aes);
free_key:
	key_free(key, sizeof(*key));
	return CLV_ETLS;
}

void clv_aead_key_free(struct clv_aead_key *key)
{
	const struct clv_aead_provider *p;

	if (!key)
		return;
	p = key->provider;
	p->key_fini(key->prepared);
	key_free(key, bytes_of(p));
}

void clv_hp_key_free(struct clv_hp_key *key)
{
	if (!key)
		return;
	wc_AesFree(&key->aes);
	key_free(key, sizeof(*key));
}

void clv_aead_keys_fini(struct clv_aead_keys *keys)
{
	clv_aead_key_free(keys->aead);
	clv_hp_key_free(keys->hp);
	explicit_bzero(keys, sizeof(*keys));
}

/* ---- derivation ---- */

/* HKDF-Expand-Label of RFC 8446 section 7.1 with an empty context. */
static int expand(const struct clv_aead_suite *suite, const uint8_t *secret, const char *label,
		  uint8_t *out, size_t len)
{
	static const uint8_t prefix[] = "tls13 ";

	if (wc_Tls13_HKDF_Expand_Label(out, (word32)len, secret, (word32)suite->hash_len, prefix,
				       sizeof(prefix) - 1, (const uint8_t *)label,
				       (word32)strlen(label), NULL, 0, suite->hash))
		return CLV_ETLS;
	return 0;
}

static int derive_aead(const struct clv_aead_suite *suite, const struct version *v,
		       const uint8_t *secret, struct clv_aead_key **key, uint8_t *iv)
{
	uint8_t raw[KEY_MAX];
	int err;

	err = expand(suite, secret, v->key, raw, suite->key_len);
	if (!err)
		err = expand(suite, secret, v->iv, iv, CLV_AEAD_NONCE_LEN);
	if (!err)
		err = clv_aead_key_new(raw, suite->key_len, key);
	explicit_bzero(raw, sizeof(raw));
	return err;
}

static int derive_hp(const struct clv_aead_suite *suite, const struct version *v,
		     const uint8_t *secret, struct clv_hp_key **key)
{
	uint8_t raw[KEY_MAX];
	int err;

	err = expand(suite, secret, v->hp, raw, suite->key_len);
	if (!err)
		err = hp_key_new(raw, suite->key_len, key);
	explicit_bzero(raw, sizeof(raw));
	return err;
}

int clv_aead_keys_derive(const struct clv_aead_suite *suite, uint32_t version,
			 const uint8_t *secret, struct clv_aead_keys *out)
{
	struct clv_aead_keys keys = { 0 };
	int err;

	err = derive_aead(suite, version_of(version), secret, &keys.aead, keys.iv);
	if (!err)
		err = derive_hp(suite, version_of(version), secret, &keys.hp);
	if (err)
		clv_aead_keys_fini(&keys);
	else
		*out = keys;
	return err;
}

int clv_aead_keys_derive_initial(uint32_t version, const ngtcp2_cid *client_dcid,
				 struct clv_aead_keys *client, struct clv_aead_keys *server)
{
	const struct clv_aead_suite *suite = clv_aead_suite(CLV_SUITE_AES_128_GCM_SHA256);
	const struct version *v = version_of(version);
	uint8_t initial[INITIAL_SECRET_LEN], secret[INITIAL_SECRET_LEN];
	struct clv_aead_keys c, s;
	int err;

	if (wc_HKDF_Extract(suite->hash, v->initial_salt, sizeof(v->initial_salt),
			    client_dcid->data, (word32)client_dcid->datalen, initial))
		return CLV_ETLS;
	err = expand(suite, initial, "client in", secret, sizeof(secret));
	if (!err)
		err = clv_aead_keys_derive(suite, version, secret, &c);
	if (err)
		return err;

	err = expand(suite, initial, "server in", secret, sizeof(secret));
	if (!err)
		err = clv_aead_keys_derive(suite, version, secret, &s);
	if (err) {
		clv_aead_keys_fini(&c);
		return err;
	}
	*client = c;
	*server = s;
	return 0;
}

int clv_aead_keys_update(const struct clv_aead_suite *suite, uint32_t version,
			 const uint8_t *current, uint8_t *secret, struct clv_aead_key **key,
			 uint8_t iv[static CLV_AEAD_NONCE_LEN])
{
	const struct version *v = version_of(version);
	int err = expand(suite, current, v->update, secret, suite->hash_len);

	return err ? err : derive_aead(suite, v, secret, key, iv);
}

int clv_aead_key_retry(uint32_t version, struct clv_aead_key **out)
{
	return clv_aead_key_new((const uint8_t *)version_of(version)->retry_key, RETRY_KEY_LEN,
				out);
}

/* ---- use ---- */

int clv_aead_key_seal(struct clv_aead_key *key, uint8_t *dest, const uint8_t *plain, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len)
{
	return key->provider->seal(key->prepared, dest, plain, len, nonce, aad, aad_len);
}

int clv_aead_key_open(struct clv_aead_key *key, uint8_t *dest, const uint8_t *sealed, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len)
{
	return key->provider->open(key->prepared, dest, sealed, len, nonce, aad, aad_len);
}

int clv_hp_key_mask(struct clv_hp_key *key, uint8_t *dest, const uint8_t *sample)
{
	/* wolfCrypt copies unaligned blocks to the heap: an allocation for every packet */
	_Alignas(16) uint8_t in[AES_BLOCK_SIZE], out[AES_BLOCK_SIZE];

	memcpy(in, sample, sizeof(in));
	if (wc_AesEncryptDirect(&key->aes, out, in))
		return CLV_ETLS;
	memcpy(dest, out, sizeof(out));
	return 0;
}
