/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bind - a port at the relay for a local application; each remote gets a loopback port here. */
#ifndef CULVERT_BIND_H
#define CULVERT_BIND_H

#include "tools/culvert/peer.h"

/* Run on an opened peer until it is told to stop.  Returns the exit code. */
int bind_run(struct peer *p);

#endif
