/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * aead_keys - QUIC keys made from secrets and kept ready for use; the inside of aead, and keys for
 * whoever seals messages of his own.
 *
 * A key is one heap allocation, made when it is installed and wiped when it is freed.
 *
 * Spec: RFC 9001 sections 5.1, 5.2, 5.4 and 6.1, RFC 9369 section 3.3, RFC 8446 section 7.1.
 * Threading: a key belongs to its connection.
 */
#ifndef CLV_CRYPTO_AEAD_KEYS_H
#define CLV_CRYPTO_AEAD_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "datapath/crypto/aead.h"
#include "datapath/crypto/aead_provider.h"

struct clv_aead_suite; /* lengths and hash of a TLS suite */
struct clv_aead_key;   /* native handle of an ngtcp2_crypto_aead_ctx */
struct clv_hp_key;     /* native handle of an ngtcp2_crypto_cipher_ctx */

/* Keys of one direction of one level. */
struct clv_aead_keys {
	struct clv_aead_key *aead;
	struct clv_hp_key *hp;
	uint8_t iv[CLV_AEAD_NONCE_LEN];
};

const struct clv_aead_suite *clv_aead_suite(enum clv_suite id);
/* Bytes of a traffic secret. */
size_t clv_aead_secret_len(const struct clv_aead_suite *suite);

/*
 * Derive keys from a traffic secret of clv_aead_secret_len() bytes.
 * version: of QUIC; anything but 2 is taken for 1.
 * Returns 0, -ENOMEM or CLV_ETLS.
 */
int clv_aead_keys_derive(const struct clv_aead_suite *suite, uint32_t version,
			 const uint8_t *secret, struct clv_aead_keys *out);

/* Derive what client and server send Initial packets with.  Returns 0, -ENOMEM or CLV_ETLS. */
int clv_aead_keys_derive_initial(uint32_t version, const ngtcp2_cid *client_dcid,
				 struct clv_aead_keys *client, struct clv_aead_keys *server);

/*
 * Derive the secret that follows current in a key update, its key and IV.  secret gets as many
 * bytes as current has.  Returns 0, -ENOMEM or CLV_ETLS.
 */
int clv_aead_keys_update(const struct clv_aead_suite *suite, uint32_t version,
			 const uint8_t *current, uint8_t *secret, struct clv_aead_key **key,
			 uint8_t iv[static CLV_AEAD_NONCE_LEN]);

/* Prepare an AES-GCM key of 16 or 32 bytes.  raw: copies.  Returns 0, -ENOMEM or CLV_ETLS. */
int clv_aead_key_new(const uint8_t *raw, size_t raw_len, struct clv_aead_key **out);

/* The fixed key that protects Retry packets.  Returns 0, -ENOMEM or CLV_ETLS. */
int clv_aead_key_retry(uint32_t version, struct clv_aead_key **out);

/* Accept NULL, zeroed ones. */
void clv_aead_key_free(struct clv_aead_key *key);
void clv_hp_key_free(struct clv_hp_key *key);
void clv_aead_keys_fini(struct clv_aead_keys *keys);

/* As in aead_provider.h. */
int clv_aead_key_seal(struct clv_aead_key *key, uint8_t *dest, const uint8_t *plain, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len);
int clv_aead_key_open(struct clv_aead_key *key, uint8_t *dest, const uint8_t *sealed, size_t len,
		      const uint8_t *nonce, const uint8_t *aad, size_t aad_len);

/* Encrypt one block of 16 bytes, sample, to dest, as many.  Returns 0 or CLV_ETLS. */
int clv_hp_key_mask(struct clv_hp_key *key, uint8_t *dest, const uint8_t *sample);

#endif
