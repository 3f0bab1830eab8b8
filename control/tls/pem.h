/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pem - read PEM files of certificates, and the properties of a certificate that we check.
 *
 * Threading: any thread.
 */
#ifndef CLV_TLS_PEM_H
#define CLV_TLS_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
	CLV_PEM_FILE_MAX = 1 << 20, /* bytes; larger PEM files are refused */
	CLV_PEM_CERTS_MAX = 256,    /* certificates in one file; enough for a system's CA bundle */
};

struct clv_der {
	uint8_t *data;
	size_t len;
};

struct clv_pem_file {
	char *text; /* zero-terminated */
	size_t text_len;
	struct clv_der *certs; /* in the order of the file */
	size_t certs_len;
};

/* Properties of a certificate. */
struct clv_cert_facts {
	const char *key_algorithm; /* "ML-DSA-65", "ECDSA", ...; lives as long as the program */
	const char *signature_algorithm; /* the issuer's; same names */
	bool is_ca;
	bool is_self_signed; /* subject and issuer are the same; the signature is not checked */
	time_t not_before, not_after;
};

/*
 * Read a whole file and append a zero.  The caller frees *text.
 * Returns 0, -ENOMEM, -EFBIG or -errno of open or read.
 */
int clv_pem_read(const char *path, char **text, size_t *len);

/*
 * Read a PEM file and decode every certificate in it; other text is skipped.
 * Returns 0, -ENOMEM, -EFBIG, -errno, or CLV_ESYNTAX (a broken block, or no certificate).
 */
int clv_pem_load(const char *path, struct clv_pem_file *out);
/* Decode a text in memory.  text: copies.  Returns as load. */
int clv_pem_parse(const char *text, struct clv_pem_file *out);
void clv_pem_free(struct clv_pem_file *file);

/* Returns 0, -ENOMEM, or CLV_ESYNTAX (not a certificate), leaving *out untouched. */
int clv_cert_read(const struct clv_der *cert, struct clv_cert_facts *out);

/* Whether its key and its issuer's signature are both ML-DSA-65. */
bool clv_cert_is_pqc(const struct clv_cert_facts *facts);

/*
 * Whether the subject alternative names are exactly names, in any order: DNS names and IP literals.
 * Returns 1 or 0, -ENOMEM or CLV_ESYNTAX.
 */
int clv_cert_has_names(const struct clv_der *cert, const char *const *names, size_t names_len);

/*
 * SHA-256 over the SubjectPublicKeyInfo: it stays when a certificate is renewed with its key
 * (RFC 7469 section 2.4).  Returns 0, -ENOMEM or CLV_ESYNTAX.
 */
int clv_cert_pin(const struct clv_der *cert, uint8_t out[static 32]);

/* SHA-256 over the DER. */
void clv_cert_sha256(const struct clv_der *cert, uint8_t out[static 32]);

#endif
