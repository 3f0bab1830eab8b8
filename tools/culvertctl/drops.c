/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/listing.h"
#include "control/xdp/maps.h"
#include "datapath/base/counters.h"
#include "tools/culvertctl/query.h"

#include <string.h>

static const char *meaning_of(const char *name)
{
	unsigned i;

	for (i = 0; i < CLV_COUNTER_MAX; i++)
		if (strcmp(clv_counter_name((enum clv_counter)i), name) == 0)
			return clv_counter_help((enum clv_counter)i);
	for (i = 0; i < CLV_XDP_COUNTER_MAX; i++)
		if (strcmp(clv_xdp_counter_name((enum clv_xdp_counter)i), name) == 0)
			return clv_xdp_counter_help((enum clv_xdp_counter)i);
	if (strcmp(name, "held_drop_full") == 0)
		return "to a tunnel by way of the kernel: no room at its worker, or a wrong checksum";
	return ""; /* a counter of another version's daemon */
}

static void show_reasons(FILE *out, const json_t *counters)
{
	const char *name;
	bool none = true;
	json_t *value;

	json_object_foreach((json_t *)counters, name, value) {
		json_int_t packets = table_packets(value);

		if (!packets)
			continue;
		none = false;
		fprintf(out, "  %-28s %10" JSON_INTEGER_FORMAT "  %s\n", name, packets,
			meaning_of(name));
	}
	if (none)
		fprintf(out, "  none\n");
}

static void show(FILE *out, const json_t *answer)
{
	const json_t *total = json_object_get(answer, "total");
	const json_t *xdp = json_object_get(answer, "xdp");

	if (total) {
		fprintf(out, "relay\n");
		show_reasons(out, total);
	}
	if (json_is_object(xdp)) {
		fprintf(out, "XDP, and the sockets that hold ports\n");
		show_reasons(out, xdp);
	}
}

static json_t *from_maps(const struct clv_bpf_maps *maps, const struct query *q)
{
	json_t *xdp = clv_listing_xdp(maps, true);

	(void)q;
	return json_pack("{s:o}", "xdp", xdp ? xdp : json_object());
}

const struct command drops_command = {
	.name = "drops",
	.source = FROM_DAEMON_FIRST,
	.show = show,
	.from_maps = from_maps,
};
