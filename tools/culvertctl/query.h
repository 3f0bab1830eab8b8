/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * query - gets the answer to a command: from the daemon's control socket or from the pinned maps.
 *
 * Answers are JSON objects that belong to the caller.  A failed call leaves one line in error.
 */
#ifndef CLV_CULVERTCTL_QUERY_H
#define CLV_CULVERTCTL_QUERY_H

#include "tools/culvertctl/command.h"

#include <jansson.h>

#include <stddef.h>

struct query {
	const struct command *command;
	const char *run_dir;
	long limit;	    /* rows of a listing; 0: all */
	const char *tunnel; /* rows of this tunnel only; NULL: of all */
};

/*
 * Query the daemon.
 * Returns 0, -ECONNREFUSED or -ENOENT (not running), another -errno, or CLV_ESYNTAX.
 */
int query_daemon(const struct query *q, json_t **out, char *error, size_t error_len);

/*
 * Query the pinned maps.
 * Returns 0, -ENOENT (nothing is pinned), CLV_EABI or another -errno.
 */
int query_maps(const struct query *q, json_t **out, char *error, size_t error_len);

/*
 * For command.from_maps: list the entries of a map as {name: rows, "total": n}.  row: returns the
 * JSON object for one entry.
 */
json_t *query_list_map(int fd, const char *name, const struct query *q,
		       json_t *(*row)(const void *key, const void *value));

#endif
