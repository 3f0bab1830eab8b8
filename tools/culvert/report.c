/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/report.h"

#include <stdio.h>
#include <unistd.h>

static bool is_status_shown;

bool report_has_status(const struct options *o)
{
	return !o->json && isatty(STDOUT_FILENO);
}

void report_status(const struct options *o, const char *text)
{
	if (!report_has_status(o) || (!text && !is_status_shown))
		return;
	printf("\r\033[K%s", text ? text : "");
	fflush(stdout);
	is_status_shown = text != NULL;
}

void report_print(const struct options *o, json_t *event, const char *text)
{
	report_status(o, NULL);
	if (o->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		puts(text);
	}
	fflush(stdout);
	json_decref(event);
}

const char *report_method(const struct culvert_path *path)
{
	return path->is_relayed ? "relay" : "direct";
}

static const char *reason_of(enum culvert_path_why why)
{
	static const char *const reasons[] = {
		[CULVERT_PATH_BETTER] = "better",
		[CULVERT_PATH_SILENT] = "silent",
		[CULVERT_PATH_GONE] = "gone",
		[CULVERT_PATH_PEER] = "peer",
	};

	return reasons[why];
}

static void report_up(const struct options *o, const struct culvert_event *e, const char *id)
{
	char address[CULVERT_ADDRESS_TEXT], text[256];

	culvert_address_format(&e->path.address, address);
	snprintf(text, sizeof(text), "up %s by %s %s after %u ms", id, report_method(&e->path),
		 address, e->msec);
	report_print(o,
		     json_pack("{s:s,s:s,s:s,s:s,s:i}", "event", "up", "id", id, "method",
			       report_method(&e->path), "address", address, "ms", (int)e->msec),
		     text);
}

static void report_path(const struct options *o, const struct culvert_event *e, const char *id)
{
	char address[CULVERT_ADDRESS_TEXT], text[256];

	culvert_address_format(&e->path.address, address);
	snprintf(text, sizeof(text), "path %s by %s %s, before by %s (%s), gap %u ms", id,
		 report_method(&e->path), address, report_method(&e->path_before),
		 reason_of(e->why), e->msec);
	report_print(o,
		     json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i}", "event", "path", "id", id, "method",
			       report_method(&e->path), "address", address, "before",
			       report_method(&e->path_before), "why", reason_of(e->why), "gap_ms",
			       (int)e->msec),
		     text);
}

static void report_down(const struct options *o, const struct culvert_event *e, const char *id)
{
	const char *why = e->error ? culvert_strerror(e->error) : "closed by the peer";
	char text[256];

	snprintf(text, sizeof(text), "down %s: %s", id, why);
	report_print(o,
		     json_pack("{s:s,s:s,s:s,s:b}", "event", "down", "id", id, "reason", why,
			       "was_up", e->was_open),
		     text);
}

/* ---- the end ---- */

static json_t *json_of_moves(const struct culvert_peer_info *info)
{
	json_t *moves = json_object();

	for (enum culvert_path_why why = CULVERT_PATH_BETTER; why < CULVERT_PATH_WHY_MAX; why++)
		json_object_set_new(moves, reason_of(why),
				    json_integer((json_int_t)info->moves_by[why]));
	return moves;
}

static json_t *json_of_candidates(const struct culvert_search *s)
{
	static const char *const names[CULVERT_CANDIDATE_MAX] = { "unknown", "host", "reflexive",
								  "mapped", "peer_reflexive" };
	json_t *kinds = json_object();

	for (unsigned i = 0; i < CULVERT_CANDIDATE_MAX; i++)
		if (s->candidates_tried[i])
			json_object_set_new(kinds, names[i],
					    json_pack("{s:I,s:I}", "tried",
						      (json_int_t)s->candidates_tried[i], "won",
						      (json_int_t)s->candidates_won[i]));
	return kinds;
}

static json_t *json_of_search(const struct culvert_search *s)
{
	json_t *pairs = json_pack(
		"{s:I,s:I,s:I,s:I,s:I,s:I}", "won", (json_int_t)s->pairs_won, "answered",
		(json_int_t)s->pairs_answered, "silent", (json_int_t)s->pairs_silent,
		"filtered_family", (json_int_t)s->pairs_filtered_family, "filtered_policy",
		(json_int_t)s->pairs_filtered_policy, "redundant", (json_int_t)s->pairs_redundant);
	json_t *probes = json_pack("{s:I,s:I,s:I,s:I}", "sent", (json_int_t)s->probes_sent,
				   "answered", (json_int_t)s->probes_answered, "bad_tag",
				   (json_int_t)s->probes_bad_tag, "replayed",
				   (json_int_t)s->probes_replayed);
	json_t *rounds = json_pack("{s:I,s:I,s:I}", "direct", (json_int_t)s->rounds_direct,
				   "silent", (json_int_t)s->rounds_silent, "refused",
				   (json_int_t)s->rounds_refused);

	return json_pack("{s:o,s:o,s:o,s:o}", "pairs", pairs, "candidates", json_of_candidates(s),
			 "probes", probes, "rounds", rounds);
}

static json_t *msec_or_null(uint32_t msec)
{
	return msec ? json_integer(msec) : json_null();
}

void report_summary(const struct options *o, const struct culvert_peer *peer)
{
	char text[256], direct[48] = "never direct";
	struct culvert_peer_info info;
	const char *method;
	uint64_t moves = 0;
	json_t *summary;

	culvert_peer_info(peer, &info);
	if (!info.setup_msec)
		return;
	method = info.setup_is_relayed ? "relay" : "direct";
	for (unsigned why = 0; why < CULVERT_PATH_WHY_MAX; why++)
		moves += info.moves_by[why];
	if (info.direct_msec)
		snprintf(direct, sizeof(direct), "direct %u ms later", info.direct_msec);
	snprintf(text, sizeof(text),
		 "summary up by %s after %u ms, %s, moves %llu, longest gap %u ms, probes %llu, "
		 "answered %llu",
		 method, info.setup_msec, direct, (unsigned long long)moves, info.gap_max_msec,
		 (unsigned long long)info.search.probes_sent,
		 (unsigned long long)info.search.probes_answered);
	summary = json_pack("{s:s,s:s,s:i,s:o,s:o,s:o,s:i}", "event", "summary", "method", method,
			    "setup_ms", (int)info.setup_msec, "direct_ms",
			    msec_or_null(info.direct_msec), "observed_ms",
			    msec_or_null(info.observed_msec), "moves", json_of_moves(&info),
			    "gap_max_ms", (int)info.gap_max_msec);
	json_object_update_new(summary, json_of_search(&info.search));
	report_print(o, summary, text);
}

/* ---- all ---- */

void report_peer(const struct options *o, const struct culvert_event *e)
{
	struct culvert_peer_info info;

	culvert_peer_info(e->peer, &info);
	if (e->type == CULVERT_PEER_UP)
		report_up(o, e, info.id);
	else if (e->type == CULVERT_PEER_PATH)
		report_path(o, e, info.id);
	if (e->type != CULVERT_PEER_DOWN)
		return;
	report_down(o, e, info.id);
	report_summary(o, e->peer);
}
