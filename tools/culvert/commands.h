/* SPDX-License-Identifier: GPL-3.0-or-later */
/* commands - the commands of culvert.  Each runs until done or stopped; returns an exit status. */
#ifndef CULVERT_COMMANDS_H
#define CULVERT_COMMANDS_H

#include "tools/culvert/options.h"

#include <limits.h>

/* Forward a local UDP port to a target; each local sender gets its own tunnel. */
int forward_run(const struct options *o);
/* Measure round trips to a UDP echo service, through the relay and, where possible, directly. */
int ping_run(const struct options *o);
/* Hold a bound tunnel for a local application; each remote gets a local loopback port. */
int bind_run(const struct options *o);
/* Show the id of an identity, which is made if there is none. */
int id_run(const struct options *o);
/* Let other peers reach a local application, each of their senders from a port of its own. */
int listen_run(const struct options *o);
/* Serve a local UDP port that leads to the application of another peer. */
int connect_run(const struct options *o);
/* Tell the kind of NAT this host is behind, by what several relays see of one socket. */
int nat_run(const struct options *o);

/*
 * The file of our identity: --identity, or the user's own; one is made if there is none.
 * Returns its name, in path or in o; NULL after printing the reason on stderr.
 */
const char *id_file(const struct options *o, char path[static PATH_MAX]);

#endif
