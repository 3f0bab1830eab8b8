/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/tokens.h"

#include <string.h>

#include "datapath/base/addr.h"

static struct clv_token *find(struct clv_tokens *t, const struct clv_endpoint *server)
{
	for (unsigned i = 0; i < CLV_TOKENS_MAX; i++)
		if (t->tokens[i].len && clv_endpoint_equal(&t->tokens[i].server, server))
			return &t->tokens[i];
	return NULL;
}

void clv_tokens_put(struct clv_tokens *t, const struct clv_endpoint *server, const uint8_t *bytes,
		    size_t len)
{
	struct clv_token *token = find(t, server);

	if (!len || len > CLV_TOKEN_MAX)
		return;
	if (!token) {
		token = &t->tokens[t->next];
		t->next = (t->next + 1) % CLV_TOKENS_MAX;
	}
	token->server = *server;
	token->len = len;
	memcpy(token->bytes, bytes, len);
}

size_t clv_tokens_take(struct clv_tokens *t, const struct clv_endpoint *server,
		       uint8_t out[static CLV_TOKEN_MAX])
{
	struct clv_token *token = find(t, server);
	size_t len;

	if (!token)
		return 0;
	len = token->len;
	memcpy(out, token->bytes, len);
	token->len = 0;
	return len;
}
