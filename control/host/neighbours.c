/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/neighbours.h"

#include "datapath/base/clock.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_BATCH =
		256, /* failed neighbours resolved again per call, those looked up last first */
	RETRIES_MAX = 40,
};

#define RETRY_NS (5 * CLV_SEC)

int clv_neighbours_init(struct clv_neighbours *ns, struct mnl_socket *requests, uint32_t max,
			const uint64_t seed[static 2])
{
	int err;

	*ns = (struct clv_neighbours){ .requests = requests };
	TAILQ_INIT(&ns->ready);
	TAILQ_INIT(&ns->waiting);
	TAILQ_INIT(&ns->free);
	ns->all = calloc(max, sizeof(*ns->all));
	if (!ns->all)
		return -ENOMEM;
	err = clv_table_init(&ns->by_key, sizeof(struct clv_neigh_key), max, seed);
	if (err) {
		free(ns->all);
		ns->all = NULL;
		return err;
	}
	for (uint32_t i = 0; i < max; i++)
		TAILQ_INSERT_TAIL(&ns->free, &ns->all[i], place);
	return 0;
}

/* ---- the kernel ---- */

static void resolve(struct clv_neighbours *ns, const struct clv_neigh *n, bool keep)
{
	if (ns->requests)
		clv_rtnl_resolve(ns->requests, n->key.ifindex, n->key.addr, keep);
}

void clv_neighbours_fini(struct clv_neighbours *ns)
{
	const struct clv_neigh *n;

	if (!ns->all)
		return;
	/* Make managed neighbours ordinary ones again. */
	TAILQ_FOREACH(n, &ns->ready, place)
	if (n->is_managed)
		resolve(ns, n, false);
	TAILQ_FOREACH(n, &ns->waiting, place)
	if (n->is_managed)
		resolve(ns, n, false);
	clv_table_fini(&ns->by_key);
	free(ns->all);
	ns->all = NULL;
}

/* ---- which are known ---- */

static struct clv_neigh_list *list_of(struct clv_neighbours *ns, const struct clv_neigh *n)
{
	return n->state == CLV_NEIGH_READY ? &ns->ready : &ns->waiting;
}

static void forget(struct clv_neighbours *ns, struct clv_neigh *n)
{
	clv_table_remove(&ns->by_key, &n->key);
	TAILQ_REMOVE(list_of(ns, n), n, place);
	*n = (struct clv_neigh){ .state = CLV_NEIGH_NONE };
	TAILQ_INSERT_HEAD(&ns->free, n, place);
}

void clv_neighbours_forget(struct clv_neighbours *ns)
{
	struct clv_neigh *n;

	while ((n = TAILQ_FIRST(&ns->ready)) || (n = TAILQ_FIRST(&ns->waiting)))
		forget(ns, n);
}

static struct clv_neigh *find(const struct clv_neighbours *ns, const struct clv_neigh_key *key)
{
	uint64_t n;

	return clv_table_find(&ns->by_key, key, &n) ? (struct clv_neigh *)(uintptr_t)n : NULL;
}

static struct clv_neigh *add(struct clv_neighbours *ns, const struct clv_neigh_key *key)
{
	struct clv_neigh *n = TAILQ_FIRST(&ns->waiting);

	if (TAILQ_EMPTY(&ns->free)) {
		forget(ns, n ? n : TAILQ_FIRST(&ns->ready));
		ns->evicted++;
	}
	n = TAILQ_FIRST(&ns->free);
	TAILQ_REMOVE(&ns->free, n, place);
	*n = (struct clv_neigh){ .key = *key, .state = CLV_NEIGH_RESOLVING };
	TAILQ_INSERT_TAIL(&ns->waiting, n, place);
	clv_table_insert(&ns->by_key, key, (uintptr_t)n); /* it has room for all */
	return n;
}

/* Move it behind those that were looked up before; its state may have changed from before. */
static void place_last(struct clv_neighbours *ns, struct clv_neigh *n,
		       struct clv_neigh_list *before)
{
	TAILQ_REMOVE(before, n, place);
	TAILQ_INSERT_TAIL(list_of(ns, n), n, place);
}

/* ---- changes ---- */

/* Update a neighbour with what the kernel reports.  Returns whether a hop through it changed. */
static bool update(struct clv_neighbours *ns, struct clv_neigh *n,
		   const struct clv_neigh_facts *facts)
{
	struct clv_neigh_list *list = list_of(ns, n);
	uint8_t before = n->state;
	bool is_moved;

	/* A failed neighbour that is being resolved again stays failed until it responds. */
	if (facts->state == CLV_NEIGH_RESOLVING && before == CLV_NEIGH_FAILED)
		return false;
	n->state = facts->state == CLV_NEIGH_NONE ? CLV_NEIGH_RESOLVING : (uint8_t)facts->state;
	if (list != list_of(ns, n))
		place_last(ns, n, list);
	if (n->state != CLV_NEIGH_READY)
		return n->state != before;
	n->has_answered = true;
	is_moved = memcmp(n->mac, facts->mac, sizeof(n->mac)) != 0;
	memcpy(n->mac, facts->mac, sizeof(n->mac));
	n->tries = 0;
	n->retry_ns = 0;
	return is_moved || before != CLV_NEIGH_READY;
}

bool clv_neighbours_take(struct clv_neighbours *ns, const struct nlmsghdr *message,
			 struct clv_neigh_change *out)
{
	struct clv_neigh_facts facts;
	struct clv_neigh_key key;
	struct clv_neigh *n;

	if (clv_rtnl_read_neigh(message, &facts))
		return false;
	key.ifindex = facts.ifindex;
	memcpy(key.addr, facts.addr, sizeof(key.addr));
	n = find(ns, &key);
	if (!n)
		return false;
	memcpy(out->addr, key.addr, sizeof(out->addr));
	out->is_gateway = n->is_gateway;
	if (message->nlmsg_type != RTM_DELNEIGH)
		return update(ns, n, &facts);

	/*
	 * The kernel forgets soon who does not answer.  We remember who never did, and ask again when
	 * it is time.
	 */
	if (n->state == CLV_NEIGH_FAILED && !n->has_answered)
		return false;
	/* Users that still need it look it up again, which starts resolution. */
	forget(ns, n);
	return true;
}

/* ---- looking up ---- */

static struct clv_neigh_key key_of(const struct clv_fib_answer *answer)
{
	struct clv_neigh_key key = { .ifindex = answer->oif };

	memcpy(key.addr, answer->next, sizeof(key.addr));
	return key;
}

bool clv_neighbours_is_known(const struct clv_neighbours *ns, const struct clv_fib_answer *answer)
{
	const struct clv_neigh_key key = key_of(answer);

	return find(ns, &key) != NULL;
}

/* Ask the kernel for a neighbour that was not known. */
static void ask(struct clv_neighbours *ns, struct clv_neigh *n)
{
	struct clv_neigh_facts facts;

	if (ns->requests &&
	    clv_rtnl_neigh(ns->requests, n->key.ifindex, n->key.addr, &facts) == 0 &&
	    facts.state == CLV_NEIGH_READY) {
		update(ns, n, &facts);
		if (!facts.is_stale && !n->is_managed)
			return;
	}
	resolve(ns, n, n->is_managed);
}

const struct clv_neigh *clv_neighbours_lookup(struct clv_neighbours *ns,
					      const struct clv_fib_answer *answer)
{
	const struct clv_neigh_key key = key_of(answer);
	struct clv_neigh *n = find(ns, &key);

	if (n) {
		place_last(ns, n, list_of(ns, n));
		n->is_gateway |= answer->has_gateway;
		return n;
	}
	n = add(ns, &key);
	n->is_gateway = n->is_managed = answer->has_gateway;
	ask(ns, n);
	return n;
}

void clv_neighbours_retry(struct clv_neighbours *ns, uint64_t now_ns)
{
	struct clv_neigh *n, *next;
	unsigned asked = 0;

	for (n = TAILQ_LAST(&ns->waiting, clv_neigh_list); n && asked < RETRY_BATCH; n = next) {
		next = TAILQ_PREV(n, clv_neigh_list, place);
		if (n->state != CLV_NEIGH_FAILED)
			continue;
		if (n->tries >= RETRIES_MAX) {
			forget(ns, n);
		} else if (!n->retry_ns) {
			n->retry_ns = now_ns + RETRY_NS;
		} else if (now_ns >= n->retry_ns) {
			resolve(ns, n, n->is_managed);
			n->retry_ns = now_ns + RETRY_NS;
			n->tries++;
			asked++;
		}
	}
}
