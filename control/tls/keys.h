/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keys - private keys of the kinds that this room makes and reads: ML-DSA-65 and ECDSA P-256.
 *
 * Spec: RFC 5958 (PKCS #8), RFC 9881 (ML-DSA keys).
 * Threading: any thread; a key is its owner's.
 */
#ifndef CLV_TLS_KEYS_H
#define CLV_TLS_KEYS_H

#include "control/tls/tls.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/wc_mldsa.h>

enum {
	TLS_KEY_SPKI_MAX = 4096, /* SubjectPublicKeyInfo: 1,974 bytes with an ML-DSA-65 key */
};

/* A private key of either kind. */
struct tls_key {
	int type; /* ML_DSA_65_TYPE or ECC_TYPE */
	union {
		wc_MlDsaKey mldsa;
		ecc_key ecc;
	};
};

/* An empty key of a profile's kind.  Returns NULL when out of memory. */
struct tls_key *tls_key_new(enum clv_profile profile);
/* Accepts NULL. */
void tls_key_free(struct tls_key *key);
/* The library's object in it; lends. */
void *tls_key_handle(struct tls_key *key);
/* Fill it with a new key.  Returns 0 or CLV_ETLS. */
int tls_key_make(struct tls_key *key, WC_RNG *rng);
/* Fill it from PEM, without its public key.  Returns 0 or CLV_ESYNTAX. */
int tls_key_parse(struct tls_key *key, const char *pem);
/*
 * Read a key file of ours whole: the public key stands behind the private one, which does not
 * contain it.  Returns 0 or CLV_ESYNTAX.
 */
int tls_key_parse_both(struct tls_key *key, const char *pem);
/* Write the SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).  Returns its length, or 0. */
size_t tls_key_spki(struct tls_key *key, uint8_t out[static TLS_KEY_SPKI_MAX]);

#endif
