/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/sources.h"

#include "bpf/guard.h"
#include "datapath/base/err.h"

enum {
	WIDTHS = 2,
};

int clv_sources_init(struct clv_sources *s, uint32_t host_max, uint32_t net_max, size_t conns,
		     const uint64_t seed[static 2])
{
	*s = (struct clv_sources){ .host_max = host_max, .net_max = net_max };
	return clv_table_init(&s->counts, sizeof(struct clv_guard_key), WIDTHS * conns, seed);
}

void clv_sources_fini(struct clv_sources *s)
{
	clv_table_fini(&s->counts);
}

static uint64_t count_of(const struct clv_sources *s, const uint8_t addr[static 16],
			 enum clv_guard_width width, struct clv_guard_key *key)
{
	uint64_t count = 0;

	clv_guard_key_of(key, addr, CLV_GUARD_INITIAL, width);
	clv_table_find(&s->counts, key, &count);
	return count;
}

bool clv_sources_has_room(const struct clv_sources *s, const uint8_t addr[static 16])
{
	struct clv_guard_key key;

	return count_of(s, addr, CLV_GUARD_HOST, &key) < s->host_max &&
	       count_of(s, addr, CLV_GUARD_NET, &key) < s->net_max;
}

static void put(struct clv_sources *s, const uint8_t addr[static 16], int by)
{
	for (int width = CLV_GUARD_HOST; width <= CLV_GUARD_NET; width++) {
		struct clv_guard_key key;
		uint64_t count = count_of(s, addr, (enum clv_guard_width)width, &key);

		if (count + (uint64_t)by == 0)
			clv_table_remove(&s->counts, &key);
		else /* the table has room for two entries per connection */
			clv_table_insert(&s->counts, &key, count + (uint64_t)by);
	}
}

int clv_sources_add(struct clv_sources *s, const uint8_t addr[static 16])
{
	if (!clv_sources_has_room(s, addr))
		return CLV_EFULL;
	put(s, addr, 1);
	return 0;
}

void clv_sources_remove(struct clv_sources *s, const uint8_t addr[static 16])
{
	put(s, addr, -1);
}
