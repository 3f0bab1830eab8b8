/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ask - where culvertctl gets its facts: the daemon's control socket, and the pinned maps.
 *
 * Answers are JSON objects, the caller's.  A failed call leaves one line in error.
 */
#ifndef CLV_CULVERTCTL_ASK_H
#define CLV_CULVERTCTL_ASK_H

#include <stddef.h>

#include <jansson.h>

struct ask_request {
	const char *run_dir;
	const char *command;
	long limit;	    /* rows of a listing; 0: all */
	const char *tunnel; /* only this one's rows; NULL: of all */
};

/*
 * Ask the daemon.
 * Returns 0, -ECONNREFUSED or -ENOENT (not running), another -errno, or CLV_ESYNTAX.
 */
int ask_daemon(const struct ask_request *rq, json_t **out, char *error, size_t error_len);

/*
 * Read a table from the pinned maps: "contexts", "bindings", "ids" or "drops".
 * Returns 0, -ENOENT (nothing is pinned), CLV_EABI or another -errno.
 */
int ask_maps(const struct ask_request *rq, json_t **out, char *error, size_t error_len);

#endif
