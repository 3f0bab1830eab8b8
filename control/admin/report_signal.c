/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admin/report_signal.h"

#include "control/admin/listing.h"
#include "control/proxy/proxy.h"
#include "datapath/base/clock.h"

#include <inttypes.h>

/* What the signal streams have now; all zero where they are not offered. */
struct figures {
	uint64_t streams, peers, records, records_max, record_bytes, knocks, knocks_max;
};

static struct figures figures_of(const struct clv_daemon *daemon)
{
	const struct clv_signals *ss = clv_proxy_signals(daemon->proxy);

	if (!ss)
		return (struct figures){ 0 };
	return (struct figures){
		.streams = ss->streams,
		.peers = ss->peers,
		.records = ss->records.count,
		.records_max = ss->settings.records_max,
		.record_bytes = ss->records.bytes,
		.knocks = ss->knocks.count,
		.knocks_max = ss->settings.knocks_max,
	};
}

json_t *clv_report_signal(void *user, const json_t *request)
{
	static const enum clv_counter counters[] = {
		CLV_COUNT_RECORDS_PUBLISHED,
		CLV_COUNT_LOOKUPS_HIT,
		CLV_COUNT_LOOKUPS_MISS,
		CLV_COUNT_KNOCKS,
		CLV_COUNT_KNOCKS_MISSED,
		CLV_COUNT_KNOCKS_UNANSWERED,
		CLV_COUNT_SIGNAL_OBSERVED,
		CLV_COUNT_SIGNAL_PUBLISH_BUSY,
		CLV_COUNT_SIGNAL_LOOKUPS_BUSY,
		CLV_COUNT_SIGNAL_KNOCKS_BUSY,
		CLV_COUNT_SIGNAL_KNOCKS_TO_BUSY,
		CLV_COUNT_SIGNAL_FULL,
		CLV_COUNT_SIGNAL_BACKLOG,
		CLV_COUNT_SIGNAL_STRAY,
		CLV_COUNT_SIGNAL_NO_IDENTITY,
		CLV_COUNT_SIGNAL_OBJECTS_MALFORMED,
		CLV_COUNT_SIGNAL_OBJECTS_FORGED,
		CLV_COUNT_SIGNAL_OBJECTS_EXPIRED,
		CLV_COUNT_SIGNAL_OBJECTS_REPLAYED,
		CLV_COUNT_SIGNAL_SECOND,
		CLV_COUNT_SIGNAL_ABORTED,
	};
	const struct clv_daemon *daemon = user;
	const struct figures f = figures_of(daemon);
	json_t *counts = json_object();

	(void)request;
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		json_object_set_new(counts, clv_counter_name(counters[i]),
				    json_integer((json_int_t)clv_count_read(
					    clv_control_counters(daemon->control), counters[i])));
	return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "offered",
			 daemon->config.signal.is_offered, "streams", (json_int_t)f.streams,
			 "peers", (json_int_t)f.peers, "records", (json_int_t)f.records,
			 "records_max", (json_int_t)f.records_max, "record_bytes",
			 (json_int_t)f.record_bytes, "knocks_waiting", (json_int_t)f.knocks,
			 "knocks_max", (json_int_t)f.knocks_max, "counts", counts);
}

static json_t *from_record(const struct clv_peer_record *r)
{
	uint64_t now_ns = clv_clock_now_ns();
	char id[CLV_IDENTITY_TEXT_LEN + 1];

	return json_pack(
		"{s:s,s:I,s:I,s:I,s:I,s:i}", "id", clv_identity_format(&r->id, id), "seq",
		(json_int_t)r->seq, "age_sec", clv_listing_seconds_since(r->since_ns),
		"expires_sec",
		(json_int_t)(r->timer.at_ns > now_ns ? (r->timer.at_ns - now_ns) / CLV_SEC : 0),
		"bytes", (json_int_t)r->len, "relays", (int)r->relays_len);
}

json_t *clv_report_records(void *user, const json_t *request)
{
	const struct clv_daemon *daemon = user;
	const struct clv_signals *ss = clv_proxy_signals(daemon->proxy);
	const struct clv_peer_record *r;
	struct clv_listing l;

	clv_listing_start(&l, daemon, request);
	if (ss)
		LIST_FOREACH(r, &ss->records.all, link)
			if (clv_listing_has_room(&l))
				json_array_append_new(l.items, from_record(r));
	return clv_listing_end(&l, "records");
}

void clv_report_signal_metrics(FILE *out, const struct clv_daemon *daemon)
{
	const struct figures f = figures_of(daemon);
	const struct {
		const char *name, *help;
		uint64_t value;
	} gauges[] = {
		{ "signal_streams", "open signal streams", f.streams },
		{ "signal_peers", "of them those of clients with an identity", f.peers },
		{ "records", "records of peers", f.records },
		{ "records_max", "signal.records", f.records_max },
		{ "records_bytes", "bytes of them", f.record_bytes },
		{ "knocks_waiting", "knocks that wait for an answer", f.knocks },
		{ "knocks_waiting_max", "signal.knocks", f.knocks_max },
	};

	for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
		fprintf(out,
			"# HELP culvert_%s %s\n# TYPE culvert_%s gauge\nculvert_%s %" PRIu64 "\n",
			gauges[i].name, gauges[i].help, gauges[i].name, gauges[i].name,
			gauges[i].value);
}
