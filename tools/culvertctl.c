/* SPDX-License-Identifier: GPL-3.0-or-later */
/* culvertctl - shows an operator what a relay is doing, and edits its users. */
#include "control/daemon/options.h"
#include "datapath/base/err.h"
#include "tools/culvertctl/query.h"
#include "tools/culvertctl/user.h"
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
	"usage: culvertctl [--run-dir DIR] [--json] [--limit N] [--tunnel T] [--watch[=SEC]] COMMAND\n"
	"\n"
	"  user ...   make, list and remove credentials of clients: culvertctl user --help\n"
	"  status     datapath mode of each interface and its reason, listeners, counters\n"
	"  workers    core assignment and its reason, sockets and counters of each worker\n"
	"  conns      connections: peers, negotiated parameters, round-trip times\n"
	"  users      clients by name: what they use, what they sent and received, their limits\n"
	"  tunnels    tunnels: targets, routes, traffic; \"conn\" is the connection in conns\n"
	"  contexts   Context ID of each remote in each tunnel, who opened it, traffic\n"
	"  bindings   the map of ports that belong to tunnels\n"
	"  ids        the map of connection IDs\n"
	"  guard      rate limits of sources that sent packets of no known connection\n"
	"  drops      dropped packets, by reason\n"
	"  policy     allowed and denied targets, with the reason\n"
	"  listeners  addresses that clients connect to\n"
	"  signal     signal streams: how many peers, records, look-ups and knocks\n"
	"  records    records of peers: identities that can be looked up and knocked at\n"
	"\n"
	"  --run-dir DIR\n"
	"               runtime directory of the relay (default " CLV_RUN_DIR_DEFAULT ")\n"
	"  --json       print the answer as one JSON object\n"
	"  --limit N    rows of a listing (default 1000; 0: all)\n"
	"  --tunnel T   contexts, bindings: of this tunnel only; T as in the listing of tunnels\n"
	"  --watch      repeat every 2 seconds, or --watch=SEC; a terminal is redrawn\n"
	"  --maps       contexts: as in the kernel's map, where XDP matches them\n"
	"  --help, --version\n"
	"\n"
	"bindings, ids, guard, the XDP part of drops and contexts --maps are read from the kernel and\n"
	"need no running daemon.\n";

static const struct command *const commands[] = {
	&users_command,	   &status_command,    &workers_command, &conns_command,   &tunnels_command,
	&contexts_command, &bindings_command,  &ids_command,	 &guard_command,   &drops_command,
	&policy_command,   &listeners_command, &signal_command,	 &records_command,
};

struct arguments {
	struct query query;
	bool is_json, maps_only;
	unsigned watch_sec; /* 0: run once */
};

static bool is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

/* Returns as query_daemon and query_maps; *is_map: whether the answer comes from the maps. */
static int query(const struct arguments *a, json_t **answer, bool *is_map, char *error,
		 size_t error_len)
{
	const struct query *q = &a->query;
	const enum source source = q->command->source;
	char ignored[512];
	int err;

	*is_map = true;
	if (source == FROM_MAPS || source == FROM_MAPS_ALONE || a->maps_only) {
		err = query_maps(q, answer, error, error_len);
		if (source != FROM_MAPS || !is_absent(err))
			return err;
	}
	*is_map = false;
	err = query_daemon(q, answer, error, error_len);
	if (source == FROM_DAEMON_FIRST && is_absent(err) &&
	    query_maps(q, answer, ignored, sizeof(ignored)) == 0) {
		*is_map = true;
		err = 0;
	}
	return err;
}

static void show(const struct arguments *a, const json_t *answer, bool is_map, FILE *out)
{
	const struct command *c = a->query.command;
	json_int_t total = json_integer_value(json_object_get(answer, "total"));
	const json_t *rows;

	if (a->is_json) {
		/* one line per answer, so that a reader can separate them */
		json_dumpf(answer, out, a->watch_sec ? JSON_COMPACT : JSON_INDENT(2));
		fprintf(out, "\n");
		return;
	}
	if (c->show) {
		c->show(out, answer);
		return;
	}
	rows = json_object_get(answer, c->array);
	table_show(out, rows, is_map && c->map_columns ? c->map_columns : c->columns);
	if (total > (json_int_t)json_array_size(rows))
		fprintf(out, "%zu of %" JSON_INTEGER_FORMAT ": --limit 0 shows all\n",
			json_array_size(rows), total);
	if (a->watch_sec)
		fprintf(out, "\n");
}

static int query_and_show(void *user, FILE *out)
{
	const struct arguments *a = user;
	json_t *answer = NULL;
	char error[512] = "";
	bool is_map;
	int err = query(a, &answer, &is_map, error, sizeof(error));

	if (err) {
		/* with --watch on a terminal, the screen shows it */
		fprintf(out == stdout ? stderr : out, "culvertctl: %s\n",
			*error ? error : clv_strerror(err));
		return err;
	}
	show(a, answer, is_map, out);
	json_decref(answer);
	return 0;
}

/* Parse the number of an option.  Returns it, or -1 after printing an error. */
static long parse_number(const char *option, const char *text, long min, long max)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text && !*end && n >= min && n <= max)
		return n;
	fprintf(stderr, "culvertctl: --%s: \"%s\" is not a number from %ld to %ld\n", option, text,
		min, max);
	return -1;
}

/* Returns 0, or the exit code after printing an error. */
static int parse_options(int argc, char *argv[], struct arguments *a)
{
	static const struct option options[] = {
		{ "run-dir", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "tunnel", required_argument, NULL, 't' },
		{ "maps", no_argument, NULL, 'm' },
		{ "watch", optional_argument, NULL, 'w' },
		{ "version", no_argument, NULL, 'V' },
		{ "run", optional_argument, NULL, 'R' }, /* the former name of run-dir */
		{ 0 },
	};
	long n;
	int opt;

	while ((opt = getopt_long(argc, argv, "hjV", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			a->query.run_dir = optarg;
			break;
		case 'j':
			a->is_json = true;
			break;
		case 'l':
			a->query.limit = parse_number("limit", optarg, 0, INT_MAX);
			if (a->query.limit < 0)
				return EXIT_USAGE;
			break;
		case 't':
			a->query.tunnel = optarg;
			break;
		case 'm':
			a->maps_only = true;
			break;
		case 'w':
			n = optarg ? parse_number("watch", optarg, 1, WATCH_SEC_MAX)
				   : WATCH_SEC_DEFAULT;
			if (n < 0)
				return EXIT_USAGE;
			a->watch_sec = (unsigned)n;
			break;
		case 'R':
			fputs("culvertctl: --run is now called --run-dir\n", stderr);
			return EXIT_USAGE;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("culvertctl %s\n", CLV_VERSION);
			exit(EXIT_SUCCESS);
		default:
			return EXIT_USAGE; /* getopt has printed the error */
		}
	}
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* Returns 0, or the exit code after printing an error. */
static int parse(int argc, char *argv[], struct arguments *a)
{
	int err = parse_options(argc, argv, a);
	const struct command *c;

	if (err)
		return err;
	if (optind + 1 != argc) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	c = a->query.command = find_command(argv[optind]);
	if (!c) {
		fprintf(stderr, "culvertctl: unknown command %s; try --help\n", argv[optind]);
		return EXIT_USAGE;
	}
	if ((a->query.tunnel && !c->has_tunnel) || (a->maps_only && !c->has_maps)) {
		fprintf(stderr, "culvertctl: %s does not accept --%s\n", c->name,
			a->maps_only ? "maps" : "tunnel");
		return EXIT_USAGE;
	}
	return 0;
}

int main(int argc, char *argv[])
{
	struct arguments a = {
		.query = { .run_dir = CLV_RUN_DIR_DEFAULT, .limit = LIMIT_DEFAULT },
	};
	int err;

	if (argc > 1 && strcmp(argv[1], "user") == 0)
		return user_main(argc - 1, argv + 1);
	err = parse(argc, argv, &a);
	if (err)
		return err;
	if (a.watch_sec)
		return watch(a.watch_sec, query_and_show, &a);
	return query_and_show(&a, stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
