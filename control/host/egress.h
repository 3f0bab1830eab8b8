/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * egress - allocate local ports for packets to targets, from the configured range.
 *
 * The search starts at a random port, so that the next one cannot be guessed (RFC 6056), and skips
 * ports that other programs hold.
 *
 * What arrives by AF_XDP belongs to a tunnel by local and remote endpoint together, so tunnels to
 * different remotes can share a port.  They do so when half of the range's ports are such; the other
 * half is for bound tunnels, which need ports of their own, and for many tunnels to one remote.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_EGRESS_H
#define CLV_HOST_EGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/host/host.h"

struct clv_egress_pool;

enum {
	CLV_EGRESS_ADDRS_MAX = 256, /* local addresses with ports in use */
};

/* min, max: host order, inclusive.  Returns 0 and fills *out, CLV_ERANGE or -ENOMEM. */
int clv_egress_open(uint16_t min, uint16_t max, struct clv_egress_pool **out);
/* Also closes the sockets of ports that were not given back. */
/* Mark what is sent by ports that are taken from now on; 0: do not. */
void clv_egress_set_mark(struct clv_egress_pool *pool, uint32_t mark);
void clv_egress_close(struct clv_egress_pool *pool);

/*
 * The filter of sockets that only reserve a port, from now on: see clv_sock_reserve.  fd: borrows for
 * the pool's life.
 */
void clv_egress_set_filter(struct clv_egress_pool *pool, int fd);

/*
 * Take a port on address source.  is_reserved: its socket only reserves the port, since AF_XDP
 * receives the packets; else a worker receives on it, and it is not shared.
 * Returns 0 and fills *out (its fd belongs to the pool, which closes it when all gave it back),
 * CLV_EFULL (none is free) or -errno.
 */
int clv_egress_take(struct clv_egress_pool *pool, const uint8_t source[static 16], bool is_reserved,
		    const struct clv_egress_wish *wish, struct clv_egress *out);
/*
 * Give a port back.  Accepts one that is not taken.
 * Returns whether the port is free now, and then fills *owner.
 */
bool clv_egress_give(struct clv_egress_pool *pool, struct clv_egress *egress, void **owner);

/* Ports in use, on all addresses. */
uint32_t clv_egress_used(const struct clv_egress_pool *pool);

#endif
