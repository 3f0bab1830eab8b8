/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * neighbours - link addresses of the next hops in use, updated by the kernel's notifications.
 *
 * The kernel keeps gateways resolved for us where it can (NTF_EXT_MANAGED).
 *
 * Threading: control.
 */
#ifndef CLV_HOST_NEIGHBOURS_H
#define CLV_HOST_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "control/host/rtnl.h"
#include "datapath/base/table.h"

/* Key of the hash table. */
struct clv_neigh_key {
	int32_t ifindex;
	uint8_t addr[16];
};

struct clv_neigh {
	struct clv_neigh_key key; /* ifindex 0: forgotten */
	uint8_t state;		  /* RESOLVING, READY or FAILED of enum clv_neigh_state */
	bool is_managed;	  /* kept resolved by the kernel */
	uint8_t mac[6];		  /* when READY */
	uint8_t tries;
	uint64_t retry_ns; /* 0: not set yet */
};

struct clv_neighbours {
	struct mnl_socket *requests; /* borrows */
	struct clv_table index_of;
	struct clv_neigh *list;
	size_t len, retry_pos;
	bool is_reset; /* all were forgotten: every hop must be looked up again */
};

/* requests: borrows.  seed: copies.  Returns 0 or -ENOMEM. */
int clv_neighbours_init(struct clv_neighbours *ns, struct mnl_socket *requests,
			const uint64_t seed[static 2]);
void clv_neighbours_fini(struct clv_neighbours *ns);

/*
 * Look up the next hop of a FIB answer.  Starts resolution if the hop is not known yet.
 * Returns the neighbour, lent until the next call, or NULL when out of memory.
 */
const struct clv_neigh *clv_neighbours_lookup(struct clv_neighbours *ns,
					      const struct clv_fib_answer *answer);

/* Process RTM_NEWNEIGH or RTM_DELNEIGH.  Returns whether a hop in use changed. */
bool clv_neighbours_take(struct clv_neighbours *ns, const struct nlmsghdr *message);

/* Resolve again some neighbours that failed. */
void clv_neighbours_retry(struct clv_neighbours *ns, uint64_t now_ns);

void clv_neighbours_forget(struct clv_neighbours *ns);

#endif
