/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * records - the records that peers have published at this relay: one for each identity, held by the
 * signal stream on which it came and gone with it.
 *
 * A record says that its maker can be knocked at here, now.  So one whose stream has ended is of no use,
 * even if its maker is still reached elsewhere: another relay then has it, or it is published again.
 *
 * Each record is charged to the account and to the memory of whose stream it is.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_RECORDS_H
#define CLV_PROXY_RECORDS_H

#include "control/admission/accounts.h"
#include "control/masque/object.h"
#include "datapath/base/budget.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"

#include <sys/queue.h>

struct clv_peer_record {
	struct clv_timer timer; /* when it expires; first member */
	struct clv_identity id;
	uint64_t seq;	   /* ms */
	uint64_t since_ns; /* when this one came */
	uint8_t *bytes;	   /* the object, as it came */
	size_t len;
	uint8_t relays_len;
	/* Who holds it. */
	void *owner;
	struct clv_peer_record **slot; /* where the owner keeps it; NULL there when it is gone */
	struct clv_account *account;
	struct clv_budget_holder *memory;
	LIST_ENTRY(clv_peer_record) link;
};

struct clv_records {
	struct clv_table by_id; /* -> struct clv_peer_record */
	struct clv_timers timers;
	struct clv_accounts *accounts;
	LIST_HEAD(, clv_peer_record) all;
	uint32_t count;
	uint64_t bytes; /* of all objects */
};

/*
 * Reserve tables for max records.  accounts: borrows; its ceiling of CLV_RESOURCE_RECORDS is the
 * caller's to set, to no more than max; NULL: none.  seed: copies.  Returns 0 or -ENOMEM.
 */
int clv_records_init(struct clv_records *rs, uint32_t max, struct clv_accounts *accounts,
		     const uint64_t seed[static 2]);
/* Whoever holds a record may be gone already. */
void clv_records_fini(struct clv_records *rs);

struct clv_records_put {
	const struct clv_object *object; /* read and verified; its bytes are copied */
	size_t len;			 /* of those */
	void *owner;
	struct clv_peer_record **slot; /* of the owner; what it holds is replaced */
	struct clv_account *account;
	struct clv_budget_holder *memory;
	uint64_t now_ns, until_ns;
};

/*
 * Keep a record in place of an earlier one of its identity, whoever held that.
 * Returns 0 and sets *slot; or -EALREADY (no newer than the one that is here), CLV_EFULL (a ceiling, a
 * share or the memory) or -ENOMEM, and then all is as before.
 */
int clv_records_put(struct clv_records *rs, const struct clv_records_put *put);

/* The record of an identity, not expired at now_ns; NULL: none.  Lends until the next call. */
const struct clv_peer_record *clv_records_find(const struct clv_records *rs,
					       const struct clv_identity *id, uint64_t now_ns);

/* Forget a record.  Its slot becomes NULL. */
void clv_records_remove(struct clv_records *rs, struct clv_peer_record *r);

/* When the first expires; UINT64_MAX: none. */
uint64_t clv_records_next_ns(const struct clv_records *rs);
void clv_records_expire(struct clv_records *rs, uint64_t now_ns);

#endif
