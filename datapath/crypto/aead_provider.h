/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * aead_provider - the AES-GCM code that aead chooses from; nobody else calls it.
 *
 * Threading: init of the provider any thread; a key belongs to its connection.
 */
#ifndef CLV_CRYPTO_AEAD_PROVIDER_H
#define CLV_CRYPTO_AEAD_PROVIDER_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_AEAD_NONCE_LEN = 12,
	CLV_AEAD_TAG_LEN = 16,
	CLV_AEAD_ALIGN = 64, /* of a prepared key */
};

struct clv_aead_provider {
	const char *name;
	size_t key_bytes; /* of a prepared key */

	/* Prepare a key of 16 or 32 bytes in key, zeroed memory.  raw: copies.  0 or CLV_ETLS. */
	int (*key_init)(void *key, const uint8_t *raw, size_t raw_len);
	/* The caller wipes the memory afterwards. */
	void (*key_fini)(void *key);

	/*
	 * Encrypt len bytes of plain (may be 0, then plain may be NULL) to dest, followed by the
	 * tag.  dest may be plain.  Returns 0 or CLV_ETLS.
	 */
	int (*seal)(void *key, uint8_t *dest, const uint8_t *plain, size_t len,
		    const uint8_t *nonce, const uint8_t *aad, size_t aad_len);
	/*
	 * Check and decrypt len bytes of sealed, which the tag follows, to dest, which may be
	 * sealed.  Returns 0, or CLV_EPROTO when the tag does not match; dest is void then.
	 */
	int (*open)(void *key, uint8_t *dest, const uint8_t *sealed, size_t len,
		    const uint8_t *nonce, const uint8_t *aad, size_t aad_len);
};

const struct clv_aead_provider *clv_aead_wolfcrypt(void);

/* NULL when this build or this CPU has no use for it. */
const struct clv_aead_provider *clv_aead_ipsec_mb(void);

#endif
