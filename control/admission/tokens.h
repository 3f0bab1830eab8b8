/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tokens - address validation tokens from servers (NEW_TOKEN), for a client's next connection.
 *
 * Keeps the newest of each server; each is used once.  They are not stored on disk: a token tells
 * the server that it is the same client.
 *
 * Spec: RFC 9000 section 8.1.3.   Threading: control.
 */
#ifndef CLV_ADMISSION_TOKENS_H
#define CLV_ADMISSION_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	CLV_TOKEN_MAX = 256, /* bytes; a longer one is not kept */
	CLV_TOKENS_MAX = 8,  /* servers */
};

struct clv_token {
	struct clv_endpoint server;
	size_t len; /* 0: free */
	uint8_t bytes[CLV_TOKEN_MAX];
};

struct clv_tokens {
	struct clv_token tokens[CLV_TOKENS_MAX];
	unsigned next; /* replaced when all are in use */
};

/* Keep a token.  bytes: copies. */
void clv_tokens_put(struct clv_tokens *t, const struct clv_endpoint *server, const uint8_t *bytes,
		    size_t len);

/* Remove and return the token of a server.  Returns its length, 0 if there is none. */
size_t clv_tokens_take(struct clv_tokens *t, const struct clv_endpoint *server,
		       uint8_t out[static CLV_TOKEN_MAX]);

#endif
