/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * forwarding - whether this host forwards the packets of others.
 *
 * Threading: control; the kernel answers within the call.
 */
#ifndef CLV_HOST_FORWARDING_H
#define CLV_HOST_FORWARDING_H

#include <stdbool.h>

/*
 * Returns whether an interface forwards what comes in by it: each has a switch of its own, and may do so
 * while the one for all is off.  True also when it cannot be found out.
 */
bool clv_host_forwards(void);

#endif
