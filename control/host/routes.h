/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes - look up how packets from and to an address leave this host: rules, FIB, neighbours, links
 * and local addresses, read from the kernel over rtnetlink and kept up to date.
 *
 * One socket receives notifications of changes, another sends requests and waits for the response,
 * which the kernel sends within the call.  Routes are cached until something changes.
 *
 * Order: 1. open  2. set_link for each interface with AF_XDP sockets  3. lookup; process when fd is
 *        readable and tick about every second  4. close
 * Threading: control.
 */
#ifndef CLV_HOST_ROUTES_H
#define CLV_HOST_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/host/host.h"

struct clv_routes;

enum clv_routes_change {
	CLV_ROUTES_HOPS = 1u << 0,	 /* lookups may have other results now */
	CLV_ROUTES_ADDRESSES = 1u << 1,	 /* our own addresses changed */
	CLV_ROUTES_LINKS = 1u << 2,	 /* an interface appeared, disappeared or changed */
	CLV_ROUTES_NEIGHBOURS = 1u << 3, /* lookups of some addresses may: see clv_routes_moved */
	CLV_ROUTES_UPLINKS = 1u << 4,	 /* a default route or a rule came or went */
};

/* Returns 0 and fills *out, or -errno. */
int clv_routes_open(struct clv_routes **out);
void clv_routes_close(struct clv_routes *r);

/* Packets have this mark, which rules may ask for; 0: none.  To be called before the first look-up. */
void clv_routes_set_mark(struct clv_routes *r, uint32_t mark);

/* Send frames of ifindex, known yet or not, via AF_XDP link number `link`; -1: via the kernel. */
void clv_routes_set_link(struct clv_routes *r, int ifindex, int link);

/* Returns the descriptor that is readable when process has something to do. */
int clv_routes_fd(const struct clv_routes *r);
/* Process the kernel's notifications.  Returns flags of enum clv_routes_change. */
unsigned clv_routes_process(struct clv_routes *r);
/* Resolve failed neighbours again, and drop cached routes that are old.  Returns as process. */
unsigned clv_routes_tick(struct clv_routes *r, uint64_t now_ns);

/*
 * Look up the route of packets from local to remote: rules may send by another way what has another
 * source.  local: NULL or a wildcard: from the address that the kernel chooses for remote, which is
 * the route's source then.  The hop's state is READY, RESOLVING (resolution was started), or
 * UNREACHABLE (the neighbour did not respond; resolution is retried from time to time).
 * Returns 0 and fills *out, or CLV_EUNROUTABLE.
 */
int clv_routes_lookup(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16],
		      struct clv_route *out);

/*
 * Whether looking up the route from local (as of lookup) to remote would make the kernel look for a neighbour on the link.
 * Queries the kernel for the route, and caches the answer.
 */
bool clv_routes_is_new(struct clv_routes *r, const uint8_t *local, const uint8_t remote[static 16]);
/* Lends the addresses behind CLV_ROUTES_NEIGHBOURS, until the next process or tick; returns how many. */
size_t clv_routes_moved(struct clv_routes *r, const uint8_t (**out)[16]);

/* Neighbours that made room for others since the start. */
uint64_t clv_routes_evicted(const struct clv_routes *r);

/* Whether it is an address of an interface. */
bool clv_routes_is_own(const struct clv_routes *r, const uint8_t addr[static 16]);
/*
 * Whether packets to addr end at this host: an address of its own, a prefix that is local by a route
 * alone, a broadcast or anycast address.  Queries the kernel, and caches the answer.
 */
bool clv_routes_is_host(struct clv_routes *r, const uint8_t addr[static 16]);
/* Whether an interface that has this address is a VLAN device. */
bool clv_routes_is_tagged(const struct clv_routes *r, const uint8_t addr[static 16]);
/* Whether frames from and to this local address use an AF_XDP link. */
bool clv_routes_is_served(const struct clv_routes *r, const uint8_t addr[static 16]);
/*
 * Find our public address of a family: the source address of the default route, else the first
 * address that is neither loopback nor link-local, AF_XDP links first.
 * Returns 0 and fills addr, or CLV_EUNROUTABLE.
 */
int clv_routes_source(struct clv_routes *r, bool is_v6, uint8_t addr[static 16]);
/* Lends all local addresses but link-local ones, until the next process.  Returns how many. */
size_t clv_routes_own(const struct clv_routes *r, const uint8_t (**out)[16]);

#endif
