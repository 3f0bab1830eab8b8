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
	size_t unknown_len; /* certificates left out by clv_pem_load_known */
};

enum {
	CLV_CERT_NAME_HASH_LEN = 32,
	CLV_CERT_ISSUER_MAX = 64,
	CLV_CERT_NAMES_TEXT_MAX = 128,
};

/* Properties of a certificate. */
struct clv_cert_facts {
	const char *key_algorithm; /* "ML-DSA-65", "ECDSA", ...; lives as long as the program */
	const char *signature_algorithm; /* the issuer's; same names */
	/* Hashes of names: an issuer's subject is the issuer of what it signs. */
	uint8_t subject[CLV_CERT_NAME_HASH_LEN], issuer[CLV_CERT_NAME_HASH_LEN];
	char issuer_text[CLV_CERT_ISSUER_MAX]; /* its common name for messages, printable */
	int path_len; /* of a CA: how many CAs may stand between it and a leaf; -1: any */
	bool is_ca;   /* and its key usage, if it names any, has the signing of certificates */
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
 * Returns 0, -ENOMEM, -EFBIG, -errno, -ENODATA (no certificate), -E2BIG (more than CLV_PEM_CERTS_MAX),
 * CLV_ESYNTAX (a broken block, or no X.509 in it), or -ENOTSUP (a certificate with an algorithm that the
 * library does not know).
 */
int clv_pem_load(const char *path, struct clv_pem_file *out);
/*
 * As clv_pem_load, for bundles of roots: leaves out the certificates that the library cannot read,
 * be it for their algorithm or their form.  None that it can read is no error.
 */
int clv_pem_load_known(const char *path, struct clv_pem_file *out);
/* Decode a text in memory.  text: copies.  Returns as load. */
int clv_pem_parse(const char *text, struct clv_pem_file *out);
/* Such an error in words, to follow the file's name. */
const char *clv_pem_error(int err);
void clv_pem_free(struct clv_pem_file *file);

/*
 * Returns 0, or, leaving *out untouched, -ENOMEM, CLV_ESYNTAX (not a certificate) or -ENOTSUP (an
 * algorithm that the library does not know).
 */
int clv_cert_read(const struct clv_der *cert, struct clv_cert_facts *out);

/* The algorithms of certificates that this build can verify, for messages: "ML-DSA-65, ECDSA, ..." */
const char *clv_cert_algorithms(void);

/* Whether its issuer's signature is of an algorithm that is not broken, and is known. */
bool clv_cert_is_signed_well(const struct clv_cert_facts *facts);

/* Whether its key and its issuer's signature are both ML-DSA-65. */
bool clv_cert_is_pqc(const struct clv_cert_facts *facts);

/*
 * Whether the subject alternative names are exactly names, in any order: DNS names and IP literals.
 * Returns 1 or 0, -ENOMEM or CLV_ESYNTAX.
 */
int clv_cert_has_names(const struct clv_der *cert, const char *const *names, size_t names_len);

/*
 * Whether a client that wants name, a DNS name or an IP literal, may take the certificate for it: by
 * the subject alternative names alone.  A wildcard is the whole leftmost label (RFC 9525 section 6).
 */
bool clv_cert_is_for(const struct clv_der *cert, const char *name);

/* List those names for a message, printable and shortened.  Returns out. */
const char *clv_cert_names_text(const struct clv_der *cert,
				char out[static CLV_CERT_NAMES_TEXT_MAX]);

/*
 * Whether the key of ca, which is a CA, signed cert, and both are valid now.  What stands above ca is
 * not looked at.
 */
bool clv_cert_is_issuer(const struct clv_der *ca, const struct clv_der *cert);

/*
 * SHA-256 over the SubjectPublicKeyInfo: it stays when a certificate is renewed with its key
 * (RFC 7469 section 2.4).  Returns 0, -ENOMEM or CLV_ESYNTAX.
 */
int clv_cert_pin(const struct clv_der *cert, uint8_t out[static 32]);

/* SHA-256 over the DER. */
void clv_cert_sha256(const struct clv_der *cert, uint8_t out[static 32]);

#endif
