/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/pairing.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/nat64.h"

bool clv_pairing_target(bool has_v4, const struct clv_prefix *nat64,
			const struct clv_endpoint *remote, struct clv_endpoint *out)
{
	if (clv_addr_is_v4(remote->addr) && !has_v4 && !nat64)
		return false;
	*out = *remote;
	if (clv_addr_is_v4(remote->addr) && !has_v4)
		clv_nat64_embed(nat64, remote->addr, out->addr);
	return true;
}

static bool is_inside(const struct clv_candidate *c)
{
	return clv_addr_scope(c->endpoint.addr) != CLV_SCOPE_GLOBAL;
}

/* Whether we have a candidate of the family that everybody may reach. */
static bool has_outside(const struct clv_pairing *p, bool is_v4)
{
	for (unsigned i = 0; i < p->rules.local->count; i++) {
		const struct clv_candidate *c = &p->rules.local->list[i];

		if (p->told[i] && c->kind != CLV_CANDIDATE_RELAYED && !is_inside(c) &&
		    clv_addr_is_v4(c->endpoint.addr) == is_v4)
			return true;
	}
	return false;
}

/* Fills *out and returns CLV_PAIRING_SKIP_MAX, or why the two are not tried. */
static enum clv_pairing_skip judge(const struct clv_pairing *p, unsigned i,
				   const struct clv_candidate *remote, struct clv_combination *out)
{
	const struct clv_candidate *local = &p->rules.local->list[i];
	bool is_v4 = clv_addr_is_v4(remote->endpoint.addr);
	bool is_same_family = clv_addr_is_v4(local->endpoint.addr) == is_v4;

	if (local->kind == CLV_CANDIDATE_RELAYED || remote->kind == CLV_CANDIDATE_RELAYED)
		return CLV_PAIRING_REDUNDANT;
	*out = (struct clv_combination){ .local = local, .remote = remote };
	if (!clv_pairing_target(p->has_v4, p->nat64, &remote->endpoint, &out->target))
		return CLV_PAIRING_FAMILY;
	/* Behind a NAT64 we may not know which IPv4 address the peer sees. */
	if (!is_same_family && (!is_v4 || p->has_v4 || has_outside(p, true)))
		return CLV_PAIRING_FAMILY;
	if (clv_target_check(&p->rules, &remote->endpoint, remote->kind) != CLV_TARGET_OK)
		return CLV_PAIRING_POLICY;
	if (local->is_local_only &&
	    !clv_addr_is_within(remote->endpoint.addr, local->endpoint.addr, local->prefix_bits))
		return CLV_PAIRING_REDUNDANT;
	/* From inside to outside only where nothing better is known. */
	if (is_inside(local) && !is_inside(remote) && has_outside(p, is_v4))
		return CLV_PAIRING_REDUNDANT;
	/* A neighbour that is asked sees an address that it is not to be told. */
	if (!p->told[i] && is_inside(remote))
		return CLV_PAIRING_REDUNDANT;
	out->is_told = p->told[i] && is_same_family;
	out->priority = clv_pair_priority(local->priority, remote->priority);
	return CLV_PAIRING_SKIP_MAX;
}

static int by_priority(const void *a, const void *b)
{
	uint64_t x = ((const struct clv_combination *)a)->priority;
	uint64_t y = ((const struct clv_combination *)b)->priority;

	return (x < y) - (x > y);
}

/* Whether another makes the same packets go, from us and from the listener. */
static bool is_covered(const struct clv_combination *c, const struct clv_combination *by)
{
	if (c->local->base != by->local->base || !clv_endpoint_equal(&c->target, &by->target))
		return false;
	return !c->is_told ||
	       (by->is_told && clv_endpoint_equal(&c->local->endpoint, &by->local->endpoint));
}

static unsigned drop_doubles(struct clv_combination *list, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < kept && !is_covered(&list[i], &list[k]))
			k++;
		if (k == kept)
			list[kept++] = list[i];
	}
	return kept;
}

unsigned clv_pairing_find(struct clv_pairing *pairing,
			  struct clv_combination out[static CLV_COMBINATIONS_MAX])
{
	unsigned n = 0, kept;

	memset(pairing->skipped, 0, sizeof(pairing->skipped));
	for (unsigned i = 0; i < pairing->rules.local->count; i++) {
		for (unsigned k = 0; k < pairing->rules.remote->count; k++) {
			enum clv_pairing_skip why = judge(pairing, i,
							  &pairing->rules.remote->list[k], &out[n]);

			if (why == CLV_PAIRING_SKIP_MAX)
				n++;
			else
				pairing->skipped[why]++;
		}
	}
	qsort(out, n, sizeof(*out), by_priority);
	kept = drop_doubles(out, n);
	pairing->skipped[CLV_PAIRING_REDUNDANT] += n - kept;
	return kept;
}
