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

	unlink_tunnel(w, w->conns[t->conn_slot].conn, t);
	worker_bound_release(w, t);
	if (t->own_socket)
		w->p.sock->ops->remove_socket(w->p.sock, t->flow.socket);
	clv_count_add(&w->counters, CLV_COUNT_DROP_STALE,
		      clv_tunnels_remove(&w->tunnels, t, &w->pool));
	worker_event(w, CLV_EVT_TUNNEL_GONE, &gone, sizeof(gone), NULL, 0);
}

void worker_tunnels_expire(struct clv_worker *w)
{
	struct clv_timer *timer;

	while ((timer = clv_timers_expire(&w->tunnels.timers, w->now_ns))) {
		struct clv_tunnel *t = (struct clv_tunnel *)((char *)timer -
							     offsetof(struct clv_tunnel, idle));
		uint64_t at = w->tunnels.stats[t->slot].last_ns + t->idle_ns;

		/* A datagram does not move the timer: how long the tunnel was idle is seen here. */
		if (at > w->now_ns)
			clv_timers_set(&w->tunnels.timers, timer, at);
		else
			worker_tunnel_remove(w, t, CLV_ETIMEOUT);
		w->work++;
	}
}
