/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * waitq - datagrams that wait, in their order, until it is known where they go: the next hop of a
 * target, or control's decision about a remote.  Bounded in number and in time.
 *
 * Spec: RFC 9298 section 6 (do not queue to batch).
 * Threading: the worker.
 */
#ifndef CLV_TUNNEL_WAITQ_H
#define CLV_TUNNEL_WAITQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/pool.h"

struct clv_waitq_item; /* lives in a pool buffer */

struct clv_waitq {
	struct clv_waitq_item *head, *tail;
	uint32_t count;
	uint32_t limit;	     /* packets */
	uint64_t sojourn_ns; /* longest wait */
};

void clv_waitq_init(struct clv_waitq *q, uint32_t limit, uint64_t sojourn_ns);
/* Give all buffers back.  Returns how many datagrams that dropped. */
uint32_t clv_waitq_fini(struct clv_waitq *q, struct clv_pool *pool);

/*
 * Append head || tail.  Both: copies.  share: of the pool, borrows while the datagram waits.
 * Returns 0; CLV_EFULL (bound reached); -ENOBUFS (the pool has none for this share); CLV_ERANGE
 * (larger than a buffer).
 */
int clv_waitq_push(struct clv_waitq *q, struct clv_pool *pool, struct clv_share *share,
		   const uint8_t *head, size_t head_len, const uint8_t *tail, size_t tail_len,
		   uint64_t now_ns);

/* Drop what waited longer than sojourn_ns.  Returns how many. */
uint32_t clv_waitq_expire(struct clv_waitq *q, struct clv_pool *pool, uint64_t now_ns);

/* The oldest datagram, or false.  *data: borrows until pop. */
bool clv_waitq_peek(const struct clv_waitq *q, const uint8_t **data, size_t *len);
/*
 * The same for all in turn, which stay: the one after `after`, or the oldest if that is NULL.
 * Returns it, or NULL after the last.
 */
const struct clv_waitq_item *clv_waitq_next(const struct clv_waitq *q,
					    const struct clv_waitq_item *after,
					    const uint8_t **data, size_t *len);
void clv_waitq_pop(struct clv_waitq *q, struct clv_pool *pool);

#endif
