/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * serve - the relay's use of a session: an HTTP/3 server whose CONNECT-UDP requests are tunnels.
 */
#include <stdlib.h>

#include "control/core/state.h"
#include "control/proxy/connect_udp.h"
#include "datapath/base/err.h"

static void on_tunnel_gone(void *user, int error)
{
	clv_connect_udp_tunnel_gone(user, error);
}

static void on_datagram_up(void *user, const uint8_t *data, size_t len)
{
	clv_connect_udp_datagram_up(user, data, len);
}

static void on_bound(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		     const uint8_t *payload, size_t len)
{
	(void)payload; /* the relay's tunnels deliver nothing to control */
	(void)len;
	clv_connect_udp_remote_event(user, type, evt);
}

static const struct clv_session_tunnel_ops tunnel_ops = {
	.gone = on_tunnel_gone,
	.datagram_up = on_datagram_up,
	.bound = on_bound,
};

static int tunnel_open(void *session, struct clv_request *rq, const struct clv_request_tunnel *t,
		       struct clv_ref *ref)
{
	struct clv_session *s = session;
	struct clv_session_tunnel tunnel = {
		.stream_id = t->stream_id,
		.remote = t->target,
		.hop = t->route.hop,
		.egress = t->egress,
		.idle_ns = t->bind ? s->control->bind.tunnel_idle_ns
				   : s->control->p.limits.tunnel_idle_ns,
		.bind = t->bind,
		.capsules = t->capsules,
		.ops = &tunnel_ops,
		.user = rq,
	};

	return clv_session_tunnel_open(s, &tunnel, ref);
}

static void tunnel_close(void *session, struct clv_request *rq, const struct clv_ref *ref)
{
	(void)rq;
	clv_session_tunnel_close(session, ref);
}

static void tunnel_send(void *session, const struct clv_ref *ref, uint64_t context_id,
			const uint8_t *payload, size_t len)
{
	clv_session_tunnel_send(session, ref, context_id, payload, len);
}

static void tunnel_command(void *session, const struct clv_ref *ref, enum clv_command type,
			   const void *body, size_t len)
{
	clv_session_tunnel_command(session, ref, type, body, len, NULL, 0);
}

static const struct clv_request_ops request_ops = {
	.tunnel_open = tunnel_open,
	.tunnel_close = tunnel_close,
	.tunnel_send = tunnel_send,
	.tunnel_command = tunnel_command,
};

static int established(void *app, struct clv_session *s)
{
	struct clv_control *c = app;
	const struct clv_h3_params h3_params = {
		.role = CLV_H3_SERVER,
		.transport_ops = &clv_session_transport,
		.transport = s,
		.quic_datagrams = clv_session_has_datagrams(s),
		.streams_max = c->p.limits.tunnels_per_conn,
		.rand = &c->rand,
	};
	struct clv_requests_params p = {
		.config = &c->requests,
		.ops = &request_ops,
		.session = s,
		.rand = &c->rand,
	};
	struct clv_requests *rs;
	struct clv_h3 *h3;
	int err = clv_h3_new(&h3_params, &h3);

	if (err)
		return err;
	p.http = clv_h3_http(h3);
	err = clv_requests_new(&p, &rs);
	if (err)
		return err;
	clv_session_set_user(s, rs);
	clv_session_set_h3(s, h3);
	return clv_h3_start(h3);
}

static void ended(void *app, struct clv_session *s, const struct clv_session_end *end)
{
	struct clv_requests *rs = clv_session_user(s);

	(void)app;
	(void)end;
	clv_session_set_h3(s, NULL);
	if (rs)
		clv_requests_free(rs);
}

static void each_served(struct clv_control *c, void (*fn)(struct clv_requests *rs))
{
	for (struct clv_session *s = c->sessions; s; s = s->next)
		if (s->app_ops == &serve_app && s->state == SESSION_LIVE && s->user)
			fn(s->user);
}

void serve_policy_changed(struct clv_control *c)
{
	each_served(c, clv_connect_udp_policy_changed);
}

void serve_routes_changed(struct clv_control *c)
{
	each_served(c, clv_connect_udp_routes_changed);
}

const struct clv_session_app_ops serve_app = {
	.established = established,
	.ended = ended,
};
