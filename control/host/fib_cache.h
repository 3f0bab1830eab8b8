/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fib_cache - the FIB's answers to the questions that were asked last.
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
	struct clv_fib_query query;
	struct clv_fib_answer answer;
};

/* Zeroed: fini accepts it. */
struct clv_fib_cache {
	struct clv_table by_query; /* -> index in all */
	struct clv_fib_cached *all;
	size_t len, max;
	size_t oldest; /* once len is max */
};

/* seed: copies; 16 random bytes.  Returns 0 or -ENOMEM. */
int clv_fib_cache_init(struct clv_fib_cache *cache, size_t max, const uint64_t seed[static 2]);
void clv_fib_cache_fini(struct clv_fib_cache *cache);

/* Returns the answer to a question, lent until the next put or forget; NULL: not known. */
const struct clv_fib_answer *clv_fib_cache_find(const struct clv_fib_cache *cache,
						const struct clv_fib_query *query);
/* Keep the answer to a question that find does not know.  query, answer: copies. */
void clv_fib_cache_put(struct clv_fib_cache *cache, const struct clv_fib_query *query,
		       const struct clv_fib_answer *answer);
/* Forget all of them: routes have changed. */
void clv_fib_cache_forget(struct clv_fib_cache *cache);

#endif
