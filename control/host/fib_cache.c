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
	return clv_table_init(&cache->by_remote, sizeof(cache->all->remote), max, seed);
}

void clv_fib_cache_fini(struct clv_fib_cache *cache)
{
	clv_table_fini(&cache->by_remote);
	free(cache->all);
	*cache = (struct clv_fib_cache){ .max = 0 };
}

const struct clv_fib_answer *clv_fib_cache_find(const struct clv_fib_cache *cache,
						const uint8_t remote[static 16])
{
	uint64_t i;

	return clv_table_find(&cache->by_remote, remote, &i) ? &cache->all[i].answer : NULL;
}

void clv_fib_cache_put(struct clv_fib_cache *cache, const uint8_t remote[static 16],
		       const struct clv_fib_answer *answer)
{
	size_t i = cache->len;

	if (cache->len < cache->max) {
		cache->len++;
	} else {
		i = cache->oldest;
		cache->oldest = (i + 1) % cache->max;
		clv_table_remove(&cache->by_remote, cache->all[i].remote);
	}
	memcpy(cache->all[i].remote, remote, sizeof(cache->all[i].remote));
	cache->all[i].answer = *answer;
	clv_table_insert(&cache->by_remote, remote, i); /* it has room for all */
}

void clv_fib_cache_forget(struct clv_fib_cache *cache)
{
	for (size_t i = 0; i < cache->len; i++)
		clv_table_remove(&cache->by_remote, cache->all[i].remote);
	cache->len = cache->oldest = 0;
}
