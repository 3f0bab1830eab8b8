/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/command.h"

static void show_part(FILE *out, const json_t *answer, const char *name, const char *max)
{
	char buf[TABLE_CELL_MAX], buf_max[TABLE_CELL_MAX];

	fprintf(out, "%-16s %s", name, table_cell(json_object_get(answer, name), buf));
	if (max)
		fprintf(out, " of %s", table_cell(json_object_get(answer, max), buf_max));
	fprintf(out, "\n");
}

static void show(FILE *out, const json_t *answer)
{
	if (!json_is_true(json_object_get(answer, "offered"))) {
		fprintf(out, "signal streams are not offered (signal.offered)\n");
		return;
	}
	show_part(out, answer, "streams", NULL);
	show_part(out, answer, "peers", NULL);
	show_part(out, answer, "records", "records_max");
	show_part(out, answer, "record_bytes", NULL);
	show_part(out, answer, "knocks_waiting", "knocks_max");
	table_show_counters(out, json_object_get(answer, "counts"));
}

const struct command signal_command = {
	.name = "signal",
	.source = FROM_DAEMON,
	.show = show,
};

static const struct table_column record_columns[] = {
	{ "id", "identity" }, { "age_sec", "age s" }, { "expires_sec", "expires s" },
	{ "bytes", "bytes" }, { "relays", "relays" }, { NULL, NULL },
};

const struct command records_command = {
	.name = "records",
	.source = FROM_DAEMON,
	.array = "records",
	.columns = record_columns,
};
