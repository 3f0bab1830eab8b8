/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * knocks - the knocks that were passed on and wait for an answer, so that it finds its way back.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_KNOCKS_H
#define CLV_PROXY_KNOCKS_H

#include "control/admission/accounts.h"
#include "control/masque/signal.h"
#include "datapath/base/table.h"

#include <sys/queue.h>

struct clv_knock;
LIST_HEAD(clv_knock_list, clv_knock);

/* A stream that knocks come from and go to; initialise with clv_knocks_end_init. */
struct clv_knocks_end {
	struct clv_knock_list sent, received;
	struct clv_account *account; /* charged for those that it sent; NULL: nobody's */
};

struct clv_knock {
	uint8_t request[CLV_SIGNAL_REQUEST_LEN];
	struct clv_knocks_end *from, *to;
	uint64_t until_ns;
	TAILQ_ENTRY(clv_knock) by_age;
	LIST_ENTRY(clv_knock) of_from, of_to;
};

struct clv_knocks {
	struct clv_table by_request; /* -> struct clv_knock */
	TAILQ_HEAD(, clv_knock) by_age;
	struct clv_accounts *accounts;
	uint64_t wait_ns;
	uint32_t count;
};

/* As clv_records_init, with CLV_RESOURCE_KNOCKS.  wait_ns: how long an answer may take. */
int clv_knocks_init(struct clv_knocks *ks, uint32_t max, uint64_t wait_ns,
		    struct clv_accounts *accounts, const uint64_t seed[static 2]);
/* Every end is gone. */
void clv_knocks_fini(struct clv_knocks *ks);

void clv_knocks_end_init(struct clv_knocks_end *end, struct clv_account *account);

/*
 * Remember a knock.  Returns 0, -EEXIST (its request is remembered already) or CLV_EFULL (a ceiling, or
 * memory).
 */
int clv_knocks_add(struct clv_knocks *ks, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		   struct clv_knocks_end *from, struct clv_knocks_end *to, uint64_t now_ns);
/* The knock of this request that went to an end; NULL: none.  Lends until remove. */
struct clv_knock *clv_knocks_find(const struct clv_knocks *ks,
				  const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
				  const struct clv_knocks_end *to);
/* The oldest, when nothing more can come of it; NULL: none. */
struct clv_knock *clv_knocks_overdue(const struct clv_knocks *ks, uint64_t now_ns);
void clv_knocks_remove(struct clv_knocks *ks, struct clv_knock *k);

/* When overdue has one; UINT64_MAX: never. */
uint64_t clv_knocks_next_ns(const struct clv_knocks *ks);

#endif
