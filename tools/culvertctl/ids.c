/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/listing.h"
#include "tools/culvertctl/query.h"

static const struct table_column columns[] = {
	{ "id", "connection ID" },
	{ "conn", "conn" },
	{ NULL, NULL },
};

static json_t *row(const void *key, const void *value)
{
	const struct clv_cid *cid = key;
	char hex[2 * CLV_CID_LEN + 1];

	for (size_t i = 0; i < CLV_CID_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", cid->id[i]);
	return json_pack("{s:s,s:o}", "id", hex, "conn", clv_listing_ref(value));
}

static json_t *from_maps(const struct clv_bpf_maps *maps, const struct query *q)
{
	return query_list_map(maps->conns, "ids", q, row);
}

const struct command ids_command = {
	.name = "ids",
	.source = FROM_MAPS_ALONE,
	.array = "ids",
	.columns = columns,
	.from_maps = from_maps,
};
