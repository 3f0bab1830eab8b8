/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/fib_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int clv_fib_cache_init(struct clv_fib_cache *cache, size_t max, const uint64_t seed[static 2])
{
	*cache = (struct clv_fib_cache){ .max = max };
	cache->all = calloc(max, sizeof(*cache->all));
	if (!cache->all)
		return -ENOMEM;
	return clv_table_init(&cache->by_query, sizeof(cache->all->query), max, seed);
}

void clv_fib_cache_fini(struct clv_fib_cache *cache)
{
	clv_table_fini(&cache->by_query);
	free(cache->all);
	*cache = (struct clv_fib_cache){ .max = 0 };
}

const struct clv_fib_answer *clv_fib_cache_find(const struct clv_fib_cache *cache,
						const struct clv_fib_query *query)
{
	uint64_t i;

	return clv_table_find(&cache->by_query, query, &i) ? &cache->all[i].answer : NULL;
}

void clv_fib_cache_put(struct clv_fib_cache *cache, const struct clv_fib_query *query,
		       const struct clv_fib_answer *answer)
{
	size_t i = cache->len;

	if (cache->len < cache->max) {
		cache->len++;
	} else {
		i = cache->oldest;
		cache->oldest = (i + 1) % cache->max;
		clv_table_remove(&cache->by_query, &cache->all[i].query);
	}
	cache->all[i].query = *query;
	cache->all[i].answer = *answer;
	clv_table_insert(&cache->by_query, query, i); /* it has room for all */
}

void clv_fib_cache_forget(struct clv_fib_cache *cache)
{
	for (size_t i = 0; i < cache->len; i++)
		clv_table_remove(&cache->by_query, &cache->all[i].query);
	cache->len = cache->oldest = 0;
}
