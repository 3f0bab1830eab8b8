/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/accounts.h"

#include "bpf/guard.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ROOM_FIRST =
		1024, /* accounts; doubled as needed: each has a charge, and ceilings bound those */
};

static const struct {
	const char *name, *help;
} resources[] = {
#define X(symbol, name, help) { name, help },
	CLV_RESOURCES(X)
#undef X
};

const char *clv_accounts_resource_name(enum clv_resource resource)
{
	return resources[resource].name;
}

const char *clv_accounts_resource_help(enum clv_resource resource)
{
	return resources[resource].help;
}

int clv_accounts_init(struct clv_accounts *a, uint32_t shares, const uint64_t seed[static 2])
{
	*a = (struct clv_accounts){ .shares = shares };
	return clv_table_init(&a->by_prefix, sizeof(struct clv_guard_key), ROOM_FIRST, seed);
}

void clv_accounts_fini(struct clv_accounts *a)
{
	clv_table_fini(&a->by_prefix);
}

/* ---- ceilings ---- */

void clv_accounts_set_max(struct clv_accounts *a, enum clv_resource resource, uint64_t max)
{
	struct clv_ceiling *c = &a->ceilings[resource];

	c->max = max > UINT32_MAX ? UINT32_MAX : (uint32_t)max;
	c->is_set = true;
}

void clv_accounts_set_part_max(struct clv_accounts *a, enum clv_resource resource, uint32_t max,
			       uint16_t parts)
{
	uint64_t all = (uint64_t)max * parts;

	for (uint16_t i = 0; i < parts && i < CLV_ACCOUNTS_PARTS_MAX; i++) {
		a->of_part[resource][i].max = max;
		a->of_part[resource][i].is_set = true;
	}
	if (!a->ceilings[resource].is_set || a->ceilings[resource].max > all)
		clv_accounts_set_max(a, resource, all);
}

void clv_accounts_set_source_max(struct clv_accounts *a, enum clv_resource resource,
				 uint32_t host_max, uint32_t net_max)
{
	a->host_max[resource] = host_max;
	a->net_max[resource] = net_max;
}

/* ---- accounts ---- */

/* The account of a prefix, with one more reference. */
static struct clv_account *open_prefix(struct clv_accounts *a, const uint8_t addr[static 16],
				       enum clv_guard_width width)
{
	struct clv_guard_key prefix;
	struct clv_account *account;
	uint64_t found;

	clv_guard_key_of(&prefix, addr, CLV_GUARD_INITIAL, width);
	if (clv_table_find(&a->by_prefix, &prefix, &found)) {
		account = (struct clv_account *)(uintptr_t)found;
		account->refs++;
		return account;
	}
	account = calloc(1, sizeof(*account));
	if (!account)
		return NULL;
	account->prefix = prefix;
	account->refs = 1;
	if ((a->by_prefix.count == a->by_prefix.limit &&
	     clv_table_grow(&a->by_prefix, 2 * a->by_prefix.limit)) ||
	    clv_table_insert(&a->by_prefix, &prefix, (uintptr_t)account)) {
		free(account);
		return NULL;
	}
	return account;
}

static void close_one(struct clv_accounts *a, struct clv_account *account)
{
	if (--account->refs)
		return;
	clv_table_remove(&a->by_prefix, &account->prefix);
	free(account);
}

struct clv_account *clv_accounts_open(struct clv_accounts *a, const uint8_t addr[static 16])
{
	struct clv_account *net = open_prefix(a, addr, CLV_GUARD_NET), *host;

	if (!net)
		return NULL;
	host = open_prefix(a, addr, CLV_GUARD_HOST);
	if (!host || host->net) { /* the host has a reference to its network already */
		close_one(a, net);
		return host;
	}
	host->net = net;
	return host;
}

void clv_accounts_close(struct clv_accounts *a, struct clv_account *account)
{
	struct clv_account *net = account ? account->net : NULL;

	if (!account)
		return;
	if (account->refs == 1)
		close_one(a, net);
	close_one(a, account);
}

/* ---- look-ups of neighbours ---- */

void clv_accounts_set_lookups(struct clv_accounts *a, const struct clv_rate *each,
			      const struct clv_rate *all)
{
	a->lookups_each = *each;
	a->lookups_all = *all;
}

bool clv_accounts_may_look_up(struct clv_accounts *a, struct clv_account *account, uint64_t now_ns)
{
	if (!a)
		return true;
	if (account && !clv_rate_take(&a->lookups_each, &account->lookups_full_ns, now_ns))
		return false;
	return clv_rate_take(&a->lookups_all, &a->lookups_full_ns, now_ns);
}

/* ---- the rule ---- */

static uint64_t share_of(const struct clv_accounts *a, const struct clv_ceiling *c)
{
	return a->shares > 1 ? c->max / a->shares : 0;
}

static enum clv_accounts_verdict ask_ceiling(const struct clv_accounts *a,
					     const struct clv_ceiling *c,
					     const struct clv_account *account,
					     enum clv_resource resource)
{
	uint64_t share = share_of(a, c), free_units, most;

	if (!c->is_set)
		return CLV_ACCOUNTS_OK;
	if (c->used >= c->max)
		return CLV_ACCOUNTS_FULL;
	free_units = c->max - c->used;
	if (!share || free_units > 2 * share)
		return CLV_ACCOUNTS_OK;
	most = share < free_units ? share : free_units;
	if (!account || account->used[resource] >= most)
		return CLV_ACCOUNTS_SOURCE;
	if (free_units <= share && account->net->used[resource] >= most)
		return CLV_ACCOUNTS_SOURCE;
	return CLV_ACCOUNTS_OK;
}

static bool is_within(const struct clv_accounts *a, const struct clv_account *account,
		      enum clv_resource resource)
{
	return !account ||
	       ((!a->host_max[resource] || account->used[resource] < a->host_max[resource]) &&
		(!a->net_max[resource] || account->net->used[resource] < a->net_max[resource]));
}

enum clv_accounts_verdict clv_accounts_ask(const struct clv_accounts *a,
					   const struct clv_account *account,
					   enum clv_resource resource, int part)
{
	enum clv_accounts_verdict verdict = ask_ceiling(a, &a->ceilings[resource], account,
							resource);

	if (!verdict && part >= 0)
		verdict = ask_ceiling(a, &a->of_part[resource][part], account, resource);
	if (!verdict && !is_within(a, account, resource))
		verdict = CLV_ACCOUNTS_SOURCE;
	return verdict;
}

bool clv_accounts_must_prove(const struct clv_accounts *a, enum clv_resource resource)
{
	return ask_ceiling(a, &a->ceilings[resource], NULL, resource) == CLV_ACCOUNTS_SOURCE;
}

static void put(struct clv_accounts *a, struct clv_account *account, enum clv_resource resource,
		int part, uint32_t by)
{
	a->ceilings[resource].used += by;
	if (part >= 0)
		a->of_part[resource][part].used += by;
	if (!account)
		return;
	account->used[resource] += by;
	account->net->used[resource] += by;
}

void clv_accounts_refused(struct clv_accounts *a, enum clv_resource resource,
			  enum clv_accounts_verdict why)
{
	if (why == CLV_ACCOUNTS_FULL)
		a->refused_full[resource]++;
	else
		a->refused_source[resource]++;
}

enum clv_accounts_verdict clv_accounts_take(struct clv_accounts *a, struct clv_account *account,
					    enum clv_resource resource, int part)
{
	enum clv_accounts_verdict verdict;

	if (!a)
		return CLV_ACCOUNTS_OK;
	verdict = clv_accounts_ask(a, account, resource, part);
	if (verdict) {
		clv_accounts_refused(a, resource, verdict);
		return verdict;
	}
	put(a, account, resource, part, 1);
	if (account)
		account->refs++;
	return CLV_ACCOUNTS_OK;
}

void clv_accounts_give(struct clv_accounts *a, struct clv_account *account,
		       enum clv_resource resource, int part)
{
	if (!a)
		return;
	put(a, account, resource, part, UINT32_MAX); /* less one */
	clv_accounts_close(a, account);
}
