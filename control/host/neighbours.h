/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * neighbours - link addresses of the next hops in use, updated by the kernel's notifications.
 *
 * The kernel keeps gateways resolved for us where it can (NTF_EXT_MANAGED).  A neighbour that never
 * answered stays known as such for some minutes, and is resolved again from time to time.  When there
 * is no room for another, the one that was looked up longest ago makes room, of those that have not
 * answered first: who looks up address after address pushes out nobody's that is there.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_NEIGHBOURS_H
#define CLV_HOST_NEIGHBOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <libmnl/libmnl.h>

#include "control/host/rtnl.h"
#include "datapath/base/table.h"

enum {
	CLV_NEIGHBOURS_MAX = 16384,
};

/* Key of the hash table. */
struct clv_neigh_key {
	int32_t ifindex;
	uint8_t addr[16];
};

struct clv_neigh {
	TAILQ_ENTRY(clv_neigh) place;
	struct clv_neigh_key key;
	uint8_t state;	 /* RESOLVING, READY or FAILED of enum clv_neigh_state */
	bool is_gateway; /* other addresses are reached by it */
	bool is_managed; /* kept resolved by the kernel */
	bool has_answered;
	uint8_t mac[6]; /* when READY */
	uint8_t tries;
	uint64_t retry_ns; /* 0: not set yet */
};

TAILQ_HEAD(clv_neigh_list, clv_neigh);

struct clv_neighbours {
	struct mnl_socket *requests; /* borrows */
	struct clv_table by_key;     /* -> struct clv_neigh */
	struct clv_neigh *all;
	/* Those that are known, looked up longest ago first: READY, and the others. */
	struct clv_neigh_list ready, waiting, free;
	uint64_t evicted; /* since the start */
};

/* requests: borrows; NULL: ask nobody.  seed: copies.  Returns 0 or -ENOMEM. */
int clv_neighbours_init(struct clv_neighbours *ns, struct mnl_socket *requests, uint32_t max,
			const uint64_t seed[static 2]);
void clv_neighbours_fini(struct clv_neighbours *ns);

/* Whether the next hop of a FIB answer is known, if only as one that does not answer. */
bool clv_neighbours_is_known(const struct clv_neighbours *ns, const struct clv_fib_answer *answer);

/*
 * Look up the next hop of a FIB answer.  Starts resolution if the hop is not known yet.
 * Returns the neighbour, lent until the next call.
 */
const struct clv_neigh *clv_neighbours_lookup(struct clv_neighbours *ns,
					      const struct clv_fib_answer *answer);

/* Whose hops changed. */
struct clv_neigh_change {
	uint8_t addr[16];
	bool is_gateway; /* also the hops of what is reached by it */
};

/* Process RTM_NEWNEIGH or RTM_DELNEIGH.  Returns whether a hop in use changed, and fills *out. */
bool clv_neighbours_take(struct clv_neighbours *ns, const struct nlmsghdr *message,
			 struct clv_neigh_change *out);

/* Resolve again some neighbours that failed, and forget those that did too often. */
void clv_neighbours_retry(struct clv_neighbours *ns, uint64_t now_ns);

void clv_neighbours_forget(struct clv_neighbours *ns);

#endif
