/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * command - what a command of culvertctl is: where its answer comes from and how it is printed.
 *
 * A new command is a file NAME.c that defines NAME_command, declared below and listed in
 * culvertctl.c.
 */
#ifndef CLV_CULVERTCTL_COMMAND_H
#define CLV_CULVERTCTL_COMMAND_H

#include "control/xdp/bpf.h"
#include "tools/culvertctl/table.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>

struct query;

enum source {
	FROM_DAEMON,
	FROM_MAPS,	 /* the daemon only if no maps are pinned */
	FROM_MAPS_ALONE, /* never the daemon */
	FROM_DAEMON_FIRST, /* the maps only if no daemon is running, or with --maps if it is accepted */
};

struct command {
	const char *name;
	enum source source;
	bool has_tunnel; /* accepts --tunnel */
	bool has_maps;	 /* accepts --maps */

	/* How to print the answer: a function, or the rows of one array as a table. */
	void (*show)(FILE *out, const json_t *answer);
	const char *array;
	const struct table_column *columns;
	const struct table_column *map_columns; /* of an answer from the maps; NULL: the same */

	/* The answer from the pinned maps, or NULL when out of memory; if the source can be the maps. */
	json_t *(*from_maps)(const struct clv_bpf_maps *maps, const struct query *q);
};

extern const struct command status_command, workers_command, conns_command, tunnels_command,
	contexts_command, bindings_command, ids_command, guard_command, drops_command,
	policy_command, listeners_command, users_command, signal_command, records_command;

/* The columns of listeners_command, which status shows too. */
extern const struct table_column listener_columns[];

#endif
