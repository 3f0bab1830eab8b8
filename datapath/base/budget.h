/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * budget - a limit on the bytes one thread buffers, shared by all the places that buffer some.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_BUDGET_H
#define CLV_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_budget {
	uint64_t used, max; /* bytes */
};

/* Draw len bytes.  Returns whether they were left; if not, nothing is drawn.  NULL: no limit. */
static inline bool clv_budget_take(struct clv_budget *b, uint64_t len)
{
	if (!b)
		return true;
	if (len > b->max || b->used > b->max - len)
		return false;
	b->used += len;
	return true;
}

static inline void clv_budget_give(struct clv_budget *b, uint64_t len)
{
	if (b)
		b->used -= len;
}

#endif
