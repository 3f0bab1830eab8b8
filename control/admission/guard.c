/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/hash.h"

enum {
	WAYS = 4, /* entries that may hold one key */
};

int clv_guard_init(struct clv_guard *g, const struct clv_guard_limits *limits, size_t entries,
		   const uint64_t seed[static 2])
{
	*g = (struct clv_guard){
		.limits = *limits,
		.entries_len = WAYS,
		.seed = { seed[0], seed[1] },
	};
	if (!limits->host.interval_ns && !limits->net.interval_ns && !limits->stun.interval_ns)
		return 0;
	while (g->entries_len < entries)
		g->entries_len *= 2;
	g->entries = calloc(g->entries_len, sizeof(*g->entries));
	return g->entries ? 0 : -ENOMEM;
}

void clv_guard_fini(struct clv_guard *g)
{
	free(g->entries);
	*g = (struct clv_guard){ 0 };
}

/* Returns the first of the entries that may hold a key. */
static struct clv_guard_entry *ways_of(struct clv_guard *g, const struct clv_guard_key *key)
{
	return &g->entries[clv_hash(g->seed, key, sizeof(*key)) & (g->entries_len - 1) &
			   ~(size_t)(WAYS - 1)];
}

/* Returns the entry of a key, or NULL if there is none. */
static struct clv_guard_entry *find(struct clv_guard_entry *ways, const struct clv_guard_key *key)
{
	for (int i = 0; i < WAYS; i++)
		if (ways[i].full_ns && !memcmp(&ways[i].key, key, sizeof(*key)))
			return &ways[i];
	return NULL;
}

/* Returns the entry of a key; makes a new one in place of the fullest bucket if there is none. */
static struct clv_guard_entry *find_or_make(struct clv_guard *g, const struct clv_guard_key *key)
{
	struct clv_guard_entry *ways = ways_of(g, key), *fullest = ways, *entry = find(ways, key);

	if (entry)
		return entry;
	for (int i = 1; i < WAYS; i++)
		if (ways[i].full_ns < fullest->full_ns)
			fullest = &ways[i];
	*fullest = (struct clv_guard_entry){ .key = *key };
	return fullest;
}

static bool take(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		 enum clv_guard_width width, const struct clv_rate *rate, uint64_t now_ns)
{
	struct clv_guard_key key;

	if (!rate->interval_ns)
		return true;
	clv_guard_key_of(&key, addr, kind, width);
	return clv_rate_take(rate, &find_or_make(g, &key)->full_ns, now_ns);
}

bool clv_guard_take(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns)
{
	if (kind == CLV_GUARD_STUN)
		return take(g, addr, kind, CLV_GUARD_HOST, &g->limits.stun, now_ns);
	return take(g, addr, kind, CLV_GUARD_HOST, &g->limits.host, now_ns) &&
	       take(g, addr, kind, CLV_GUARD_NET, &g->limits.net, now_ns);
}

static void give(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		 enum clv_guard_width width, const struct clv_rate *rate, uint64_t now_ns)
{
	struct clv_guard_entry *entry;
	struct clv_guard_key key;

	if (!rate->interval_ns)
		return;
	clv_guard_key_of(&key, addr, kind, width);
	entry = find(ways_of(g, &key), &key); /* one that was forgotten is full */
	if (entry && entry->full_ns > now_ns + rate->interval_ns)
		entry->full_ns -= rate->interval_ns;
	else if (entry)
		*entry = (struct clv_guard_entry){ 0 };
}

void clv_guard_give(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns)
{
	give(g, addr, kind, CLV_GUARD_HOST, &g->limits.host, now_ns);
	give(g, addr, kind, CLV_GUARD_NET, &g->limits.net, now_ns);
}

const char *clv_guard_source(const struct clv_guard_key *key, char buf[static CLV_GUARD_TEXT_MAX])
{
	bool is_v4 = clv_guard_is_v4(key->addr);
	char text[INET6_ADDRSTRLEN];

	inet_ntop(is_v4 ? AF_INET : AF_INET6, key->addr + (is_v4 ? 12 : 0), text, sizeof(text));
	snprintf(buf, CLV_GUARD_TEXT_MAX, "%s/%d", text, key->prefix_bits - (is_v4 ? 96 : 0));
	return buf;
}

const char *clv_guard_kind_name(enum clv_guard_kind kind)
{
	static const char *const names[] = { "initial", "unknown", "stun" };

	return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}
