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

void report_peer(const struct options *o, const struct culvert_event *e)
{
	struct culvert_peer_info info;

	culvert_peer_info(e->peer, &info);
	if (e->type == CULVERT_PEER_UP)
		report_up(o, e, info.id);
	else if (e->type == CULVERT_PEER_PATH)
		report_path(o, e, info.id);
	else if (e->type == CULVERT_PEER_DOWN)
		report_down(o, e, info.id);
}
