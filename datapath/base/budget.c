/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/budget.h"

void clv_budget_join(struct clv_budget *b, struct clv_budget_holder *h)
{
	*h = (struct clv_budget_holder){ .budget = b };
}

void clv_budget_leave(struct clv_budget_holder *h)
{
	clv_budget_give(h, h->used);
	h->budget = NULL;
}

/* Whether n of max bytes leave room for len more. */
static bool has_room(uint64_t n, uint64_t max, uint64_t len)
{
	return len <= max && n <= max - len;
}

bool clv_budget_allows(struct clv_budget_holder *h, uint64_t len)
{
	struct clv_budget *b = h ? h->budget : NULL;

	if (!b)
		return true;
	if (h->is_given_up || !has_room(b->used, b->max, len) ||
	    (b->holder_max && !has_room(h->used, b->holder_max, len))) {
		b->refused++;
		return false;
	}
	return true;
}

bool clv_budget_take(struct clv_budget_holder *h, uint64_t len)
{
	if (!clv_budget_allows(h, len))
		return false;
	clv_budget_charge(h, len);
	return true;
}

void clv_budget_charge(struct clv_budget_holder *h, uint64_t len)
{
	struct clv_budget *b = h ? h->budget : NULL;

	if (!b || !len)
		return;
	if (!h->used)
		LIST_INSERT_HEAD(&b->holders, h, link);
	h->used += len;
	b->used += len;
	if (h->is_given_up)
		b->given_up += len;
}

void clv_budget_give(struct clv_budget_holder *h, uint64_t len)
{
	struct clv_budget *b = h ? h->budget : NULL;

	if (!b || !len)
		return;
	h->used -= len;
	b->used -= len;
	if (h->is_given_up)
		b->given_up -= len;
	if (!h->used)
		LIST_REMOVE(h, link);
}

struct clv_budget_holder *clv_budget_give_up(struct clv_budget *b)
{
	struct clv_budget_holder *h, *largest = NULL;

	if (b->used - b->given_up <= b->max - b->max / 4)
		return NULL;
	/* Only holders are walked, and only as often as one of them goes. */
	LIST_FOREACH(h, &b->holders, link)
		if (!h->is_given_up && (!largest || h->used > largest->used))
			largest = h;
	if (!largest)
		return NULL;
	largest->is_given_up = true;
	b->given_up += largest->used;
	b->refused++;
	return largest;
}
