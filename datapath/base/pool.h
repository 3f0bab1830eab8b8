/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pool - buffers of one size from a block reserved at start, with a free list.
 *
 * Each taker has a share (share.h), so that none can empty the pool for the others.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_POOL_H
#define CLV_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/share.h"

struct clv_pool {
	uint8_t *block;
	void **free;		    /* stack of free buffers; the one given last is taken first */
	bool *is_free;		    /* by buffer; asserted, so that none is given twice */
	struct clv_share **charged; /* by buffer: who took it */
	struct clv_stock stock;
	size_t free_len;
	size_t count;
	size_t buf_len; /* bytes of one buffer, a multiple of 64 */
};

/* Reserve count buffers of at least buf_len bytes, 64-byte aligned.  Returns 0 or -ENOMEM. */
int clv_pool_init(struct clv_pool *p, size_t count, size_t buf_len);
/* Buffers still taken become invalid. */
void clv_pool_fini(struct clv_pool *p);

/*
 * Take a buffer, contents undefined.  share: borrows until the buffer is given back; NULL: nobody's.
 * Returns NULL when none is free, or the holder has its share: count the refusal.
 */
void *clv_pool_take(struct clv_pool *p, struct clv_share *share);
/* buf: takes; one that take returned. */
void clv_pool_give(struct clv_pool *p, void *buf);

#endif
