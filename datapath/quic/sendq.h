/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sendq - datagrams waiting for the congestion window: short, bounded in count and in time.
 *
 * Spec: RFC 9221 section 5 (delay or drop), RFC 9298 section 6 (do not queue to batch).
 * Threading: the owner of the connection.
 */
#ifndef CLV_QUIC_SENDQ_H
#define CLV_QUIC_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/pool.h"

struct clv_sendq_item; /* lives in a pool buffer */

struct clv_sendq {
	struct clv_sendq_item *head, *tail;
	uint32_t count;
	uint32_t limit;	     /* packets */
	uint64_t sojourn_ns; /* longest wait */
};

void clv_sendq_init(struct clv_sendq *q, uint32_t limit, uint64_t sojourn_ns);
/* Give all buffers back.  Returns how many datagrams that dropped. */
uint32_t clv_sendq_fini(struct clv_sendq *q, struct clv_pool *pool);

/*
 * Append head || tail.  Both: copies.  share: of the pool, borrows while the datagram waits.
 * Returns 0; CLV_EFULL (bound reached); -ENOBUFS (the pool has none for this share); CLV_ERANGE
 * (larger than a buffer).
 */
int clv_sendq_push(struct clv_sendq *q, struct clv_pool *pool, struct clv_share *share,
		   const uint8_t *head, size_t head_len, const uint8_t *tail, size_t tail_len,
		   uint64_t now_ns);

/* Drop what waited longer than sojourn_ns.  Returns how many. */
uint32_t clv_sendq_expire(struct clv_sendq *q, struct clv_pool *pool, uint64_t now_ns);

/* The oldest datagram, or false.  *data: borrows until pop. */
bool clv_sendq_peek(const struct clv_sendq *q, const uint8_t **data, size_t *len);
void clv_sendq_pop(struct clv_sendq *q, struct clv_pool *pool);

/* When the oldest becomes too old; CLV_TIMER_NEVER when empty. */
uint64_t clv_sendq_next_ns(const struct clv_sendq *q);

#endif
