/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"
#include "datapath/quic/h3_code.h"

/* The tunnel may be in a command that control has sent: keep the datagram, within bounds. */
static void hold_early(struct clv_worker *w, struct clv_conn *conn, const struct clv_dgram *d,
		       const uint8_t *body, size_t body_len)
{
	struct conn_slot *slot = &w->conns[conn->ref.slot];
	enum clv_counter why;

	/* ngtcp2 knows whether the request stream is open; one it closed has no tunnel to come */
	if (conn->is_server && d->stream_id <= slot->max_stream &&
	    ngtcp2_conn_set_stream_user_data(conn->qc, d->stream_id, NULL)) {
		clv_count(&w->counters, CLV_COUNT_DROP_UNKNOWN_STREAM);
		return;
	}
	why = early_keep(w, slot, d->stream_id, body, body_len);
	clv_count(&w->counters, why == CLV_COUNTER_MAX ? CLV_COUNT_EARLY_HELD : why);
}

static bool is_probe(uint64_t context_id)
{
	return context_id == CLV_DGRAM_CONTEXT_PROBE_CLIENT ||
	       context_id == CLV_DGRAM_CONTEXT_PROBE_SERVER;
}

static bool to_context(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
		       const uint8_t *payload, size_t len)
{
	if (t->flags & CLV_TUNNEL_BOUND)
		return worker_bound_from_peer(w, t, context_id, payload, len);
	if (context_id == CLV_DGRAM_CONTEXT_UDP)
		worker_to_target(w, t, payload, len);
	else
		worker_drop(w, t, CLV_COUNT_DROP_UNKNOWN_CONTEXT);
	return true;
}

bool worker_to_context(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
		       const uint8_t *payload, size_t len)
{
	if (is_probe(context_id))
		return true;
	if (!worker_may_pass(w, t, CLV_METER_TO_TARGET, len))
		return true;
	if (!to_context(w, t, context_id, payload, len))
		return false;
	if (t->meter)
		clv_meter_charge(t->meter, CLV_METER_TO_TARGET, len, w->now_ns);
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
		refuse_datagram(w, conn, CLV_H3_DATAGRAM_ERROR, "no quarter stream ID");
		return;
	}
	if (!err && conn->is_server && (uint64_t)d.stream_id / 4 >= conn->streams_granted) {
		refuse_datagram(w, conn, CLV_H3_ID_ERROR, "datagram of a stream not allowed");
		return;
	}
	if (err) {
		clv_count(&w->counters, CLV_COUNT_DROP_DGRAM_MALFORMED);
		return;
	}
	if (!is_probe(d.context_id))
		clv_count(&w->counters, CLV_COUNT_DGRAM_IN);
	t = clv_tunnels_by_stream(&w->tunnels, conn->ref.slot, d.stream_id);
	if (t && t->is_leaving) {
		worker_drop(w, t, CLV_COUNT_DROP_STALE);
		return;
	}
	if (t && worker_to_context(w, t, d.context_id, d.payload, d.payload_len))
		return;
	if (!is_probe(d.context_id)) {
		const uint8_t *body = data;
		uint64_t quarter;

		clv_varint_read(&body, data + len, &quarter);
		hold_early(w, conn, &d, body, (size_t)(data + len - body));
	}
}

void worker_early_replay(struct clv_worker *w, struct clv_tunnel *t)
{
	struct conn_slot *slot = &w->conns[t->conn_slot];
	struct early *e, *next;

	for (e = TAILQ_FIRST(&slot->early); e; e = next) {
		const uint8_t *p = e->bytes;
		uint64_t context_id;

		next = TAILQ_NEXT(e, of_conn);
		if (e->stream_id != t->stream_id)
			continue;
		if (!clv_varint_read(&p, e->bytes + e->len, &context_id) &&
		    !worker_to_context(w, t, context_id, p, (size_t)(e->bytes + e->len - p)))
			continue; /* its context may still be registered */
		early_free(w, e);
	}
}

/* Control knows whether the tunnel may still open, or the request has no use for datagrams. */
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
	struct early *e;

	for (int i = 0; i < WORKER_EXPIRED_PER_STEP; i++) {
		e = TAILQ_FIRST(&w->early);
		if (!e || w->now_ns < e->until_ns)
			return;
		clv_count(&w->counters, CLV_COUNT_DROP_EARLY_EXPIRED);
		report_no_tunnel(w, e);
		early_free(w, e);
		w->work++;
	}
}
