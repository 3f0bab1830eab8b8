/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/state.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	UNI_SERVER = 3, /* first IDs of our own streams (RFC 9000 section 2.1) */
	UNI_CLIENT = 2,
	BIDI_CLIENT = 0,
};

/* ---- events of the conn before its hand-over ---- */

static void keep(struct clv_session *s, uint32_t type, int64_t id, uint64_t code,
		 const uint8_t *data, size_t len)
{
	struct pending *p;

	if (!clv_budget_take(&s->held, sizeof(*p) + len)) {
		clv_count(&s->control->counters, CLV_COUNT_BUFFERED_FULL);
		clv_session_close(s, true, s->app_ops->overload_code, "too many bytes wait");
		return;
	}
	p = malloc(sizeof(*p) + len);
	if (!p) {
		clv_budget_give(&s->held, sizeof(*p) + len);
		clv_session_close(s, false, NGTCP2_INTERNAL_ERROR, "out of memory");
		return;
	}
	*p = (struct pending){ .type = type, .stream_id = id, .code = code, .len = len };
	if (len)
		memcpy(p->bytes, data, len);
	if (s->pending_last)
		s->pending_last->next = p;
	else
		s->pending = p;
	s->pending_last = p;
}

static int on_completed(struct clv_conn *conn)
{
	struct clv_session *s = conn->env.owner;
	int err = clv_tls_verify_profile(conn, &s->tls);

	if (err) {
		conn->close_error = err;
		return err;
	}
	s->completed = true;
	return 0;
}

static int on_cid_added(struct clv_conn *conn, const struct clv_cid *cid)
{
	struct clv_session *s = conn->env.owner;

	session_cid_added(s, cid);
	return 0;
}

static void on_cid_removed(struct clv_conn *conn, const struct clv_cid *cid)
{
	session_cid_removed(conn->env.owner, cid);
}

static void on_datagram(struct clv_conn *conn, const uint8_t *data, size_t len)
{
	struct clv_session *s = conn->env.owner;

	if (s->pending_datagrams >= s->control->p.limits.handover_packets) {
		clv_count(&s->control->counters, CLV_COUNT_DROP_EARLY_FULL);
		return;
	}
	s->pending_datagrams++;
	keep(s, 0, -1, 0, data, len);
}

static void on_stream_data(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			   bool fin)
{
	keep(conn->env.owner, CLV_STREAM_DATA, id, fin, data, len);
}

static void on_stream_acked(struct clv_conn *conn, int64_t id, uint64_t bytes)
{
	keep(conn->env.owner, CLV_STREAM_ACKED, id, bytes, NULL, 0);
}

static void on_stream_reset(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_STREAM_RESET, id, code, NULL, 0);
}

static void on_stream_stop(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_STREAM_STOP, id, code, NULL, 0);
}

static void on_stream_closed(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_STREAM_CLOSED, id, code, NULL, 0);
}

static void on_new_token(struct clv_conn *conn, const uint8_t *token, size_t len)
{
	struct clv_session *s = conn->env.owner;

	clv_tokens_put(&s->control->known, &s->remote, token, len);
}

static const struct clv_conn_ops conn_ops = {
	.handshake_completed = on_completed,
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
	.datagram = on_datagram,
	.stream_data = on_stream_data,
	.stream_acked = on_stream_acked,
	.stream_reset = on_stream_reset,
	.stream_stop = on_stream_stop,
	.stream_closed = on_stream_closed,
	.new_token = on_new_token,
};

/* ---- life ---- */

static void link_session(struct clv_session *s)
{
	struct clv_control *c = s->control;

	s->next = c->sessions;
	if (s->next)
		s->next->prev = s;
	c->sessions = s;
	clv_hosts_join(&c->peers, &s->peer, s->remote.addr, &s->ref);
	c->handshaking++;
}

static void fill_params(struct clv_control *c, const struct handshake_params *p,
			struct clv_conn_params *cp)
{
	const struct clv_control_limits *l = &c->p.limits;
	const struct clv_admit_result *a = p->admitted;
	struct clv_route route;

	*cp = (struct clv_conn_params){
		.is_server = a != NULL,
		.version = a ? a->version : NGTCP2_PROTO_VER_V1,
		.local = p->local,
		.remote = p->remote,
		.idle_ns = l->conn_idle_ns,
		.handshake_ns = l->handshake_ns,
		.streams_max = l->tunnels_per_conn,
		.stream_window = l->stream_window,
		.conn_window = l->conn_window,
		.queue = l->queue,
		.keepalive_ns = p->keepalive_ns,
		.no_datagrams = p->no_datagrams,
		.now_ns = c->now_ns,
		.mtu = 1500,
	};
	if (!c->p.host_ops->route(c->p.host, a ? p->local.addr : NULL, p->remote.addr, &route))
		cp->mtu = route.hop.mtu;
	if (a) {
		cp->client_dcid = a->dcid;
		cp->client_scid = a->scid;
		cp->original_dcid = a->original_dcid;
		cp->token = a->token;
		cp->token_len = a->token_len;
		cp->token_is_retry = a->token_is_retry;
	} else {
		uint8_t random[NGTCP2_MAX_CIDLEN];

		clv_rand_bytes(&c->rand, random, sizeof(random));
		ngtcp2_cid_init(&cp->client_dcid, random, 18);
	}
}

int handshake_new(struct clv_control *c, const struct handshake_params *p, struct clv_session **out)
{
	struct clv_session *s = calloc(1, sizeof(*s));
	uint8_t token[CLV_TOKEN_MAX];
	struct clv_conn_params cp;
	struct clv_conn_env env;
	int err;

	if (!s)
		return -ENOMEM;
	s->control = c;
	clv_budget_join(&c->budget, &s->held);
	clv_budget_join(&c->http_memory, &s->http_memory);
	s->is_server = p->admitted != NULL;
	s->profile = (uint8_t)p->profile;
	s->local = p->local;
	s->remote = p->remote;
	s->since_ns = c->now_ns;
	s->next_uni = s->is_server ? UNI_SERVER : UNI_CLIENT;
	s->next_bidi = BIDI_CLIENT;
	s->app_ops = p->app_ops;
	s->app = p->app;
	fill_params(c, p, &cp);
	if (!s->is_server) {
		cp.token = token;
		cp.token_len = clv_tokens_take(&c->known, &p->remote, token);
	}
	env = (struct clv_conn_env){
		.ops = &conn_ops,
		.owner = s,
		.rand = &c->rand,
		.counters = &c->counters.worker,
		.reset_secret = c->admit.reset_secret,
		.heap = &c->heap,
	};
	err = clv_conn_new(&env, &cp, &s->conn);
	if (err)
		goto free_session;
	s->conn->flow.socket = p->socket;
	err = clv_tls_attach(p->tls, s->conn, p->server_name);
	if (err)
		goto free_conn;
	if (s->is_server) {
		s->initial_key[0] = (uint8_t)cp.client_dcid.datalen;
		memcpy(s->initial_key + 1, cp.client_dcid.data, cp.client_dcid.datalen);
		err = clv_table_insert(&c->initials, s->initial_key, (uintptr_t)s);
		if (err)
			goto free_conn;
	}
	s->account = p->account;
	s->is_proven = p->is_proven;
	s->is_charged = s->is_server;
	link_session(s);
	*out = s;
	return 0;

free_conn:
	clv_conn_free(s->conn);
free_session:
	session_forget_cids(s);
	clv_budget_leave(&s->held);
	clv_budget_leave(&s->http_memory);
	free(s);
	return err;
}

static void end_handshake(struct clv_session *s)
{
	struct clv_conn *conn = s->conn;
	struct clv_session_end why = {
		.error = clv_tls_failure(conn),
		.code = conn->close_code,
		.is_app = conn->close_is_app,
		.is_remote = conn->close_is_remote,
		.detail = clv_tls_why(conn),
	};

	if (!why.error || conn->close_error == CLV_ECLASSICAL)
		why.error = conn->close_error ? conn->close_error : CLV_ECLOSED;
	clv_count(&s->control->counters, CLV_COUNT_HANDSHAKE_FAILED);
	session_end(s, &why);
}

void handshake_pump(struct clv_session *s)
{
	struct clv_control *c = s->control;
	struct clv_conn *conn = s->conn;

	if (s->completed && !conn->closing) {
		if (!handover_run(s))
			return;
		clv_count(&c->counters, CLV_COUNT_CONNS_REFUSED);
		clv_conn_close(conn, false, NGTCP2_CONNECTION_REFUSED, "relay is full", c->now_ns);
	}
	clv_conn_output(conn, c->p.port, c->now_ns);
	/* A close during the handshake is sent once: unvalidated sources get no closing state. */
	if (conn->closing)
		end_handshake(s);
	else
		clv_timers_set(&c->timers, &conn->timer, clv_conn_next_ns(conn));
}

/* ---- packets and time ---- */

void handshake_packet(struct clv_session *s, const struct clv_rx *rx)
{
	clv_conn_input(s->conn, rx, s->control->now_ns);
	handshake_pump(s);
}

bool handshake_first_packet(struct clv_session *s, const struct clv_rx *rx)
{
	clv_conn_input(s->conn, rx, s->control->now_ns);
	if (s->conn->wants_retry) {
		session_free(s);
		return true;
	}
	handshake_pump(s);
	return false;
}

void handshake_expire(struct clv_session *s)
{
	clv_conn_expire(s->conn, s->control->now_ns);
	handshake_pump(s);
}
