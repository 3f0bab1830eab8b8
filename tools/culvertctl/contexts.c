/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/listing.h"
#include "tools/culvertctl/query.h"

static const struct table_column columns[] = {
	{ "tunnel", "tunnel" },
	{ "family", "family" },
	{ "remote", "remote" },
	{ "context_id", "context" },
	{ "opened_by", "opened by" },
	{ "state", "state" },
	{ "hairpin", "hairpin" },
	{ "to_remote_packets", "to remote" },
	{ "to_remote_bytes", "bytes" },
	{ "to_peer_packets", "to peer" },
	{ "to_peer_bytes", "bytes" },
	{ "idle_sec", "idle s" },
	{ NULL, NULL },
};

static const struct table_column map_columns[] = {
	{ "local", "local" },	     { "remote", "remote" }, { "tunnel", "tunnel" },
	{ "context_id", "context" }, { NULL, NULL },
};

static json_t *row(const void *key, const void *value)
{
	const struct clv_context *context = value;
	const struct clv_tuple *tuple = key;

	return json_pack("{s:o,s:o,s:o,s:I}", "local", clv_listing_endpoint(&tuple->local),
			 "remote", clv_listing_endpoint(&tuple->remote), "tunnel",
			 clv_listing_ref(&context->tunnel), "context_id",
			 (json_int_t)context->context_id);
}

static json_t *from_maps(const struct clv_bpf_maps *maps, const struct query *q)
{
	return query_list_map(maps->contexts, "contexts", q, row);
}

const struct command contexts_command = {
	.name = "contexts",
	.source = FROM_DAEMON_FIRST,
	.has_tunnel = true,
	.has_maps = true,
	.array = "contexts",
	.columns = columns,
	.map_columns = map_columns,
	.from_maps = from_maps,
};
