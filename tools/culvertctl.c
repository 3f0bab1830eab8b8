/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvertctl - what a relay is doing, for its operator. */
#include "control/options.h"
#include "datapath/base/err.h"
#include "tools/culvertctl/ask.h"
#include "tools/culvertctl/show.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXIT_USAGE = 2,
	LIMIT_DEFAULT = 1000,
};

static const char help[] =
	"usage: culvertctl [--run DIR] [--json] [--limit N] COMMAND\n"
	"\n"
	"  status     what runs: data path of each interface and why, listeners, counters\n"
	"  workers    which core does what and why, with its sockets and counters\n"
	"  conns      connections: peers, what their handshake used, round trips\n"
	"  tunnels    tunnels: targets, ways, traffic; \"conn\" is the connection in conns\n"
	"  contexts   the map of remotes that XDP hands to a tunnel\n"
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
	"\n"
	"contexts, bindings, ids, guard and the XDP part of drops are read from the kernel and need no\n"
	"running daemon.\n";

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
};

static const struct command {
	const char *name;
	enum source source;
	const struct show_column *columns; /* of the array that has the command's name */
	const char *array;
	void (*show)(const json_t *answer);
} commands[] = {
	{ "status", FROM_DAEMON, NULL, NULL, show_status },
	{ "workers", FROM_DAEMON, NULL, NULL, show_workers },
	{ "conns", FROM_DAEMON, conns, "conns", NULL },
	{ "tunnels", FROM_DAEMON, tunnels, "tunnels", NULL },
	{ "contexts", FROM_MAPS, contexts, "contexts", NULL },
	{ "bindings", FROM_MAPS, bindings, "bindings", NULL },
	{ "ids", FROM_MAPS_ALONE, ids, "ids", NULL },
	{ "guard", FROM_MAPS, guard, "guard", NULL },
	{ "drops", FROM_EITHER, NULL, NULL, show_drops },
	{ "policy", FROM_DAEMON, policy, "rules", NULL },
	{ "listeners", FROM_DAEMON, listeners, "listeners", NULL },
};

struct arguments {
	const char *run_dir;
	bool is_json;
	long limit;
	const struct command *command;
};

static bool is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

static int ask(const struct arguments *a, json_t **answer, char *error, size_t error_len)
{
	const char *name = a->command->name;
	char other[512];
	int err = -ENOENT;

	switch (a->command->source) {
	case FROM_DAEMON:
		return ask_daemon(a->run_dir, name, a->limit, answer, error, error_len);
	case FROM_MAPS_ALONE:
		return ask_maps(a->run_dir, name, a->limit, answer, error, error_len);
	case FROM_MAPS:
		err = ask_maps(a->run_dir, name, a->limit, answer, error, error_len);
		if (!is_absent(err))
			return err;
		return ask_daemon(a->run_dir, name, a->limit, answer, error, error_len);
	case FROM_EITHER:
		err = ask_daemon(a->run_dir, name, a->limit, answer, error, error_len);
		if (is_absent(err) &&
		    ask_maps(a->run_dir, name, a->limit, answer, other, sizeof(other)) == 0)
			err = 0;
		return err;
	}
	return err;
}

static void show(const struct arguments *a, const json_t *answer)
{
	const struct command *c = a->command;
	json_int_t total = json_integer_value(json_object_get(answer, "total"));
	const json_t *rows;

	if (a->is_json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
		return;
	}
	if (c->show) {
		c->show(answer);
		return;
	}
	rows = json_object_get(answer, c->array);
	show_table(rows, c->columns);
	if (total > (json_int_t)json_array_size(rows))
		printf("%zu of %" JSON_INTEGER_FORMAT ": --limit 0 shows all\n",
		       json_array_size(rows), total);
}

/* Returns 0, or the exit code with everything said. */
static int parse(int argc, char *argv[], struct arguments *a)
{
	static const struct option options[] = {
		{ "run", required_argument, NULL, 'r' },   { "json", no_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },	   { 0 },
	};
	char *end;
	size_t i;
	int opt;

	while ((opt = getopt_long(argc, argv, "hjV", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			a->run_dir = optarg;
			break;
		case 'j':
			a->is_json = true;
			break;
		case 'l':
			a->limit = strtol(optarg, &end, 10);
			if (*end || !*optarg || a->limit < 0) {
				fprintf(stderr, "culvertctl: --limit: \"%s\" is no number\n",
					optarg);
				return EXIT_USAGE;
			}
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
	return 0;
}

int main(int argc, char *argv[])
{
	struct arguments a = { .run_dir = CLV_RUN_DIR_DEFAULT, .limit = LIMIT_DEFAULT };
	json_t *answer = NULL;
	char error[512] = "";
	int err;

	err = parse(argc, argv, &a);
	if (err)
		return err;
	err = ask(&a, &answer, error, sizeof(error));
	if (err) {
		fprintf(stderr, "culvertctl: %s\n", *error ? error : clv_strerror(err));
		return EXIT_FAILURE;
	}
	show(&a, answer);
	json_decref(answer);
	return EXIT_SUCCESS;
}
