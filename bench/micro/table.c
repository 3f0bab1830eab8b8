/* SPDX-License-Identifier: GPL-3.0-or-later */
/* table - the time to find a connection by its ID and a tunnel by its 4-tuple, in full tables. */
#include "bench/micro/micro.h"

#include "bpf/abi.h"
#include "datapath/base/table.h"

enum {
	ENTRIES = 65536,
	STRIDE = 40503, /* odd: visits all entries before it repeats one */
};

struct subject {
	struct clv_table table;
	size_t key_len;
	uint32_t next;
};

/* Key number i: as random as IDs are. */
static void key_of(uint32_t i, size_t len, uint8_t *key)
{
	uint64_t x = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t at = 0; at < len; at++)
		key[at] = (uint8_t)(x >> 8 * (at % 8)) ^ (uint8_t)(at * 31);
}

static uint64_t find(struct subject *s, uint64_t n, uint32_t beyond)
{
	uint8_t key[64];
	uint64_t value, found = 0;

	while (n--) {
		s->next = (s->next + STRIDE) % ENTRIES;
		key_of(s->next + beyond, s->key_len, key);
		found += clv_table_find(&s->table, key, &value);
	}
	return found;
}

static uint64_t hit(void *arg, uint64_t n)
{
	return find(arg, n, 0);
}

static uint64_t miss(void *arg, uint64_t n)
{
	return find(arg, n, ENTRIES);
}

static uint64_t replace(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint8_t key[64];
	uint64_t done = 0;

	while (n--) {
		s->next = (s->next + STRIDE) % ENTRIES;
		key_of(s->next, s->key_len, key);
		done += clv_table_remove(&s->table, key);
		done += !clv_table_insert(&s->table, key, s->next);
	}
	return done;
}

int main(int argc, char **argv)
{
	static const uint64_t seed[2] = { 1, 2 };
	static const struct {
		const char *name;
		size_t key_len;
	} tables[] = {
		{ "connection ID", CLV_CID_LEN },
		{ "4-tuple", sizeof(struct clv_tuple) },
	};
	char name[64];
	uint8_t key[64];

	for (size_t t = 0; t < 2; t++) {
		struct subject s = { .key_len = tables[t].key_len };

		if (clv_table_init(&s.table, s.key_len, ENTRIES, seed))
			abort();
		for (uint32_t i = 0; i < ENTRIES; i++) {
			key_of(i, s.key_len, key);
			if (clv_table_insert(&s.table, key, i))
				abort();
		}
		snprintf(name, sizeof(name), "table/hit %s", tables[t].name);
		micro(argc, argv, name, hit, &s);
		snprintf(name, sizeof(name), "table/miss %s", tables[t].name);
		micro(argc, argv, name, miss, &s);
		snprintf(name, sizeof(name), "table/replace %s", tables[t].name);
		micro(argc, argv, name, replace, &s);
		clv_table_fini(&s.table);
	}
	return 0;
}
