/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/shared.h"
#include "datapath/quic/h3_code.h"

enum {
	STATS_EVERY_MSEC = 100,
	SCIDS_MAX = 16,	   /* ours alive at a time; ngtcp2 keeps fewer */
	STOP_CONNS = 64,   /* closed in one step, so that they fit any transmit ring */
	STOP_SLOTS = 4096, /* looked at in one step */
};

/* ---- what a connection reports ---- */

static int on_cid_added(struct clv_conn *conn, const struct clv_cid *cid)
{
	struct clv_worker *w = conn->env.owner;
	struct clv_evt_cid evt = { .ref = conn->ref, .cid = *cid };

	if (clv_table_insert(&w->cids, cid->id, conn->ref.slot))
		return CLV_EFULL;
	worker_event(w, CLV_EVT_CID_ADDED, &evt, sizeof(evt), NULL, 0);
	return 0;
}

static void on_cid_removed(struct clv_conn *conn, const struct clv_cid *cid)
{
	struct clv_worker *w = conn->env.owner;
	struct clv_evt_cid evt = { .ref = conn->ref, .cid = *cid };

	clv_table_remove(&w->cids, cid->id);
	worker_event(w, CLV_EVT_CID_REMOVED, &evt, sizeof(evt), NULL, 0);
}

static void on_datagram(struct clv_conn *conn, const uint8_t *data, size_t len)
{
	worker_from_peer(conn->env.owner, conn, data, len);
}

static void on_stream_data(struct clv_conn *conn, int64_t id, const uint8_t *data, size_t len,
			   bool fin)
{
	struct clv_worker *w = conn->env.owner;
	struct conn_slot *slot = &w->conns[conn->ref.slot];
	struct clv_evt_stream evt = { .ref = conn->ref, .stream_id = id };

	if (!(id & 3) && id > slot->max_stream)
		slot->max_stream = id;
	do {
		size_t n = len < CLV_STREAM_CHUNK_MAX ? len : CLV_STREAM_CHUNK_MAX;

		evt.code = fin && n == len;
		if (clv_mailbox_send_for(w->p.events, &slot->held, CLV_EVT_STREAM_DATA, &evt,
					 sizeof(evt), data, n))
			clv_count(&w->counters, CLV_COUNT_EVENT_NOMEM);
		len -= n;
		if (len) /* data of a bare FIN is NULL */
			data += n;
	} while (len);
	worker_relieve(w);
}

static void stream_event(struct clv_conn *conn, enum clv_event type, int64_t id, uint64_t code)
{
	struct clv_evt_stream evt = { .ref = conn->ref, .stream_id = id, .code = code };

	worker_event(conn->env.owner, type, &evt, sizeof(evt), NULL, 0);
}

static void on_stream_acked(struct clv_conn *conn, int64_t id, uint64_t bytes)
{
	stream_event(conn, CLV_EVT_STREAM_ACKED, id, bytes);
}

static void on_stream_reset(struct clv_conn *conn, int64_t id, uint64_t code)
{
	stream_event(conn, CLV_EVT_STREAM_RESET, id, code);
}

static void on_stream_stop(struct clv_conn *conn, int64_t id, uint64_t code)
{
	stream_event(conn, CLV_EVT_STREAM_STOP, id, code);
}

static void on_stream_closed(struct clv_conn *conn, int64_t id, uint64_t code)
{
	stream_event(conn, CLV_EVT_STREAM_CLOSED, id, code);
}

static void on_peer_token(struct clv_conn *conn, const uint8_t *token, bool in_use)
{
	struct clv_evt_token evt = { .ref = conn->ref, .in_use = in_use };

	memcpy(evt.token, token, sizeof(evt.token));
	worker_event(conn->env.owner, CLV_EVT_PEER_TOKEN, &evt, sizeof(evt), NULL, 0);
}

static void on_new_token(struct clv_conn *conn, const uint8_t *token, size_t len)
{
	struct clv_cmd_ref evt = { .ref = conn->ref };

	worker_event(conn->env.owner, CLV_EVT_NEW_TOKEN, &evt, sizeof(evt), token, len);
}

static void on_path_changed(struct clv_conn *conn)
{
	struct clv_worker *w = conn->env.owner;
	struct clv_evt_path evt = {
		.ref = conn->ref,
		.local = conn->flow.local,
		.remote = conn->flow.remote,
	};

	worker_charge_source(w, &w->conns[conn->ref.slot]);
	worker_event(w, CLV_EVT_PATH_CHANGED, &evt, sizeof(evt), NULL, 0);
}

static struct clv_port *port_of(struct clv_conn *conn, const struct clv_flow *flow)
{
	return worker_port(conn->env.owner, flow);
}

static void on_max_payload(struct clv_conn *conn, size_t len)
{
	struct clv_worker *w = conn->env.owner;
	struct clv_evt_payload evt = { .ref = conn->ref, .payload_len = (uint32_t)len };

	__atomic_store_n(&w->conn_stats[conn->ref.slot].max_payload, (uint32_t)len,
			 __ATOMIC_RELAXED);
	worker_event(w, CLV_EVT_MAX_PAYLOAD, &evt, sizeof(evt), NULL, 0);
}

static const struct clv_conn_ops conn_ops = {
	.cid_added = on_cid_added,
	.cid_removed = on_cid_removed,
	.datagram = on_datagram,
	.stream_data = on_stream_data,
	.stream_acked = on_stream_acked,
	.stream_reset = on_stream_reset,
	.stream_stop = on_stream_stop,
	.stream_closed = on_stream_closed,
	.peer_token = on_peer_token,
	.new_token = on_new_token,
	.path_changed = on_path_changed,
	.port_of = port_of,
	.max_payload = on_max_payload,
};

/* ---- life ---- */

static void each_scid(struct clv_worker *w, struct clv_conn *conn, bool insert)
{
	ngtcp2_cid scids[SCIDS_MAX];
	size_t n = ngtcp2_conn_get_scid2(conn->qc, NULL);

	if (n > SCIDS_MAX)
		return; /* active_connection_id_limit is capped at 8 by ngtcp2 */
	n = ngtcp2_conn_get_scid2(conn->qc, scids);
	for (size_t i = 0; i < n; i++) {
		if (scids[i].datalen != CLV_CID_LEN)
			continue;
		if (insert)
			clv_table_insert(&w->cids, scids[i].data, conn->ref.slot);
		else
			clv_table_remove(&w->cids, scids[i].data);
	}
}

static void refuse(struct clv_worker *w, const struct clv_ref *ref, struct clv_conn *conn,
		   int error)
{
	struct clv_evt_conn_gone gone = { .ref = *ref, .error = error };

	clv_conn_free(conn);
	worker_event(w, CLV_EVT_CONN_GONE, &gone, sizeof(gone), NULL, 0);
}

void worker_conn_adopt(struct clv_worker *w, const struct clv_cmd_conn_adopt *cmd)
{
	struct clv_conn *conn = cmd->conn;
	struct conn_slot *slot;

	if (cmd->ref.slot >= w->p.conns_max || w->conns[cmd->ref.slot].conn) {
		refuse(w, &cmd->ref, conn, CLV_EFULL);
		return;
	}
	if (w->stopping) {
		refuse(w, &cmd->ref, conn, CLV_ECLOSED);
		return;
	}
	/*
	 * Control may have read the clock after this step did: a connection's time must not go
	 * back.
	 */
	if (w->now_ns < conn->now_ns)
		w->now_ns = conn->now_ns;
	slot = &w->conns[cmd->ref.slot];
	*slot = (struct conn_slot){
		.conn = conn,
		.generation = cmd->ref.generation,
		.max_stream = -1,
		.early = TAILQ_HEAD_INITIALIZER(slot->early),
	};
	worker_charge_source(w, slot);
	clv_shared_clear(&w->conn_stats[cmd->ref.slot], sizeof(w->conn_stats[0]));
	conn->ref = cmd->ref;
	conn->flow.hop = cmd->hop;
	conn->flow.socket = cmd->socket;
	conn->last_payload = 0; /* so that it is reported by us */
	clv_conn_set_env(conn, &(struct clv_conn_env){
				       .ops = &conn_ops,
				       .owner = w,
				       .rand = &w->rand,
				       .counters = &w->counters,
				       .pool = &w->pool,
				       .share = &slot->buffers,
				       .reset_secret = w->p.reset_secret,
				       .heap = &w->heap,
			       });
	clv_budget_join(&w->buffered, &slot->held);
	conn->streams.holder = &slot->held;
	clv_budget_charge(&slot->held, conn->streams.backlog);
	each_scid(w, conn, true);
	worker_conn_mark_dirty(w, conn);
}

static void release(struct clv_worker *w, struct clv_conn *conn)
{
	struct conn_slot *slot = &w->conns[conn->ref.slot];
	struct clv_evt_conn_gone gone = {
		.ref = conn->ref,
		.error = conn->close_error,
		.code = conn->close_code,
		.is_app = conn->close_is_app,
		.is_remote = conn->close_is_remote,
	};

	for (struct clv_conn **at = &w->dirty; conn->dirty && *at; at = &(*at)->next_dirty)
		if (*at == conn) { /* it was to be released in portions */
			*at = conn->next_dirty;
			break;
		}
	while (conn->tunnels)
		worker_tunnel_remove(w, &w->tunnels.slots[conn->tunnels - 1], CLV_ECLOSED);
	early_free_all(w, slot);
	clv_timers_set(&w->conn_timers, &conn->timer, CLV_TIMER_NEVER);
	each_scid(w, conn, false);
	clv_conn_free(conn);
	if (slot->held.used)
		clv_mailbox_disown(w->p.events, &slot->held);
	clv_budget_leave(&slot->held);
	slot->conn = NULL;
	worker_event(w, CLV_EVT_CONN_GONE, &gone, sizeof(gone), NULL, 0);
}

static void put(uint64_t *where, uint64_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELAXED);
}

static void put32(uint32_t *where, uint64_t value)
{
	__atomic_store_n(where, (uint32_t)value, __ATOMIC_RELAXED);
}

/* Returns when the statistics are to be updated again; never, when they are up to date. */
static uint64_t update_stats(struct clv_worker *w, struct clv_conn *conn)
{
	struct conn_slot *slot = &w->conns[conn->ref.slot];
	struct clv_conn_stats *s = &w->conn_stats[conn->ref.slot];
	ngtcp2_conn_info info;

	if (w->now_ns < slot->stats_ns)
		return slot->stats_ns;
	slot->stats_ns = w->now_ns + STATS_EVERY_MSEC * CLV_MSEC;
	ngtcp2_conn_get_conn_info2(conn->qc, &info);
	put(&s->rx_packets, info.pkt_recv);
	put(&s->rx_bytes, info.bytes_recv);
	put(&s->tx_packets, info.pkt_sent);
	put(&s->tx_bytes, info.bytes_sent);
	put(&s->rtt_ns, info.smoothed_rtt);
	put32(&s->cwnd_bytes, info.cwnd);
	put32(&s->queue_packets, conn->flowq.count);
	put32(&s->lost_packets, info.pkt_lost);
	return CLV_TIMER_NEVER;
}

void worker_conns_flush(struct clv_worker *w)
{
	struct clv_conn *later = NULL;

	while (w->dirty) {
		struct clv_conn *conn = w->dirty;
		uint64_t at_ns, stats_ns;

		w->dirty = conn->next_dirty;
		conn->dirty = false;
		clv_conn_output(conn, worker_port(w, &conn->flow), w->now_ns);
		if (clv_conn_is_dead(conn)) {
			if (worker_tunnels_release_some(w, conn)) {
				release(w, conn);
			} else { /* go on with it in the next step */
				clv_timers_set(&w->conn_timers, &conn->timer, CLV_TIMER_NEVER);
				conn->dirty = true;
				conn->next_dirty = later;
				later = conn;
				w->work++;
			}
			continue;
		}
		stats_ns = update_stats(w, conn);
		at_ns = clv_conn_next_ns(conn);
		clv_timers_set(&w->conn_timers, &conn->timer, at_ns < stats_ns ? at_ns : stats_ns);
	}
	w->dirty = later;
}

void worker_conns_expire(struct clv_worker *w)
{
	for (int i = 0; i < WORKER_EXPIRED_PER_STEP; i++) {
		struct clv_timer *timer = clv_timers_expire(&w->conn_timers, w->now_ns);
		struct clv_conn *conn;

		if (!timer)
			return;
		conn = (struct clv_conn *)((char *)timer - offsetof(struct clv_conn, timer));
		clv_conn_expire(conn, w->now_ns);
		worker_conn_mark_dirty(w, conn);
		w->work++;
	}
}

uint32_t worker_conns_close_some(struct clv_worker *w)
{
	uint32_t i = w->stop_at;

	for (int n = 0; i < w->p.conns_max && i - w->stop_at < STOP_SLOTS && n < STOP_CONNS; i++) {
		struct clv_conn *conn = w->conns[i].conn;

		if (!conn)
			continue;
		clv_conn_close(conn, true, CLV_H3_NO_ERROR, "shutting down", w->now_ns);
		worker_conn_mark_dirty(w, conn);
		n++;
	}
	w->work++;
	return i;
}

void worker_conns_release_some(struct clv_worker *w, uint32_t end)
{
	for (; w->stop_at < end; w->stop_at++)
		if (w->conns[w->stop_at].conn)
			release(w, w->conns[w->stop_at].conn);
}

void worker_conns_fini(struct clv_worker *w)
{
	for (uint32_t i = 0; i < w->p.conns_max; i++)
		if (w->conns[i].conn)
			release(w, w->conns[i].conn);
	w->dirty = NULL;
}
