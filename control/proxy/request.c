/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/http/fields.h"
#include "control/masque/template.h"
#include "control/proxy/connect_udp.h"
#include "control/proxy/respond.h"
#include "control/proxy/signal_stream.h"
#include "control/proxy/state.h"
#include "datapath/base/bucket.h"
#include "datapath/base/err.h"

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
	clv_respond_refusal(rs, s, 400,
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
		clv_respond_refusal(rs, s, 404, &why);
		return;
	case CLV_EDENIED:
		why.error = CLV_PROXY_DESTINATION_IP_PROHIBITED;
		clv_respond_refusal(rs, s, 0, &why);
		return;
	default:
		refuse_malformed(rs, s, details);
		return;
	}
}

static void too_many_requests(struct clv_requests *rs, struct clv_http_stream *s,
			      const char *next_hop)
{
	clv_requests_count(rs, CLV_COUNT_REFUSED_TUNNELS);
	clv_respond_refusal(rs, s, 0,
			    &(struct clv_proxy_status){ .error = CLV_PROXY_CONNECTION_LIMIT_REACHED,
							.next_hop = next_hop,
							.details = "too many requests" });
}

/* The client may use the relay, or its password is to be checked.  access: takes what it names. */
static void open_tunnel(struct clv_requests *rs, struct clv_http_stream *s,
			const struct clv_http_head *head, const struct clv_gate_access *access)
{
	const struct clv_http_field *path = clv_http_find_only(head, ":path");
	const struct clv_http_field *bind = clv_http_find_only(head, "connect-udp-bind");
	bool asks_bind = bind && clv_fields_is_true(bind->value, bind->value_len);
	struct clv_target target;
	const char *details = NULL;
	int err;

	err = clv_target_parse(path->value, path->value_len, &target, &details);
	if (err < 0) {
		clv_gate_forget(rs->params.config->gate, access);
		refuse_target(rs, s, err, details);
		return;
	}
	if (target.kind == CLV_TARGET_ANY && !asks_bind) {
		clv_gate_forget(rs->params.config->gate, access);
		refuse_malformed(rs, s, "no target, and no connect-udp-bind");
		return;
	}
	if (target.kind == CLV_TARGET_ANY && !rs->params.config->bound->is_offered) {
		clv_gate_forget(rs->params.config->gate, access);
		clv_respond_refusal(
			rs, s, 501,
			&(struct clv_proxy_status){ .error = CLV_PROXY_PROXY_INTERNAL_RESPONSE,
						    .details = "bound sockets are not offered" });
		return;
	}
	if (rs->count >= rs->params.config->tunnels_per_conn) {
		clv_gate_forget(rs->params.config->gate, access);
		clv_requests_count(rs, CLV_COUNT_REFUSED_TUNNELS_CONN);
		clv_respond_refusal(rs, s, 429,
				    &(struct clv_proxy_status){
					    .error = CLV_PROXY_HTTP_REQUEST_ERROR,
					    .next_hop = target.host,
					    .details = "too many tunnels of one connection" });
		return;
	}
	if (!clv_requests_charge(rs)) {
		clv_gate_forget(rs->params.config->gate, access);
		too_many_requests(rs, s, target.host);
		return;
	}
	clv_connect_udp_begin(rs, s, &target, asks_bind && rs->params.config->bound->is_offered,
			      access);
}

static void open_signal(struct clv_requests *rs, struct clv_http_stream *s,
			const struct clv_http_head *head, const struct clv_gate_access *access)
{
	if (!is_value(clv_http_find_only(head, ":path"), CLV_SIGNAL_PATH)) {
		clv_gate_forget(rs->params.config->gate, access);
		refuse_target(rs, s, CLV_ENONAME, NULL);
	} else if (rs->signal) {
		clv_gate_forget(rs->params.config->gate, access);
		clv_requests_count(rs, CLV_COUNT_SIGNAL_SECOND);
		clv_respond_refusal(rs, s, 429,
				    &(struct clv_proxy_status){
					    .error = CLV_PROXY_HTTP_REQUEST_ERROR,
					    .details = "the connection has a signal stream" });
	} else if (!clv_requests_charge(rs)) {
		clv_gate_forget(rs->params.config->gate, access);
		too_many_requests(rs, s, NULL);
	} else {
		clv_signal_begin(rs, s, access);
	}
}

/* An extended CONNECT; open is what happens if the client may use the relay, or its password is right. */
static void on_extended_connect(struct clv_requests *rs, struct clv_http_stream *s,
				const struct clv_http_head *head,
				void (*open)(struct clv_requests *rs, struct clv_http_stream *s,
					     const struct clv_http_head *head,
					     const struct clv_gate_access *access))
{
	struct clv_gate *gate = rs->params.config->gate;
	struct clv_gate_client client = { NULL, NULL };
	struct clv_gate_access access = { 0 };
	enum clv_access_result result;

	/* RFC 9298 section 3.4: neither message of the exchange has content. */
	if (has_field(head, "content-length") || has_field(head, "content-type")) {
		clv_http_abort(s, CLV_H3_MESSAGE_ERROR);
		return;
	}
	if (!is_value(clv_http_find_only(head, ":scheme"), "https")) {
		refuse_malformed(rs, s, ":scheme is not https");
		return;
	}
	/* A client without credentials learns nothing of targets. */
	if (gate) {
		client.addr = rs->params.ops->peer(rs->params.session)->addr;
		client.tls = rs->params.ops->tls(rs->params.session);
	}
	result = clv_gate_judge(gate, &client, head, &access.grant, &access.check);
	if (result == CLV_ACCESS_GRANTED || result == CLV_ACCESS_CHECK)
		open(rs, s, head, &access);
	else
		clv_gate_refuse(rs, s, result);
}

/* Anything that is not a tunnel. */
static void on_plain_request(struct clv_requests *rs, struct clv_http_stream *s,
			     const struct clv_http_field *method, const struct clv_http_field *path)
{
	const struct clv_http_field allow = clv_http_field_text("allow", "GET, HEAD");

	if (strcspn(path->value, "?") != 1 || path->value[0] != '/')
		clv_respond(rs, s, 404, NULL, 0);
	else if (is_value(method, "GET"))
		clv_respond_page(rs, s, true);
	else if (is_value(method, "HEAD"))
		clv_respond_page(rs, s, false);
	else
		clv_respond(rs, s, 405, &allow, 1);
}

/* Incomplete requests count for the rate as well: their fields cost the same. */
static bool on_begin(void *user, struct clv_http_stream *s)
{
	struct clv_requests *rs = user;

	(void)s;
	if (clv_rate_take(&rs->params.config->request_rate, &rs->rate_full_ns,
			  *rs->params.config->now_ns))
		return true;
	clv_requests_count(rs, CLV_COUNT_REFUSED_RATE);
	return false;
}

static void on_headers(void *user, struct clv_http_stream *s, const struct clv_http_head *head)
{
	struct clv_requests *rs = user;
	const struct clv_http_field *method = clv_http_find_only(head, ":method");
	const struct clv_http_field *protocol = clv_http_find_only(head, ":protocol");

	if (head->is_refused) {
		clv_respond_refusal(
			rs, s, 429,
			&(struct clv_proxy_status){ .error = CLV_PROXY_HTTP_REQUEST_ERROR,
						    .details = "requests come too fast" });
	} else if (head->too_large) {
		clv_respond_refusal(
			rs, s, 431,
			&(struct clv_proxy_status){ .error = CLV_PROXY_HTTP_REQUEST_ERROR });
	} else if (is_value(protocol, "connect-udp")) {
		on_extended_connect(rs, s, head, open_tunnel);
	} else if (rs->params.config->signals && is_value(protocol, CLV_SIGNAL_PROTOCOL)) {
		on_extended_connect(rs, s, head, open_signal);
	} else if (protocol || is_value(method, "CONNECT")) {
		/* RFC 9220 section 3 for an unknown :protocol; nor are TCP tunnels offered. */
		clv_respond_refusal(
			rs, s, 501,
			&(struct clv_proxy_status){ .error = CLV_PROXY_PROXY_INTERNAL_RESPONSE,
						    .details = "only connect-udp is offered" });
	} else {
		on_plain_request(rs, s, method, clv_http_find_only(head, ":path"));
	}
}

/* ---- events ---- */

/* What stands behind a stream, of one kind; NULL: nothing, or something of the other. */
static void *behind(const struct clv_http_stream *s, enum clv_request_kind kind)
{
	const enum clv_request_kind *its = s->user;

	return its && *its == kind ? s->user : NULL;
}

static struct clv_request *udp_of(const struct clv_http_stream *s)
{
	return behind(s, CLV_REQUEST_UDP);
}

static struct clv_signal_stream *signal_of(const struct clv_http_stream *s)
{
	return behind(s, CLV_REQUEST_SIGNAL);
}

static void on_overdue(void *user, struct clv_http_stream *s)
{
	(void)user;
	if (udp_of(s))
		clv_connect_udp_overdue(udp_of(s));
	else if (signal_of(s))
		clv_signal_overdue(signal_of(s));
	else
		clv_http_abort(s, CLV_H3_INTERNAL_ERROR); /* all others are answered at once */
}

static void on_body(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len)
{
	(void)user;
	if (udp_of(s))
		clv_connect_udp_body(udp_of(s), data, len);
	else if (signal_of(s))
		clv_signal_body(signal_of(s), data, len);
}

static void on_end(void *user, struct clv_http_stream *s)
{
	(void)user;
	if (udp_of(s))
		clv_connect_udp_finish(udp_of(s));
	else if (signal_of(s))
		clv_signal_finish(signal_of(s));
}

static void on_reset(void *user, struct clv_http_stream *s, uint64_t code)
{
	(void)user;
	(void)code;
	if (udp_of(s))
		clv_connect_udp_abort(udp_of(s), CLV_H3_REQUEST_CANCELLED);
	else if (signal_of(s))
		clv_signal_abort(signal_of(s), CLV_H3_REQUEST_CANCELLED);
}

static void on_closed(void *user, struct clv_http_stream *s, uint64_t code)
{
	(void)user;
	(void)code;
	if (udp_of(s))
		clv_connect_udp_end(udp_of(s));
	else if (signal_of(s))
		clv_signal_end(signal_of(s));
}

static void on_settings(void *user, const struct clv_http_settings *settings)
{
	(void)settings;
	clv_connect_udp_settings_known(user);
}

static const struct clv_http_event_ops event_ops = {
	.on_settings = on_settings,
	.on_begin = on_begin,
	.on_overdue = on_overdue,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_reset, /* a peer that will not listen has no use for the tunnel either */
	.on_closed = on_closed,
};

/* ---- public ---- */

int clv_requests_new(const struct clv_requests_params *params, struct clv_requests **out)
{
	struct clv_requests *rs = calloc(1, sizeof(*rs));

	if (!rs) {
		clv_http_free(params->http);
		return -ENOMEM;
	}
	rs->params = *params;
	rs->http = params->http;
	rs->registrations = clv_bucket_of(params->config->bound->registrations_per_sec,
					  params->config->bound->registrations_per_sec);
	clv_http_set_events(rs->http, &event_ops, rs);
	*out = rs;
	return 0;
}

void clv_requests_free(struct clv_requests *rs)
{
	if (!rs)
		return;
	clv_http_free(rs->http); /* closes every stream, and with it every request */
	clv_gate_discharge(rs);
	free(rs);
}

uint32_t clv_requests_tunnels(const struct clv_requests *rs)
{
	return rs->count;
}
