/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * held - datagrams of AF_XDP's tunnels that come through the kernel: fragments, IP options, extension
 * headers, and all that comes in by an interface without XDP.
 *
 * Each worker has a socket for those of its tunnels.  What is no tunnel's is dropped and counted at
 * the socket that holds its port, and wakes no worker.
 *
 * Threading: control.
 */
#ifndef CLV_DAEMON_HELD_H
#define CLV_DAEMON_HELD_H

#include "control/daemon/daemon.h"

/*
 * What the sockets lost by now: drops, their sum, modulo 2^32 as the kernel's counters are; limited: the
 * part that is the filters'.  Advances, and never goes back: to be called before 2^31 more are lost.
 */
static inline uint64_t clv_held_lost_next(uint64_t lost, uint32_t drops, uint64_t limited)
{
	const int32_t more = (int32_t)(drops - (uint32_t)limited - (uint32_t)lost);

	return more > 0 ? lost + (uint32_t)more : lost;
}

/*
 * Give each worker's socket port one more socket.  Without BPF there is nothing to do.  Where it is
 * not possible, a line of the log says so, and such datagrams are dropped.
 * Returns 0, or an error of the sockets.
 */
int clv_daemon_held_open(struct clv_daemon *daemon);
/*
 * Once a second: where the host forwards the packets of others, XDP asks its connection tracking whose
 * a datagram is that comes to a port open to all.  Where it cannot, a line of the log warns of it when
 * forwarding begins.  And note what was lost, before counters wrap.
 */
void clv_daemon_held_tick(struct clv_daemon *daemon);
/*
 * Datagrams for which the workers' sockets had no room, or whose checksum was wrong.  The kernel counts
 * what the filters drop with them.
 */
uint64_t clv_daemon_held_lost(const struct clv_daemon *daemon);
void clv_daemon_held_close(struct clv_daemon *daemon);

#endif
