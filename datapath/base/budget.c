/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/budget.h"

enum {
	COMPARED_MAX = 32, /* holders of one class */
};

static unsigned class_of(uint64_t used)
{
	return 63u - (unsigned)__builtin_clzll(used);
}

/* What h holds changes from before to after. */
static void move(struct clv_budget_holder *h, uint64_t before, uint64_t after)
{
	struct clv_budget *b = h->budget;

	h->used = after;
	b->used += after - before;
	if (h->is_given_up) {
		b->given_up += after - before;
		return;
	}
	if (before && after && class_of(before) == class_of(after))
		return;
	if (before)
		LIST_REMOVE(h, link);
	if (after)
		LIST_INSERT_HEAD(&b->classes[class_of(after)], h, link);
}

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
	if (h && h->budget && len)
		move(h, h->used, h->used + len);
}

void clv_budget_give(struct clv_budget_holder *h, uint64_t len)
{
	if (h && h->budget && len)
		move(h, h->used, h->used - len);
}

/* NULL: nobody holds anything. */
static struct clv_budget_holder *largest_of(const struct clv_budget *b)
{
	struct clv_budget_holder *h, *largest = NULL;
	unsigned compared = 0;

	for (int i = 63; i >= 0 && !largest; i--)
		LIST_FOREACH(h, &b->classes[i], link) {
			if (!largest || h->used > largest->used)
				largest = h;
			if (++compared == COMPARED_MAX)
				break;
		}
	return largest;
}

struct clv_budget_holder *clv_budget_give_up(struct clv_budget *b)
{
	struct clv_budget_holder *h;

	if (b->used - b->given_up <= b->max - b->max / 4)
		return NULL;
	h = largest_of(b);
	if (!h)
		return NULL;
	LIST_REMOVE(h, link);
	h->is_given_up = true;
	b->given_up += h->used;
	b->refused++;
	return h;
}
