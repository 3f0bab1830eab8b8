/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The last step of every relayed datagram.  Its tunnel is found; what is left is to send the UDP
 * payload to the target, or to seal it into a QUIC packet for the peer.
 *
 *   worker_to_target   payload -> UDP packet to the target, or to control in a client that delivers
 *   worker_send        payload -> UDP packet along any flow (bound tunnels: one flow per remote)
 *   worker_to_peer     payload -> HTTP datagram with Context ID 0
 *   worker_seal        payload -> HTTP datagram with a given prefix, as DATAGRAM frame or capsule
 *
 * What cannot be delivered is dropped here, and counted with its reason.
 */
#include "datapath/worker/state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "datapath/base/varint.h"
#include "datapath/io/packet.h"

enum {
	CAPSULE_BACKLOG_MAX = 1 << 20, /* bytes queued for control, then datagrams drop */
};

/* ---- to the target ---- */

enum clv_counter worker_send(struct clv_worker *w, const struct clv_flow *flow,
			     const uint8_t *payload, size_t len)
{
	struct clv_port *port = worker_port(w, flow);
	struct clv_tx tx = { .link = flow->hop.link };

	if (flow->hop.mtu && clv_packet_ip_len(flow, len) > flow->hop.mtu)
		return CLV_COUNT_DROP_TOO_BIG_TARGET;
	if (port->ops->tx_take(port, &tx))
		return CLV_COUNT_DROP_NO_FRAME;
	if (len > tx.room) {
		port->ops->tx_give(port, &tx);
		return CLV_COUNT_DROP_TOO_BIG_TARGET;
	}
	memcpy(tx.payload, payload, len);
	/* Not-ECT: the outer connection's marks are not the inner ones (RFC 9298 section 6.2) */
	port->ops->tx_send(port, &tx, len, flow, 0);
	clv_count(&w->counters, CLV_COUNT_TX_TARGET);
	return CLV_COUNTER_MAX;
}

/* The target is an application that reads from control. */
static void to_control(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		       size_t len)
{
	const struct clv_evt_bound evt = { .ref = { t->slot, t->generation, w->p.id, { 0 } } };

	clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
	worker_event(w, CLV_EVT_DELIVERY, &evt, sizeof(evt), payload, len);
}

enum clv_counter worker_wait(struct clv_worker *w, const struct clv_tunnel *t, struct clv_waitq *q,
			     const uint8_t *payload, size_t len, enum clv_counter full)
{
	int err = clv_waitq_push(q, &w->pool, &w->conns[t->conn_slot].buffers, payload, len, NULL,
				 0, w->now_ns);

	if (!err)
		return CLV_COUNTER_MAX;
	return err == -ENOBUFS ? CLV_COUNT_DROP_BUFFERS : full;
}

/* To the target, whose next hop may be unresolved.  Returns CLV_COUNTER_MAX, or why it was dropped. */
static enum clv_counter try_target(struct clv_worker *w, struct clv_tunnel *t,
				   const uint8_t *payload, size_t len)
{
	enum clv_counter why;

	switch (t->flow.hop.state) {
	case CLV_HOP_READY:
		why = worker_send(w, &t->flow, payload, len);
		if (why == CLV_COUNTER_MAX)
			clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
		return why;
	case CLV_HOP_RESOLVING:
		return worker_wait(w, t, &t->wait, payload, len, CLV_COUNT_DROP_NO_NEIGHBOUR);
	default:
		/* on trial: it waits for control's decision */
		if (worker_trial_fail(w, t, true))
			return worker_wait(w, t, &t->wait, payload, len, CLV_COUNT_DROP_NO_ROUTE);
		return CLV_COUNT_DROP_NO_ROUTE;
	}
}

static void send_or_wait(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
			 size_t len)
{
	enum clv_counter why = try_target(w, t, payload, len);

	if (why != CLV_COUNTER_MAX)
		worker_drop(w, t, why);
}

void worker_to_target(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		      size_t len)
{
	uint32_t waiting;
	bool is_kept;

	if (t->flags & CLV_TUNNEL_DELIVER) {
		to_control(w, t, payload, len);
		return;
	}
	if (clv_packet_ip_len(&t->flow, len) > worker_target_mtu(w, t)) {
		worker_drop(w, t, CLV_COUNT_DROP_TOO_BIG_TARGET);
		return;
	}
	waiting = t->wait.count;
	is_kept = !worker_is_trial(t) || worker_trial_keep(w, t, payload, len);
	send_or_wait(w, t, payload, len);
	if (!is_kept)
		t->uncopied += t->wait.count - waiting;
}

void worker_to_target_again(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
			    size_t len)
{
	if (worker_is_trial(t) && !t->silent_at_ns)
		worker_trial_start(w, t);
	send_or_wait(w, t, payload, len);
}

void worker_tunnel_hop(struct clv_worker *w, struct clv_tunnel *t, const struct clv_nexthop *hop)
{
	const uint8_t *data;
	uint32_t old;
	size_t len;

	t->flow.hop = *hop;
	old = clv_waitq_expire(&t->wait, &w->pool, w->now_ns);
	clv_count_add(&w->counters, CLV_COUNT_DROP_NO_NEIGHBOUR, old);
	if (hop->state == CLV_HOP_RESOLVING ||
	    (hop->state == CLV_HOP_UNREACHABLE && worker_trial_fail(w, t, true)))
		return;
	while (clv_waitq_peek(&t->wait, &data, &len)) {
		if (hop->state == CLV_HOP_READY)
			send_or_wait(w, t, data, len);
		else
			worker_drop(w, t, CLV_COUNT_DROP_NO_NEIGHBOUR);
		clv_waitq_pop(&t->wait, &w->pool);
	}
	t->uncopied = 0;
}

/* ---- to the peer ---- */

/*
 * The peer takes no DATAGRAM frames: control writes a capsule to the tunnel's request stream.
 * context: the encoded Context ID and, of an uncompressed datagram, the remote's address.
 */
static void seal_in_capsule(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *context,
			    size_t context_len, const uint8_t *payload, size_t len)
{
	struct clv_evt_tunnel up = { .ref = { t->slot, t->generation, w->p.id, { 0 } } };
	uint8_t body[CLV_BOUND_PREFIX_MAX + CLV_DGRAM_UDP_MAX];

	assert(context_len + len <= sizeof(body));
	if (clv_mailbox_backlog(w->p.events) > CAPSULE_BACKLOG_MAX) {
		worker_drop(w, t, CLV_COUNT_DROP_CAPSULE_BACKLOG);
		return;
	}
	memcpy(body, context, context_len);
	memcpy(body + context_len, payload, len);
	worker_event(w, CLV_EVT_DATAGRAM_UP, &up, sizeof(up), body, context_len + len);
	clv_count(&w->counters, CLV_COUNT_CAPSULES_OUT);
}

void worker_seal(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *prefix,
		 size_t prefix_len, const uint8_t *payload, size_t len)
{
	struct clv_conn *conn = w->conns[t->conn_slot].conn;
	size_t quarter_len;

	if (!worker_may_pass(w, t, CLV_METER_TO_PEER, len))
		return;
	if (t->meter)
		clv_meter_charge(t->meter, CLV_METER_TO_PEER, len, w->now_ns);
	clv_tunnel_count(&w->tunnels, t, false, len, w->now_ns);
	if (t->flags & CLV_TUNNEL_CAPSULES) {
		quarter_len = clv_varint_len((uint64_t)t->stream_id / 4);
		seal_in_capsule(w, t, prefix + quarter_len, prefix_len - quarter_len, payload, len);
		return;
	}
	clv_conn_send_datagram(conn, worker_port(w, &conn->flow), prefix, prefix_len, payload, len,
			       w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

void worker_to_peer(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload, size_t len)
{
	if (worker_is_trial(t))
		worker_trial_end(w, t);
	if (worker_fits(w, t, &t->flow.local, &t->flow.remote, t->prefix_len, payload, len))
		worker_seal(w, t, t->prefix, t->prefix_len, payload, len);
}
