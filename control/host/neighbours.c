/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/neighbours.h"

#include "datapath/base/clock.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

enum {
	NEIGHS_MAX = 16384, /* when full, all are forgotten and resolved again */
	RETRY_BATCH = 64,   /* failed neighbours resolved again per call */
	RETRIES_MAX = 40,
};

#define RETRY_NS (5 * CLV_SEC)

int clv_neighbours_init(struct clv_neighbours *ns, struct mnl_socket *requests,
			const uint64_t seed[static 2])
{
	int err;

	*ns = (struct clv_neighbours){ .requests = requests };
	ns->list = calloc(NEIGHS_MAX, sizeof(*ns->list));
	if (!ns->list)
		return -ENOMEM;
	err = clv_table_init(&ns->index_of, sizeof(struct clv_neigh_key), NEIGHS_MAX, seed);
	if (err) {
		free(ns->list);
		ns->list = NULL;
	}
	return err;
}

void clv_neighbours_fini(struct clv_neighbours *ns)
{
	size_t i;

	if (!ns->list)
		return;
	/* Make managed neighbours ordinary ones again. */
	for (i = 0; i < ns->len; i++)
		if (ns->list[i].is_managed)
			clv_rtnl_resolve(ns->requests, ns->list[i].key.ifindex,
					 ns->list[i].key.addr, false);
	clv_table_fini(&ns->index_of);
	free(ns->list);
	ns->list = NULL;
}

void clv_neighbours_forget(struct clv_neighbours *ns)
{
	size_t i;

	for (i = 0; i < ns->len; i++) {
		if (ns->list[i].key.ifindex)
			clv_table_remove(&ns->index_of, &ns->list[i].key);
		ns->list[i] = (struct clv_neigh){ 0 };
	}
	ns->len = 0;
}

/* Update a neighbour with what the kernel reports.  Returns whether a hop through it changed. */
static bool update(struct clv_neigh *n, const struct clv_neigh_facts *facts)
{
	uint8_t before = n->state;
	bool is_moved;

	/* A failed neighbour that is being resolved again stays failed until it responds. */
	if (facts->state == CLV_NEIGH_RESOLVING && before == CLV_NEIGH_FAILED)
		return false;
	n->state = facts->state == CLV_NEIGH_NONE ? CLV_NEIGH_RESOLVING : (uint8_t)facts->state;
	if (n->state != CLV_NEIGH_READY)
		return n->state != before;
	is_moved = memcmp(n->mac, facts->mac, sizeof(n->mac)) != 0;
	memcpy(n->mac, facts->mac, sizeof(n->mac));
	n->tries = 0;
	n->retry_ns = 0;
	return is_moved || before != CLV_NEIGH_READY;
}

bool clv_neighbours_take(struct clv_neighbours *ns, const struct nlmsghdr *message)
{
	struct clv_neigh_facts facts;
	struct clv_neigh_key key;
	struct clv_neigh *n;
	uint64_t i;

	if (clv_rtnl_read_neigh(message, &facts))
		return false;
	key.ifindex = facts.ifindex;
	memcpy(key.addr, facts.addr, sizeof(key.addr));
	if (!clv_table_find(&ns->index_of, &key, &i))
		return false;
	n = &ns->list[i];
	if (message->nlmsg_type != RTM_DELNEIGH)
		return update(n, &facts);

	/* Users that still need it look it up again, which starts resolution. */
	clv_table_remove(&ns->index_of, &key);
	*n = (struct clv_neigh){ 0 };
	return true;
}

static struct clv_neigh *add(struct clv_neighbours *ns, const struct clv_neigh_key *key)
{
	struct clv_neigh *n;

	if (ns->len == NEIGHS_MAX) {
		clv_neighbours_forget(ns);
		ns->is_reset = true;
	}
	n = &ns->list[ns->len];
	if (clv_table_insert(&ns->index_of, key, ns->len))
		return NULL;
	*n = (struct clv_neigh){ .key = *key, .state = CLV_NEIGH_RESOLVING };
	ns->len++;
	return n;
}

const struct clv_neigh *clv_neighbours_lookup(struct clv_neighbours *ns,
					      const struct clv_fib_answer *answer)
{
	struct clv_neigh_key key = { .ifindex = answer->oif };
	struct clv_neigh_facts facts;
	struct clv_neigh *n;
	uint64_t i;

	memcpy(key.addr, answer->next, sizeof(key.addr));
	if (clv_table_find(&ns->index_of, &key, &i))
		return &ns->list[i];
	n = add(ns, &key);
	if (!n)
		return NULL;
	n->is_managed = answer->has_gateway;
	if (clv_rtnl_neigh(ns->requests, key.ifindex, key.addr, &facts) == 0 &&
	    facts.state == CLV_NEIGH_READY) {
		update(n, &facts);
		if (!facts.is_stale && !n->is_managed)
			return n;
	}
	clv_rtnl_resolve(ns->requests, key.ifindex, key.addr, n->is_managed);
	return n;
}

void clv_neighbours_retry(struct clv_neighbours *ns, uint64_t now_ns)
{
	unsigned asked = 0;
	size_t seen;

	for (seen = 0; seen < ns->len && asked < RETRY_BATCH; seen++) {
		struct clv_neigh *n = &ns->list[ns->retry_pos++ % ns->len];

		if (n->state != CLV_NEIGH_FAILED || !n->key.ifindex || n->tries >= RETRIES_MAX)
			continue;
		if (!n->retry_ns) {
			n->retry_ns = now_ns + RETRY_NS;
		} else if (now_ns >= n->retry_ns) {
			clv_rtnl_resolve(ns->requests, n->key.ifindex, n->key.addr, n->is_managed);
			n->retry_ns = now_ns + RETRY_NS;
			n->tries++;
			asked++;
		}
	}
}
