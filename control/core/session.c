/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/session.h"

#include "control/core/state.h"
#include "datapath/base/bucket.h"
#include "datapath/base/err.h"

#include <stdlib.h>
#include <string.h>

enum {
	STREAM_BIDI_STEP = 4,
	CANCEL_BURST_SEC = 10, /* of cancelled streams at once: all tunnels may end */
};

/* ---- connection IDs ---- */

void session_cid_added(struct clv_session *s, const struct clv_cid *cid)
{
	struct clv_control *c = s->control;

	if (s->cids_len == SESSION_CIDS_MAX || clv_table_insert(&c->cids, cid->id, (uintptr_t)s)) {
		clv_session_close(s, false, NGTCP2_INTERNAL_ERROR, "too many connection IDs");
		return;
	}
	s->cids[s->cids_len++] = *cid;
	if (s->state == SESSION_LIVE)
		clv_steering_publish_conn(&c->steering, cid, &s->ref);
}

static void forget_cid(struct clv_session *s, uint32_t i)
{
	struct clv_control *c = s->control;

	if (s->state == SESSION_LIVE)
		clv_steering_retire_conn(&c->steering, &s->cids[i]);
	clv_table_remove(&c->cids, s->cids[i].id);
	s->cids[i] = s->cids[--s->cids_len];
}

void session_forget_cids(struct clv_session *s)
{
	while (s->cids_len)
		forget_cid(s, 0);
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

	/* A peer may use the token of another session's peer, which keeps it. */
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
		return; /* without the token a reset is ignored, and the idle timer ends the session */
	memcpy(s->tokens[s->tokens_len++], evt->token, sizeof(evt->token));
}

/* ---- life ---- */

static void unlink_session(struct clv_session *s)
{
	clv_hosts_leave(&s->peer);
	if (s->prev)
		s->prev->next = s->next;
	else
		s->control->sessions = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

void session_pending_free(struct clv_session *s, struct pending *p)
{
	clv_budget_give(&s->held, sizeof(*p) + p->len);
	free(p);
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

void session_end(struct clv_session *s, const struct clv_session_end *why)
{
	struct clv_control *c = s->control;

	session_forget_cids(s);
	while (s->tokens_len)
		forget_token(s, 0);
	if (s->initial_key[0])
		clv_table_remove(&c->initials, s->initial_key);
	if (s->state == SESSION_HANDSHAKE) {
		c->handshaking--;
		if (s->is_server)
			clv_accounts_give(&c->accounts, session_payer(s), CLV_RESOURCE_HANDSHAKES,
					  CLV_ACCOUNTS_WHOLE);
	} else {
		slots_give(&c->workers[s->ref.worker].conn_slots, s->ref.slot);
	}
	if (s->is_charged)
		clv_accounts_give(&c->accounts, session_payer(s), CLV_RESOURCE_CONNS,
				  s->state == SESSION_HANDSHAKE ? CLV_ACCOUNTS_WHOLE
								: s->ref.worker);
	s->state = SESSION_ENDED;
	s->app_ops->ended(s->app, s, why);
	clv_accounts_close(&c->accounts, s->account);
	if (s->conn) {
		clv_timers_set(&c->timers, &s->conn->timer, CLV_TIMER_NEVER);
		clv_conn_free(s->conn);
	}
	free_pending(s);
	if (s->held.used)
		clv_mailbox_disown(c->workers[s->ref.worker].w.commands, &s->held);
	clv_budget_leave(&s->held);
	clv_budget_leave(&s->http_memory);
	unlink_session(s);
	free(s);
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
	session_end(s, &why);
}

void session_free(struct clv_session *s)
{
	struct clv_session_end why = {
		.error = CLV_ECLOSED,
		.was_established = s->state == SESSION_LIVE,
	};

	session_end(s, &why);
}

/* ---- streams ---- */

static void stream_command(struct clv_session *s, enum clv_command type, int64_t id, uint64_t code,
			   const uint8_t *data, size_t len)
{
	struct clv_cmd_stream cmd = { .ref = s->ref, .stream_id = id, .code = code };

	if (s->state == SESSION_LIVE && !s->closing)
		workers_send_for(s->control, s, type, &cmd, sizeof(cmd), data, len);
}

/*
 * Whether the client may cancel another stream.  Opening and resetting costs it nothing, and us a
 * request each (RFC 9114 section 10.5).
 */
static bool may_cancel(struct clv_session *s)
{
	const uint32_t per_sec = s->control->p.limits.stream_cancels_per_sec;
	const struct clv_rate rate = clv_rate_of(per_sec, CANCEL_BURST_SEC * per_sec);

	return clv_rate_take(&rate, &s->cancel_full_ns, s->control->now_ns);
}

void session_stream_event(struct clv_session *s, enum clv_stream_event_type type, int64_t id,
			  uint64_t code, const uint8_t *data, size_t len)
{
	const struct clv_stream_event event = { type, id, code, data, len, s->control->now_ns };

	if (s->closing)
		return;
	if ((type == CLV_STREAM_RESET || type == CLV_STREAM_STOP) && s->is_server &&
	    !may_cancel(s)) {
		clv_count(&s->control->counters, CLV_COUNT_STREAM_FLOODS);
		clv_session_close(s, true, s->app_ops->overload_code,
				  "too many requests cancelled");
		return;
	}
	s->app_ops->stream(s->app, s, &event);
	if (type == CLV_STREAM_CLOSED && s->is_server && !(id & 3))
		stream_command(s, CLV_CMD_STREAM_GRANT, id, 0, NULL, 0);
}

static int open_stream(struct clv_session *s, int64_t *next, int64_t *id)
{
	*id = *next;
	*next += STREAM_BIDI_STEP;
	stream_command(s, CLV_CMD_STREAM_OPEN, *id, 0, NULL, 0);
	return 0;
}

static int stream_open_uni(void *transport, int64_t *id)
{
	struct clv_session *s = transport;

	return open_stream(s, &s->next_uni, id);
}

static int stream_open_bidi(void *transport, int64_t *id)
{
	struct clv_session *s = transport;

	return open_stream(s, &s->next_bidi, id);
}

static int stream_write(void *transport, int64_t id, const uint8_t *data, size_t len, bool fin)
{
	stream_command(transport, CLV_CMD_STREAM_WRITE, id, fin, data, len);
	return 0;
}

static void stream_consumed(void *transport, int64_t id, uint64_t len)
{
	stream_command(transport, CLV_CMD_STREAM_CONSUMED, id, len, NULL, 0);
}

static void stream_reset(void *transport, int64_t id, uint64_t code)
{
	stream_command(transport, CLV_CMD_STREAM_RESET, id, code, NULL, 0);
}

static void stream_stop(void *transport, int64_t id, uint64_t code)
{
	stream_command(transport, CLV_CMD_STREAM_STOP, id, code, NULL, 0);
}

static void stream_close(void *transport, uint64_t code, const char *reason)
{
	clv_session_close(transport, true, code, reason);
}

const struct clv_stream_ops clv_session_stream_ops = {
	.open_uni = stream_open_uni,
	.open_bidi = stream_open_bidi,
	.write = stream_write,
	.consumed = stream_consumed,
	.reset = stream_reset,
	.stop = stream_stop,
	.close = stream_close,
};

struct clv_budget_holder *clv_session_holder(struct clv_session *s)
{
	return &s->held;
}

struct clv_budget_holder *clv_session_http_memory(struct clv_session *s)
{
	return &s->http_memory;
}

void clv_session_close(struct clv_session *s, bool is_app, uint64_t code, const char *reason)
{
	struct clv_cmd_conn_close cmd = { .ref = s->ref, .is_app = is_app, .code = code };

	if (s->closing)
		return;
	s->closing = true;
	if (s->state == SESSION_LIVE)
		workers_send(s->control, s->ref.worker, CLV_CMD_CONN_CLOSE, &cmd, sizeof(cmd),
			     reason, strlen(reason));
	else if (s->conn)
		clv_conn_close(s->conn, is_app, code, reason, s->control->now_ns);
}

int session_route(const struct clv_session *s, struct clv_route *out)
{
	const struct clv_control *c = s->control;

	return c->p.host_ops->route(c->p.host, s->is_server ? s->local.addr : NULL, s->remote.addr,
				    out);
}

void session_set_hop(struct clv_session *s, const struct clv_nexthop *hop)
{
	struct clv_cmd_hop cmd = { .ref = s->ref, .hop = *hop };

	s->hop = *hop;
	workers_send(s->control, s->ref.worker, CLV_CMD_CONN_HOP, &cmd, sizeof(cmd), NULL, 0);
}

/* ---- properties ---- */

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

const struct clv_endpoint *clv_session_peer(const struct clv_session *s)
{
	return &s->remote;
}

struct clv_account *clv_session_account(const struct clv_session *s)
{
	return session_payer(s);
}

uint16_t clv_session_worker(const struct clv_session *s)
{
	return s->ref.worker;
}

const struct clv_tls_facts *clv_session_tls(const struct clv_session *s)
{
	return &s->tls;
}
