/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * authorization - parse the value of the Authorization and Proxy-Authorization header fields.
 *
 *   Basic BASE64(name:password)        Bearer TOKEN
 *
 * Spec: RFC 9110 sections 11.4 and 11.6.2, RFC 7617 (UTF-8, strict base64), RFC 6750 section 2.1.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_AUTHORIZATION_H
#define CLV_ADMISSION_AUTHORIZATION_H

#include <stddef.h>

enum {
	CLV_AUTHORIZATION_MAX = 1024, /* bytes; a longer value is malformed */
};

enum clv_authorization_scheme {
	CLV_AUTHORIZATION_NONE = 0,  /* no field; never a result of clv_authorization_parse */
	CLV_AUTHORIZATION_BASIC,     /* name, password */
	CLV_AUTHORIZATION_BEARER,    /* token */
	CLV_AUTHORIZATION_OTHER,     /* an unknown scheme; the rest is not parsed */
	CLV_AUTHORIZATION_MALFORMED, /* violates the grammar of its scheme */
};

/* Parsed credentials.  The texts are zero-terminated and borrow the buffer given to the parser. */
struct clv_authorization {
	enum clv_authorization_scheme scheme;
	const char *name, *password, *token;
	size_t name_len, password_len, token_len;
	char *buf; /* holds the secrets */
	size_t buf_len;
};

/*
 * Parse the value of one field line.  Blanks around it are ignored and the scheme is
 * case-insensitive.  A name is not empty; name and password are UTF-8 without control characters.
 *
 * buf: CLV_AUTHORIZATION_MAX bytes that live as long as *out.  The credentials are copied into
 * it, so value may be freed; the caller calls clv_authorization_wipe when it is done.
 */
void clv_authorization_parse(const char *value, size_t len, char buf[static CLV_AUTHORIZATION_MAX],
			     struct clv_authorization *out);

/* Overwrite the buffer and clear *a. */
void clv_authorization_wipe(struct clv_authorization *a);

#endif
