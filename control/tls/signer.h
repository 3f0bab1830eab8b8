/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signer - signatures over messages, by ML-DSA-65 keys and with a context string.
 *
 * The context keeps purposes apart: a signature for one is none for another, and none of TLS, which
 * signs with an empty context, is one for a message.
 *
 * Spec: FIPS 204 sections 5.2 and 5.3; RFC 9881 (SubjectPublicKeyInfo of the key).
 * Threading: a signer belongs to one thread; clv_signer_verify and _spki are pure functions.
 */
#ifndef CLV_TLS_SIGNER_H
#define CLV_TLS_SIGNER_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_SIGNER_KEY_LEN = 1952,	 /* bytes of a public key */
	CLV_SIGNER_SIGNATURE_LEN = 3309, /* bytes */
	CLV_SIGNER_SPKI_LEN = 1974,	 /* bytes of a public key's SubjectPublicKeyInfo */
};

struct clv_signer;

/*
 * Make a signer of the text of an identity: an ML-DSA-65 private key in PEM, and its public key in
 * PEM or its certificate.  pem: copies.
 * Returns 0 and fills *out, -ENOMEM, CLV_ETLS, or CLV_ESYNTAX (no such key, or two that do not belong
 * together).
 */
int clv_signer_new(const char *pem, struct clv_signer **out);
/* Wipes the key.  Accepts NULL. */
void clv_signer_free(struct clv_signer *s);

/* Its public key, CLV_SIGNER_KEY_LEN bytes; lends. */
const uint8_t *clv_signer_key(const struct clv_signer *s);

/* Sign a message.  context: at most 255 characters.  Returns 0 or CLV_ETLS. */
int clv_signer_sign(struct clv_signer *s, const char *context, const uint8_t *message, size_t len,
		    uint8_t signature[static CLV_SIGNER_SIGNATURE_LEN]);

/* Returns 0, or CLV_EUNTRUSTED: not the signature of this key over this message. */
int clv_signer_verify(const uint8_t key[static CLV_SIGNER_KEY_LEN], const char *context,
		      const uint8_t *message, size_t len,
		      const uint8_t signature[static CLV_SIGNER_SIGNATURE_LEN]);

/* Write the SubjectPublicKeyInfo of a public key, from which its identity is made. */
void clv_signer_spki(const uint8_t key[static CLV_SIGNER_KEY_LEN],
		     uint8_t out[static CLV_SIGNER_SPKI_LEN]);

#endif
