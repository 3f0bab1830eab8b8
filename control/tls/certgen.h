/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * certgen - generate CA and server certificates in memory.
 *
 * Spec: RFC 5280, RFC 9881 (ML-DSA in certificates).
 * Threading: any thread; slow (milliseconds).
 */
#ifndef CLV_TLS_CERTGEN_H
#define CLV_TLS_CERTGEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/tls/pem.h"
#include "control/tls/tls.h"

enum {
	CLV_CERTGEN_CA_DAYS = 3650,
	CLV_CERTGEN_LEAF_DAYS = 365,
	CLV_CERTGEN_NAMES_MAX = 60,
};

struct clv_certgen {
	char *cert_pem; /* owned, zero-terminated */
	char *key_pem;	/* PKCS #8, and its public key behind it; owned, wiped by free */
};

/* Make a self-signed CA: ML-DSA-65 (pqc) or ECDSA P-256.  Returns 0, -ENOMEM or CLV_ETLS. */
int clv_certgen_ca(enum clv_profile profile, struct clv_certgen *out);

/*
 * Make a server certificate for names (DNS names and IP literals), signed by a CA of the profile.
 * key_pem: the key to certify, as this module wrote it; NULL: a new one.
 * Returns 0, -ENOMEM, CLV_ETLS, CLV_ESYNTAX (ca_key_pem is not a key of the profile) or CLV_ERANGE
 * (too many names, or one that is neither).
 */
int clv_certgen_leaf(enum clv_profile profile, const struct clv_der *ca_cert,
		     const char *ca_key_pem, const char *key_pem, const char *const *names,
		     size_t names_len, struct clv_certgen *out);

/*
 * Make a certificate for a key of profile pqc that is signed by the key itself, with which a client
 * or peer proves that it has the key.  Its dates are long, as the key alone counts.  key_pem: as this
 * module wrote it.  The caller frees *cert_pem.  Returns 0, -ENOMEM, CLV_ETLS or CLV_ESYNTAX.
 */
int clv_certgen_self(const char *key_pem, char **cert_pem);

/* Make a key alone, which takes no clock.  *key_pem: for clv_certgen_free_key.  Returns as _ca. */
int clv_certgen_key(enum clv_profile profile, char **key_pem);

/*
 * The pin (clv_cert_pin) that certificates of this key have.
 * Returns 0, -ENOMEM, or CLV_ESYNTAX (no key of the profile with its public key behind it).
 */
int clv_certgen_key_pin(enum clv_profile profile, const char *key_pem, uint8_t out[static 32]);

/* Whether a certificate may contain name as a DNS name. */
bool clv_certgen_is_dns_name(const char *name);

void clv_certgen_free(struct clv_certgen *made);

/* Wipe and free the text of a key.  Accepts NULL. */
void clv_certgen_free_key(char *key_pem);

/* Whether a private key belongs to a certificate.  Returns 1 or 0, or CLV_ESYNTAX (not a key). */
int clv_certgen_is_pair(const char *cert_pem, const char *key_pem);

#endif
