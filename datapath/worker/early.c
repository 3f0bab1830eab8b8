/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store of early datagrams: those whose tunnel or context control may be about to open.
 *
 * Each is in two lists: of its connection, which a new tunnel looks through, and of all by age,
 * which time looks at.  How many there may be is bounded for a connection, and for all: of that
 * each connection and each source has a share.
 */
#include "datapath/worker/state.h"

#include <string.h>

enum clv_counter early_keep(struct clv_worker *w, struct conn_slot *slot, int64_t stream_id,
			    const uint8_t *body, size_t len)
{
	struct early *e;

	if (slot->early_share.held >= w->p.early_per_conn || sizeof(*e) + len > w->pool.buf_len ||
	    !clv_share_take(&w->early_stock, &slot->early_share))
		return CLV_COUNT_DROP_EARLY_FULL;
	e = clv_pool_take(&w->pool, &slot->buffers);
	if (!e) {
		clv_share_give(&w->early_stock, &slot->early_share);
		return CLV_COUNT_DROP_BUFFERS;
	}
	*e = (struct early){
		.until_ns = w->now_ns + w->p.early_ns,
		.conn = slot->conn->ref,
		.stream_id = stream_id,
		.len = len,
	};
	memcpy(e->bytes, body, len);
	TAILQ_INSERT_TAIL(&w->early, e, by_age);
	TAILQ_INSERT_TAIL(&slot->early, e, of_conn);
	return CLV_COUNTER_MAX;
}

void early_free(struct clv_worker *w, struct early *e)
{
	struct conn_slot *slot = &w->conns[e->conn.slot];

	TAILQ_REMOVE(&w->early, e, by_age);
	TAILQ_REMOVE(&slot->early, e, of_conn);
	clv_share_give(&w->early_stock, &slot->early_share);
	clv_pool_give(&w->pool, e);
}

void early_free_all(struct clv_worker *w, struct conn_slot *slot)
{
	while (!TAILQ_EMPTY(&slot->early)) {
		clv_count(&w->counters, CLV_COUNT_DROP_EARLY_EXPIRED);
		early_free(w, TAILQ_FIRST(&slot->early));
	}
}
