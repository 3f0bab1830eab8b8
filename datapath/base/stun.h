/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stun - Binding requests and what comes back (RFC 8489): at which address a server sees us.
 *
 *   type 2 | length 2 | 0x2112a442 | transaction ID 12 | attributes: type 2, length 2, value, padding
 *
 * The layout of both messages and what a server accepts is in bpf/stun.h.  A client has to check
 * whose answer it is: by the transaction ID, which must be random, and by the address it came from.
 *
 * Spec: RFC 8489.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_STUN_H
#define CLV_BASE_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "bpf/stun.h"

enum {
	CLV_STUN_TRANSACTION_LEN = 12,
};

/* Whether a UDP payload that names no connection is STUN. */
static inline bool clv_stun_matches(const uint8_t *payload, size_t len)
{
	return len >= CLV_STUN_HEADER_LEN && clv_stun_is(payload);
}

/*
 * Server: write the answer to a packet that clv_stun_matches from the sender `from`.
 * Returns its length, or 0 when there is none.
 */
size_t clv_stun_answer(const uint8_t *request, size_t len, const struct clv_endpoint *from,
		       uint8_t out[static CLV_STUN_ANSWER_MAX]);

/* Client: write a bare request. */
void clv_stun_request(const uint8_t transaction[static CLV_STUN_TRANSACTION_LEN],
		      uint8_t out[static CLV_STUN_HEADER_LEN]);

/* What came back. */
struct clv_stun_response {
	uint8_t transaction[CLV_STUN_TRANSACTION_LEN];
	struct clv_endpoint seen; /* of a success */
	unsigned error;		  /* 300 to 699 instead; 0: success */
};

/*
 * Client: read a response.  Returns 0, leaving *out untouched CLV_ETRUNC (it is cut short), CLV_EPROTO
 * (it breaks the protocol, or has no address, or none of UDP), or CLV_ERANGE: it is STUN, but no
 * response to a Binding request.
 */
int clv_stun_response_read(const uint8_t *m, size_t len, struct clv_stun_response *out);

#endif
