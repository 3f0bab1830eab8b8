/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/listing.h"

#include "control/xdp/maps.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

#include <stdio.h>
#include <string.h>

enum {
	LIMIT_DEFAULT = 1000,
	REF_TEXT_MAX = 40, /* three numbers with dots */
};

void clv_listing_start(struct clv_listing *l, const struct clv_daemon *daemon,
		       const json_t *request)
{
	const json_t *limit = json_object_get(request, "limit");

	*l = (struct clv_listing){
		.daemon = daemon,
		.items = json_array(),
		.limit = json_is_integer(limit) ? json_integer_value(limit) : LIMIT_DEFAULT,
		.tunnel = json_string_value(json_object_get(request, "tunnel")),
	};
}

static void ref_text(const struct clv_ref *ref, char text[static REF_TEXT_MAX])
{
	snprintf(text, REF_TEXT_MAX, "%u.%u.%u", ref->worker, ref->slot, ref->generation);
}

bool clv_listing_wants(const struct clv_listing *l, const struct clv_ref *tunnel)
{
	char text[REF_TEXT_MAX];

	if (!l->tunnel)
		return true;
	ref_text(tunnel, text);
	return strcmp(l->tunnel, text) == 0;
}

bool clv_listing_has_room(struct clv_listing *l)
{
	l->total++;
	return l->limit <= 0 || l->total <= l->limit;
}

json_t *clv_listing_end(struct clv_listing *l, const char *name)
{
	return json_pack("{s:o,s:I}", name, l->items, "total", l->total);
}

json_t *clv_listing_endpoint(const struct clv_endpoint *ep)
{
	char text[CLV_ADDR_TEXT_MAX];

	return json_string(clv_endpoint_format(ep, text, sizeof(text)));
}

json_t *clv_listing_ref(const struct clv_ref *ref)
{
	char text[REF_TEXT_MAX];

	ref_text(ref, text);
	return json_string(text);
}

json_int_t clv_listing_seconds_since(uint64_t since_ns)
{
	uint64_t now_ns = clv_clock_now_ns();

	return now_ns > since_ns ? (json_int_t)((now_ns - since_ns) / CLV_SEC) : 0;
}

json_t *clv_listing_xdp(const struct clv_bpf_maps *maps, bool drops_only)
{
	struct clv_count counts[CLV_XDP_COUNTER_MAX];
	json_t *object;
	unsigned i;

	if (clv_maps_counters(maps, counts))
		return NULL;
	object = json_object();
	for (i = 0; i < CLV_XDP_COUNTER_MAX; i++) {
		const char *name = clv_xdp_counter_name((enum clv_xdp_counter)i);

		if (drops_only && !clv_xdp_counter_is_drop((enum clv_xdp_counter)i))
			continue;
		json_object_set_new(object, name,
				    json_pack("{s:I,s:I}", "packets", (json_int_t)counts[i].packets,
					      "bytes", (json_int_t)counts[i].bytes));
	}
	return object;
}
