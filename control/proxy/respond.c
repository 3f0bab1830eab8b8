/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/respond.h"

#include <stdio.h>

#include "control/masque/template.h"

void clv_respond(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
		 const struct clv_http_field *fields, size_t len)
{
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	if (clv_http_respond(s, status, fields, len, true) < 0)
		clv_http_abort(s, CLV_H3_INTERNAL_ERROR);
	else
		clv_http_stop(s, CLV_H3_NO_ERROR);
}

void clv_respond_refusal(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
			 const struct clv_proxy_status *why)
{
	struct clv_proxy_status ps = *why;
	char text[CLV_PROXY_STATUS_MAX];
	struct clv_http_field fields[1];
	size_t len = 0;

	if (status == 0)
		status = clv_proxy_error_status(ps.error);
	if (ps.error == CLV_PROXY_HTTP_REQUEST_ERROR)
		ps.status_code = status;
	if (clv_proxy_status_write(rs->params.config->proxy_name, &ps, text, sizeof(text)) > 0)
		fields[len++] = clv_http_field_text("proxy-status", text);
	clv_respond(rs, s, status, fields, len);
}

void clv_respond_page(struct clv_requests *rs, struct clv_http_stream *s, bool with_body)
{
	static const char page[] =
		"<!DOCTYPE html>\n"
		"<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Culvert</title></head>\n"
		"<body><h1>Culvert</h1>\n"
		"<p>This is a MASQUE relay. It proxies UDP in HTTP/3 (CONNECT-UDP, RFC 9298) at\n"
		"<code>" CLV_TEMPLATE_DEFAULT_PATH "</code>.</p></body></html>\n";
	char length[24];
	struct clv_http_field fields[3];

	snprintf(length, sizeof(length), "%zu", sizeof(page) - 1);
	fields[0] = clv_http_field_text("content-type", "text/html; charset=utf-8");
	fields[1] = clv_http_field_text("content-length", length);
	fields[2] = clv_http_field_text("cache-control", "no-store");
	if (!with_body) {
		clv_respond(rs, s, 200, fields, 3);
		return;
	}
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	if (clv_http_respond(s, 200, fields, 3, false) < 0 ||
	    clv_http_send(s, (const uint8_t *)page, sizeof(page) - 1, NULL, 0, true) < 0)
		clv_http_abort(s, CLV_H3_INTERNAL_ERROR);
	else
		clv_http_stop(s, CLV_H3_NO_ERROR);
}
