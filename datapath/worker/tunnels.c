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
		at = w->tunnels.stats[t->slot].last_ns + t->idle_ns;
		/* A datagram does not move the timer: how long the tunnel was idle is seen here. */
		if (at > w->now_ns)
			clv_timers_set(&w->tunnels.timers, timer, at);
		else
			worker_tunnel_leave(w, t, CLV_ETIMEOUT);
		w->work++;
	}
}
