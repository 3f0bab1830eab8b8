/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fib_cache - the FIB's answers about the destinations that were asked for last.
 *
 * When it is full, the answer that has been there longest makes room: clients that ask for target
 * after target push out one answer each, not all that others use.
 *
 * Threading: its owner.
 */
#ifndef CLV_HOST_FIB_CACHE_H
#define CLV_HOST_FIB_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/host/rtnl.h"
#include "datapath/base/table.h"

struct clv_fib_cached {
	uint8_t remote[16];
	struct clv_fib_answer answer;
};

/* Zeroed: fini accepts it. */
struct clv_fib_cache {
	struct clv_table by_remote; /* -> index in all */
	struct clv_fib_cached *all;
	size_t len, max;
	size_t oldest; /* once len is max */
};

/* seed: copies; 16 random bytes.  Returns 0 or -ENOMEM. */
int clv_fib_cache_init(struct clv_fib_cache *cache, size_t max, const uint64_t seed[static 2]);
void clv_fib_cache_fini(struct clv_fib_cache *cache);

/* Returns the answer about a destination, lent until the next put or forget; NULL: not known. */
const struct clv_fib_answer *clv_fib_cache_find(const struct clv_fib_cache *cache,
						const uint8_t remote[static 16]);
/* Keep an answer about a destination that find does not know.  answer: copies. */
void clv_fib_cache_put(struct clv_fib_cache *cache, const uint8_t remote[static 16],
		       const struct clv_fib_answer *answer);
/* Forget all of them: routes have changed. */
void clv_fib_cache_forget(struct clv_fib_cache *cache);

#endif
