/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { ALIGN = 64 };

int clv_pool_init(struct clv_pool *p, size_t count, size_t buf_len)
{
	size_t bytes;

	*p = (struct clv_pool){ .count = count };
	if (count > UINT32_MAX)
		return -ENOMEM;
	p->stock.max = p->stock.used = (uint32_t)count; /* giving them to the pool frees them */
	if (__builtin_add_overflow(buf_len, ALIGN - 1, &p->buf_len))
		return -ENOMEM;
	p->buf_len &= ~(size_t)(ALIGN - 1);
	if (__builtin_mul_overflow(count, p->buf_len, &bytes))
		return -ENOMEM;
	p->block = aligned_alloc(ALIGN, bytes ? bytes : ALIGN);
	p->free = calloc(count ? count : 1, sizeof(*p->free));
	p->is_free = calloc(count ? count : 1, sizeof(*p->is_free));
	p->charged = calloc(count ? count : 1, sizeof(*p->charged));
	if (!p->block || !p->free || !p->is_free || !p->charged) {
		clv_pool_fini(p);
		return -ENOMEM;
	}
	for (size_t i = count; i--;) /* lowest address on top */
		clv_pool_give(p, p->block + i * p->buf_len);
	return 0;
}

void clv_pool_fini(struct clv_pool *p)
{
	free(p->block);
	free(p->free);
	free(p->is_free);
	free(p->charged);
	*p = (struct clv_pool){ 0 };
}

static size_t index_of(const struct clv_pool *p, const void *buf)
{
	size_t offset = (size_t)((const uint8_t *)buf - p->block);

	assert((const uint8_t *)buf >= p->block && offset / p->buf_len < p->count);
	assert(offset % p->buf_len == 0);
	return offset / p->buf_len;
}

/* Returns its index. */
static size_t mark(struct clv_pool *p, const void *buf, bool is_free)
{
	size_t i = index_of(p, buf);

	assert(p->is_free[i] != is_free);
	p->is_free[i] = is_free;
	return i;
}

void *clv_pool_take(struct clv_pool *p, struct clv_share *share)
{
	void *buf;

	if (!clv_share_take(&p->stock, share))
		return NULL;
	buf = p->free[--p->free_len];
	p->charged[mark(p, buf, false)] = share;
	return buf;
}

void clv_pool_give(struct clv_pool *p, void *buf)
{
	size_t i = mark(p, buf, true);

	clv_share_give(&p->stock, p->charged[i]);
	p->charged[i] = NULL;
	p->free[p->free_len++] = buf;
}
