/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pool - buffers of one size from a block reserved at start, with a free list.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_POOL_H
#define CLV_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_pool {
	uint8_t *block;
	void **free;   /* stack of free buffers; the one given last is taken first */
	bool *is_free; /* by buffer; asserted, so that none is given twice */
	size_t free_len;
	size_t count;
	size_t buf_len; /* bytes of one buffer, a multiple of 64 */
};

/* Reserve count buffers of at least buf_len bytes, 64-byte aligned.  Returns 0 or -ENOMEM. */
int clv_pool_init(struct clv_pool *p, size_t count, size_t buf_len);
/* Buffers still taken become invalid. */
void clv_pool_fini(struct clv_pool *p);

/* Take a buffer, contents undefined; NULL when none is free: count the refusal. */
void *clv_pool_take(struct clv_pool *p);
/* buf: takes; one that take returned. */
void clv_pool_give(struct clv_pool *p, void *buf);

#endif
