/* SPDX-License-Identifier: GPL-3.0-or-later */
/* views - copies of the state of sessions and tunnels, for the operator's tools. */
#include "control/core/state.h"
#include "datapath/base/shared.h"

const struct clv_budget *clv_control_buffered(const struct clv_control *c)
{
	return &c->budget;
}

const struct clv_budget *clv_control_http_memory(const struct clv_control *c)
{
	return &c->http_memory;
}

uint64_t clv_control_commands_waiting(const struct clv_control *c, uint64_t *datagrams_max)
{
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < c->p.workers_len; i++)
		bytes += clv_mailbox_backlog(c->workers[i].w.commands);
	*datagrams_max = workers_datagrams_max(c) * c->p.workers_len;
	return bytes;
}

uint64_t clv_control_quic_memory(const struct clv_control *c, uint64_t *max)
{
	*max = c->heap.max;
	return c->heap.used;
}

void clv_control_each_session(const struct clv_control *c,
			      bool (*fn)(void *user, const struct clv_session_view *v), void *user)
{
	for (const struct clv_session *s = c->sessions; s; s = s->next) {
		struct clv_session_view v = {
			.ref = s->ref,
			.peer = s->remote,
			.local = s->local,
			.profile = s->profile,
			.tls = s->tls,
			.tunnels = s->tunnels,
			.since_ns = s->since_ns,
			.handshaking = s->state == SESSION_HANDSHAKE,
		};

		if (!v.handshaking)
			clv_shared_read(&v.stats,
					clv_worker_conn_stats(c->workers[s->ref.worker].w.worker,
							      s->ref.slot),
					sizeof(v.stats));
		if (!fn(user, &v))
			return;
	}
}

void clv_control_each_tunnel(const struct clv_control *c,
			     bool (*fn)(void *user, const struct clv_tunnel_view *v), void *user)
{
	for (uint16_t w = 0; w < c->p.workers_len; w++) {
		const struct worker_side *side = &c->workers[w];

		for (uint32_t i = 0; i < side->tunnel_slots.max; i++) {
			const struct clv_tunnel_entry *e = &side->tunnels[i];
			struct clv_tunnel_view v;

			if (!e->used || !e->session)
				continue;
			v = (struct clv_tunnel_view){
				.ref = { i, e->generation, w, { 0 } },
				.conn = e->session->ref,
				.stream_id = e->spec.stream_id,
				.local = e->spec.local,
				.target = e->spec.remote,
				.since_ns = e->since_ns,
				.hop = e->spec.hop,
				.capsules = e->spec.flags & CLV_TUNNEL_CAPSULES,
				.is_bound = e->spec.flags & CLV_TUNNEL_BOUND,
			};
			clv_shared_read(&v.stats, clv_worker_tunnel_stats(side->w.worker, i),
					sizeof(v.stats));
			for (int p = 0; p < 2; p++)
				if (e->bound_egress[p].fd >= 0)
					v.ports[p] = e->bound_egress[p].local;
			if (!fn(user, &v))
				return;
		}
	}
}

void clv_session_tunnel_stats(const struct clv_session *s, const struct clv_ref *ref,
			      struct clv_tunnel_stats *out)
{
	const struct clv_worker *w = s->control->workers[ref->worker].w.worker;

	clv_shared_read(out, clv_worker_tunnel_stats(w, ref->slot), sizeof(*out));
}
