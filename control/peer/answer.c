/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/answer.h"

#include "control/http/fields.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

bool clv_answer_is_malformed(const struct clv_http_head *head)
{
	if (head->status >= 300)
		return false;
	/* RFC 9297 section 3.2: they exclude or describe content, and capsules are none. */
	if (head->status == 204 || head->status == 205 || head->status == 206)
		return true;
	return clv_http_find_field(head, "content-length", NULL) ||
	       clv_http_find_field(head, "content-type", NULL);
}

/* Lines of one field name make one list: the last that names an error is nearest to us. */
static void read_proxy_status(const struct clv_http_head *head, struct clv_proxy_status_read *out)
{
	const struct clv_http_field *f = NULL;
	struct clv_proxy_status_read line;

	while ((f = clv_http_find_field(head, "proxy-status", f)) != NULL) {
		if (clv_proxy_status_parse(f->value, f->value_len, &line) < 0)
			continue;
		if (line.error != CLV_PROXY_OK || out->error == CLV_PROXY_OK)
			*out = line;
	}
}

static int err_of_refusal(unsigned status, enum clv_proxy_error error)
{
	if (error != CLV_PROXY_OK && error != CLV_PROXY_HTTP_REQUEST_ERROR)
		return clv_proxy_error_to_err(error);
	switch (status) {
	case 401:
	case 407:
		return CLV_EUNAUTHORIZED;
	case 403:
		return CLV_EDENIED;
	case 429:
	case 503:
		return CLV_EFULL;
	case 504:
		return CLV_ETIMEOUT;
	default:
		return CLV_EHTTP;
	}
}

/* A field that is there once, and is true. */
static bool is_confirmed(const struct clv_http_head *head, const char *name)
{
	const struct clv_http_field *f = clv_http_find_only(head, name);

	return f && clv_fields_is_true(f->value, f->value_len);
}

/* The Strings of one line.  Returns 0, or CLV_ESYNTAX when one is no address and port. */
static int read_public_line(const struct clv_http_field *f, struct clv_client_result *out)
{
	struct clv_fields_cursor c = { .p = f->value, .end = f->value + f->value_len };
	char text[CLV_ADDR_TEXT_MAX];
	struct clv_endpoint ep;
	struct clv_item item;
	int more;

	while ((more = clv_fields_read_member(&c, &item)) > 0) {
		if (item.type != CLV_ITEM_STRING || item.text_len >= sizeof(text))
			return CLV_ESYNTAX;
		clv_fields_copy_text(&item, text, sizeof(text));
		if (clv_endpoint_parse(text, &ep) || !ep.port)
			return CLV_ESYNTAX;
		if (out->public_len < CLV_CLIENT_PUBLIC_MAX)
			out->public_addrs[out->public_len++] = ep;
	}
	return more;
}

/* Whether a bound socket was granted, with an address to reach it by. */
static bool read_bound(const struct clv_http_head *head, struct clv_client_result *out)
{
	const struct clv_http_field *f = NULL;

	/* RFC 9297 section 3.4 leaves capsule-protocol to the sender: its absence says nothing. */
	if (!is_confirmed(head, "connect-udp-bind"))
		return false;
	while ((f = clv_http_find_field(head, "proxy-public-address", f)) != NULL)
		if (read_public_line(f, out))
			return false;
	return out->public_len > 0;
}

int clv_answer_read(const struct clv_http_head *head, bool wants_bound,
		    struct clv_client_result *out)
{
	read_proxy_status(head, &out->proxy);
	if (head->status >= 300) {
		out->err = err_of_refusal(head->status, out->proxy.error);
		return out->err;
	}
	out->capsule_protocol = is_confirmed(head, "capsule-protocol");
	out->is_bound = wants_bound && read_bound(head, out);
	/* A relay that grants "*" without a bound tunnel cannot mean it. */
	out->err = wants_bound && !out->is_bound ? CLV_EPROTO : 0;
	return out->err;
}
