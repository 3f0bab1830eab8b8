/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * verdicts - longest-prefix match over address prefixes with a verdict each; for tens of thousands
 * of them, where the kernel's trie cannot be used.
 *
 * Addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d.
 *
 * Threading: immutable once made, and shared: every thread that keeps it has a reference of its
 * own.
 */
#ifndef CLV_BASE_VERDICTS_H
#define CLV_BASE_VERDICTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct clv_verdicts;

struct clv_verdicts_rule {
	struct clv_prefix prefix; /* no bits set after the prefix */
	enum clv_verdict verdict;
};

/*
 * rules: copies; in any order, each prefix once, less than 2^30 of them.
 * Returns 0 and fills *out with the only reference, or -ENOMEM.
 */
int clv_verdicts_new(const struct clv_verdicts_rule *rules, size_t len, struct clv_verdicts **out);
/* Take another reference; returns v.  unref drops one; the last frees it.  v: may be NULL. */
struct clv_verdicts *clv_verdicts_ref(struct clv_verdicts *v);
void clv_verdicts_unref(struct clv_verdicts *v);

/*
 * The rule that decides on an address: its index in the list given to new, or -1 when none covers
 * it.
 */
int32_t clv_verdicts_find(const struct clv_verdicts *v, const uint8_t addr[static 16]);
/* Whether that rule denies it.  v: NULL allows everything. */
bool clv_verdicts_denies(const struct clv_verdicts *v, const uint8_t addr[static 16]);

#endif
