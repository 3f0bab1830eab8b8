/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static void show(FILE *out, const json_t *answer)
{
	static const struct table_column columns[] = {
		{ "id", "worker" },
		{ "cpu", "cpu" },
		{ "why", "why" },
		{ NULL, NULL },
	};
	static const struct table_column sockets[] = {
		{ "interface", "interface" },
		{ "queue", "queue" },
		{ "mode", "mode" },
		{ "rx_dropped", "rx dropped" },
		{ "rx_ring_full", "ring full" },
		{ "rx_fill_empty", "fill empty" },
		{ "rx_invalid", "rx invalid" },
		{ "tx_invalid", "tx invalid" },
		{ NULL, NULL },
	};
	const json_t *workers = json_object_get(answer, "workers");
	const json_t *control = json_object_get(answer, "control");
	char buf[TABLE_CELL_MAX];
	size_t i;

	fprintf(out, "%zu workers: %s\n", json_array_size(workers),
		json_string_value(json_object_get(answer, "why")));
	table_show(out, workers, columns);
	fprintf(out, "control on cpu %s: %s\n", table_cell(json_object_get(control, "cpu"), buf),
		json_string_value(json_object_get(control, "why")));
	for (i = 0; i < json_array_size(workers); i++) {
		const json_t *worker = json_array_get(workers, i);
		const json_t *list = json_object_get(worker, "sockets");

		fprintf(out, "\nworker %zu\n", i);
		if (json_array_size(list))
			table_show(out, list, sockets);
		table_show_counters(out, json_object_get(worker, "counters"));
	}
	fprintf(out, "\ncontrol\n");
	table_show_counters(out, json_object_get(control, "counters"));
}

const struct command workers_command = {
	.name = "workers",
	.source = FROM_DAEMON,
	.show = show,
};
