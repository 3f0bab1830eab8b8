/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/relay_session.h"

#include "control/http/h3.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct clv_relay_session {
	struct clv_relay_session_params p;
	struct clv_session *session;
	struct clv_client_requests *requests;
	struct clv_h3 *h3; /* owned by requests */
	char *authority, *uri_template, *authorization;
	struct clv_relay_signal *signal; /* NULL: none */
};

struct clv_relay_tunnel {
	struct clv_relay_session *rs;
	struct clv_relay_tunnel_params p;
	struct clv_client_request *request;
	struct clv_ref ref;
	bool is_open;
	bool capsules;
};

/* ---- tunnels ---- */

static void tunnel_lost(void *user, int error)
{
	struct clv_relay_tunnel *t = user;

	t->is_open = false;
	clv_client_request_close(t->request);
	t->p.ops->on_closed(t->p.user, error, NULL);
	free(t);
}

/* DATAGRAM frames cannot be used with this relay: send a capsule. */
static void on_datagram_up(void *user, const uint8_t *data, size_t len)
{
	struct clv_relay_tunnel *t = user;
	const uint8_t *p = data;
	uint64_t context_id;

	if (!clv_varint_read(&p, data + len, &context_id))
		clv_client_request_send(t->request, context_id, p, (size_t)(data + len - p));
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	struct clv_relay_tunnel *t = user;

	if (type == CLV_EVT_CONTEXT_ZERO) /* draft section 3: its receiver aborts the stream */
		clv_client_request_abort(t->request, CLV_H3_DATAGRAM_ERROR);
	else if (t->p.ops->on_bound)
		t->p.ops->on_bound(t->p.user, type, evt, payload, len);
}

static const struct clv_session_tunnel_ops tunnel_ops = {
	.gone = tunnel_lost,
	.datagram_up = on_datagram_up,
	.bound = on_bound,
};

static int open_at_worker(struct clv_relay_tunnel *t, const struct clv_client_result *result)
{
	const bool is_bound = !t->p.host; /* holds no port: every remote has a socket of its own */
	const struct clv_session_tunnel st = {
		.spec = {
			.stream_id = result->stream_id,
			.flags = (result->capsules ? CLV_TUNNEL_CAPSULES : 0) |
				 (is_bound ? CLV_TUNNEL_BOUND : 0) |
				 (t->p.deliver ? CLV_TUNNEL_DELIVER : 0),
			.socket = t->p.socket,
			.local = t->p.local,
			.remote = t->p.remote,
			.hop = { .via = CLV_VIA_KERNEL, .state = CLV_HOP_READY },
			.busy_per_sec = t->p.busy_per_sec,
			.remotes_max = t->p.remotes_max,
			.context_idle_ns = t->p.context_idle_ns,
		},
		.egress = { .fd = -1 },
		.ops = &tunnel_ops,
		.user = t,
	};

	return clv_session_tunnel_open(t->rs->session, &st, &t->ref);
}

static void on_result(void *user, struct clv_client_request *rq,
		      const struct clv_client_result *result)
{
	struct clv_relay_tunnel *t = clv_client_request_user(rq);
	int err = result->err;

	(void)user;
	if (clv_client_request_is_signal(rq)) {
		clv_relay_signal_result(clv_client_request_user(rq), result);
		return;
	}
	if (!err)
		err = open_at_worker(t, result);
	if (!err) {
		t->is_open = true;
		t->capsules = result->capsules;
		t->p.ops->on_open(t->p.user, result);
		return;
	}
	t->p.ops->on_closed(t->p.user, err, result);
	t->p.ops = NULL;
	if (!result->err) { /* the relay has opened it, the worker has not: on_closed does not come */
		clv_client_request_close(rq);
		free(t);
	}
}

static void on_datagram(void *user, struct clv_client_request *rq, uint64_t context_id,
			const uint8_t *payload, size_t len)
{
	struct clv_relay_tunnel *t = clv_client_request_user(rq);

	(void)user;
	if (t->is_open)
		clv_session_tunnel_send(t->rs->session, &t->ref, context_id, payload, len);
}

static int on_context(void *user, struct clv_client_request *rq, enum clv_capsule_type type,
		      const uint8_t *value, size_t len)
{
	struct clv_relay_tunnel *t = clv_client_request_user(rq);

	(void)user;
	return t->p.ops->on_context(t->p.user, type, value, len);
}

static int on_signal(void *user, struct clv_client_request *rq, uint64_t type, const uint8_t *value,
		     size_t len)
{
	(void)user;
	return clv_relay_signal_value(clv_client_request_user(rq), type, value, len);
}

static void on_closed(void *user, struct clv_client_request *rq, int err)
{
	struct clv_relay_tunnel *t = clv_client_request_user(rq);
	struct clv_relay_session *rs = user;

	if (clv_client_request_is_signal(rq)) {
		rs->signal = NULL;
		clv_relay_signal_ended(clv_client_request_user(rq), err);
		return;
	}
	if (t->is_open)
		clv_session_tunnel_close(t->rs->session, &t->ref);
	if (t->p.ops)
		t->p.ops->on_closed(t->p.user, err, NULL);
	free(t);
}

static const struct clv_client_request_ops request_ops = {
	.on_result = on_result,
	.on_datagram = on_datagram,
	.on_context = on_context,
	.on_signal = on_signal,
	.on_closed = on_closed,
};

int clv_relay_tunnel_open(struct clv_relay_session *rs, const struct clv_relay_tunnel_params *p,
			  struct clv_relay_tunnel **out)
{
	struct clv_relay_tunnel *t;
	int err;

	if (!rs->requests)
		return CLV_ECLOSED;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->rs = rs;
	t->p = *p;
	if (p->host)
		err = clv_client_request_open(rs->requests, p->host, p->port, t, &t->request);
	else
		err = clv_client_request_bind(rs->requests, t, &t->request);
	if (err) {
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

void clv_relay_tunnel_close(struct clv_relay_tunnel *t)
{
	if (t->is_open)
		clv_session_tunnel_close(t->rs->session, &t->ref);
	clv_client_request_close(t->request);
	free(t);
}

void clv_relay_tunnel_command(struct clv_relay_tunnel *t, enum clv_command type, void *head,
			      size_t head_len, const uint8_t *tail, size_t tail_len)
{
	memcpy(head, &t->ref, sizeof(t->ref)); /* these commands begin with it */
	if (t->is_open)
		clv_session_tunnel_command(t->rs->session, &t->ref, type, head, head_len, tail,
					   tail_len);
}

int clv_relay_tunnel_send_capsule(struct clv_relay_tunnel *t, const uint8_t *capsule, size_t len)
{
	return clv_client_request_send_capsule(t->request, capsule, len);
}

void clv_relay_tunnel_up(struct clv_relay_tunnel *t, const uint8_t *payload, size_t len)
{
	if (t->is_open)
		clv_session_tunnel_up(t->rs->session, &t->ref, payload, len);
}

void clv_relay_tunnel_stats(const struct clv_relay_tunnel *t, struct clv_tunnel_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (t->is_open)
		clv_session_tunnel_stats(t->rs->session, &t->ref, out);
}

/* ---- the session ---- */

static int established(void *app, struct clv_session *s)
{
	struct clv_relay_session *rs = app;
	const struct clv_h3_params h3_params = {
		.role = CLV_H3_CLIENT,
		.transport_ops = &clv_session_stream_ops,
		.transport = s,
		.quic_datagrams = clv_session_has_datagrams(s) && !rs->p.connect.no_datagrams,
		.streams_max = clv_relay_session_places(rs->p.tunnels_max),
		.rand = rs->p.rand,
	};
	struct clv_client_requests_params p = {
		.ops = &request_ops,
		.user = rs,
		.uri_template = rs->uri_template,
		.authority = rs->authority,
		.authorization = rs->authorization,
		.streams_max = rs->p.tunnels_max,
		.capsule_backlog = rs->p.capsule_backlog,
		.answer_ns = rs->p.answer_ns,
		.counters = rs->p.counters,
	};
	struct clv_h3 *h3;
	int err = clv_h3_new(&h3_params, &h3);

	if (err)
		return err;
	p.http = clv_h3_http(h3);
	err = clv_client_requests_new(&p, &rs->requests);
	if (err)
		return err;
	rs->h3 = h3;
	err = clv_h3_start(h3);
	if (err)
		return err;
	rs->session = s;
	rs->p.ops->on_up(rs->p.user, rs);
	return 0;
}

static void free_session(struct clv_relay_session *rs)
{
	if (rs->authorization)
		explicit_bzero(rs->authorization, strlen(rs->authorization));
	free(rs->authorization);
	free(rs->authority);
	free(rs->uri_template);
	free(rs);
}

static void ended(void *app, struct clv_session *s, const struct clv_session_end *end)
{
	struct clv_relay_session *rs = app;

	(void)s;
	if (rs->requests)
		clv_client_requests_free(rs->requests);
	rs->p.ops->on_down(rs->p.user, end);
	free_session(rs);
}

static void stream(void *app, struct clv_session *s, const struct clv_stream_event *e)
{
	struct clv_relay_session *rs = app;

	(void)s;
	clv_h3_stream_event(rs->h3, e);
}

static void max_payload(void *app, struct clv_session *s, uint32_t len)
{
	struct clv_relay_session *rs = app;

	(void)s;
	if (rs->p.ops->on_max_payload)
		rs->p.ops->on_max_payload(rs->p.user, len);
}

static const struct clv_session_app_ops app_ops = {
	.overload_code = CLV_H3_EXCESSIVE_LOAD,
	.internal_code = CLV_H3_INTERNAL_ERROR,
	.established = established,
	.stream = stream,
	.ended = ended,
	.max_payload = max_payload,
};

int clv_relay_session_open(const struct clv_relay_session_params *p, uint64_t now_ns,
			   struct clv_relay_session **out)
{
	struct clv_relay_session *rs = calloc(1, sizeof(*rs));
	struct clv_control_connect connect = p->connect;
	int err = -ENOMEM;

	if (!rs)
		return -ENOMEM;
	rs->p = *p;
	rs->authority = strdup(p->authority);
	rs->uri_template = p->uri_template ? strdup(p->uri_template) : NULL;
	rs->authorization = p->authorization ? strdup(p->authorization) : NULL;
	if (!rs->authority || (p->uri_template && !rs->uri_template) ||
	    (p->authorization && !rs->authorization))
		goto free_session;
	connect.app_ops = &app_ops;
	connect.app = rs;
	err = clv_control_connect(p->control, &connect, now_ns, &rs->session);
	if (err)
		goto free_session;
	*out = rs;
	return 0;

free_session:
	free_session(rs);
	return err;
}

void clv_relay_session_close(struct clv_relay_session *rs)
{
	clv_session_close(rs->session, true, CLV_H3_NO_ERROR, "");
}

void clv_relay_session_step(struct clv_relay_session *rs, uint64_t now_ns)
{
	if (rs->signal)
		clv_relay_signal_step(rs->signal, now_ns);
	if (rs->requests)
		clv_client_requests_step(rs->requests, now_ns);
}

uint64_t clv_relay_session_next_ns(const struct clv_relay_session *rs)
{
	uint64_t at_ns = rs->requests ? clv_client_requests_next_ns(rs->requests) : UINT64_MAX;
	uint64_t signal_ns = rs->signal ? clv_relay_signal_next_ns(rs->signal) : UINT64_MAX;

	return signal_ns < at_ns ? signal_ns : at_ns;
}

int clv_relay_session_signal(struct clv_relay_session *rs, const struct clv_relay_signal_params *p,
			     struct clv_relay_signal **out)
{
	int err;

	if (!rs->requests)
		return CLV_ECLOSED;
	if (rs->signal)
		return CLV_EFULL;
	err = clv_relay_signal_open(rs->requests, p, &rs->signal);
	if (!err)
		*out = rs->signal;
	return err;
}

void clv_relay_session_signal_close(struct clv_relay_session *rs)
{
	if (rs->signal)
		clv_relay_signal_close(rs->signal);
	rs->signal = NULL;
}

const struct clv_tls_facts *clv_relay_session_tls(const struct clv_relay_session *rs)
{
	return clv_session_tls(rs->session);
}
