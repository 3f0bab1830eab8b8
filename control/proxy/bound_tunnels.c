/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/bound_tunnels.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/proxy/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	ENDPOINTS_EACH = 4, /* of a tunnel: two families, local and advertised */
};

int clv_bound_settings_set_public(struct clv_bound_settings *s, char *const *texts, size_t len,
				  const char **bad)
{
	struct clv_bound_settings to = *s;

	to.has_public[0] = to.has_public[1] = false;
	for (size_t i = 0; i < len; i++) {
		uint8_t addr[16];
		bool is_v6;

		if (bad)
			*bad = texts[i];
		if (clv_addr_parse(texts[i], addr) < 0)
			return CLV_ESYNTAX;
		is_v6 = !clv_addr_is_v4(addr);
		if (to.has_public[is_v6])
			return CLV_ESYNTAX;
		to.has_public[is_v6] = true;
		memcpy(to.public_addr[is_v6], addr, sizeof(addr));
	}
	*s = to;
	return 0;
}

int clv_bound_tunnels_new(const struct clv_bound_settings *settings, const uint64_t seed[static 2],
			  struct clv_bound_tunnels **out)
{
	struct clv_bound_tunnels *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->settings = settings;
	if (clv_table_init(&all->by_port, sizeof(struct clv_endpoint),
			   (size_t)settings->tunnels_max * ENDPOINTS_EACH, seed)) {
		free(all);
		return -ENOMEM;
	}
	*out = all;
	return 0;
}

void clv_bound_tunnels_free(struct clv_bound_tunnels *all)
{
	if (!all)
		return;
	clv_table_fini(&all->by_port);
	free(all);
}

uint32_t clv_bound_tunnels_count(const struct clv_bound_tunnels *all)
{
	return all->count;
}

int clv_bound_tunnels_put(struct clv_bound_tunnels *all, struct clv_bound_tunnel *b)
{
	if (all->count >= all->settings->tunnels_max)
		return CLV_EFULL;
	/* The table has room for all that tunnels_max lets in. */
	for (int i = 0; i < 2; i++) {
		if (!b->ports.is_held[i])
			continue;
		clv_table_insert(&all->by_port, &b->ports.egress[i].local, (uintptr_t)b);
		clv_table_insert(&all->by_port, &b->ports.advertised[i], (uintptr_t)b);
	}
	b->next = all->first;
	if (b->next)
		b->next->prev = b;
	all->first = b;
	all->count++;
	return 0;
}

void clv_bound_tunnels_drop(struct clv_bound_tunnels *all, struct clv_bound_tunnel *b)
{
	for (int i = 0; i < 2; i++) {
		if (!b->ports.is_held[i])
			continue;
		clv_table_remove(&all->by_port, &b->ports.egress[i].local);
		clv_table_remove(&all->by_port, &b->ports.advertised[i]);
	}
	if (b->prev)
		b->prev->next = b->next;
	else
		all->first = b->next;
	if (b->next)
		b->next->prev = b->prev;
	b->prev = b->next = NULL;
	all->count--;
}

struct clv_bound_tunnel *clv_bound_tunnels_find(const struct clv_bound_tunnels *all,
						const struct clv_endpoint *port)
{
	uint64_t b;

	return clv_table_find(&all->by_port, port, &b) ? (struct clv_bound_tunnel *)(uintptr_t)b
						       : NULL;
}
