/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * keeper - a small process that reads certificates and renews our own after the drop of privileges.
 *
 * culvertd gives up for good what it takes to open an operator's key file or to write the state
 * directory, and its sandbox lets no file be written.  Before that it forks the keeper, which holds
 * no socket, no packet memory and no descriptor but its end of a socket pair, behind a system call
 * filter that allows files and nothing else.  The only question it takes is a listener's number; the
 * files are those that the configuration named at the start.  The answer is the text of the chain
 * and the key.  So a culvertd that was taken over can neither read another file nor write any.
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

/* Have the files of all listeners read again; what becomes of it is logged. */
void clv_keeper_reload(struct clv_daemon *daemon);

/* Once a second: watch the certificates' dates, and have our own renewed in time. */
void clv_keeper_tick(struct clv_daemon *daemon, uint64_t now_ns);

/* The keeper ends by itself when its socket is closed.  After the loop is closed. */
void clv_keeper_close(struct clv_daemon *daemon);

#endif
