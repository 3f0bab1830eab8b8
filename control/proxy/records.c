/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/records.h"

#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int clv_records_init(struct clv_records *rs, uint32_t max, struct clv_accounts *accounts,
		     const uint64_t seed[static 2])
{
	int err;

	memset(rs, 0, sizeof(*rs));
	LIST_INIT(&rs->all);
	rs->accounts = accounts;
	err = clv_table_init(&rs->by_id, CLV_IDENTITY_LEN, max, seed);
	if (err)
		return err;
	err = clv_timers_init(&rs->timers, max);
	if (err)
		clv_table_fini(&rs->by_id);
	return err;
}

/* Release what a record holds of its owner's. */
static void discharge(struct clv_records *rs, struct clv_peer_record *r)
{
	*r->slot = NULL;
	clv_accounts_give(rs->accounts, r->account, CLV_RESOURCE_RECORDS, CLV_ACCOUNTS_WHOLE);
	clv_budget_give(r->memory, r->len);
}

void clv_records_remove(struct clv_records *rs, struct clv_peer_record *r)
{
	clv_timers_set(&rs->timers, &r->timer, CLV_TIMER_NEVER);
	clv_table_remove(&rs->by_id, &r->id);
	LIST_REMOVE(r, link);
	rs->count--;
	rs->bytes -= r->len;
	discharge(rs, r);
	free(r->bytes);
	free(r);
}

void clv_records_fini(struct clv_records *rs)
{
	struct clv_peer_record *r;

	while ((r = LIST_FIRST(&rs->all))) {
		LIST_REMOVE(r, link);
		free(r->bytes);
		free(r);
	}
	clv_table_fini(&rs->by_id);
	clv_timers_fini(&rs->timers);
}

static struct clv_peer_record *find(const struct clv_records *rs, const struct clv_identity *id)
{
	uint64_t value;

	return clv_table_find(&rs->by_id, id, &value) ? (struct clv_peer_record *)(uintptr_t)value
						      : NULL;
}

/* Make a record without an object yet, charged to its owner.  Returns 0, CLV_EFULL or -ENOMEM. */
static int add(struct clv_records *rs, const struct clv_records_put *put,
	       struct clv_peer_record **out)
{
	struct clv_peer_record *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	if (clv_accounts_take(rs->accounts, put->account, CLV_RESOURCE_RECORDS, CLV_ACCOUNTS_WHOLE))
		goto free_record;
	if (clv_table_insert(&rs->by_id, &put->object->id, (uintptr_t)r)) {
		clv_accounts_give(rs->accounts, put->account, CLV_RESOURCE_RECORDS,
				  CLV_ACCOUNTS_WHOLE);
		goto free_record;
	}
	r->timer = (struct clv_timer){ CLV_TIMER_NEVER, 0 };
	r->id = put->object->id;
	r->account = put->account;
	r->memory = put->memory;
	r->slot = put->slot;
	LIST_INSERT_HEAD(&rs->all, r, link);
	rs->count++;
	*out = r;
	return 0;

free_record:
	free(r);
	return CLV_EFULL;
}

/* Charge the record to another owner.  Returns 0 or CLV_EFULL, with nothing changed. */
static int move(struct clv_records *rs, struct clv_peer_record *r,
		const struct clv_records_put *put)
{
	if (r->slot == put->slot)
		return 0;
	if (clv_accounts_take(rs->accounts, put->account, CLV_RESOURCE_RECORDS, CLV_ACCOUNTS_WHOLE))
		return CLV_EFULL;
	discharge(rs, r);
	rs->bytes -= r->len;
	free(r->bytes);
	r->bytes = NULL;
	r->len = 0;
	r->account = put->account;
	r->memory = put->memory;
	r->slot = put->slot;
	return 0;
}

int clv_records_put(struct clv_records *rs, const struct clv_records_put *put)
{
	struct clv_peer_record *r = find(rs, &put->object->id);
	uint8_t *bytes;
	int err;

	if (r && r->timer.at_ns > put->now_ns && put->object->seq <= r->seq)
		return -EALREADY;
	if (!clv_budget_take(put->memory, put->len))
		return CLV_EFULL;
	err = -ENOMEM;
	bytes = malloc(put->len);
	if (!bytes)
		goto give_memory;
	err = r ? move(rs, r, put) : add(rs, put, &r);
	if (err)
		goto free_bytes;
	clv_budget_give(r->memory, r->len);
	rs->bytes += put->len;
	rs->bytes -= r->len;
	free(r->bytes);
	memcpy(bytes, put->object->bytes, put->len);
	r->bytes = bytes;
	r->len = put->len;
	r->seq = put->object->seq;
	r->relays_len = put->object->relays_len;
	r->since_ns = put->now_ns;
	r->owner = put->owner;
	*put->slot = r;
	clv_timers_set(&rs->timers, &r->timer, put->until_ns);
	return 0;

free_bytes:
	free(bytes);
give_memory:
	clv_budget_give(put->memory, put->len);
	return err;
}

const struct clv_peer_record *clv_records_find(const struct clv_records *rs,
					       const struct clv_identity *id, uint64_t now_ns)
{
	const struct clv_peer_record *r = find(rs, id);

	return r && r->timer.at_ns > now_ns ? r : NULL;
}

uint64_t clv_records_next_ns(const struct clv_records *rs)
{
	return clv_timers_next_ns(&rs->timers);
}

void clv_records_expire(struct clv_records *rs, uint64_t now_ns)
{
	struct clv_timer *t;

	while ((t = clv_timers_expire(&rs->timers, now_ns)))
		clv_records_remove(rs, (struct clv_peer_record *)t);
}
