/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * neighbours - link addresses of the next hops in use, kept by the kernel's announcements.
 *
 * Gateways are kept resolved by the kernel for us, where it can (NTF_EXT_MANAGED).
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

/* Key of the table. */
struct clv_neigh_key {
	int32_t ifindex;
	uint8_t addr[16];
};

struct clv_neigh {
	struct clv_neigh_key key; /* ifindex 0: forgotten */
	uint8_t state;		  /* RESOLVING, READY or FAILED of enum clv_neigh_state */
	bool is_kept;
	uint8_t mac[6]; /* when READY */
	uint8_t tries;
	uint64_t retry_ns; /* 0: not decided yet */
};

struct clv_neighbours {
	struct mnl_socket *questions; /* borrows */
	struct clv_table index_of;
	struct clv_neigh *list;
	size_t len, retry_pos;
	bool is_reset; /* all were forgotten: every hop must be looked at again */
};

/* questions: borrows.  seed: copies.  Returns 0 or -ENOMEM. */
int clv_neighbours_init(struct clv_neighbours *ns, struct mnl_socket *questions,
			const uint64_t seed[static 2]);
void clv_neighbours_fini(struct clv_neighbours *ns);

/*
 * What is known of the next hop of a FIB answer; when that is nothing, resolution starts.
 * Lends until the next call.  NULL only when out of memory.
 */
const struct clv_neigh *clv_neighbours_look(struct clv_neighbours *ns,
					    const struct clv_fib_answer *answer);

/* Take in RTM_NEWNEIGH or RTM_DELNEIGH.  Returns whether a hop in use is different now. */
bool clv_neighbours_take(struct clv_neighbours *ns, const struct nlmsghdr *message);

/* Ask again for some that failed. */
void clv_neighbours_retry(struct clv_neighbours *ns, uint64_t now_ns);

void clv_neighbours_forget(struct clv_neighbours *ns);

#endif
