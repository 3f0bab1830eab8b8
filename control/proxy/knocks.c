/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/knocks.h"

#include "datapath/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int clv_knocks_init(struct clv_knocks *ks, uint32_t max, uint64_t wait_ns,
		    struct clv_accounts *accounts, const uint64_t seed[static 2])
{
	memset(ks, 0, sizeof(*ks));
	TAILQ_INIT(&ks->by_age);
	ks->accounts = accounts;
	ks->wait_ns = wait_ns;
	return clv_table_init(&ks->by_request, CLV_SIGNAL_REQUEST_LEN, max, seed);
}

void clv_knocks_fini(struct clv_knocks *ks)
{
	assert(!ks->count);
	clv_table_fini(&ks->by_request);
}

void clv_knocks_end_init(struct clv_knocks_end *end, struct clv_account *account)
{
	LIST_INIT(&end->sent);
	LIST_INIT(&end->received);
	end->account = account;
}

int clv_knocks_add(struct clv_knocks *ks, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		   struct clv_knocks_end *from, struct clv_knocks_end *to, uint64_t now_ns)
{
	struct clv_knock *k;

	if (clv_table_find(&ks->by_request, request, NULL))
		return -EEXIST;
	k = calloc(1, sizeof(*k));
	if (!k)
		return CLV_EFULL;
	if (clv_accounts_take(ks->accounts, from->account, CLV_RESOURCE_KNOCKS, CLV_ACCOUNTS_WHOLE))
		goto free_knock;
	if (clv_table_insert(&ks->by_request, request, (uintptr_t)k))
		goto discharge;
	memcpy(k->request, request, sizeof(k->request));
	k->from = from;
	k->to = to;
	k->until_ns = now_ns + ks->wait_ns;
	TAILQ_INSERT_TAIL(&ks->by_age, k, by_age);
	LIST_INSERT_HEAD(&from->sent, k, of_from);
	LIST_INSERT_HEAD(&to->received, k, of_to);
	ks->count++;
	return 0;

discharge:
	clv_accounts_give(ks->accounts, from->account, CLV_RESOURCE_KNOCKS, CLV_ACCOUNTS_WHOLE);
free_knock:
	free(k);
	return CLV_EFULL;
}

struct clv_knock *clv_knocks_find(const struct clv_knocks *ks,
				  const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
				  const struct clv_knocks_end *to)
{
	struct clv_knock *k;
	uint64_t value;

	if (!clv_table_find(&ks->by_request, request, &value))
		return NULL;
	k = (struct clv_knock *)(uintptr_t)value;
	return k->to == to ? k : NULL;
}

struct clv_knock *clv_knocks_overdue(const struct clv_knocks *ks, uint64_t now_ns)
{
	struct clv_knock *k = TAILQ_FIRST(&ks->by_age);

	return k && k->until_ns <= now_ns ? k : NULL;
}

void clv_knocks_remove(struct clv_knocks *ks, struct clv_knock *k)
{
	clv_table_remove(&ks->by_request, k->request);
	TAILQ_REMOVE(&ks->by_age, k, by_age);
	LIST_REMOVE(k, of_from);
	LIST_REMOVE(k, of_to);
	ks->count--;
	clv_accounts_give(ks->accounts, k->from->account, CLV_RESOURCE_KNOCKS, CLV_ACCOUNTS_WHOLE);
	free(k);
}

uint64_t clv_knocks_next_ns(const struct clv_knocks *ks)
{
	const struct clv_knock *k = TAILQ_FIRST(&ks->by_age);

	return k ? k->until_ns : UINT64_MAX;
}
