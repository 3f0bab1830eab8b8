/* SPDX-License-Identifier: GPL-3.0-or-later */
/* commands - what culvert does.  Each runs until it is done or told to stop, and returns a status. */
#ifndef CULVERT_COMMANDS_H
#define CULVERT_COMMANDS_H

#include "tools/culvert/options.h"

/* A local UDP port to a target: each local sender gets a tunnel. */
int forward_run(const struct options *o);
/* Round trips to a UDP echo service, through the relay and directly where that works. */
int ping_run(const struct options *o);
/* A port at the relay for a local application; each remote gets a loopback port here. */
int bind_run(const struct options *o);

#endif
