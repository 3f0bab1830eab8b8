/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/prefetch.h"
#include "datapath/io/handoff.h"
#include "datapath/io/packet.h"
#include "datapath/worker/state.h"

enum {
	BUFFER_LEN = 2048,		 /* of a datagram that waits, with its head */
	REMOVALS_PER_STEP = 256,	 /* of remotes and tunnels: then packets get their turn */
	UNCLAIMED_BACKLOG_MAX = 1 << 20, /* bytes queued for control, then packets drop */
};

/* ---- life ---- */

int clv_worker_open(const struct clv_worker_params *params, struct clv_worker **out)
{
	struct clv_worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->p = *params;
	w->buffered.max = params->buffered_max;
	w->heap = (struct clv_heap){ .max = params->quic_memory_max, .counters = &w->counters };
	w->icmp = clv_bucket_of(params->icmp_per_sec, params->icmp_per_sec);
	w->icmp_source = clv_rate_of(params->icmp_source_per_sec, params->icmp_source_per_sec);
	clv_rand_init(&w->rand, params->rand_seed);
	w->seed[0] = clv_rand_u64(&w->rand);
	w->seed[1] = clv_rand_u64(&w->rand);
	w->early_stock.max = params->early_total;
	TAILQ_INIT(&w->early);
	w->sources = calloc(SOURCES, sizeof(*w->sources));
	w->conns = calloc(params->conns_max, sizeof(*w->conns));
	w->conn_stats = calloc(params->conns_max, sizeof(*w->conn_stats));
	TAILQ_INIT(&w->leaving);
	TAILQ_INIT(&w->purging);
	w->quote = malloc(CLV_PACKET_HEADERS_MAX + CLV_PACKET_PAYLOAD_MAX);
	if (!w->sources || !w->quote || !w->conns || !w->conn_stats ||
	    clv_table_init(&w->open_by_local, sizeof(struct clv_endpoint),
			   CLV_WORKER_OPEN_SOCKETS_MAX, w->seed) ||
	    clv_table_init(&w->open_by_number, sizeof(uint32_t), CLV_WORKER_OPEN_SOCKETS_MAX,
			   w->seed) ||
	    clv_pool_init(&w->pool, params->buffers, BUFFER_LEN) ||
	    clv_table_init(&w->cids, CLV_CID_LEN, (size_t)params->conns_max * 8, w->seed) ||
	    clv_timers_init(&w->conn_timers, params->conns_max) ||
	    clv_tunnels_init(&w->tunnels, params->tunnels_max, w->seed) ||
	    clv_remotes_init(&w->remotes, params->remotes_max, params->hop_wait_packets, w->seed)) {
		w->p.sock = w->p.xsk = NULL; /* still the caller's */
		w->p.verdicts = NULL;
		clv_worker_close(w);
		return -ENOMEM;
	}
	params->sock->counters = &w->counters;
	if (params->xsk)
		params->xsk->counters = &w->counters;
	clv_verdicts_ref(w->p.verdicts);
	*out = w;
	return 0;
}

void clv_worker_close(struct clv_worker *w)
{
	if (!w)
		return;
	if (w->conns && w->conn_stats && w->tunnels.slots)
		worker_conns_fini(w);
	if (w->p.xsk)
		w->p.xsk->ops->close(w->p.xsk);
	if (w->p.sock)
		w->p.sock->ops->close(w->p.sock);
	clv_remotes_fini(&w->remotes);
	clv_tunnels_fini(&w->tunnels);
	clv_timers_fini(&w->conn_timers);
	clv_table_fini(&w->cids);
	clv_pool_fini(&w->pool);
	clv_verdicts_unref(w->p.verdicts);
	free(w->quote);
	free(w->sources);
	clv_table_fini(&w->open_by_number);
	clv_table_fini(&w->open_by_local);
	free(w->conn_stats);
	free(w->conns);
	free(w);
}

/* ---- receive and dispatch ---- */

static void to_conn(struct clv_worker *w, struct clv_conn *conn, struct clv_rx *rx)
{
	/* Without its VLAN tags a packet does not say which link it came by, unless control has. */
	bool is_hop_open = conn->flow.hop.via == CLV_VIA_XSK ? conn->flow.hop.state != CLV_HOP_READY
							     : !rx->lacks_tags;
	bool records_link = rx->via == CLV_VIA_XSK && is_hop_open &&
			    !memcmp(&rx->remote, &conn->flow.remote, sizeof(rx->remote));
	uint64_t received = records_link ? clv_conn_received(conn) : 0;

	clv_count(&w->counters, CLV_COUNT_RX_PEER);
	if (rx->via == CLV_VIA_KERNEL)
		clv_count(&w->counters, CLV_COUNT_RX_KERNEL);
	clv_conn_input(conn, rx, w->now_ns);
	/* Answers leave on the link the peer's packets arrive on, until control sets a next hop. */
	if (records_link && clv_conn_received(conn) != received)
		clv_rx_answer(rx, &conn->flow.hop);
	worker_conn_mark_dirty(w, conn);
}

/* The kernel or XDP matched the remote; check again, since a map may lag behind the tunnel. */
static void to_tunnel(struct clv_worker *w, struct clv_tunnel *t, struct clv_rx *rx)
{
	if (rx->kind != CLV_RX_HAIRPIN) {
		clv_count(&w->counters, CLV_COUNT_RX_TARGET);
		if (rx->via == CLV_VIA_KERNEL)
			clv_count(&w->counters, CLV_COUNT_RX_KERNEL);
	}
	if (t->is_leaving) {
		worker_drop(w, t, CLV_COUNT_DROP_STALE);
		return;
	}
	if (t->flags & CLV_TUNNEL_BOUND) {
		worker_bound_to_peer(w, t, rx);
		return;
	}
	if (memcmp(&rx->remote, &t->flow.remote, sizeof(rx->remote)) ||
	    memcmp(&rx->local, &t->flow.local, sizeof(rx->local))) {
		clv_count(&w->counters, CLV_COUNT_DROP_WRONG_REMOTE);
		clv_tunnel_count_drop(&w->tunnels, t);
		return;
	}
	worker_to_peer(w, t, rx->payload, rx->payload_len);
}

/* Of no connection or tunnel of ours: control decides. */
static void unclaimed(struct clv_worker *w, const struct clv_rx *rx)
{
	struct clv_evt_unclaimed evt = { .local = rx->local, .remote = rx->remote, .ecn = rx->ecn };

	if (clv_mailbox_backlog(w->p.events) > UNCLAIMED_BACKLOG_MAX)
		clv_count(&w->counters, CLV_COUNT_DROP_UNKNOWN);
	else
		worker_event(w, CLV_EVT_UNCLAIMED, &evt, sizeof(evt), rx->payload, rx->payload_len);
}

static struct clv_tunnel *tunnel_of_endpoints(struct clv_worker *w, const struct clv_rx *rx)
{
	struct clv_tunnel *t = clv_tunnels_by_tuple(&w->tunnels, &rx->local, &rx->remote);
	const struct clv_remotes_entry *r;

	if (!t)
		t = clv_tunnels_by_local(&w->tunnels, &rx->local);
	if (t)
		return t;
	r = clv_remotes_by_tuple(&w->remotes, &rx->local, &rx->remote);
	return r ? &w->tunnels.slots[r->tunnel] : NULL;
}

/* From a kernel socket: not classified yet. */
static void receive_unclassified(struct clv_worker *w, struct clv_rx *rx)
{
	struct clv_evt_remote evt = {
		.socket = rx->socket,
		.local = rx->local,
		.remote = rx->remote,
	};
	struct clv_conn *conn;
	struct clv_tunnel *t;

	if (rx->socket < w->p.listener_sockets) {
		conn = worker_conn_by_packet(w, rx);
		if (conn)
			to_conn(w, conn, rx);
		else
			unclaimed(w, rx);
		return;
	}
	t = tunnel_of_endpoints(w, rx);
	if (t) {
		to_tunnel(w, t, rx);
		return;
	}
	if (!clv_table_find(&w->open_by_number, &rx->socket, NULL))
		clv_count(&w->counters, CLV_COUNT_DROP_WRONG_REMOTE);
	else if (clv_mailbox_backlog(w->p.events) > UNCLAIMED_BACKLOG_MAX)
		clv_count(&w->counters, CLV_COUNT_DROP_UNKNOWN);
	else
		worker_event(w, CLV_EVT_NEW_REMOTE, &evt, sizeof(evt), rx->payload,
			     rx->payload_len);
}

static void receive(struct clv_worker *w, struct clv_rx *rx)
{
	struct clv_conn *conn;
	struct clv_tunnel *t;

	switch (rx->kind) {
	case CLV_KIND_UNKNOWN:
		receive_unclassified(w, rx);
		return;
	case CLV_KIND_CONN:
		if (!worker_is_owner(w, rx))
			return;
		conn = worker_conn(w, rx->ref.slot, rx->ref.generation);
		if (conn)
			to_conn(w, conn, rx);
		else
			clv_count(&w->counters, CLV_COUNT_DROP_STALE);
		return;
	default:
		if (!worker_is_owner(w, rx))
			return;
		t = clv_tunnels_by_ref(&w->tunnels, rx->ref.slot, rx->ref.generation);
		if (t)
			to_tunnel(w, t, rx);
		else
			clv_count(&w->counters, CLV_COUNT_DROP_STALE);
	}
}

/* ---- the step ---- */

static void dispatch(struct clv_worker *w, struct clv_port *port, enum clv_nexthop_via via,
		     struct clv_rx *batch, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i + 1 < n)
			clv_prefetch(batch[i + 1].payload, batch[i + 1].payload_len);
		batch[i].via = via;
		if (batch[i].is_unverified && !clv_packet_checksum_ok(&batch[i]))
			clv_count(&w->counters, CLV_COUNT_DROP_CHECKSUM);
		else
			receive(w, &batch[i]);
	}
	port->ops->rx_done(port);
	w->work += n;
}

static void drain_handoff(struct clv_worker *w)
{
	struct clv_rx rx;

	for (unsigned i = 0; i < CLV_PORT_BATCH && clv_handoff_peek(w->p.handoff, w->p.id, &rx);
	     i++) {
		receive(w, &rx);
		clv_handoff_release(w->p.handoff, w->p.id);
		w->work++;
	}
}

/* The connections before slot end have their last packets out. */
static void stop_some(struct clv_worker *w, uint32_t end)
{
	worker_conns_release_some(w, end);
	if (end < w->p.conns_max)
		return;
	worker_event(w, CLV_EVT_STOPPED, NULL, 0, NULL, 0);
	w->stopped = true;
}

unsigned clv_worker_step(struct clv_worker *w, uint64_t now_ns)
{
	struct clv_rx from_xsk[CLV_PORT_BATCH], from_sock[CLV_PORT_BATCH];
	unsigned xsk_len = 0, sock_len;
	uint32_t stop_end = 0;
	bool is_stopping;

	w->now_ns = now_ns;
	w->work = 0;
	w->removals_left = REMOVALS_PER_STEP;
	/* Packets first, commands second, then use the packets: a packet that a map entry brought
	 * here finds the connection or tunnel, since its command was sent before the entry. */
	if (w->p.xsk)
		xsk_len = w->p.xsk->ops->rx(w->p.xsk, from_xsk, CLV_PORT_BATCH);
	sock_len = w->p.sock->ops->rx(w->p.sock, from_sock, CLV_PORT_BATCH);
	worker_commands(w);
	if (w->p.xsk)
		dispatch(w, w->p.xsk, CLV_VIA_XSK, from_xsk, xsk_len);
	dispatch(w, w->p.sock, CLV_VIA_KERNEL, from_sock, sock_len);
	if (w->p.handoff)
		drain_handoff(w);
	worker_conns_expire(w);
	worker_tunnels_leave_some(w);
	worker_bound_purge_some(w);
	worker_tunnels_expire(w);
	worker_remotes_expire(w);
	worker_early_expire(w);
	is_stopping = w->stopping && !w->stopped;
	if (is_stopping)
		stop_end = worker_conns_close_some(w);
	worker_conns_flush(w);
	if (w->p.xsk)
		w->p.xsk->ops->flush(w->p.xsk);
	w->p.sock->ops->flush(w->p.sock);
	if (is_stopping)
		stop_some(w, stop_end);
	if (w->p.handoff)
		clv_handoff_flush(w->p.handoff, w->p.id);
	clv_mailbox_flush(w->p.events);
	return w->work;
}

uint64_t clv_worker_next_ns(const struct clv_worker *w)
{
	uint64_t at = clv_timers_next_ns(&w->conn_timers);
	uint64_t tunnels = clv_timers_next_ns(&w->tunnels.timers);
	uint64_t remotes = clv_timers_next_ns(&w->remotes.timers);

	if (w->stopping && !w->stopped)
		return 0;
	if (tunnels < at)
		at = tunnels;
	if (remotes < at)
		at = remotes;
	if (!TAILQ_EMPTY(&w->early) && TAILQ_FIRST(&w->early)->until_ns < at)
		at = TAILQ_FIRST(&w->early)->until_ns;
	return at;
}

bool clv_worker_may_sleep(struct clv_worker *w)
{
	if (w->p.xsk && !w->p.xsk->ops->may_sleep(w->p.xsk))
		return false;
	if (!w->p.sock->ops->may_sleep(w->p.sock))
		return false;
	if (w->p.handoff && !clv_handoff_may_sleep(w->p.handoff, w->p.id))
		return false;
	if (clv_mailbox_backlog(w->p.events)) /* control does not report that it made room */
		return false;
	return clv_mailbox_may_sleep(w->p.commands);
}

int clv_worker_sock_fd(const struct clv_worker *w)
{
	return w->p.sock->ops->poll_fd(w->p.sock);
}

int clv_worker_xsk_fd(const struct clv_worker *w)
{
	return w->p.xsk ? w->p.xsk->ops->poll_fd(w->p.xsk) : -1;
}

uint64_t clv_worker_buffers(const struct clv_worker *w, uint64_t *max)
{
	*max = (uint64_t)w->pool.count * w->pool.buf_len;
	return (uint64_t)__atomic_load_n(&w->pool.stock.used, __ATOMIC_RELAXED) * w->pool.buf_len;
}

uint64_t clv_worker_quic_memory(const struct clv_worker *w, uint64_t *max)
{
	*max = w->heap.max;
	return __atomic_load_n(&w->heap.used, __ATOMIC_RELAXED);
}

const struct clv_worker_counters *clv_worker_counters(const struct clv_worker *w)
{
	return &w->counters;
}

const struct clv_tunnel_stats *clv_worker_tunnel_stats(const struct clv_worker *w, uint32_t slot)
{
	return slot < w->p.tunnels_max ? &w->tunnels.stats[slot] : NULL;
}

uint32_t clv_worker_remote_slots(const struct clv_worker *w)
{
	return clv_remotes_seen(&w->remotes);
}

bool clv_worker_remote_view(const struct clv_worker *w, uint32_t slot, struct clv_remotes_view *out)
{
	return clv_remotes_view(&w->remotes, slot, out);
}

const struct clv_conn_stats *clv_worker_conn_stats(const struct clv_worker *w, uint32_t slot)
{
	return slot < w->p.conns_max ? &w->conn_stats[slot] : NULL;
}
