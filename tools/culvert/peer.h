/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peer - libculvert on a libuv loop: keeps a session with the relay, and says what becomes of it.
 *
 * Order: 1. open  2. run, until it is told to stop or gives up  3. close
 * Threading: one thread.
 */
#ifndef CULVERT_PEER_H
#define CULVERT_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tools/culvert/options.h"

struct peer;

/* What a command does with the session; each function may be NULL. */
struct peer_ops {
	/* The session is asked for; what outlives its losses is opened here.  0 or a status. */
	int (*start)(struct peer *p);
	/* An event of the library, behind what peer does with it. */
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
	uv_signal_t term, interrupt;
	struct culvert *culvert;
	struct culvert_session *session;
	bool stopping;
	int status;
};

/* Open client and loop.  Returns 0, or a status after saying why on stderr. */
int peer_open(struct peer *p, const struct options *o, const struct peer_ops *ops, void *user);
/* Returns the status to exit with. */
int peer_run(struct peer *p);
void peer_stop(struct peer *p, int status);
/* The user's handles on the loop are closed too. */
void peer_close(struct peer *p);

/* Say why the library's function failed.  Returns a status. */
int peer_complain(const struct peer *p, const char *what, int error);
/* Whether it went with its session, which says why: of a tunnel that was refused or ended. */
bool peer_is_lost(const struct peer *p, const struct culvert_event *e);
/* Say why a tunnel was refused.  Returns a status. */
int peer_say_refused(const struct peer *p, const struct culvert_event *e);
/* A line of the log that an open tunnel ended. */
void peer_say_ended(const struct peer *p, const struct culvert_event *e);
/* A line of the log, if its level is wanted. */
void peer_log(const struct peer *p, enum culvert_log level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
