/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/proxy_status.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "control/http/fields.h"
#include "datapath/base/err.h"

struct error_row {
	const char *token;
	unsigned status;
	int err;
};

static const struct error_row rows[] = {
	[CLV_PROXY_OK] = { "", 200, 0 },
#define X(symbol, token_text, status_code, error_number)                                           \
	[CLV_PROXY_##symbol] = { token_text, status_code, error_number },
	CLV_PROXY_ERRORS(X)
#undef X
		[CLV_PROXY_UNKNOWN] = { "", 0, CLV_EHTTP },
};

const char *clv_proxy_error_token(enum clv_proxy_error error)
{
	return rows[error].token;
}

unsigned clv_proxy_error_status(enum clv_proxy_error error)
{
	return rows[error].status;
}

int clv_proxy_error_to_err(enum clv_proxy_error error)
{
	return rows[error].err;
}

struct writer {
	char *buf;
	size_t len, used;
	bool full;
};

static void put(struct writer *w, const char *text)
{
	size_t n = strlen(text);

	if (w->full || w->used + n >= w->len) {
		w->full = true;
		return;
	}
	memcpy(w->buf + w->used, text, n + 1);
	w->used += n;
}

static void put_string(struct writer *w, const char *key, const char *text)
{
	int n;

	put(w, key);
	if (w->full)
		return;
	n = clv_fields_write_string(text, w->buf + w->used, w->len - w->used - 1);
	if (n < 0) {
		w->full = true;
		return;
	}
	w->used += (size_t)n;
	w->buf[w->used] = '\0';
}

int clv_proxy_status_write(const char *proxy_name, const struct clv_proxy_status *ps, char *buf,
			   size_t len)
{
	struct writer w = { .buf = buf, .len = len };
	char number[32];

	if (len < 2)
		return CLV_ERANGE;
	/* RFC 9209 section 2: a String is always allowed, and needs no rule for odd names. */
	put_string(&w, "", proxy_name);
	if (ps->error != CLV_PROXY_OK) {
		put(&w, "; error=");
		put(&w, rows[ps->error].token);
	}
	if (ps->rcode)
		put_string(&w, "; rcode=", ps->rcode);
	if (ps->status_code) {
		snprintf(number, sizeof(number), "; status-code=%u", ps->status_code);
		put(&w, number);
	}
	if (ps->next_hop)
		put_string(&w, "; next-hop=", ps->next_hop);
	if (ps->details)
		put_string(&w, "; details=", ps->details);
	return w.full ? CLV_ERANGE : (int)w.used;
}

static enum clv_proxy_error error_of_token(const struct clv_item *item)
{
	if (item->type != CLV_ITEM_TOKEN)
		return CLV_PROXY_UNKNOWN;
	for (int e = CLV_PROXY_OK + 1; e < CLV_PROXY_UNKNOWN; e++) {
		if (strlen(rows[e].token) == item->text_len &&
		    memcmp(rows[e].token, item->text, item->text_len) == 0)
			return (enum clv_proxy_error)e;
	}
	return CLV_PROXY_UNKNOWN;
}

static bool key_is(const char *key, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(key, name, len) == 0;
}

static int parse_member(struct clv_fields_cursor *c, struct clv_proxy_status_read *m)
{
	const char *key;
	size_t key_len;
	struct clv_item item;
	int r;

	*m = (struct clv_proxy_status_read){ .error = CLV_PROXY_OK };
	while ((r = clv_fields_read_parameter(c, &key, &key_len, &item)) > 0) {
		if (key_is(key, key_len, "error"))
			m->error = error_of_token(&item);
		else if (item.type != CLV_ITEM_STRING && item.type != CLV_ITEM_TOKEN)
			continue;
		else if (key_is(key, key_len, "next-hop"))
			clv_fields_copy_text(&item, m->next_hop, sizeof(m->next_hop));
		else if (key_is(key, key_len, "details"))
			clv_fields_copy_text(&item, m->details, sizeof(m->details));
		else if (key_is(key, key_len, "rcode"))
			clv_fields_copy_text(&item, m->rcode, sizeof(m->rcode));
	}
	return r;
}

int clv_proxy_status_parse(const char *value, size_t len, struct clv_proxy_status_read *out)
{
	struct clv_fields_cursor c = { value, value + len, false };
	struct clv_proxy_status_read best = { .error = CLV_PROXY_OK }, m;
	struct clv_item item;
	int r;

	/* Members are in the order from the target to us: the last with an error is nearest. */
	while ((r = clv_fields_read_member(&c, &item)) > 0) {
		if (parse_member(&c, &m) < 0)
			return CLV_ESYNTAX;
		if (m.error != CLV_PROXY_OK || best.error == CLV_PROXY_OK)
			best = m;
	}
	if (r < 0)
		return CLV_ESYNTAX;
	*out = best;
	return 0;
}
