/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peer - libculvert on a libuv loop: keeps a session with the relay and reports its state.
 *
 * Order: 1. open  2. run, until it is stopped or fails  3. close
 * Threading: one thread.
 */
#ifndef CULVERT_PEER_H
#define CULVERT_PEER_H

#include "tools/culvert/options.h"

#include <uv.h>

#include <stdbool.h>
#include <stdint.h>

struct peer;

/* A command's callbacks; each may be NULL. */
struct peer_ops {
	/* The session was requested: open what outlives its loss.  Returns 0 or a status. */
	int (*start)(struct peer *p);
	/* An event of the library, after peer has handled it. */
	void (*event)(struct peer *p, const struct culvert_event *e);
};

struct peer {
	const struct options *options;
	const struct peer_ops *ops;
	void *user;
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_poll_t poll;
	uv_timer_t timer;
	uv_idle_t busy;
	uv_signal_t term, interrupt, user1;
	struct culvert *culvert;
	struct culvert_session *session;
	bool stopping;
	int status;
};

/* Open client and loop.  Returns 0, or a status after printing the reason on stderr. */
int peer_open(struct peer *p, const struct options *o, const struct peer_ops *ops, void *user);
/* Returns the status to exit with. */
int peer_run(struct peer *p);
void peer_stop(struct peer *p, int status);
/* Also closes the handles that the command opened on the loop. */
void peer_close(struct peer *p);

/* Print why a function of the library failed.  Returns a status. */
int peer_print_failure(const struct peer *p, const char *what, int error);
/* Whether a tunnel was refused or ended only because its session was lost, which is reported. */
bool peer_is_lost(const struct peer *p, const struct culvert_event *e);
/* Print that the relay refuses this client whatever the target, and return true; else do nothing. */
bool peer_print_unauthorized(const struct peer *p, const struct culvert_event *e);
/* Print why a tunnel was refused.  Returns a status. */
int peer_print_refused(const struct peer *p, const struct culvert_event *e);
/* Log that an open tunnel ended. */
void peer_log_ended(const struct peer *p, const struct culvert_event *e);
/* Write a log line to stderr if --log-level includes its level. */
void peer_log(const struct peer *p, enum culvert_log level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
