/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bearer - bearer tokens: a client's name, lifetime and limits under an HMAC, verified without
 * state.
 *
 *   token   = "clvt1." base64url(payload) "." base64url(HMAC-SHA-256(key, all before this "."))
 *   payload = version (1) = 1 | name length (1) | name | issued (8) | expires (8)
 *             | for each limit that is not unlimited, in the order of the list: limit (1) value (8)
 *
 * Integers are big-endian, times are seconds since 1970, and expires = 0 means never.  The
 * encoding is canonical: a token that is changed in any character is invalid.  A token with a
 * limit that this version does not know is malformed, because the limit could not be enforced.
 *
 * A token is a secret: it must appear in no log and in no error message.
 *
 * Spec: RFC 6750 section 2.1 (the characters), RFC 4648 section 5.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_BEARER_H
#define CLV_ADMISSION_BEARER_H

#include <stddef.h>
#include <stdint.h>

#include "control/admission/client_name.h"
#include "datapath/base/client_limits.h"

enum {
	CLV_BEARER_KEY_LEN = 32,   /* bytes */
	CLV_BEARER_TEXT_MAX = 256, /* room for any token and its terminating zero */
	CLV_BEARER_SKEW_SEC = 60,  /* how far ahead the issuer's clock may be */
};

struct clv_bearer {
	char name[CLV_CLIENT_NAME_MAX + 1];
	uint64_t issued_sec;
	uint64_t expires_sec; /* 0: never */
	struct clv_client_limits limits;
};

/* For counters and the operator's log; clients must not learn why a token is refused. */
enum clv_bearer_verdict {
	CLV_BEARER_VALID = 0,
	CLV_BEARER_MALFORMED, /* not a token of this version */
	CLV_BEARER_FORGED,    /* not made with this key */
	CLV_BEARER_EXPIRED,
	CLV_BEARER_EARLY, /* issued in the future: one of the two clocks is wrong */
};

/*
 * Write the token for b with its terminating zero.
 * Returns 0, or, with undefined contents of out:
 *   CLV_ERANGE  the name or a limit is invalid, or the token would expire before it is issued
 *   CLV_ETLS    wolfCrypt failed
 */
int clv_bearer_make(const uint8_t key[static CLV_BEARER_KEY_LEN], const struct clv_bearer *b,
		    char out[static CLV_BEARER_TEXT_MAX]);

/*
 * Verify a token of any length.  wall_sec: seconds since 1970.
 * Returns the verdict.  Fills *out if the signature holds (VALID, EXPIRED, EARLY) and leaves it
 * untouched otherwise.
 */
enum clv_bearer_verdict clv_bearer_verify(const uint8_t key[static CLV_BEARER_KEY_LEN],
					  const char *text, size_t len, uint64_t wall_sec,
					  struct clv_bearer *out);

#endif
