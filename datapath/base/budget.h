/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * budget - a limit on the bytes that one thread keeps for others, which knows who holds how many.
 *
 * Each holder (a connection) is charged for what is kept on its behalf.  When more than three
 * quarters of the limit are held, the owner of the budget gives up its largest holders until that
 * is no longer so; the last quarter is thus free for whoever takes bytes in between.  Nobody is
 * refused because another one took too much.  All functions take the same time however many holders
 * there are: of very many within a factor of two, give_up compares the latest.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_BUDGET_H
#define CLV_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct clv_budget;

/* Zeroed: joined to no budget, and without a limit. */
struct clv_budget_holder {
	struct clv_budget *budget; /* borrows; NULL: none */
	LIST_ENTRY(clv_budget_holder) link;
	uint64_t used; /* bytes */
	bool is_given_up;
};

/* Zeroed but for max: nothing is held. */
struct clv_budget {
	uint64_t used, max;  /* bytes */
	uint64_t given_up;   /* of used: by holders that were given up and are about to go */
	uint64_t refused;    /* holders given up, and takings refused */
	uint64_t holder_max; /* of one holder; 0: no limit but max */
	/* Those that hold something and were not given up, by the highest bit of what they hold. */
	LIST_HEAD(, clv_budget_holder) classes[64];
};

/* h: takes part in b until it leaves; does not move. */
void clv_budget_join(struct clv_budget *b, struct clv_budget_holder *h);
/* What it still holds is forgotten.  A holder that never joined is fine. */
void clv_budget_leave(struct clv_budget_holder *h);

/*
 * Draw len bytes.  Returns whether they may be had; if not (the limit is reached, the holder has its
 * own, or was given up), nothing is drawn, and the refusal is counted.  h: NULL for no limit.
 */
bool clv_budget_take(struct clv_budget_holder *h, uint64_t len);
/* Whether take would succeed; a refusal is counted. */
bool clv_budget_allows(struct clv_budget_holder *h, uint64_t len);
/* Draw len bytes even beyond the limit, for what must not be refused.  h: NULL is fine. */
void clv_budget_charge(struct clv_budget_holder *h, uint64_t len);
void clv_budget_give(struct clv_budget_holder *h, uint64_t len);

/*
 * The holder to be given up now: the largest, marked and counted as such; it is not chosen again.
 * NULL: no more than three quarters of the limit are held, without what was given up before.
 */
struct clv_budget_holder *clv_budget_give_up(struct clv_budget *b);

#endif
