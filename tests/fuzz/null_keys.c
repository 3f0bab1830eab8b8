/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * null_keys - takes the place of datapath/crypto/aead_keys.c in a fuzzer: packets in clear.
 *
 * A tag is a checksum over key, nonce, header and payload, so that a damaged packet, one of another
 * key and one of another packet number are refused as ever.  Headers are not masked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/crypto/aead_keys.h"

enum { SECRET_LEN = 32 };

struct clv_aead_suite {
	size_t hash_len;
};

struct clv_aead_key {
	uint64_t number;
};

struct clv_hp_key {
	uint64_t number;
};

static const struct clv_aead_suite suite = { SECRET_LEN };
static size_t live;

const char *clv_aead_provider(void)
{
	return "none";
}

size_t clv_aead_live(void)
{
	return live;
}

const struct clv_aead_suite *clv_aead_suite(enum clv_suite id)
{
	(void)id;
	return &suite;
}

size_t clv_aead_secret_len(const struct clv_aead_suite *s)
{
	return s->hash_len;
}

/* FNV-1a with eight bytes at a time. */
static uint64_t mix(uint64_t sum, const uint8_t *bytes, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); bytes += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
		sum ^= sum >> 29;
	}
	while (len--)
		sum = (sum ^ *bytes++) * UINT64_C(0x100000001b3);
	return sum;
}

/* ---- life of keys ---- */

static void *new_key(uint64_t number)
{
	uint64_t *key = malloc(sizeof(*key));

	if (!key)
		return NULL;
	*key = number;
	live++;
	return key;
}

static void free_key(void *key)
{
	if (!key)
		return;
	free(key);
	live--;
}

void clv_aead_key_free(struct clv_aead_key *key)
{
	free_key(key);
}

void clv_hp_key_free(struct clv_hp_key *key)
{
	free_key(key);
}

void clv_aead_keys_fini(struct clv_aead_keys *keys)
{
	free_key(keys->aead);
	free_key(keys->hp);
	memset(keys, 0, sizeof(*keys));
}

static int make_keys(uint64_t number, struct clv_aead_keys *out)
{
	struct clv_aead_keys keys = { .aead = new_key(number), .hp = new_key(number) };

	if (!keys.aead || !keys.hp) {
		clv_aead_keys_fini(&keys);
		return -ENOMEM;
	}
	*out = keys;
	return 0;
}

int clv_aead_keys_derive(const struct clv_aead_suite *s, uint32_t version, const uint8_t *secret,
			 struct clv_aead_keys *out)
{
	return make_keys(mix(version, secret, s->hash_len), out);
}

int clv_aead_keys_derive_initial(uint32_t version, const ngtcp2_cid *client_dcid,
				 struct clv_aead_keys *client, struct clv_aead_keys *server)
{
	uint64_t number = mix(version, client_dcid->data, client_dcid->datalen);
	struct clv_aead_keys c;
	int err = make_keys(number, &c);

	if (err)
		return err;
	err = make_keys(number + 1, server);
	if (err)
		clv_aead_keys_fini(&c);
	else
		*client = c;
	return err;
}

int clv_aead_keys_update(const struct clv_aead_suite *s, uint32_t version, const uint8_t *current,
			 uint8_t *secret, struct clv_aead_key **key,
			 uint8_t iv[static CLV_AEAD_NONCE_LEN])
{
	struct clv_aead_key *k;

	for (size_t i = 0; i < s->hash_len; i++)
		secret[i] = (uint8_t)(current[i] + 1);
	k = new_key(mix(version, secret, s->hash_len));
	if (!k)
		return -ENOMEM;
	memset(iv, 0, CLV_AEAD_NONCE_LEN);
	*key = k;
	return 0;
}

int clv_aead_key_retry(uint32_t version, struct clv_aead_key **out)
{
	struct clv_aead_key *key = new_key(version);

	if (!key)
		return -ENOMEM;
	*out = key;
	return 0;
}

/* ---- use ---- */

static void make_tag(const struct clv_aead_key *key, const uint8_t *plain, size_t len,
		     const uint8_t *nonce, const uint8_t *aad, size_t aad_len,
		     uint8_t tag[static CLV_AEAD_TAG_LEN])
{
	uint64_t sum = mix(mix(key->number, nonce, CLV_AEAD_NONCE_LEN), aad, aad_len);

	sum = mix(sum, plain, len);
	memcpy(tag, &sum, sizeof(sum));
	memset(tag + sizeof(sum), 0, CLV_AEAD_TAG_LEN - sizeof(sum));
}

int clv_aead_key_seal(struct clv_aead_key *key, uint8_t *dest, const uint8_t *plain, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len)
{
	if (len)
		memmove(dest, plain, len);
	make_tag(key, dest, len, nonce, aad, aad_len, dest + len);
	return 0;
}

int clv_aead_key_open(struct clv_aead_key *key, uint8_t *dest, const uint8_t *sealed, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len)
{
	uint8_t tag[CLV_AEAD_TAG_LEN];

	make_tag(key, sealed, len, nonce, aad, aad_len, tag);
	if (memcmp(tag, sealed + len, sizeof(tag)) != 0)
		return CLV_EPROTO;
	if (len)
		memmove(dest, sealed, len);
	return 0;
}

int clv_hp_key_mask(struct clv_hp_key *key, uint8_t *dest, const uint8_t *sample)
{
	(void)key;
	(void)sample;
	memset(dest, 0, 16);
	return 0;
}
