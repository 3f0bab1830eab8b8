/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handover - a connection moves from control to its worker, and nothing is lost.
 *
 * The order matters.  1. The conn is sent to the worker.  2. Its IDs are published: from now on XDP
 * steers its packets to the worker, which handles commands between receiving packets and processing
 * them, so it has the conn by then.  3. The events that the conn reported before are replayed.
 * Packets that still arrive at control's socket are passed to the worker (packets.c).
 */
#include "control/core/state.h"
#include "datapath/base/err.h"

/* The worker of the queue on which the peer's packets arrive; else the next in turn. */
static uint16_t choose_worker(struct clv_session *s)
{
	struct clv_control *c = s->control;
	struct clv_tuple flow = { .local = s->local, .remote = s->remote };
	uint16_t worker = c->p.workers_len;

	if (c->p.host_ops->worker_of_flow)
		worker = c->p.host_ops->worker_of_flow(c->p.host, &flow);
	if (worker < c->p.workers_len)
		return worker;
	worker = c->next_worker;
	c->next_worker = (uint16_t)((worker + 1) % c->p.workers_len);
	return worker;
}

/* With this token the client's next connection needs no address validation. */
static void submit_token(struct clv_session *s)
{
	struct clv_control *c = s->control;
	uint8_t token[128];
	size_t len = clv_admit_new_token(&c->admit, &s->remote, c->p.host_ops->wall_sec(c->p.host),
					 token);

	if (len)
		ngtcp2_conn_submit_new_token(s->conn->qc, token, len);
}

static void replay(struct clv_session *s)
{
	struct clv_cmd_ref cmd = { .ref = s->ref };

	while (s->pending) {
		struct pending *p = s->pending;

		s->pending = p->next;
		if (p->type)
			session_stream_event(s, (enum clv_stream_event_type)p->type, p->stream_id,
					     p->code, p->bytes, p->len);
		else
			workers_send_datagram(s->control, s, CLV_CMD_DATAGRAM, &cmd, sizeof(cmd),
					      p->bytes, p->len);
		session_pending_free(s, p);
	}
	s->pending_last = NULL;
}

/*
 * The handshake has proven the address: from now on the connection is charged to it, and to the
 * worker.  Returns 0, or CLV_EFULL, counted.
 */
static int charge(struct clv_session *s, uint16_t worker)
{
	struct clv_control *c = s->control;
	enum clv_accounts_verdict verdict;

	clv_accounts_give(&c->accounts, session_payer(s), CLV_RESOURCE_CONNS, CLV_ACCOUNTS_WHOLE);
	s->is_charged = false;
	verdict = clv_accounts_take(&c->accounts, s->account, CLV_RESOURCE_CONNS, worker);
	if (verdict) {
		clv_count(&c->counters, handover_refusal(verdict));
		return CLV_EFULL;
	}
	clv_accounts_give(&c->accounts, session_payer(s), CLV_RESOURCE_HANDSHAKES,
			  CLV_ACCOUNTS_WHOLE);
	s->is_proven = true;
	s->is_charged = true;
	return 0;
}

int handover_run(struct clv_session *s)
{
	struct clv_control *c = s->control;
	struct clv_conn *conn = s->conn;
	struct clv_cmd_conn_adopt cmd = { .conn = conn };
	struct clv_route route;
	uint16_t worker = choose_worker(s);

	if (slots_take(&c->workers[worker].conn_slots, &s->ref)) {
		clv_count(&c->counters, CLV_COUNT_DROP_CONNS_FULL);
		return CLV_EFULL;
	}
	if (s->is_server && charge(s, worker)) {
		slots_give(&c->workers[worker].conn_slots, s->ref.slot);
		return CLV_EFULL;
	}
	s->ref.worker = worker;
	if (!session_route(s, &route))
		s->hop = route.hop;
	if (s->is_server)
		submit_token(s);
	s->has_datagrams = clv_conn_has_datagrams(conn);

	clv_timers_set(&c->timers, &conn->timer, CLV_TIMER_NEVER);
	cmd.ref = s->ref;
	cmd.hop = s->hop;
	cmd.socket = conn->flow.socket; /* a listener has the same number in every port */
	clv_heap_leave(&conn->heap);
	s->conn = NULL;
	s->state = SESSION_LIVE;
	c->handshaking--;
	c->workers[worker].sessions[s->ref.slot] = s;
	workers_send(c, worker, CLV_CMD_CONN_ADOPT, &cmd, sizeof(cmd), NULL, 0);
	for (uint32_t i = 0; i < s->cids_len; i++)
		clv_steering_publish_conn(&c->steering, &s->cids[i], &s->ref);
	clv_count(&c->counters, CLV_COUNT_HANDSHAKES);

	if (s->app_ops->established(s->app, s))
		clv_session_close(s, true, s->app_ops->internal_code, "no memory for requests");
	replay(s);
	return 0;
}
