/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/core/state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	STREAM_BIDI_STEP = 4,
	UNI_SERVER = 3, /* first IDs of our own streams (RFC 9000 section 2.1) */
	UNI_CLIENT = 2,
	BIDI_CLIENT = 0,
};

/* So much of the allowance for streams given up may be used at once: all tunnels may end. */
#define GIVEN_UP_BURST (10 * CLV_SEC)

/* ---- what the conn reports while it is here ---- */

static void keep(struct clv_session *s, uint32_t type, int64_t id, uint64_t code,
		 const uint8_t *data, size_t len)
{
	struct clv_budget *budget = &s->control->budget;
	struct pending *p;

	if (!clv_budget_take(budget, sizeof(*p) + len)) {
		clv_count(&s->control->counters, CLV_COUNT_BUFFERED_FULL);
		clv_session_close(s, true, CLV_H3_EXCESSIVE_LOAD, "too many bytes wait");
		return;
	}
	p = malloc(sizeof(*p) + len);
	if (!p) {
		clv_budget_give(budget, sizeof(*p) + len);
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

void session_pending_free(struct clv_session *s, struct pending *p)
{
	clv_budget_give(&s->control->budget, sizeof(*p) + p->len);
	free(p);
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

	if (s->pending_datagrams >= s->control->p.limits.early_per_conn) {
		clv_count(&s->control->counters, CLV_COUNT_DROP_EARLY_FULL);
		return;
	}
	s->pending_datagrams++;
	keep(s, 0, -1, 0, data, len);
}

static void on_stream_data(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			   bool fin)
{
	keep(conn->env.owner, CLV_EVT_STREAM_DATA, id, fin, data, len);
}

static void on_stream_acked(struct clv_conn *conn, int64_t id, uint64_t bytes)
{
	keep(conn->env.owner, CLV_EVT_STREAM_ACKED, id, bytes, NULL, 0);
}

static void on_stream_reset(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_EVT_STREAM_RESET, id, code, NULL, 0);
}

static void on_stream_stop(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_EVT_STREAM_STOP, id, code, NULL, 0);
}

static void on_stream_closed(struct clv_conn *conn, int64_t id, uint64_t code)
{
	keep(conn->env.owner, CLV_EVT_STREAM_CLOSED, id, code, NULL, 0);
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

/* ---- connection IDs ---- */

void session_cid_publish(struct clv_session *s, const struct clv_cid *cid)
{
	struct clv_control *c = s->control;

	if (c->p.host_ops->conn_publish)
		c->p.host_ops->conn_publish(c->p.host, cid, &s->ref);
}

void session_cid_added(struct clv_session *s, const struct clv_cid *cid)
{
	struct clv_control *c = s->control;

	if (s->cids_len == SESSION_CIDS_MAX || clv_table_insert(&c->cids, cid->id, (uintptr_t)s)) {
		clv_session_close(s, false, NGTCP2_INTERNAL_ERROR, "too many connection IDs");
		return;
	}
	s->cids[s->cids_len++] = *cid;
	if (s->state == SESSION_LIVE)
		session_cid_publish(s, cid);
}

static void forget_cid(struct clv_session *s, uint32_t i)
{
	struct clv_control *c = s->control;

	if (s->state == SESSION_LIVE && c->p.host_ops->conn_retire)
		c->p.host_ops->conn_retire(c->p.host, &s->cids[i]);
	clv_table_remove(&c->cids, s->cids[i].id);
	s->cids[i] = s->cids[--s->cids_len];
}

void session_cid_removed(struct clv_session *s, const struct clv_cid *cid)
{
	for (uint32_t i = 0; i < s->cids_len; i++) {
		if (memcmp(&s->cids[i], cid, sizeof(*cid)))
			continue;
		forget_cid(s, i);
		return;
	}
}

/* ---- the peer's stateless reset tokens ---- */

static void forget_token(struct clv_session *s, uint32_t i)
{
	struct clv_table *tokens = &s->control->tokens;
	uint64_t owner;

	/* a peer may name the token of another's: that does not make it its own */
	if (clv_table_find(tokens, s->tokens[i], &owner) && owner == (uintptr_t)s)
		clv_table_remove(tokens, s->tokens[i]);
	memmove(s->tokens[i], s->tokens[--s->tokens_len], sizeof(s->tokens[i]));
}

void session_peer_token(struct clv_session *s, const struct clv_evt_token *evt)
{
	struct clv_table *tokens = &s->control->tokens;

	for (uint32_t i = 0; i < s->tokens_len; i++)
		if (!memcmp(s->tokens[i], evt->token, sizeof(evt->token))) {
			forget_token(s, i);
			break;
		}
	if (!evt->in_use || s->tokens_len == SESSION_TOKENS_MAX ||
	    clv_table_find(tokens, evt->token, NULL) ||
	    clv_table_insert(tokens, evt->token, (uintptr_t)s))
		return; /* without its token a reset goes unheard, and the idle timer ends it */
	memcpy(s->tokens[s->tokens_len++], evt->token, sizeof(evt->token));
}

/* ---- life ---- */

static void link_session(struct clv_session *s)
{
	struct clv_control *c = s->control;

	s->next = c->sessions;
	if (s->next)
		s->next->prev = s;
	c->sessions = s;
	c->handshaking++;
}

static void unlink_session(struct clv_session *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->control->sessions = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

static void fill_params(struct clv_control *c, const struct session_new *p,
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
		.queue_packets = l->queue_packets,
		.sojourn_ns = l->sojourn_ns,
		.keepalive_ns = p->keepalive_ns,
		.no_datagrams = p->no_datagrams,
		.now_ns = c->now_ns,
		.mtu = 1500,
	};
	if (!c->p.host_ops->route(c->p.host, p->remote.addr, &route))
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

int session_new(struct clv_control *c, const struct session_new *p, struct clv_session **out)
{
	struct clv_session *s = calloc(1, sizeof(*s));
	uint8_t token[CLV_TOKEN_MAX];
	struct clv_conn_params cp;
	struct clv_conn_env env;
	int err;

	if (!s)
		return -ENOMEM;
	s->control = c;
	s->is_server = p->admitted != NULL;
	s->profile = (uint8_t)p->profile;
	s->local = p->local;
	s->remote = p->remote;
	memcpy(s->source, p->remote.addr, sizeof(s->source));
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
		.counters = &c->counters,
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
	link_session(s);
	*out = s;
	return 0;

free_conn:
	clv_conn_free(s->conn);
free_session:
	while (s->cids_len)
		forget_cid(s, 0);
	free(s);
	return err;
}

static void free_pending(struct clv_session *s)
{
	while (s->pending) {
		struct pending *p = s->pending;

		s->pending = p->next;
		session_pending_free(s, p);
	}
	s->pending_last = NULL;
}

static void end(struct clv_session *s, const struct clv_session_end *why)
{
	struct clv_control *c = s->control;

	while (s->cids_len)
		forget_cid(s, 0);
	while (s->tokens_len)
		forget_token(s, 0);
	if (s->initial_key[0])
		clv_table_remove(&c->initials, s->initial_key);
	if (s->state == SESSION_HANDSHAKE) {
		c->handshaking--;
	} else {
		c->connected--;
		slots_give(&c->workers[s->ref.worker].conn_slots, s->ref.slot);
	}
	if (s->is_counted)
		clv_sources_remove(&c->sources, s->source);
	s->state = SESSION_ENDED;
	s->app_ops->ended(s->app, s, why);
	if (s->conn) {
		clv_timers_set(&c->timers, &s->conn->timer, CLV_TIMER_NEVER);
		clv_conn_free(s->conn);
	}
	free_pending(s);
	unlink_session(s);
	free(s);
}

static void end_handshake(struct clv_session *s)
{
	struct clv_conn *conn = s->conn;
	struct clv_session_end why = {
		.error = clv_tls_failure(conn),
		.code = conn->close_code,
		.is_app = conn->close_is_app,
		.is_remote = conn->close_is_remote,
	};

	if (!why.error || conn->close_error == CLV_ECLASSICAL)
		why.error = conn->close_error ? conn->close_error : CLV_ECLOSED;
	clv_count(&s->control->counters, CLV_COUNT_HANDSHAKE_FAILED);
	end(s, &why);
}

void session_gone(struct clv_session *s, const struct clv_evt_conn_gone *evt)
{
	struct clv_session_end why = {
		.error = evt->error,
		.code = evt->code,
		.is_app = evt->is_app,
		.is_remote = evt->is_remote,
		.was_established = true,
	};

	s->control->workers[s->ref.worker].sessions[s->ref.slot] = NULL;
	end(s, &why);
}

void session_free(struct clv_session *s)
{
	struct clv_session_end why = {
		.error = CLV_ECLOSED,
		.was_established = s->state == SESSION_LIVE,
	};

	end(s, &why);
}

/* ---- packets and time ---- */

void session_packet(struct clv_session *s, const struct clv_rx *rx)
{
	struct clv_cmd_packet cmd = {
		.ref = s->ref,
		.local = rx->local,
		.remote = rx->remote,
		.ecn = rx->ecn,
	};

	if (s->state == SESSION_LIVE) {
		control_command(s->control, s->ref.worker, CLV_CMD_PACKET, &cmd, sizeof(cmd),
				rx->payload, rx->payload_len);
		return;
	}
	clv_conn_input(s->conn, rx, s->control->now_ns);
	session_pump(s);
}

bool session_first_packet(struct clv_session *s, const struct clv_rx *rx)
{
	clv_conn_input(s->conn, rx, s->control->now_ns);
	if (s->conn->wants_retry) {
		session_free(s);
		return true;
	}
	session_pump(s);
	return false;
}

void session_expire(struct clv_session *s)
{
	clv_conn_expire(s->conn, s->control->now_ns);
	session_pump(s);
}

void session_pump(struct clv_session *s)
{
	struct clv_control *c = s->control;
	struct clv_conn *conn = s->conn;

	if (s->completed && !conn->closing) {
		if (!session_hand_over(s))
			return;
		clv_count(&c->counters, CLV_COUNT_CONNS_REFUSED);
		clv_conn_close(conn, false, NGTCP2_CONNECTION_REFUSED, "relay is full", c->now_ns);
	}
	clv_conn_output(conn, c->p.port, c->now_ns);
	/* a close before the handshake is done is said once: keep no state for a stranger */
	if (conn->closing)
		end_handshake(s);
	else
		clv_timers_set(&c->timers, &conn->timer, clv_conn_next_ns(conn));
}

/* ---- streams ---- */

static void stream_command(struct clv_session *s, enum clv_command type, int64_t id, uint64_t code,
			   const uint8_t *data, size_t len)
{
	struct clv_cmd_stream cmd = { .ref = s->ref, .stream_id = id, .code = code };

	if (s->state == SESSION_LIVE)
		control_command(s->control, s->ref.worker, type, &cmd, sizeof(cmd), data, len);
}

/*
 * Whether the client may give up another stream.  Opening and resetting costs it nothing, and us a
 * request each (RFC 9114 section 10.5).
 */
static bool may_give_up(struct clv_session *s)
{
	const struct clv_control *c = s->control;
	uint64_t each_ns = CLV_SEC / c->p.limits.given_up_per_sec;
	uint64_t earliest = c->now_ns > GIVEN_UP_BURST ? c->now_ns - GIVEN_UP_BURST : 0;

	/* the time up to which the allowance is used; never so old that more than a burst is left */
	if (s->given_up_ns < earliest)
		s->given_up_ns = earliest;
	if (s->given_up_ns + each_ns > c->now_ns)
		return false;
	s->given_up_ns += each_ns;
	return true;
}

void session_stream_event(struct clv_session *s, uint32_t type, int64_t id, uint64_t code,
			  const uint8_t *data, size_t len)
{
	if (!s->h3 || s->closing)
		return;
	if ((type == CLV_EVT_STREAM_RESET || type == CLV_EVT_STREAM_STOP) && s->is_server &&
	    !may_give_up(s)) {
		clv_count(&s->control->counters, CLV_COUNT_STREAM_FLOODS);
		clv_h3_close(s->h3, CLV_H3_EXCESSIVE_LOAD, "too many requests given up");
		return;
	}
	switch (type) {
	case CLV_EVT_STREAM_DATA:
		clv_h3_read(s->h3, id, data, len, code, s->control->now_ns);
		break;
	case CLV_EVT_STREAM_ACKED:
		clv_h3_acked(s->h3, id, code);
		break;
	case CLV_EVT_STREAM_RESET:
		clv_h3_stream_reset(s->h3, id, code);
		break;
	case CLV_EVT_STREAM_NO_TUNNEL:
		clv_h3_stream_datagrams(s->h3, id);
		break;
	case CLV_EVT_STREAM_STOP:
		clv_h3_stream_stopped(s->h3, id, code);
		break;
	default:
		clv_h3_stream_closed(s->h3, id, code);
		if (s->is_server && !(id & 3))
			stream_command(s, CLV_CMD_STREAM_GRANT, id, 0, NULL, 0);
	}
}

static int open_stream(struct clv_session *s, int64_t *next, int64_t *id)
{
	*id = *next;
	*next += STREAM_BIDI_STEP;
	stream_command(s, CLV_CMD_STREAM_OPEN, *id, 0, NULL, 0);
	return 0;
}

static int transport_open_uni(void *transport, int64_t *id)
{
	struct clv_session *s = transport;

	return open_stream(s, &s->next_uni, id);
}

static int transport_open_bidi(void *transport, int64_t *id)
{
	struct clv_session *s = transport;

	return open_stream(s, &s->next_bidi, id);
}

/* Whether what a worker has not taken yet, and what waits here, leaves room for len more. */
static bool has_room(const struct clv_session *s, size_t len)
{
	const struct clv_control *c = s->control;

	return s->state != SESSION_LIVE ||
	       clv_mailbox_backlog(c->workers[s->ref.worker].w.commands) + c->budget.used + len <=
		       c->budget.max;
}

static int transport_write(void *transport, int64_t id, const uint8_t *data, size_t len, bool fin)
{
	struct clv_session *s = transport;

	if (!has_room(s, len)) {
		clv_count(&s->control->counters, CLV_COUNT_BUFFERED_FULL);
		clv_session_close(s, true, CLV_H3_EXCESSIVE_LOAD, "too many bytes wait");
		return 0;
	}
	stream_command(transport, CLV_CMD_STREAM_WRITE, id, fin, data, len);
	return 0;
}

static void transport_consumed(void *transport, int64_t id, uint64_t len)
{
	stream_command(transport, CLV_CMD_STREAM_CONSUMED, id, len, NULL, 0);
}

static void transport_reset(void *transport, int64_t id, uint64_t code)
{
	stream_command(transport, CLV_CMD_STREAM_RESET, id, code, NULL, 0);
}

static void transport_stop(void *transport, int64_t id, uint64_t code)
{
	stream_command(transport, CLV_CMD_STREAM_STOP, id, code, NULL, 0);
}

static void transport_close(void *transport, uint64_t code, const char *reason)
{
	clv_session_close(transport, true, code, reason);
}

const struct clv_h3_transport_ops clv_session_transport = {
	.open_uni = transport_open_uni,
	.open_bidi = transport_open_bidi,
	.write = transport_write,
	.consumed = transport_consumed,
	.reset = transport_reset,
	.stop = transport_stop,
	.close = transport_close,
};

void clv_session_close(struct clv_session *s, bool is_app, uint64_t code, const char *reason)
{
	struct clv_cmd_conn_close cmd = { .ref = s->ref, .is_app = is_app, .code = code };

	if (s->closing)
		return;
	s->closing = true;
	if (s->state == SESSION_LIVE)
		control_command(s->control, s->ref.worker, CLV_CMD_CONN_CLOSE, &cmd, sizeof(cmd),
				reason, strlen(reason));
	else if (s->conn)
		clv_conn_close(s->conn, is_app, code, reason, s->control->now_ns);
}

/* ---- small answers ---- */

void clv_session_set_h3(struct clv_session *s, struct clv_h3 *h3)
{
	s->h3 = h3;
}

void clv_session_set_user(struct clv_session *s, void *user)
{
	s->user = user;
}

void *clv_session_user(const struct clv_session *s)
{
	return s->user;
}

bool clv_session_has_datagrams(const struct clv_session *s)
{
	return s->has_datagrams;
}

const struct clv_tls_facts *clv_session_tls(const struct clv_session *s)
{
	return &s->tls;
}
