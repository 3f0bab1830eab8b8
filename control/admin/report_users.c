/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/report_users.h"

#include "control/admin/listing.h"
#include "control/proxy/gate.h"
#include "control/proxy/proxy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

static void list_user(void *user, const struct clv_gate_account *a)
{
	struct clv_listing *l = user;
	char limits[CLV_CLIENT_LIMITS_TEXT_MAX];
	struct clv_meters_sum sum;

	if (!clv_listing_has_room(l))
		return;
	clv_meters_sum(&a->meters, &sum);
	json_array_append_new(
		l->items,
		json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "name", a->name,
			  "connections", (json_int_t)a->conns, "tunnels", (json_int_t)a->tunnels,
			  "ports", (json_int_t)a->ports, "to_target_datagrams",
			  (json_int_t)sum.packets[CLV_METER_TO_TARGET], "to_target_bytes",
			  (json_int_t)sum.bytes[CLV_METER_TO_TARGET], "to_client_datagrams",
			  (json_int_t)sum.packets[CLV_METER_TO_PEER], "to_client_bytes",
			  (json_int_t)sum.bytes[CLV_METER_TO_PEER], "to_target_dropped",
			  (json_int_t)sum.dropped[CLV_METER_TO_TARGET], "to_client_dropped",
			  (json_int_t)sum.dropped[CLV_METER_TO_PEER], "limits",
			  clv_client_limits_format(&a->meters.limits, limits)));
}

json_t *clv_report_users(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	clv_proxy_each_client(daemon->proxy, list_user, &l);
	return clv_listing_end(&l, "users");
}

/* ---- metrics ---- */

struct row {
	const char *name; /* lends; "": all that have none of their own */
	uint64_t conns, tunnels, ports;
	struct clv_meters_sum sum;
};

struct rows {
	struct row of[CLV_REPORT_USERS_LABELS_MAX + 1]; /* the last: of all others */
	size_t len;
};

static void add_row(void *user, const struct clv_gate_account *a)
{
	struct rows *rows = user;
	struct row *row = &rows->of[CLV_REPORT_USERS_LABELS_MAX];
	struct clv_meters_sum sum;

	if (rows->len < CLV_REPORT_USERS_LABELS_MAX) {
		row = &rows->of[rows->len++];
		row->name = a->name;
	}
	row->conns += a->conns;
	row->tunnels += a->tunnels;
	row->ports += a->ports;
	clv_meters_sum(&a->meters, &sum);
	for (int way = 0; way < CLV_METER_WAYS; way++) {
		row->sum.packets[way] += sum.packets[way];
		row->sum.bytes[way] += sum.bytes[way];
		row->sum.dropped[way] += sum.dropped[way];
	}
}

static const struct {
	const char *name, *help;
	size_t offset;
} gauges[] = {
	{ "client_connections", "connections of a client", offsetof(struct row, conns) },
	{ "client_tunnels", "open tunnels of a client", offsetof(struct row, tunnels) },
	{ "client_ports", "bound ports of a client", offsetof(struct row, ports) },
};

static const struct {
	const char *name, *help;
	size_t offset;
} totals[] = {
	{ "client_datagrams_total", "datagrams of a client", offsetof(struct row, sum.packets) },
	{ "client_bytes_total", "payload bytes of a client", offsetof(struct row, sum.bytes) },
	{ "client_dropped_total", "datagrams dropped by a client's limits",
	  offsetof(struct row, sum.dropped) },
};

static const char *const ways[CLV_METER_WAYS] = { "to_target", "to_client" };

static const uint64_t *figures(const struct row *row, size_t offset)
{
	return (const uint64_t *)((const char *)row + offset);
}

static void begin(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP culvert_%s %s\n# TYPE culvert_%s %s\n", name, help, name, type);
}

static void write_rows(FILE *out, const struct rows *rows)
{
	size_t i, k;
	int way;

	for (k = 0; k < sizeof(gauges) / sizeof(gauges[0]); k++) {
		begin(out, gauges[k].name, "gauge", gauges[k].help);
		for (i = 0; i < rows->len; i++)
			fprintf(out, "culvert_%s{client=\"%s\"} %" PRIu64 "\n", gauges[k].name,
				rows->of[i].name, *figures(&rows->of[i], gauges[k].offset));
	}
	for (k = 0; k < sizeof(totals) / sizeof(totals[0]); k++) {
		begin(out, totals[k].name, "counter", totals[k].help);
		for (i = 0; i < rows->len; i++)
			for (way = 0; way < CLV_METER_WAYS; way++)
				fprintf(out,
					"culvert_%s{client=\"%s\",direction=\"%s\"} %" PRIu64 "\n",
					totals[k].name, rows->of[i].name, ways[way],
					figures(&rows->of[i], totals[k].offset)[way]);
	}
}

void clv_report_users_metrics(FILE *out, const struct clv_daemon *daemon)
{
	struct rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return;
	rows->of[CLV_REPORT_USERS_LABELS_MAX].name = "";
	clv_proxy_each_client(daemon->proxy, add_row, rows);
	if (rows->len == CLV_REPORT_USERS_LABELS_MAX)
		rows->len++;
	write_rows(out, rows);
	free(rows);
}
