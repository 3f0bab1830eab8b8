/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * flowq - datagrams of one connection that wait for its congestion window: a queue for each flow,
 * served in turns, so that a flood through one tunnel or from one remote delays and displaces only
 * itself.
 *
 * The prefix of a datagram (quarter stream ID, Context ID, and the remote if it has one) decides its
 * flow.  Flows take turns by deficit round robin in bytes, a flow that is new before those that
 * have had their turn; flows of one tunnel share the turns of one flow.  A flow that lets its
 * datagrams wait too long loses some by CoDel; when all flows together are too long, the longest
 * tunnel's longest flow loses its oldest datagram.
 *
 * The flows are kept in a buffer of the same pool as the datagrams, held only while some wait: at
 * most CLV_FLOWQ_FLOWS, of which one tunnel gets at most CLV_FLOWQ_TUNNEL_FLOWS.  Flows beyond share
 * the places of their tunnel by a keyed hash, which no sender can foresee.
 *
 * Spec: RFC 8290 (FQ-CoDel), RFC 8289 (CoDel); RFC 9221 section 5 (delay or drop).
 * Threading: the owner of the connection.
 */
#ifndef CLV_QUIC_FLOWQ_H
#define CLV_QUIC_FLOWQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/pool.h"

enum {
	CLV_FLOWQ_FLOWS = 32,
	CLV_FLOWQ_TUNNEL_FLOWS = 24,
};

struct clv_flowq_limits {
	uint32_t packets;    /* of all flows */
	uint64_t sojourn_ns; /* longest wait */
	/*
	 * CoDel: a flow whose datagrams all waited longer than target for one interval loses one
	 * datagram, and more and more often until they no longer do.  interval 0: never.
	 */
	uint64_t target_ns, interval_ns;
};

struct clv_flowq_table; /* lives in a pool buffer */

/* Flows in the order of their turn: first and last place in the table. */
struct clv_flowq_turns {
	uint8_t head, tail;
};

struct clv_flowq {
	struct clv_flowq_table *table; /* NULL: no datagram waits */
	struct clv_flowq_limits limits;
	uint64_t seed[2];
	uint32_t count;			    /* datagrams */
	uint32_t used;			    /* places of the table, a bit each */
	struct clv_flowq_turns fresh, seen; /* flows that had no turn yet, and the others */
	uint8_t current;		    /* the flow of clv_flowq_next */
};

/* limits: copies.  seed: 16 random bytes. */
void clv_flowq_init(struct clv_flowq *q, const struct clv_flowq_limits *limits,
		    const uint64_t seed[static 2]);
/* Give all buffers back.  Returns how many datagrams that dropped. */
uint32_t clv_flowq_fini(struct clv_flowq *q, struct clv_pool *pool);

/*
 * Append prefix || payload to its flow.  Both: copies.  share: of the pool, borrows while any wait.
 * Returns 0, or, when one datagram was dropped for it, perhaps this one:
 *   CLV_EFULL   too many wait: the oldest of the longest flow
 *   -ENOBUFS    the pool has none for this share: likewise, or this one when none waits
 *   CLV_ERANGE  this one, which is larger than a buffer
 */
int clv_flowq_push(struct clv_flowq *q, struct clv_pool *pool, struct clv_share *share,
		   const uint8_t *prefix, size_t prefix_len, const uint8_t *payload,
		   size_t payload_len, uint64_t now_ns);

/* Drop what waited for sojourn_ns.  Returns how many. */
uint32_t clv_flowq_expire(struct clv_flowq *q, struct clv_pool *pool, uint64_t now_ns);

/*
 * The datagram whose turn it is, or false when none waits.  *data: borrows until pop or push.
 * *dropped: how many CoDel dropped.  Call it only when a datagram can be sent, and then pop.
 */
bool clv_flowq_next(struct clv_flowq *q, struct clv_pool *pool, uint64_t now_ns,
		    const uint8_t **data, size_t *len, uint32_t *dropped);
/* Remove the datagram that next returned. */
void clv_flowq_pop(struct clv_flowq *q, struct clv_pool *pool);

/* When the oldest has waited for sojourn_ns; CLV_TIMER_NEVER when none waits. */
uint64_t clv_flowq_next_ns(const struct clv_flowq *q);

#endif
