/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ping - round trips to a UDP echo target: through the relay, and directly where that works. */
#ifndef CULVERT_PING_H
#define CULVERT_PING_H

#include "tools/culvert/peer.h"

/* Run on an opened peer.  Returns the exit code. */
int ping_run(struct peer *p);

#endif
