/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * identity - the identifier of a public key, and its text form.
 *
 *   "clv1" + base32(SHA-256(SubjectPublicKeyInfo))        4 + 52 characters
 *
 * base32 uses the lower-case alphabet a-z2-7 without padding.  Each identity has exactly one text.
 *
 * Spec: RFC 4648 section 6; RFC 5280 section 4.1.2.7 (SubjectPublicKeyInfo).
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_IDENTITY_H
#define CLV_ADMISSION_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_IDENTITY_LEN = 32,	    /* bytes */
	CLV_IDENTITY_TEXT_LEN = 56, /* characters, without the terminating zero */
};

struct clv_identity {
	uint8_t bytes[CLV_IDENTITY_LEN];
};

/* Hash a key's SubjectPublicKeyInfo in DER.  Returns 0, or CLV_ETLS, leaving *out untouched. */
int clv_identity_of(const uint8_t *spki, size_t len, struct clv_identity *out);

/* Read a text of exactly CLV_IDENTITY_TEXT_LEN characters.  Returns 0 or CLV_ESYNTAX. */
int clv_identity_parse(const char *text, size_t len, struct clv_identity *out);

/* Write the text with its terminating zero.  Returns buf. */
const char *clv_identity_format(const struct clv_identity *id,
				char buf[static CLV_IDENTITY_TEXT_LEN + 1]);

#endif
