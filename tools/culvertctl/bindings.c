/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/listing.h"
#include "tools/culvertctl/query.h"

static const struct table_column columns[] = {
	{ "local", "local" },
	{ "tunnel", "tunnel" },
	{ "uncompressed", "open to all" },
	{ NULL, NULL },
};

static json_t *row(const void *key, const void *value)
{
	const struct clv_binding *binding = value;
	bool is_shared = !binding->tunnel.generation;

	return json_pack("{s:o,s:o,s:b}", "local", clv_listing_endpoint(key), "tunnel",
			 is_shared ? json_null() : clv_listing_ref(&binding->tunnel),
			 "uncompressed", (binding->flags & CLV_BINDING_UNCOMPRESSED) != 0);
}

static json_t *from_maps(const struct clv_bpf_maps *maps, const struct query *q)
{
	return query_list_map(maps->bindings, "bindings", q, row);
}

const struct command bindings_command = {
	.name = "bindings",
	.source = FROM_MAPS,
	.has_tunnel = true,
	.array = "bindings",
	.columns = columns,
	.from_maps = from_maps,
};
