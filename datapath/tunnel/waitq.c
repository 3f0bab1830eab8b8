/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/tunnel/waitq.h"

#include <errno.h>
#include <string.h>

#include "datapath/base/err.h"

struct clv_waitq_item {
	struct clv_waitq_item *next;
	uint64_t since_ns;
	size_t len;
	uint8_t bytes[];
};

void clv_waitq_init(struct clv_waitq *q, uint32_t limit, uint64_t sojourn_ns)
{
	*q = (struct clv_waitq){ .limit = limit, .sojourn_ns = sojourn_ns };
}

uint32_t clv_waitq_fini(struct clv_waitq *q, struct clv_pool *pool)
{
	uint32_t dropped = q->count;

	while (q->head)
		clv_waitq_pop(q, pool);
	return dropped;
}

int clv_waitq_push(struct clv_waitq *q, struct clv_pool *pool, struct clv_share *share,
		   const uint8_t *head, size_t head_len, const uint8_t *tail, size_t tail_len,
		   uint64_t now_ns)
{
	struct clv_waitq_item *item;

	if (q->count >= q->limit || !pool)
		return CLV_EFULL;
	if (sizeof(*item) + head_len + tail_len > pool->buf_len)
		return CLV_ERANGE;
	item = clv_pool_take(pool, share);
	if (!item)
		return -ENOBUFS;
	item->next = NULL;
	item->since_ns = now_ns;
	item->len = head_len + tail_len;
	memcpy(item->bytes, head, head_len);
	if (tail_len)
		memcpy(item->bytes + head_len, tail, tail_len);
	if (q->tail)
		q->tail->next = item;
	else
		q->head = item;
	q->tail = item;
	q->count++;
	return 0;
}

uint32_t clv_waitq_expire(struct clv_waitq *q, struct clv_pool *pool, uint64_t now_ns)
{
	uint32_t dropped = 0;

	while (q->head && now_ns >= q->head->since_ns + q->sojourn_ns) {
		clv_waitq_pop(q, pool);
		dropped++;
	}
	return dropped;
}

bool clv_waitq_peek(const struct clv_waitq *q, const uint8_t **data, size_t *len)
{
	if (!q->head)
		return false;
	*data = q->head->bytes;
	*len = q->head->len;
	return true;
}

const struct clv_waitq_item *clv_waitq_next(const struct clv_waitq *q,
					    const struct clv_waitq_item *after,
					    const uint8_t **data, size_t *len)
{
	const struct clv_waitq_item *item = after ? after->next : q->head;

	if (item) {
		*data = item->bytes;
		*len = item->len;
	}
	return item;
}

void clv_waitq_pop(struct clv_waitq *q, struct clv_pool *pool)
{
	struct clv_waitq_item *item = q->head;

	q->head = item->next;
	if (!q->head)
		q->tail = NULL;
	q->count--;
	clv_pool_give(pool, item);
}
