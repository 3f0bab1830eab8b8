/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * process - what the daemon sets for its process: standard files, limits, user and sandbox.
 *
 * Threading: control, before the workers' threads exist, which inherit it.
 */
#ifndef CLV_DAEMON_PROCESS_H
#define CLV_DAEMON_PROCESS_H

#include "control/daemon/daemon.h"

/*
 * Open /dev/null for each of the standard files that is missing.  Otherwise the next file or socket
 * we open would get its number, and our log would be written to it.
 */
void clv_process_open_standard_files(void);

/* Raise the limit of open files to what the configured tunnels need, or as far as allowed. */
void clv_process_raise_limits(const struct clv_daemon *daemon);

/*
 * Find the user to become later: a start with a user that does not exist has to fail early.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_process_find_user(struct clv_daemon *daemon);

/*
 * Become that user, keep only the capabilities that serving needs, and close the sandbox.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_process_drop_privileges(struct clv_daemon *daemon);

#endif
