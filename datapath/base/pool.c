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
	if (__builtin_add_overflow(buf_len, ALIGN - 1, &p->buf_len))
		return -ENOMEM;
	p->buf_len &= ~(size_t)(ALIGN - 1);
	if (__builtin_mul_overflow(count, p->buf_len, &bytes))
		return -ENOMEM;
	p->block = aligned_alloc(ALIGN, bytes ? bytes : ALIGN);
	p->free = calloc(count ? count : 1, sizeof(*p->free));
	p->is_free = calloc(count ? count : 1, sizeof(*p->is_free));
	if (!p->block || !p->free || !p->is_free) {
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
	*p = (struct clv_pool){ 0 };
}

static size_t index_of(const struct clv_pool *p, const void *buf)
{
	size_t offset = (size_t)((const uint8_t *)buf - p->block);

	assert((const uint8_t *)buf >= p->block && offset / p->buf_len < p->count);
	assert(offset % p->buf_len == 0);
	return offset / p->buf_len;
}

static void mark(struct clv_pool *p, const void *buf, bool is_free)
{
	size_t i = index_of(p, buf);

	assert(p->is_free[i] != is_free);
	p->is_free[i] = is_free;
}

void *clv_pool_take(struct clv_pool *p)
{
	void *buf;

	if (!p->free_len)
		return NULL;
	buf = p->free[--p->free_len];
	mark(p, buf, false);
	return buf;
}

void clv_pool_give(struct clv_pool *p, void *buf)
{
	mark(p, buf, true);
	p->free[p->free_len++] = buf;
}
