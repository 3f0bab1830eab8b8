/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

#include <string.h>

static void show_interfaces(FILE *out, const json_t *interfaces, json_int_t left_out)
{
	static const struct table_column columns[] = {
		{ "name", "interface" }, { "mode", "datapath" }, { "xdp", "xdp" },
		{ "queues", "queues" },	 { "mtu", "mtu" },	 { "driver", "driver" },
		{ NULL, NULL },
	};
	size_t i, k;

	if (left_out)
		fprintf(out, "\n%lld interfaces have no place and use kernel sockets\n",
			(long long)left_out);
	if (!json_array_size(interfaces)) {
		fprintf(out, "\nno interface runs XDP: all use kernel sockets\n");
		return;
	}
	fprintf(out, "\n");
	table_show(out, interfaces, columns);
	for (i = 0; i < json_array_size(interfaces); i++) {
		const json_t *nic = json_array_get(interfaces, i);
		const json_t *fallbacks = json_object_get(nic, "fallbacks");

		if (json_is_false(json_object_get(nic, "present")))
			fprintf(out, "  %s: not there; it is served when it comes\n",
				json_string_value(json_object_get(nic, "name")));
		if (json_is_true(json_object_get(nic, "rx_vlan_offload")) &&
		    strcmp(json_string_value(json_object_get(nic, "xdp")), "none") != 0)
			fprintf(out, "  %s: rx-vlan-offload is on: XDP sees no VLAN tags\n",
				json_string_value(json_object_get(nic, "name")));
		for (k = 0; k < json_array_size(fallbacks); k++) {
			const json_t *one = json_array_get(fallbacks, k);

			fprintf(out, "  %s: fell back from %s to %s: %s\n",
				json_string_value(json_object_get(nic, "name")),
				json_string_value(json_object_get(one, "from")),
				json_string_value(json_object_get(one, "to")),
				json_string_value(json_object_get(one, "because")));
		}
	}
}

/* What the host's firewall has no say in. */
static void show_netfilter(FILE *out, const json_t *netfilter)
{
	static const struct table_column columns[] = {
		{ "family", "family" }, { "table", "table" }, { "chain", "chain" },
		{ "hook", "hook" },	{ "rules", "rules" }, { "policy", "policy" },
		{ NULL, NULL },
	};
	const json_t *chains = json_object_get(netfilter, "chains");
	const json_t *why = json_object_get(netfilter, "unknown_because");
	json_int_t total = json_integer_value(json_object_get(netfilter, "chains_total"));

	if (!json_is_true(json_object_get(netfilter, "bypassed")))
		return;
	if (why)
		fprintf(out,
			"\nnetfilter: no rule applies to what XDP carries; which there are is "
			"not known: %s\n",
			json_string_value(why));
	if (!total)
		return;
	fprintf(out, "\nnetfilter: these chains do not apply to what XDP carries\n");
	table_show(out, chains, columns);
	if (total > (json_int_t)json_array_size(chains))
		fprintf(out, "%zu of %" JSON_INTEGER_FORMAT "\n", json_array_size(chains), total);
}

static void show_ceilings(FILE *out, const json_t *ceilings)
{
	static const struct table_column columns[] = {
		{ "resource", "ceiling" },
		{ "used", "used" },
		{ "max", "of" },
		{ "refused_ceiling", "refused: full" },
		{ "refused_share", "refused: share" },
		{ NULL, NULL },
	};

	fprintf(out, "\n");
	table_show(out, ceilings, columns);
}

static void show_memory(FILE *out, const json_t *memory)
{
	static const struct table_column columns[] = {
		{ "of", "memory" },    { "used_bytes", "used, bytes" },
		{ "max_bytes", "of" }, { "refused", "refused" },
		{ NULL, NULL },
	};

	fprintf(out, "\n");
	table_show(out, memory, columns);
}

static void show(FILE *out, const json_t *answer)
{
	const json_t *privileges = json_object_get(answer, "privileges");
	const json_t *access = json_object_get(answer, "access");

	table_show_member(out, answer, "version", "version");
	table_show_member(out, answer, "state", "state");
	table_show_member(out, answer, "pid", "pid");
	table_show_member(out, answer, "uptime_sec", "uptime, s");
	table_show_member(out, answer, "config", "configuration");
	table_show_member(out, access, "mode", "access");
	table_show_member(out, access, "warning", "WARNING");
	table_show_member(out, privileges, "user", "user");
	table_show_member(out, privileges, "capabilities", "capabilities");
	table_show_member(out, privileges, "sandbox", "sandbox");
	table_show_member(out, privileges, "no_sandbox_because", "no sandbox:");
	table_show_member(out, answer, "datapath", "datapath key");
	table_show_member(out, answer, "no_xdp_because", "no XDP:");
	table_show_member(out, answer, "no_slow_path_because", "no slow path:");
	table_show_member(out, answer, "aead", "AEAD");
	table_show_member(out, answer, "heap_bytes", "heap, bytes");
	table_show_member(out, answer, "workers", "workers");
	table_show_member(out, answer, "connections", "connections");
	table_show_member(out, answer, "handshaking", "handshaking");
	table_show_member(out, answer, "tunnels", "tunnels");
	table_show_member(out, answer, "egress_ports", "egress ports");
	fprintf(out, "\n");
	table_show(out, json_object_get(answer, "listeners"), listener_columns);
	show_interfaces(out, json_object_get(answer, "interfaces"),
			json_integer_value(json_object_get(answer, "interfaces_left_out")));
	show_netfilter(out, json_object_get(answer, "netfilter"));
	show_ceilings(out, json_object_get(answer, "ceilings"));
	show_memory(out, json_object_get(answer, "memory"));
	fprintf(out, "\ncounters that are not zero\n");
	table_show_counters(out, json_object_get(answer, "counters"));
	if (json_is_object(json_object_get(answer, "xdp")))
		table_show_counters(out, json_object_get(answer, "xdp"));
}

const struct command status_command = {
	.name = "status",
	.source = FROM_DAEMON,
	.show = show,
};
