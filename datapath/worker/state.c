/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/worker/state.h"

#include "datapath/base/addr.h"
#include "datapath/base/hash.h"
#include "datapath/io/handoff.h"
#include "datapath/quic/cid.h"
#include "datapath/quic/h3_code.h"

void worker_event(struct clv_worker *w, enum clv_event type, const void *head, size_t head_len,
		  const void *tail, size_t tail_len)
{
	if (clv_mailbox_send(w->p.events, type, head, head_len, tail, tail_len))
		clv_count(&w->counters, CLV_COUNT_EVENT_NOMEM);
}

/* ---- the owner of a packet ---- */

void worker_pass_to_owner(struct clv_worker *w, const struct clv_rx *rx)
{
	if (!w->p.handoff || rx->ref.worker >= w->p.workers)
		clv_count(&w->counters, CLV_COUNT_DROP_STALE);
	else
		clv_handoff_send(w->p.handoff, w->p.id, rx->ref.worker, rx, &w->counters);
}

struct clv_conn *worker_conn_by_packet(struct clv_worker *w, const struct clv_rx *rx)
{
	struct clv_quic_header h;
	uint64_t slot;

	if (clv_quic_header_decode(rx->payload, rx->payload_len, &h) || h.dcid_len != CLV_CID_LEN ||
	    !clv_table_find(&w->cids, h.dcid, &slot))
		return NULL;
	return w->conns[slot].conn;
}

/* ---- shares ---- */

struct source *worker_source_of(const struct clv_worker *w, const struct clv_conn *conn)
{
	const uint8_t *addr = conn->flow.remote.addr;
	size_t len = clv_addr_is_v4(addr) ? 16 : 8;

	return &w->sources[clv_hash(w->seed, addr, len) % SOURCES];
}

void worker_charge_source(struct clv_worker *w, struct conn_slot *slot)
{
	struct source *source = worker_source_of(w, slot->conn);

	if (!slot->conn->is_server) /* a client's peers are relays of its choice */
		return;
	clv_share_join(&slot->buffers, &source->buffers);
	clv_share_join(&slot->early_share, &source->early);
	clv_heap_charge(&slot->conn->heap, &source->heap);
}

/* ---- memory for stream bytes ---- */

void worker_relieve(struct clv_worker *w)
{
	struct clv_budget_holder *h;

	while ((h = clv_budget_give_up(&w->buffered))) {
		struct conn_slot *slot = (struct conn_slot *)((char *)h -
							      offsetof(struct conn_slot, held));

		clv_count(&w->counters, CLV_COUNT_BUFFERED_FULL);
		clv_conn_close(slot->conn, true, CLV_H3_EXCESSIVE_LOAD, "too many bytes wait",
			       w->now_ns);
		worker_conn_mark_dirty(w, slot->conn);
	}
}
