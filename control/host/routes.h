/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * routes - the kernel's own answer to "how does a packet to this address leave": FIB, neighbours,
 * links and local addresses through rtnetlink, followed live.
 *
 * One socket listens for changes, one asks; asking waits for the kernel's answer, which it gives
 * within the call.  Answers about routes are kept until something changes.
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
	CLV_ROUTES_HOPS = 1u << 0,	/* some lookup may give another answer now */
	CLV_ROUTES_ADDRESSES = 1u << 1, /* our own addresses changed */
	CLV_ROUTES_LINKS = 1u << 2,	/* an interface came, went or changed */
};

/* Returns 0 and fills *out, or -errno. */
int clv_routes_open(struct clv_routes **out);
void clv_routes_close(struct clv_routes *r);

/* Frames through ifindex, known yet or not, go by AF_XDP link number `link`; -1: by the kernel. */
void clv_routes_set_link(struct clv_routes *r, int ifindex, int link);

/* Polls readable when process has something to do. */
int clv_routes_fd(const struct clv_routes *r);
/* Take in what the kernel announced.  Returns enum clv_routes_change flags. */
unsigned clv_routes_process(struct clv_routes *r);
/* Try again to resolve neighbours that failed, and forget old answers.  Returns as process. */
unsigned clv_routes_tick(struct clv_routes *r, uint64_t now_ns);

/*
 * The way to remote.  The hop's state is READY, RESOLVING (resolution was started), or UNREACHABLE
 * (the neighbour did not answer; it is asked again from time to time).
 * Returns 0 and fills *out, or CLV_EUNROUTABLE.
 */
int clv_routes_lookup(struct clv_routes *r, const uint8_t remote[static 16], struct clv_route *out);

/* Whether it is an address of an interface. */
bool clv_routes_is_own(const struct clv_routes *r, const uint8_t addr[static 16]);
/*
 * Whether packets to addr end at this host: an address of its own, a prefix that is local by a route
 * alone, a broadcast or anycast address.  Asks the kernel, once in a while.
 */
bool clv_routes_is_host(struct clv_routes *r, const uint8_t addr[static 16]);
/* Whether frames from and to this address of ours pass an AF_XDP link. */
bool clv_routes_is_served(const struct clv_routes *r, const uint8_t addr[static 16]);
/*
 * Our address of a family for everybody: the source of the way to the Internet at large, else the
 * first that is not the machine's own business, AF_XDP links first.
 * Returns 0 and fills addr, or CLV_EUNROUTABLE.
 */
int clv_routes_source(struct clv_routes *r, bool is_v6, uint8_t addr[static 16]);
/* All our addresses; lends, until the next process.  Returns how many. */
size_t clv_routes_own(const struct clv_routes *r, const uint8_t (**out)[16]);

#endif
