/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvertctl - what a relay is doing, for its operator. */
#include "control/daemon/options.h"
#include "datapath/base/err.h"
#include "tools/culvertctl/ask.h"
#include "tools/culvertctl/show.h"
#include "tools/culvertctl/watch.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXIT_USAGE = 2,
	LIMIT_DEFAULT = 1000,
	WATCH_SEC_DEFAULT = 2,
	WATCH_SEC_MAX = 3600,
};

static const char help[] =
	"usage: culvertctl [--run DIR] [--json] [--limit N] [--tunnel T] [--watch[=SEC]] COMMAND\n"
	"\n"
	"  status     what runs: data path of each interface and why, listeners, counters\n"
	"  workers    which core does what and why, with its sockets and counters\n"
	"  conns      connections: peers, what their handshake used, round trips\n"
	"  tunnels    tunnels: targets, ways, traffic; \"conn\" is the connection in conns\n"
	"  contexts   which remote has which Context ID in which tunnel, who opened it, traffic\n"
	"  bindings   the map of ports that belong to tunnels\n"
	"  ids        the map of connection IDs\n"
	"  guard      sources that sent packets of no connection, and when each is forgiven\n"
	"  drops      every packet that was dropped, by reason\n"
	"  policy     which targets are allowed and denied, and why\n"
	"  listeners  where clients reach the relay\n"
	"\n"
	"  --run DIR  the relay's run folder (default " CLV_RUN_DIR_DEFAULT ")\n"
	"  --json     the answer as one JSON object\n"
	"  --limit N  rows of a listing (default 1000; 0: all)\n"
	"  --tunnel T contexts, bindings: of this tunnel only; T as in the listing of tunnels\n"
	"  --watch    ask again every 2 seconds, or --watch=SEC; on a terminal in place\n"
	"  --maps     contexts: as the kernel's map has them, for XDP to match\n"
	"\n"
	"bindings, ids, guard, the XDP part of drops and contexts --maps are read from the kernel and\n"
	"need no running daemon.\n";

static const struct show_column conns[] = {
	{ "ref", "conn" },
	{ "peer", "peer" },
	{ "group", "group" },
	{ "signature", "certificate" },
	{ "handshaking", "handshaking" },
	{ "tunnels", "tunnels" },
	{ "age_sec", "age s" },
	{ "rtt_us", "rtt us" },
	{ "max_payload", "payload" },
	{ "rx_packets", "rx" },
	{ "tx_packets", "tx" },
	{ "lost_packets", "lost" },
	{ NULL, NULL },
};
static const struct show_column tunnels[] = {
	{ "ref", "tunnel" },
	{ "conn", "conn" },
	{ "local", "local" },
	{ "target", "target" },
	{ "bound", "bound" },
	{ "via", "via" },
	{ "hop", "next hop" },
	{ "age_sec", "age s" },
	{ "idle_sec", "idle s" },
	{ "to_target_packets", "to target" },
	{ "to_peer_packets", "to peer" },
	{ "drops", "drops" },
	{ NULL, NULL },
};
static const struct show_column contexts[] = {
	{ "tunnel", "tunnel" },
	{ "family", "family" },
	{ "remote", "remote" },
	{ "context_id", "context" },
	{ "opened_by", "opened by" },
	{ "state", "state" },
	{ "hairpin", "hairpin" },
	{ "to_remote_packets", "to remote" },
	{ "to_remote_bytes", "bytes" },
	{ "to_peer_packets", "to peer" },
	{ "to_peer_bytes", "bytes" },
	{ "idle_sec", "idle s" },
	{ NULL, NULL },
};
static const struct show_column map_contexts[] = {
	{ "local", "local" },	     { "remote", "remote" }, { "tunnel", "tunnel" },
	{ "context_id", "context" }, { NULL, NULL },
};
static const struct show_column bindings[] = {
	{ "local", "local" },
	{ "tunnel", "tunnel" },
	{ "uncompressed", "open to all" },
	{ NULL, NULL },
};
static const struct show_column ids[] = {
	{ "id", "connection ID" },
	{ "conn", "conn" },
	{ NULL, NULL },
};
static const struct show_column guard[] = {
	{ "source", "source" },
	{ "kind", "packets" },
	{ "full_in_ms", "full again in ms" },
	{ NULL, NULL },
};
static const struct show_column policy[] = {
	{ "prefix", "prefix" },
	{ "verdict", "verdict" },
	{ "why", "why" },
	{ NULL, NULL },
};
static const struct show_column listeners[] = {
	{ "name", "listener" },	    { "port", "port" },		  { "profile", "profile" },
	{ "families", "families" }, { "ca_sha256", "ca sha256" }, { NULL, NULL },
};

enum source {
	FROM_DAEMON,
	FROM_MAPS, /* the daemon only where nothing is pinned */
	FROM_MAPS_ALONE,
	FROM_EITHER, /* the daemon, or what the maps know of it */
	FROM_CHOICE, /* the daemon; or, when it does not run or --maps says so, the maps */
};

static const struct command {
	const char *name;
	enum source source;
	const struct show_column *columns; /* of the array that has the command's name */
	const char *array;
	void (*show)(FILE *out, const json_t *answer);
	const struct show_column *map_columns; /* of what the maps answer */
	bool has_tunnel;		       /* --tunnel */
} commands[] = {
	{ .name = "status", FROM_DAEMON, .show = show_status },
	{ .name = "workers", FROM_DAEMON, .show = show_workers },
	{ "conns", FROM_DAEMON, .columns = conns, .array = "conns" },
	{ "tunnels", FROM_DAEMON, .columns = tunnels, .array = "tunnels" },
	{ "contexts", FROM_CHOICE, .columns = contexts, .array = "contexts",
	  .map_columns = map_contexts, .has_tunnel = true },
	{ "bindings", FROM_MAPS, .columns = bindings, .array = "bindings", .has_tunnel = true },
	{ "ids", FROM_MAPS_ALONE, .columns = ids, .array = "ids" },
	{ "guard", FROM_MAPS, .columns = guard, .array = "guard" },
	{ "drops", FROM_EITHER, .show = show_drops },
	{ "policy", FROM_DAEMON, .columns = policy, .array = "rules" },
	{ "listeners", FROM_DAEMON, .columns = listeners, .array = "listeners" },
};

struct arguments {
	struct ask_request rq;
	bool is_json, maps_only;
	unsigned watch_sec; /* 0: ask once */
	const struct command *command;
};

static bool is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

/* Where the answer came from is in *is_map. */
static int ask(const struct arguments *a, json_t **answer, bool *is_map, char *error,
	       size_t error_len)
{
	const struct ask_request *rq = &a->rq;
	char other[512];
	int err;

	*is_map = a->command->source != FROM_DAEMON;
	switch (a->command->source) {
	case FROM_MAPS_ALONE:
		return ask_maps(rq, answer, error, error_len);
	case FROM_MAPS:
		err = ask_maps(rq, answer, error, error_len);
		if (!is_absent(err))
			return err;
		break;
	case FROM_CHOICE:
		if (a->maps_only)
			return ask_maps(rq, answer, error, error_len);
		break;
	default:
		break;
	}
	*is_map = false;
	err = ask_daemon(rq, answer, error, error_len);
	if (is_absent(err) &&
	    (a->command->source == FROM_EITHER || a->command->source == FROM_CHOICE) &&
	    ask_maps(rq, answer, other, sizeof(other)) == 0) {
		*is_map = true;
		err = 0;
	}
	return err;
}

static void show(const struct arguments *a, const json_t *answer, bool is_map, FILE *out)
{
	const struct command *c = a->command;
	json_int_t total = json_integer_value(json_object_get(answer, "total"));
	const json_t *rows;

	if (a->is_json) {
		/* one line each time, so that a reader can tell the answers apart */
		json_dumpf(answer, out, a->watch_sec ? JSON_COMPACT : JSON_INDENT(2));
		fprintf(out, "\n");
		return;
	}
	if (c->show) {
		c->show(out, answer);
		return;
	}
	rows = json_object_get(answer, c->array);
	show_table(out, rows, is_map && c->map_columns ? c->map_columns : c->columns);
	if (total > (json_int_t)json_array_size(rows))
		fprintf(out, "%zu of %" JSON_INTEGER_FORMAT ": --limit 0 shows all\n",
			json_array_size(rows), total);
	if (a->watch_sec)
		fprintf(out, "\n");
}

static int ask_and_show(void *user, FILE *out)
{
	const struct arguments *a = user;
	json_t *answer = NULL;
	char error[512] = "";
	bool is_map;
	int err = ask(a, &answer, &is_map, error, sizeof(error));

	if (err) {
		/* a screen that watches shows it in place */
		fprintf(out == stdout ? stderr : out, "culvertctl: %s\n",
			*error ? error : clv_strerror(err));
		return err;
	}
	show(a, answer, is_map, out);
	json_decref(answer);
	return 0;
}

/* A whole number of an option.  Returns it, or -1 with everything said. */
static long number_of(const char *option, const char *text, long min, long max)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text && !*end && n >= min && n <= max)
		return n;
	fprintf(stderr, "culvertctl: --%s: \"%s\" is no number from %ld to %ld\n", option, text,
		min, max);
	return -1;
}

/* Returns 0, or the exit code with everything said. */
static int parse_options(int argc, char *argv[], struct arguments *a)
{
	static const struct option options[] = {
		{ "run", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "tunnel", required_argument, NULL, 't' },
		{ "maps", no_argument, NULL, 'm' },
		{ "watch", optional_argument, NULL, 'w' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	long n;
	int opt;

	while ((opt = getopt_long(argc, argv, "hjV", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			a->rq.run_dir = optarg;
			break;
		case 'j':
			a->is_json = true;
			break;
		case 'l':
			a->rq.limit = number_of("limit", optarg, 0, INT_MAX);
			if (a->rq.limit < 0)
				return EXIT_USAGE;
			break;
		case 't':
			a->rq.tunnel = optarg;
			break;
		case 'm':
			a->maps_only = true;
			break;
		case 'w':
			n = optarg ? number_of("watch", optarg, 1, WATCH_SEC_MAX)
				   : WATCH_SEC_DEFAULT;
			if (n < 0)
				return EXIT_USAGE;
			a->watch_sec = (unsigned)n;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("culvertctl %s\n", CLV_VERSION);
			exit(EXIT_SUCCESS);
		default:
			return EXIT_USAGE; /* getopt has said it */
		}
	}
	return 0;
}

/* The same. */
static int parse(int argc, char *argv[], struct arguments *a)
{
	int err = parse_options(argc, argv, a);
	size_t i;

	if (err)
		return err;
	if (optind + 1 != argc) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, argv[optind]) == 0)
			a->command = &commands[i];
	if (!a->command) {
		fprintf(stderr, "culvertctl: unknown command %s; try --help\n", argv[optind]);
		return EXIT_USAGE;
	}
	a->rq.command = a->command->name;
	if ((a->rq.tunnel && !a->command->has_tunnel) ||
	    (a->maps_only && a->command->source != FROM_CHOICE)) {
		fprintf(stderr, "culvertctl: %s takes no --%s\n", a->command->name,
			a->maps_only ? "maps" : "tunnel");
		return EXIT_USAGE;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	struct arguments a = {
		.rq = { .run_dir = CLV_RUN_DIR_DEFAULT, .limit = LIMIT_DEFAULT },
	};
	int err = parse(argc, argv, &a);

	if (err)
		return err;
	if (a.watch_sec)
		return watch(a.watch_sec, ask_and_show, &a);
	return ask_and_show(&a, stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
