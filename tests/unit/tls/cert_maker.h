/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * cert_maker - certificates that the relay would never make: of any algorithm under any other.
 */
#ifndef CLV_TEST_TLS_CERT_MAKER_H
#define CLV_TEST_TLS_CERT_MAKER_H

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/wc_mldsa.h>

#include <stdbool.h>

#include "control/tls/pem.h"

enum cert_algorithm { CERT_ML_DSA, CERT_ECDSA };

struct cert_wish {
	const char *name; /* common name */
	enum cert_algorithm algorithm;
	const char *dns; /* subject alternative name, at most 100 bytes; NULL: none */
	bool is_ca;
	bool has_path_len;
	int path_len;
	int days; /* of validity, from now on; 0: 30 */
};

struct cert_made {
	struct clv_der der;
	enum cert_algorithm algorithm;
	union {
		wc_MlDsaKey mldsa;
		ecc_key ecc;
	};
};

/* issuer: NULL for a self-signed one. */
void cert_make(struct cert_made *out, const struct cert_wish *wish, struct cert_made *issuer);
void cert_unmake(struct cert_made *made);

/* Write certificates to a PEM file. */
void cert_write(const char *path, struct cert_made *const *certs, size_t len);

/* PEM texts, which the caller frees: of certificates, and of a private key. */
char *cert_to_pem(struct cert_made *const *certs, size_t len);
char *cert_key_to_pem(struct cert_made *made);

#endif
