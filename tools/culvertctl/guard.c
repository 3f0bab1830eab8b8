/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/guard.h"
#include "datapath/base/clock.h"
#include "tools/culvertctl/query.h"

#include <string.h>

static const struct table_column columns[] = {
	{ "source", "source" },
	{ "kind", "packets" },
	{ "full_in_ms", "full again in ms" },
	{ NULL, NULL },
};

static json_t *row(const void *key, const void *value)
{
	const struct clv_guard_key *bucket = key;
	uint64_t full_ns, now_ns = clv_clock_now_ns();
	char text[CLV_GUARD_TEXT_MAX];

	memcpy(&full_ns, value, sizeof(full_ns));
	return json_pack("{s:s,s:s,s:I}", "source", clv_guard_source(bucket, text), "kind",
			 clv_guard_kind_name((enum clv_guard_kind)bucket->kind), "full_in_ms",
			 (json_int_t)(full_ns > now_ns ? (full_ns - now_ns) / CLV_MSEC : 0));
}

static json_t *from_maps(const struct clv_bpf_maps *maps, const struct query *q)
{
	return query_list_map(maps->guard, "guard", q, row);
}

const struct command guard_command = {
	.name = "guard",
	.source = FROM_MAPS,
	.array = "guard",
	.columns = columns,
	.from_maps = from_maps,
};
