/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvertctl/show.h"

#include "control/xdp/maps.h"
#include "datapath/base/counters.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
	COLUMNS_MAX = 24,
	CELL_MAX = 192,
};

static const char *cell(const json_t *value, char buf[static CELL_MAX])
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
		return json_string_value(value);
	case JSON_INTEGER:
		snprintf(buf, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return buf;
	case JSON_TRUE:
		return "yes";
	case JSON_FALSE:
		return "no";
	default:
		return "-";
	}
}

static bool is_number_column(const json_t *rows, const char *key)
{
	return json_is_integer(json_object_get(json_array_get(rows, 0), key));
}

void show_table(FILE *out, const json_t *rows, const struct show_column *columns)
{
	int width[COLUMNS_MAX];
	char buf[CELL_MAX];
	size_t i, r, n;

	for (n = 0; n < COLUMNS_MAX && columns[n].key; n++) {
		width[n] = (int)strlen(columns[n].title);
		for (r = 0; r < json_array_size(rows); r++) {
			const json_t *row = json_array_get(rows, r);
			int len = (int)strlen(cell(json_object_get(row, columns[n].key), buf));

			if (len > width[n])
				width[n] = len;
		}
		if (!is_number_column(rows, columns[n].key))
			width[n] = -width[n]; /* printf: to the left */
	}
	for (i = 0; i < n; i++)
		fprintf(out, "%*s%s", i + 1 == n && width[i] < 0 ? 0 : width[i], columns[i].title,
			i + 1 < n ? "  " : "\n");
	for (r = 0; r < json_array_size(rows); r++)
		for (i = 0; i < n; i++)
			fprintf(out, "%*s%s", i + 1 == n && width[i] < 0 ? 0 : width[i],
				cell(json_object_get(json_array_get(rows, r), columns[i].key), buf),
				i + 1 < n ? "  " : "\n");
}

/* ---- status ---- */

static void show_line(FILE *out, const json_t *object, const char *key, const char *title)
{
	const json_t *value = json_object_get(object, key);
	char buf[CELL_MAX];

	if (value)
		fprintf(out, "%-14s %s\n", title, cell(value, buf));
}

static void show_interfaces(FILE *out, const json_t *interfaces)
{
	static const struct show_column columns[] = {
		{ "name", "interface" }, { "rung", "data path" }, { "xdp", "xdp" },
		{ "queues", "queues" },	 { "mtu", "mtu" },	  { "driver", "driver" },
		{ NULL, NULL },
	};
	size_t i, k;

	if (!json_array_size(interfaces)) {
		fprintf(out, "\nno interface runs XDP: kernel sockets only\n");
		return;
	}
	fprintf(out, "\n");
	show_table(out, interfaces, columns);
	for (i = 0; i < json_array_size(interfaces); i++) {
		const json_t *nic = json_array_get(interfaces, i);
		const json_t *steps = json_object_get(nic, "steps");

		for (k = 0; k < json_array_size(steps); k++) {
			const json_t *step = json_array_get(steps, k);

			fprintf(out, "  %s left %s for %s: %s\n",
				json_string_value(json_object_get(nic, "name")),
				json_string_value(json_object_get(step, "from")),
				json_string_value(json_object_get(step, "to")),
				json_string_value(json_object_get(step, "because")));
		}
	}
}

/* Of a counter: a number, or one of packets beside one of bytes. */
static json_int_t packets_of(const json_t *value)
{
	return json_integer_value(json_is_object(value) ? json_object_get(value, "packets")
							: value);
}

static void show_nonzero(FILE *out, const json_t *counters)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)counters, name, value) {
		json_int_t packets = packets_of(value);

		if (packets)
			fprintf(out, "  %-32s %" JSON_INTEGER_FORMAT "\n", name, packets);
	}
}

void show_status(FILE *out, const json_t *answer)
{
	static const struct show_column listeners[] = {
		{ "name", "listener" },	    { "port", "port" },		  { "profile", "profile" },
		{ "families", "families" }, { "ca_sha256", "ca sha256" }, { NULL, NULL },
	};

	show_line(out, answer, "version", "version");
	show_line(out, answer, "state", "state");
	show_line(out, answer, "pid", "pid");
	show_line(out, answer, "uptime_sec", "uptime, s");
	show_line(out, answer, "config", "configuration");
	show_line(out, json_object_get(answer, "privileges"), "user", "user");
	show_line(out, json_object_get(answer, "privileges"), "capabilities", "capabilities");
	show_line(out, json_object_get(answer, "privileges"), "sandbox", "sandbox");
	show_line(out, json_object_get(answer, "privileges"), "no_sandbox_because",
		  "no sandbox as");
	show_line(out, answer, "datapath", "datapath asked");
	show_line(out, answer, "no_xdp_because", "no XDP because");
	show_line(out, answer, "aead", "AEAD");
	show_line(out, answer, "heap_bytes", "heap, bytes");
	show_line(out, answer, "workers", "workers");
	show_line(out, answer, "connections", "connections");
	show_line(out, answer, "handshaking", "handshaking");
	show_line(out, answer, "tunnels", "tunnels");
	show_line(out, answer, "egress_ports", "egress ports");
	fprintf(out, "\n");
	show_table(out, json_object_get(answer, "listeners"), listeners);
	show_interfaces(out, json_object_get(answer, "interfaces"));
	fprintf(out, "\ncounters that are not zero\n");
	show_nonzero(out, json_object_get(answer, "counters"));
	if (json_is_object(json_object_get(answer, "xdp")))
		show_nonzero(out, json_object_get(answer, "xdp"));
}

/* ---- workers ---- */

void show_workers(FILE *out, const json_t *answer)
{
	static const struct show_column columns[] = {
		{ "id", "worker" },
		{ "cpu", "cpu" },
		{ "why", "why" },
		{ NULL, NULL },
	};
	static const struct show_column sockets[] = {
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
	char buf[CELL_MAX];
	size_t i;

	fprintf(out, "%zu workers: %s\n", json_array_size(workers),
		json_string_value(json_object_get(answer, "why")));
	show_table(out, workers, columns);
	fprintf(out, "control on cpu %s: %s\n", cell(json_object_get(control, "cpu"), buf),
		json_string_value(json_object_get(control, "why")));
	for (i = 0; i < json_array_size(workers); i++) {
		const json_t *worker = json_array_get(workers, i);
		const json_t *list = json_object_get(worker, "sockets");

		fprintf(out, "\nworker %zu\n", i);
		if (json_array_size(list))
			show_table(out, list, sockets);
		show_nonzero(out, json_object_get(worker, "counters"));
	}
	fprintf(out, "\ncontrol\n");
	show_nonzero(out, json_object_get(control, "counters"));
}

/* ---- drops ---- */

static const char *meaning_of(const char *name)
{
	unsigned i;

	for (i = 0; i < CLV_COUNTER_MAX; i++)
		if (strcmp(clv_counter_name((enum clv_counter)i), name) == 0)
			return clv_counter_help((enum clv_counter)i);
	for (i = 0; i < CLV_XDP_COUNTER_MAX; i++)
		if (strcmp(clv_xdp_counter_name((enum clv_xdp_counter)i), name) == 0)
			return clv_xdp_counter_help((enum clv_xdp_counter)i);
	return ""; /* of another version's daemon */
}

static void show_reasons(FILE *out, const json_t *counters)
{
	const char *name;
	bool none = true;
	json_t *value;

	json_object_foreach((json_t *)counters, name, value) {
		json_int_t packets = packets_of(value);

		if (!packets)
			continue;
		none = false;
		fprintf(out, "  %-28s %10" JSON_INTEGER_FORMAT "  %s\n", name, packets,
			meaning_of(name));
	}
	if (none)
		fprintf(out, "  none\n");
}

void show_drops(FILE *out, const json_t *answer)
{
	const json_t *total = json_object_get(answer, "total");
	const json_t *xdp = json_object_get(answer, "xdp");

	if (total) {
		fprintf(out, "relay\n");
		show_reasons(out, total);
	}
	if (json_is_object(xdp)) {
		fprintf(out, "XDP\n");
		show_reasons(out, xdp);
	}
}
