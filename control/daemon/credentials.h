/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * credentials - who may use the relay: the key of its tokens, the users file, the list of clients.
 *
 *   STATE/token.key  signs and verifies bearer tokens; made at the first start
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_CREDENTIALS_H
#define CLV_DAEMON_CREDENTIALS_H

#include "control/daemon/daemon.h"

/*
 * Read the users file that the configuration names, to report what a start would fail on.
 * Returns 0, or an error number with one line in daemon->error.
 */
int clv_credentials_check(struct clv_daemon *daemon);

/*
 * Load or make the key, read the users file and, when standard error is a terminal, print the link
 * of the default credential there.  The state directory and the certificates exist.
 * Returns as clv_credentials_check.
 */
int clv_credentials_open(struct clv_daemon *daemon);
void clv_credentials_close(struct clv_daemon *daemon);

/*
 * Have XDP drop what the clients of config alone may send to the control plane, when it comes from
 * others.  Returns as clv_credentials_check.
 */
int clv_credentials_publish(struct clv_daemon *daemon, const struct clv_config *config);

/*
 * Apply the mode and the list of clients of config, and read the users file again.  The proxy then
 * has to renew what it granted.  Returns as clv_credentials_check, with nothing changed.
 */
int clv_credentials_reload(struct clv_daemon *daemon, const struct clv_config *config);

/* Log what an operator should know of what was applied: everybody may use the relay, or nobody can. */
void clv_credentials_warn(const struct clv_daemon *daemon, const struct clv_config *config);

#endif
