/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include "datapath/base/err.h"

void worker_tunnel_link(struct clv_worker *w, struct clv_conn *conn, struct clv_tunnel *t)
{
	t->next = conn->tunnels;
	if (t->next)
		w->tunnels.slots[t->next - 1].prev = t->slot + 1;
	conn->tunnels = t->slot + 1;
	if (conn->probe_stream < 0)
		conn->probe_stream = t->stream_id;
}

static void unlink_tunnel(struct clv_worker *w, struct clv_conn *conn, struct clv_tunnel *t)
{
	if (t->prev)
		w->tunnels.slots[t->prev - 1].next = t->next;
	else
		conn->tunnels = t->next;
	if (t->next)
		w->tunnels.slots[t->next - 1].prev = t->prev;
	if (conn->probe_stream == t->stream_id)
		conn->probe_stream = conn->tunnels ? w->tunnels.slots[conn->tunnels - 1].stream_id
						   : -1;
}

void worker_tunnel_remove(struct clv_worker *w, struct clv_tunnel *t, int error)
{
	struct clv_evt_tunnel gone = {
		.ref = { t->slot, t->generation, w->p.id, { 0 } },
		.error = error,
	};

	if (t->is_leaving)
		TAILQ_REMOVE(&w->leaving, t, leaving);
	unlink_tunnel(w, w->conns[t->conn_slot].conn, t);
	worker_bound_release(w, t);
	if (t->own_socket)
		w->p.sock->ops->remove_socket(w->p.sock, t->flow.socket);
	clv_count_add(&w->counters, CLV_COUNT_DROP_STALE,
		      clv_tunnels_remove(&w->tunnels, t, &w->pool));
	worker_event(w, CLV_EVT_TUNNEL_GONE, &gone, sizeof(gone), NULL, 0);
}

/* Send the new target what the old one did not answer.  The client is charged for what left already. */
static void try_again(struct clv_worker *w, struct clv_tunnel *t)
{
	const struct clv_waitq_item *item = NULL;
	const uint8_t *data;
	uint32_t lost, waited, sent;
	size_t len;

	lost = clv_waitq_expire(&t->wait, &w->pool, w->now_ns);
	clv_waitq_expire(&t->tried, &w->pool, w->now_ns);
	waited = clv_waitq_fini(&t->wait, &w->pool);
	if (t->uncopied > waited)
		t->uncopied = waited;
	waited -= t->uncopied;
	lost += t->uncopied;
	t->uncopied = 0;
	if (waited > t->tried.count) { /* copies are older, where it waited for two targets */
		lost += waited - t->tried.count;
		waited = t->tried.count;
	}
	clv_count_add(&w->counters, CLV_COUNT_DROP_NO_NEIGHBOUR, lost);
	/* What waits came after all that was sent. */
	sent = t->tried.count - waited;
	while ((item = clv_waitq_next(&t->tried, item, &data, &len))) {
		const bool is_sent = sent > 0;

		sent -= is_sent;
		if (is_sent && !worker_may_pass(w, t, CLV_METER_TO_TARGET, len))
			continue;
		if (is_sent && t->meter)
			clv_meter_charge(t->meter, CLV_METER_TO_TARGET, len, w->now_ns);
		clv_count(&w->counters, CLV_COUNT_TARGET_AGAIN);
		worker_to_target_again(w, t, data, len);
	}
}

void worker_tunnel_retarget(struct clv_worker *w, struct clv_tunnel *t,
			    const struct clv_cmd_tunnel_add *cmd)
{
	struct clv_evt_tunnel evt = { .ref = cmd->ref };
	struct clv_port *sock = w->p.sock;
	int err;

	if (t->is_leaving)
		return;
	if (!t->is_given_up) { /* meanwhile the target has answered */
		evt.error = CLV_ECLOSED;
		worker_event(w, CLV_EVT_TUNNEL_RETARGETED, &evt, sizeof(evt), NULL, 0);
		return;
	}
	clv_count(&w->counters,
		  t->is_unreachable ? CLV_COUNT_TARGETS_UNREACHABLE : CLV_COUNT_TARGETS_SILENT);
	if (t->own_socket)
		sock->ops->remove_socket(sock, t->flow.socket);
	t->own_socket = false;
	err = clv_tunnels_retarget(&w->tunnels, t, &cmd->spec);
	if (!err && cmd->socket_fd >= 0) {
		err = sock->ops->add_socket(sock, cmd->socket_fd, &cmd->spec.local,
					    &t->flow.socket);
		t->own_socket = !err;
	}
	if (err) {
		worker_tunnel_remove(w, t, err);
		return;
	}
	worker_event(w, CLV_EVT_TUNNEL_RETARGETED, &evt, sizeof(evt), NULL, 0);
	try_again(w, t);
	if (!worker_is_trial(t))
		worker_trial_end(w, t);
}

void worker_tunnel_stay(struct clv_worker *w, struct clv_tunnel *t)
{
	const struct clv_nexthop hop = t->flow.hop;

	worker_trial_end(w, t);
	worker_tunnel_hop(w, t, &hop);
}

void worker_tunnel_leave(struct clv_worker *w, struct clv_tunnel *t, int error)
{
	if (t->is_leaving)
		return;
	if (worker_bound_release_some(w, t)) {
		worker_tunnel_remove(w, t, error);
		return;
	}
	t->is_leaving = true;
	t->leave_error = error;
	TAILQ_INSERT_TAIL(&w->leaving, t, leaving);
	w->work++; /* so that the next step follows at once */
}

void worker_tunnels_leave_some(struct clv_worker *w)
{
	struct clv_tunnel *t;

	while ((t = TAILQ_FIRST(&w->leaving))) {
		w->work++;
		if (!worker_bound_release_some(w, t))
			return;
		worker_tunnel_remove(w, t, t->leave_error);
	}
}

bool worker_tunnels_release_some(struct clv_worker *w, struct clv_conn *conn)
{
	while (conn->tunnels) {
		struct clv_tunnel *t = &w->tunnels.slots[conn->tunnels - 1];

		if (!w->removals_left || !worker_bound_release_some(w, t))
			return false;
		w->removals_left -= !!w->removals_left;
		worker_tunnel_remove(w, t, CLV_ECLOSED);
	}
	return true;
}

void worker_tunnels_expire(struct clv_worker *w)
{
	for (int i = 0; i < WORKER_EXPIRED_PER_STEP; i++) {
		struct clv_timer *timer = clv_timers_expire(&w->tunnels.timers, w->now_ns);
		struct clv_tunnel *t;
		uint64_t at;

		if (!timer)
			return;
		t = (struct clv_tunnel *)((char *)timer - offsetof(struct clv_tunnel, idle));
		if (worker_is_trial(t) && t->silent_at_ns && t->silent_at_ns <= w->now_ns)
			worker_trial_expire(w, t);
		at = t->idle_ns ? w->tunnels.stats[t->slot].last_ns + t->idle_ns : CLV_TIMER_NEVER;
		if (worker_is_trial(t) && t->silent_at_ns && t->silent_at_ns < at)
			at = t->silent_at_ns;
		/* A datagram does not move the timer: how long the tunnel was idle is seen here. */
		if (at > w->now_ns)
			clv_timers_set(&w->tunnels.timers, timer, at);
		else
			worker_tunnel_leave(w, t, CLV_ETIMEOUT);
		w->work++;
	}
}
