/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keeper - a small process that reads the operator's files and renews our own certificates after the
 * drop of privileges.
 *
 * culvertd gives up for good what it takes to open an operator's key file or to write the state
 * directory, and its sandbox lets no file be written.  Before that it forks the keeper, which holds
 * no socket, no packet memory and no descriptor but its end of a socket pair, behind a system call
 * filter that allows files and nothing else.  It takes two questions: a listener's number, answered
 * by the text of its certificate chain and key, and which of enum clv_keeper_file to read.  The files
 * are those of the start.  So a culvertd that was taken over can neither read another file nor write
 * any.
 *
 * Order: 1. open, before packet memory is made: it must not be shared by fork  2. start, once the
 * loop and the control core are there  3. close
 * Threading: control.
 */
#ifndef CLV_DAEMON_KEEPER_H
#define CLV_DAEMON_KEEPER_H

#include "control/daemon/daemon.h"

/* Returns 0, or an error number with one line in daemon->error. */
int clv_keeper_open(struct clv_daemon *daemon);
void clv_keeper_start(struct clv_daemon *daemon);

enum clv_keeper_file {
	CLV_KEEPER_CONFIG, /* empty when the default file is missing */
	CLV_KEEPER_USERS,
};

/*
 * Read a file as it is now, with the rights of the start; with our own when the keeper was lost.
 * Waits for the answer, two seconds at most.  text: zero-terminated; the caller wipes and frees it.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_keeper_read(struct clv_daemon *daemon, enum clv_keeper_file file, char **text);

/* Have the files of all listeners read again; what becomes of it is logged. */
void clv_keeper_reload(struct clv_daemon *daemon);

/*
 * Once a second: watch the certificates' dates, and have our own renewed in time, and when the host has
 * another address that strangers can reach.
 */
void clv_keeper_tick(struct clv_daemon *daemon, uint64_t now_ns);

/*
 * Once a turn of the loop: when the wall clock was set, the dates are looked at right away, not at the
 * next tick.  If a certificate of our own is out of them, waits for its renewal, 0.3 seconds at most.
 */
void clv_keeper_follow_clock(struct clv_daemon *daemon, uint64_t now_ns);

/* The keeper ends by itself when its socket is closed.  After the loop is closed. */
void clv_keeper_close(struct clv_daemon *daemon);

#endif
