/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hosts - which tunnels exchange datagrams with a host: as their target, or as a remote of a bound
 * tunnel.  A second list has which sessions have a host as their peer.
 *
 * A host keeps one path MTU for the relay's address.  What it is told because of one tunnel holds
 * for all of them, so whoever tells it must look at the others.
 *
 * Threading: control.
 */
#ifndef CLV_CORE_HOSTS_H
#define CLV_CORE_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

/* One tunnel's use of one host; part of what stands for it.  All zero: not in the list. */
struct clv_host_use {
	struct clv_host_use *next, **at; /* of those with the same hash; at: what points here */
	uint8_t addr[16];
	struct clv_ref tunnel; /* or the session's */
};

struct clv_hosts {
	struct clv_host_use **heads;
	uint64_t seed[2];
};

/* seed: copies; 16 random bytes.  Returns 0 or -ENOMEM. */
int clv_hosts_init(struct clv_hosts *h, const uint64_t seed[static 2]);
void clv_hosts_fini(struct clv_hosts *h);

/* Begin a use, which must not be in the list.  use: borrows until it leaves.  h NULL: does nothing. */
void clv_hosts_join(struct clv_hosts *h, struct clv_host_use *use, const uint8_t addr[static 16],
		    const struct clv_ref *tunnel);
/* End it; one that is not in the list is left as it is. */
void clv_hosts_leave(struct clv_host_use *use);

/* Call fn for all uses of a host, of which it may end none. */
void clv_hosts_each(const struct clv_hosts *h, const uint8_t addr[static 16],
		    void (*fn)(void *user, const struct clv_host_use *use), void *user);
/*
 * Whether test is true for any use of a host.  A host with more uses than are worth looking at
 * counts as one that has such a use.
 */
bool clv_hosts_any(const struct clv_hosts *h, const uint8_t addr[static 16],
		   bool (*test)(void *user, const struct clv_host_use *use), void *user);

#endif
