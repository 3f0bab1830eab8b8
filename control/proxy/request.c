/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/http/fields.h"
#include "bpf/guard.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* ---- answers ---- */

/* A final response without content; nothing more of the request is read. */
static void respond_only(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
			 const struct clv_http_field *fields, size_t len)
{
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	if (clv_http_respond(s, status, fields, len, true) < 0) {
		clv_http_abort(s, CLV_H3_INTERNAL_ERROR);
		return;
	}
	clv_http_stop(s, CLV_H3_NO_ERROR);
}

void clv_requests_refuse(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
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
	respond_only(rs, s, status, fields, len);
}

static void respond_page(struct clv_requests *rs, struct clv_http_stream *s, bool with_body)
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
		respond_only(rs, s, 200, fields, 3);
		return;
	}
	clv_requests_count(rs, CLV_COUNT_REQUESTS);
	if (clv_http_respond(s, 200, fields, 3, false) < 0 ||
	    clv_http_send(s, (const uint8_t *)page, sizeof(page) - 1, NULL, 0, true) < 0)
		clv_http_abort(s, CLV_H3_INTERNAL_ERROR);
	else
		clv_http_stop(s, CLV_H3_NO_ERROR);
}

/* ---- reading a request ---- */

static bool has_field(const struct clv_http_head *head, const char *name)
{
	return clv_http_find_field(head, name, NULL) != NULL;
}

static bool is_value(const struct clv_http_field *f, const char *text)
{
	return f && strcmp(f->value, text) == 0;
}

static void refuse_malformed(struct clv_requests *rs, struct clv_http_stream *s,
			     const char *details)
{
	clv_requests_refuse(rs, s, 400,
			    &(struct clv_proxy_status){ .error = CLV_PROXY_HTTP_REQUEST_ERROR,
							.details = details });
}

/* The target could not be read. */
static void refuse_target(struct clv_requests *rs, struct clv_http_stream *s, int err,
			  const char *details)
{
	struct clv_proxy_status why = { .details = details };

	switch (err) {
	case CLV_ENONAME:
		why.error = CLV_PROXY_HTTP_REQUEST_ERROR;
		why.details = "not the path of this relay's template";
		clv_requests_refuse(rs, s, 404, &why);
		return;
	case CLV_EDENIED:
		why.error = CLV_PROXY_DESTINATION_IP_PROHIBITED;
		clv_requests_refuse(rs, s, 0, &why);
		return;
	default:
		refuse_malformed(rs, s, details);
		return;
	}
}

static void on_connect_udp(struct clv_requests *rs, struct clv_http_stream *s,
			   const struct clv_http_head *head)
{
	const struct clv_http_field *path = clv_http_find_only(head, ":path");
	const struct clv_http_field *bind = clv_http_find_only(head, "connect-udp-bind");
	bool asks_bind = bind && clv_fields_is_true(bind->value, bind->value_len);
	struct clv_target target;
	const char *details = NULL;
	int err;

	/* RFC 9298 section 3.4: neither message of the exchange has content. */
	if (has_field(head, "content-length") || has_field(head, "content-type")) {
		clv_http_abort(s, CLV_H3_MESSAGE_ERROR);
		return;
	}
	if (!is_value(clv_http_find_only(head, ":scheme"), "https")) {
		refuse_malformed(rs, s, ":scheme is not https");
		return;
	}
	err = clv_target_parse(path->value, path->value_len, &target, &details);
	if (err < 0) {
		refuse_target(rs, s, err, details);
		return;
	}
	if (target.kind == CLV_TARGET_ANY && !asks_bind) {
		refuse_malformed(rs, s, "no target, and no connect-udp-bind");
		return;
	}
	if (target.kind == CLV_TARGET_ANY && !rs->params.config->bind->is_offered) {
		clv_requests_refuse(
			rs, s, 501,
			&(struct clv_proxy_status){ .error = CLV_PROXY_PROXY_INTERNAL_RESPONSE,
						    .details = "bound sockets are not offered" });
		return;
	}
	if (rs->count >= rs->params.config->tunnels_per_conn) {
		clv_requests_count(rs, CLV_COUNT_REFUSED_TUNNELS_CONN);
		clv_requests_refuse(rs, s, 429,
				    &(struct clv_proxy_status){
					    .error = CLV_PROXY_HTTP_REQUEST_ERROR,
					    .next_hop = target.host,
					    .details = "too many tunnels of one connection" });
		return;
	}
	clv_request_begin(rs, s, &target, asks_bind && rs->params.config->bind->is_offered);
}

/* Anything that is not a tunnel. */
static void on_plain_request(struct clv_requests *rs, struct clv_http_stream *s,
			     const struct clv_http_field *method, const struct clv_http_field *path)
{
	const struct clv_http_field allow = clv_http_field_text("allow", "GET, HEAD");

	if (strcspn(path->value, "?") != 1 || path->value[0] != '/')
		respond_only(rs, s, 404, NULL, 0);
	else if (is_value(method, "GET"))
		respond_page(rs, s, true);
	else if (is_value(method, "HEAD"))
		respond_page(rs, s, false);
	else
		respond_only(rs, s, 405, &allow, 1);
}

static void on_headers(void *user, struct clv_http_stream *s, const struct clv_http_head *head)
{
	struct clv_requests *rs = user;
	const struct clv_http_field *method = clv_http_find_only(head, ":method");
	const struct clv_http_field *protocol = clv_http_find_only(head, ":protocol");

	if (!clv_bucket_take(&rs->rate_full_ns, &rs->params.config->request_rate,
			     *rs->params.config->now_ns)) {
		clv_requests_count(rs, CLV_COUNT_REFUSED_RATE);
		clv_requests_refuse(
			rs, s, 429,
			&(struct clv_proxy_status){ .error = CLV_PROXY_HTTP_REQUEST_ERROR,
						    .details = "requests come too fast" });
	} else if (head->too_large) {
		clv_requests_refuse(
			rs, s, 431,
			&(struct clv_proxy_status){ .error = CLV_PROXY_HTTP_REQUEST_ERROR });
	} else if (is_value(protocol, "connect-udp")) {
		on_connect_udp(rs, s, head);
	} else if (protocol || is_value(method, "CONNECT")) {
		/* RFC 9220 section 3 for an unknown :protocol; nor are TCP tunnels offered. */
		clv_requests_refuse(
			rs, s, 501,
			&(struct clv_proxy_status){ .error = CLV_PROXY_PROXY_INTERNAL_RESPONSE,
						    .details = "only connect-udp is offered" });
	} else {
		on_plain_request(rs, s, method, clv_http_find_only(head, ":path"));
	}
}

/* ---- events ---- */

static void on_body(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len)
{
	struct clv_request *rq = s->user;

	(void)user;
	if (rq)
		clv_request_body(rq, data, len);
}

static void on_end(void *user, struct clv_http_stream *s)
{
	struct clv_request *rq = s->user;

	(void)user;
	if (rq)
		clv_request_finish(rq);
}

static void on_reset(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct clv_request *rq = s->user;

	(void)user;
	(void)code;
	if (rq)
		clv_request_abort(rq, CLV_H3_REQUEST_CANCELLED);
}

static void on_closed(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct clv_request *rq = s->user;

	(void)user;
	(void)code;
	if (rq)
		clv_request_end(rq);
}

static void on_settings(void *user, const struct clv_http_settings *settings)
{
	struct clv_requests *rs = user;
	struct clv_request *next;

	(void)settings;
	for (struct clv_request *rq = rs->first; rq; rq = next) {
		next = rq->next;
		if (rq->state == CLV_REQUEST_WAITING)
			clv_request_open_tunnel(rq);
	}
}

static const struct clv_http_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_reset, /* a peer that will not listen has no use for the tunnel either */
	.on_closed = on_closed,
};

/* ---- public ---- */

bool clv_requests_is_own_address(void *user, const uint8_t addr[16])
{
	const struct clv_requests_config *config = user;
	const struct clv_bind_settings *s = config->bind;
	bool v6 = !clv_addr_is_v4(addr);

	if (s->has_public[v6] && memcmp(s->public_addr[v6], addr, 16) == 0)
		return true;
	return config->host_ops->is_own_address(config->host, addr);
}

int clv_requests_new(const struct clv_requests_params *params, struct clv_requests **out)
{
	struct clv_requests *rs = calloc(1, sizeof(*rs));

	if (!rs) {
		clv_http_free(params->http);
		return -ENOMEM;
	}
	rs->params = *params;
	rs->http = params->http;
	rs->registrations.per_sec = params->config->bind->registrations_per_sec;
	clv_http_set_events(rs->http, &event_ops, rs);
	*out = rs;
	return 0;
}

void clv_requests_free(struct clv_requests *rs)
{
	if (!rs)
		return;
	clv_http_free(rs->http); /* closes every stream, and with it every request */
	free(rs);
}

uint32_t clv_requests_tunnels(const struct clv_requests *rs)
{
	return rs->count;
}
