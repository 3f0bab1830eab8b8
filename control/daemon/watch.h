/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * watch - see to it that the AF_XDP sockets of each interface get its traffic.
 *
 * What no driver says beforehand shows when traffic comes: frames without room for metadata, and
 * receive queues without a socket, because ethtool -L changed them.  Sockets are opened on the queues
 * that exist; an interface that loses frames all the same falls back to the next lesser mode.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_WATCH_H
#define CLV_DAEMON_WATCH_H

#include "control/daemon/daemon.h"

/* Once a second.  Returns whether sockets were opened again: next hops are to be looked up anew. */
bool clv_watch_tick(struct clv_daemon *daemon, uint64_t now_ns);

#endif
