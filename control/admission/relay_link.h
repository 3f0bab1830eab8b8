/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay_link - a URI with all that a client needs to use a relay.
 *
 *   culvert://HOST:PORT?pin=sha256:HEX&profile=PROFILE&token=TOKEN
 *
 * HOST is a name, an IPv4 address or an IPv6 address in brackets; PORT defaults to 443.  pin is
 * the SHA-256 of the SubjectPublicKeyInfo of the relay's key, profile that of its listener, pqc or
 * hybrid (default pqc), and token is a bearer token; all are optional and allowed once.  Unknown parameters are ignored.  Values may be
 * percent-encoded.  A link has no user part, no path other than "/" and no fragment.
 *
 * A link with a token is a secret: it must appear in no log, and error texts quote nothing of it.
 *
 * Spec: RFC 3986 section 3, RFC 6750 section 2.1.   Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_RELAY_LINK_H
#define CLV_ADMISSION_RELAY_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLV_RELAY_LINK_MAX = 2048, /* bytes of a link */
	CLV_RELAY_LINK_HOST_MAX = 253,
	CLV_RELAY_LINK_TOKEN_MAX = 512,
	CLV_RELAY_LINK_PIN_LEN = 32, /* bytes */
	CLV_RELAY_LINK_PORT = 443,
};

struct clv_relay_link {
	char host[CLV_RELAY_LINK_HOST_MAX + 1]; /* as in the link, IPv6 without brackets */
	uint16_t port;
	bool has_pin;
	uint8_t pin[CLV_RELAY_LINK_PIN_LEN];
	bool has_profile, is_hybrid;		  /* without a profile it is pqc */
	char token[CLV_RELAY_LINK_TOKEN_MAX + 1]; /* "": none */
};

/* Whether text begins with "culvert:", in upper or lower case, as no address and port does. */
bool clv_relay_link_is(const char *text);

/*
 * Parse a link of len bytes.  why: a constant text.
 *
 * Returns 0, or, leaving *out untouched:
 *   CLV_ESYNTAX  not a valid link
 *   CLV_ERANGE   a part is too long, or the port is not in 1 to 65535
 */
int clv_relay_link_parse(const char *text, size_t len, struct clv_relay_link *out,
			 const char **why);

/*
 * Write a link with its terminating zero; without the token if with_token is false.
 *
 * Returns 0, or, with undefined contents of buf:
 *   CLV_ERANGE   buf is too short; CLV_RELAY_LINK_MAX bytes always suffice
 *   CLV_ESYNTAX  the host, the port or the token is invalid
 */
int clv_relay_link_format(const struct clv_relay_link *link, bool with_token, char *buf,
			  size_t buf_len);

/* Overwrite *link with zeros. */
void clv_relay_link_wipe(struct clv_relay_link *link);

#endif
