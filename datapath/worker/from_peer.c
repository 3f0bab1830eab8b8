/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include <assert.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/io/packet.h"
#include "datapath/quic/dgram.h"

enum {
	IP_UDP_V4 = 28,
	IP_UDP_V6 = 48,
	H3_DATAGRAM_ERROR = 0x33,
	H3_ID_ERROR = 0x0108,
	CAPSULE_BACKLOG_MAX = 1 << 20, /* bytes waiting for control, beyond which datagrams drop */
};

static void drop(struct clv_worker *w, struct clv_tunnel *t, enum clv_counter why)
{
	clv_count(&w->counters, why);
	clv_tunnel_count_drop(&w->tunnels, t);
}

/* ---- peer to target ---- */

enum clv_counter worker_send(struct clv_worker *w, const struct clv_flow *flow,
			     const uint8_t *payload, size_t len)
{
	size_t headers = clv_addr_is_v4(flow->remote.addr) ? IP_UDP_V4 : IP_UDP_V6;
	struct clv_port *port = worker_port(w, flow);
	struct clv_tx tx;

	if (flow->hop.mtu && len + headers > flow->hop.mtu)
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

void worker_to_target(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		      size_t len)
{
	enum clv_counter why = CLV_COUNTER_MAX;

	if (t->flags & CLV_TUNNEL_DELIVER) {
		const struct clv_evt_bound evt = {
			.ref = { t->slot, t->generation, w->p.id, { 0 } },
		};

		clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
		worker_event(w, CLV_EVT_DELIVERY, &evt, sizeof(evt), payload, len);
		return;
	}
	if (clv_packet_ip_len(&t->flow, len) > worker_target_mtu(w, t)) {
		drop(w, t, CLV_COUNT_DROP_TOO_BIG_TARGET);
		return;
	}
	switch (t->flow.hop.state) {
	case CLV_HOP_READY:
		why = worker_send(w, &t->flow, payload, len);
		if (why == CLV_COUNTER_MAX)
			clv_tunnel_count(&w->tunnels, t, true, len, w->now_ns);
		break;
	case CLV_HOP_RESOLVING:
		if (clv_sendq_push(&t->wait, &w->pool, payload, len, NULL, 0, w->now_ns))
			why = CLV_COUNT_DROP_NO_NEIGHBOUR;
		break;
	default:
		why = CLV_COUNT_DROP_NO_ROUTE;
	}
	if (why != CLV_COUNTER_MAX)
		drop(w, t, why);
}

void worker_tunnel_hop(struct clv_worker *w, struct clv_tunnel *t, const struct clv_nexthop *hop)
{
	const uint8_t *data;
	uint32_t old;
	size_t len;

	t->flow.hop = *hop;
	old = clv_sendq_expire(&t->wait, &w->pool, w->now_ns);
	clv_count_add(&w->counters, CLV_COUNT_DROP_NO_NEIGHBOUR, old);
	if (hop->state == CLV_HOP_RESOLVING)
		return;
	while (clv_sendq_peek(&t->wait, &data, &len)) {
		if (hop->state == CLV_HOP_READY)
			worker_to_target(w, t, data, len);
		else
			drop(w, t, CLV_COUNT_DROP_NO_NEIGHBOUR);
		clv_sendq_pop(&t->wait, &w->pool);
	}
}

/* A tunnel may still be on its way from control: keep the datagram, within bounds. */
static void hold_early(struct clv_worker *w, struct clv_conn *conn, const struct clv_dgram *d,
		       const uint8_t *body, size_t body_len)
{
	struct conn_slot *slot = &w->conns[conn->ref.slot];
	struct early *e;

	/* ngtcp2 knows whether the request stream is open; one it closed has no tunnel to come */
	if (conn->is_server && d->stream_id <= slot->max_stream &&
	    ngtcp2_conn_set_stream_user_data(conn->qc, d->stream_id, NULL)) {
		clv_count(&w->counters, CLV_COUNT_DROP_UNKNOWN_STREAM);
		return;
	}
	if (conn->early_held >= w->p.early_per_conn || sizeof(*e) + body_len > w->pool.buf_len) {
		clv_count(&w->counters, CLV_COUNT_DROP_EARLY_FULL);
		return;
	}
	e = clv_pool_take(&w->pool);
	if (!e) {
		clv_count(&w->counters, CLV_COUNT_DROP_EARLY_FULL);
		return;
	}
	*e = (struct early){
		.until_ns = w->now_ns + w->p.early_ns,
		.conn = conn->ref,
		.stream_id = d->stream_id,
		.len = body_len,
	};
	memcpy(e->bytes, body, body_len);
	if (w->early_tail)
		w->early_tail->next = e;
	else
		w->early_head = e;
	w->early_tail = e;
	conn->early_held++;
	clv_count(&w->counters, CLV_COUNT_EARLY_HELD);
}

static bool is_probe(uint64_t context_id)
{
	return context_id == CLV_DGRAM_CONTEXT_PROBE_CLIENT ||
	       context_id == CLV_DGRAM_CONTEXT_PROBE_SERVER;
}

bool worker_to_context(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
		       const uint8_t *payload, size_t len)
{
	if (t->flags & CLV_TUNNEL_BOUND)
		return is_probe(context_id) ||
		       worker_bound_from_peer(w, t, context_id, payload, len);
	if (context_id == CLV_DGRAM_CONTEXT_UDP)
		worker_to_target(w, t, payload, len);
	else if (!is_probe(context_id))
		drop(w, t, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
	return true;
}

/* RFC 9297 section 2.1: these cost the peer its connection. */
static void refuse_datagram(struct clv_worker *w, struct clv_conn *conn, uint64_t code,
			    const char *reason)
{
	clv_count(&w->counters, CLV_COUNT_DROP_DGRAM_MALFORMED);
	clv_conn_close(conn, true, code, reason, w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

void worker_from_peer(struct clv_worker *w, struct clv_conn *conn, const uint8_t *data, size_t len)
{
	struct clv_tunnel *t;
	struct clv_dgram d;
	int err = clv_dgram_decode(data, len, &d);

	if (err == CLV_EPROTO) {
		refuse_datagram(w, conn, H3_DATAGRAM_ERROR, "no quarter stream ID");
		return;
	}
	if (!err && conn->is_server && (uint64_t)d.stream_id / 4 >= conn->streams_granted) {
		refuse_datagram(w, conn, H3_ID_ERROR, "datagram of a stream not allowed");
		return;
	}
	if (err) {
		clv_count(&w->counters, CLV_COUNT_DROP_DGRAM_MALFORMED);
		return;
	}
	if (!is_probe(d.context_id))
		clv_count(&w->counters, CLV_COUNT_DGRAM_IN);
	t = clv_tunnels_by_stream(&w->tunnels, conn->ref.slot, d.stream_id);
	if (t && worker_to_context(w, t, d.context_id, d.payload, d.payload_len))
		return;
	if (!is_probe(d.context_id)) {
		const uint8_t *body = data;
		uint64_t quarter;

		clv_varint_read(&body, data + len, &quarter);
		hold_early(w, conn, &d, body, (size_t)(data + len - body));
	}
}

static void early_release(struct clv_worker *w, struct early *prev, struct early *e)
{
	struct clv_conn *conn = worker_conn(w, e->conn.slot, e->conn.generation);

	if (prev)
		prev->next = e->next;
	else
		w->early_head = e->next;
	if (w->early_tail == e)
		w->early_tail = prev;
	if (conn)
		conn->early_held--;
	clv_pool_give(&w->pool, e);
}

void worker_early_replay(struct clv_worker *w, struct clv_tunnel *t)
{
	const struct conn_slot *slot = &w->conns[t->conn_slot];
	struct early *prev = NULL, *e = w->early_head, *next;

	if (!slot->conn || !slot->conn->early_held)
		return;
	for (; e; e = next) {
		const uint8_t *p = e->bytes;
		uint64_t context_id;

		next = e->next;
		if (e->conn.slot != t->conn_slot || e->conn.generation != slot->generation ||
		    e->stream_id != t->stream_id) {
			prev = e;
			continue;
		}
		if (!clv_varint_read(&p, e->bytes + e->len, &context_id) &&
		    !worker_to_context(w, t, context_id, p, (size_t)(e->bytes + e->len - p))) {
			prev = e; /* its context may still come */
			continue;
		}
		early_release(w, prev, e);
	}
}

/* Control knows whether a tunnel may still come, or the request has no use for datagrams. */
static void report_no_tunnel(struct clv_worker *w, const struct early *e)
{
	struct clv_conn *conn = worker_conn(w, e->conn.slot, e->conn.generation);
	const struct clv_evt_stream evt = { .ref = e->conn, .stream_id = e->stream_id };

	if (conn && conn->is_server &&
	    !clv_tunnels_by_stream(&w->tunnels, e->conn.slot, e->stream_id))
		worker_event(w, CLV_EVT_STREAM_NO_TUNNEL, &evt, sizeof(evt), NULL, 0);
}

void worker_early_expire(struct clv_worker *w)
{
	while (w->early_head && w->now_ns >= w->early_head->until_ns) {
		clv_count(&w->counters, CLV_COUNT_DROP_EARLY_EXPIRED);
		report_no_tunnel(w, w->early_head);
		early_release(w, NULL, w->early_head);
	}
}

/* ---- target to peer ---- */

/* head: Context ID and what follows it.  payload: of a UDP packet, however it came. */
static void capsule_up(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *head,
		       size_t head_len, const uint8_t *payload, size_t len)
{
	struct clv_evt_tunnel up = { .ref = { t->slot, t->generation, w->p.id, { 0 } } };
	uint8_t body[CLV_BOUND_PREFIX_MAX + CLV_DGRAM_UDP_MAX];

	assert(head_len + len <= sizeof(body));
	if (clv_mailbox_backlog(w->p.events) > CAPSULE_BACKLOG_MAX) {
		drop(w, t, CLV_COUNT_DROP_CAPSULE_BACKLOG);
		return;
	}
	memcpy(body, head, head_len);
	memcpy(body + head_len, payload, len);
	worker_event(w, CLV_EVT_DATAGRAM_UP, &up, sizeof(up), body, head_len + len);
	clv_count(&w->counters, CLV_COUNT_CAPSULES_OUT);
}

void worker_seal(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *prefix,
		 size_t prefix_len, const uint8_t *payload, size_t len)
{
	struct clv_conn *conn = w->conns[t->conn_slot].conn;
	size_t quarter_len = clv_varint_len((uint64_t)t->stream_id / 4);

	clv_tunnel_count(&w->tunnels, t, false, len, w->now_ns);
	if (t->flags & CLV_TUNNEL_CAPSULES) {
		capsule_up(w, t, prefix + quarter_len, prefix_len - quarter_len, payload, len);
		return;
	}
	clv_conn_send_datagram(conn, worker_port(w, &conn->flow), prefix, prefix_len, payload, len,
			       w->now_ns);
	worker_conn_mark_dirty(w, conn);
}

void worker_to_peer(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload, size_t len)
{
	if (worker_fits(w, t, &t->flow.local, &t->flow.remote, t->prefix_len, payload, len))
		worker_seal(w, t, t->prefix, t->prefix_len, payload, len);
}

/* ---- life of a tunnel ---- */

void worker_tunnel_remove(struct clv_worker *w, struct clv_tunnel *t, int error)
{
	struct clv_evt_tunnel gone = {
		.ref = { t->slot, t->generation, w->p.id, { 0 } },
		.error = error,
	};
	struct clv_conn *conn = w->conns[t->conn_slot].conn;

	if (t->prev)
		w->tunnels.slots[t->prev - 1].next = t->next;
	else
		conn->tunnels = t->next;
	if (t->next)
		w->tunnels.slots[t->next - 1].prev = t->prev;
	if (conn->probe_stream == t->stream_id)
		conn->probe_stream = conn->tunnels ? w->tunnels.slots[conn->tunnels - 1].stream_id
						   : -1;
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

		/* the timer is not moved for every datagram: look when it fires */
		if (at > w->now_ns)
			clv_timers_set(&w->tunnels.timers, timer, at);
		else
			worker_tunnel_remove(w, t, CLV_ETIMEOUT);
		w->work++;
	}
}
