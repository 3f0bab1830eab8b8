/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * share - how much of a bounded stock each of its holders may have.
 *
 * The rule is the dynamic threshold of shared-memory switches: a holder may have as much as is
 * left.  One that is alone gets up to half; of n greedy ones each gets 1/(n + 1), and so much stays
 * for whoever comes next.  It needs no list of holders and takes nothing back: as stock runs low,
 * large holders are refused until they have less than what is left.
 *
 * A share may belong to a group (the connections of one source), which is held to the same rule.
 * Below CLV_SHARE_FLOOR a holder is not refused for what its group or others hold, until the last
 * eighth of the stock: that is for holders and groups that have less than what is left.
 *
 * Spec: "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", Choudhury and Hahne,
 * 1998, with a factor of 1.
 * Threading: the owner of the stock; any thread may read `used` (relaxed).
 */
#ifndef CLV_BASE_SHARE_H
#define CLV_BASE_SHARE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLV_SHARE_FLOOR = 4, /* units */
};

/* Units of something, max in all. */
struct clv_stock {
	uint32_t max, used;
};

/* What one holder has of a stock. */
struct clv_share {
	struct clv_share *group; /* borrows; NULL: belongs to none */
	uint32_t held;
};

/* Take one unit.  Returns whether there was one for this holder.  share NULL: for nobody's account. */
static inline bool clv_share_take(struct clv_stock *stock, struct clv_share *share)
{
	const uint32_t left = stock->max - stock->used;

	if (!left)
		return false;
	if (share) {
		struct clv_share *group = share->group;
		bool fits = share->held < left && (!group || group->held < left);

		if (!fits && (share->held >= CLV_SHARE_FLOOR || left <= stock->max / 8))
			return false;
		share->held++;
		if (group)
			group->held++;
	}
	__atomic_store_n(&stock->used, stock->used + 1, __ATOMIC_RELAXED);
	return true;
}

/* Give back a unit that share took. */
static inline void clv_share_give(struct clv_stock *stock, struct clv_share *share)
{
	assert(stock->used);
	__atomic_store_n(&stock->used, stock->used - 1, __ATOMIC_RELAXED);
	if (!share)
		return;
	assert(share->held);
	share->held--;
	if (share->group)
		share->group->held--;
}

/* It belongs to another group from now on, with what it holds. */
static inline void clv_share_join(struct clv_share *share, struct clv_share *group)
{
	if (share->group)
		share->group->held -= share->held;
	share->group = group;
	if (group)
		group->held += share->held;
}

#endif
