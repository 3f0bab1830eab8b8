/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/candidates.h"

#include <errno.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

/* Type preferences of RFC 8445 section 5.1.2.2. */
enum {
	PREFERENCE_HOST = 126,
	PREFERENCE_ULA = 124,
	PREFERENCE_MAPPED = 120,
	PREFERENCE_PEER_REFLEXIVE = 110,
	PREFERENCE_REFLEXIVE = 100,
	PREFERENCE_RELAYED = 0,

	LOCAL_PREFERENCE_V6 = 0x8000,
	LOCAL_PREFERENCE_TOP = 0x7fff,
	ORDER_MAX = 255,
};

static const struct {
	uint8_t net[4];
	uint8_t bits;
	enum clv_scope scope;
} v4_scopes[] = {
	{ { 0 }, 8, CLV_SCOPE_NONE },	       { { 10 }, 8, CLV_SCOPE_PRIVATE },
	{ { 100, 64 }, 10, CLV_SCOPE_SHARED }, { { 127 }, 8, CLV_SCOPE_NONE },
	{ { 169, 254 }, 16, CLV_SCOPE_LINK },  { { 172, 16 }, 12, CLV_SCOPE_PRIVATE },
	{ { 192, 0, 0 }, 24, CLV_SCOPE_NONE }, { { 192, 168 }, 16, CLV_SCOPE_PRIVATE },
	{ { 224 }, 4, CLV_SCOPE_NONE },	       { { 240 }, 4, CLV_SCOPE_NONE },
};

/* First match; what is in none is NONE.  Behind translators is who knows what. */
static const struct {
	uint8_t net[4];
	uint8_t bits;
	enum clv_scope scope;
} v6_scopes[] = {
	{ { 0xfe, 0x80 }, 10, CLV_SCOPE_LINK },
	{ { 0xfc }, 7, CLV_SCOPE_PRIVATE },
	{ { 0x20, 0x02 }, 16, CLV_SCOPE_NONE },	      /* 6to4 */
	{ { 0x20, 0x01, 0, 0 }, 32, CLV_SCOPE_NONE }, /* Teredo */
	{ { 0x20 }, 3, CLV_SCOPE_GLOBAL },
};

bool clv_addr_is_within(const uint8_t addr[static 16], const uint8_t net[static 16],
			unsigned prefix_bits)
{
	unsigned bytes = prefix_bits / 8, bits = prefix_bits % 8;

	if (memcmp(addr, net, bytes) != 0)
		return false;
	return bits == 0 || ((addr[bytes] ^ net[bytes]) >> (8 - bits)) == 0;
}

enum clv_scope clv_addr_scope(const uint8_t addr[static 16])
{
	uint8_t net[16] = { 0 };

	if (clv_addr_is_v4(addr)) {
		memcpy(net, addr, 12);
		for (size_t i = 0; i < sizeof(v4_scopes) / sizeof(v4_scopes[0]); i++) {
			memcpy(net + 12, v4_scopes[i].net, 4);
			if (clv_addr_is_within(addr, net, 96u + v4_scopes[i].bits))
				return v4_scopes[i].scope;
		}
		return CLV_SCOPE_GLOBAL;
	}
	for (size_t i = 0; i < sizeof(v6_scopes) / sizeof(v6_scopes[0]); i++) {
		memcpy(net, v6_scopes[i].net, 4);
		if (clv_addr_is_within(addr, net, v6_scopes[i].bits))
			return v6_scopes[i].scope;
	}
	return CLV_SCOPE_NONE;
}

/* ---- order ---- */

static uint32_t type_preference(enum clv_candidate_kind kind, const uint8_t *addr)
{
	switch (kind) {
	case CLV_CANDIDATE_HOST:
		if (!clv_addr_is_v4(addr) && clv_addr_scope(addr) == CLV_SCOPE_PRIVATE)
			return PREFERENCE_ULA;
		return PREFERENCE_HOST;
	case CLV_CANDIDATE_MAPPED:
		return PREFERENCE_MAPPED;
	case CLV_CANDIDATE_PEER_REFLEXIVE:
		return PREFERENCE_PEER_REFLEXIVE;
	case CLV_CANDIDATE_REFLEXIVE:
		return PREFERENCE_REFLEXIVE;
	default:
		return PREFERENCE_RELAYED;
	}
}

uint32_t clv_candidate_priority(enum clv_candidate_kind kind, const uint8_t addr[static 16],
				unsigned order)
{
	uint32_t local = LOCAL_PREFERENCE_TOP - (order < ORDER_MAX ? order : ORDER_MAX);

	if (!clv_addr_is_v4(addr))
		local += LOCAL_PREFERENCE_V6;
	/* Component 1 of one. */
	return type_preference(kind, addr) << 24 | local << 8 | 255;
}

uint64_t clv_pair_priority(uint32_t dialler, uint32_t listener)
{
	uint64_t low = dialler < listener ? dialler : listener;
	uint64_t high = dialler < listener ? listener : dialler;

	return (low << 32) + 2 * high + (dialler > listener);
}

static void remove_at(struct clv_candidates *set, unsigned i)
{
	memmove(&set->list[i], &set->list[i + 1], (set->count - i - 1) * sizeof(set->list[0]));
	set->count--;
}

bool clv_candidate_equal(const struct clv_candidate *a, const struct clv_candidate *b)
{
	return clv_endpoint_equal(&a->endpoint, &b->endpoint) && a->base == b->base &&
	       a->kind == b->kind && a->scope_id == b->scope_id;
}

void clv_candidates_remove(struct clv_candidates *set, uint64_t sequence)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (set->list[i].sequence == sequence) {
			remove_at(set, i);
			return;
		}
	}
}

int clv_candidates_add(struct clv_candidates *set, const struct clv_candidate *candidate)
{
	unsigned at;

	if (!candidate->endpoint.port || clv_addr_scope(candidate->endpoint.addr) == CLV_SCOPE_NONE)
		return CLV_EDENIED;
	for (unsigned i = 0; i < set->count; i++) {
		const struct clv_candidate *c = &set->list[i];

		if (!clv_candidate_equal(c, candidate))
			continue;
		if (c->priority >= candidate->priority)
			return -EEXIST;
		remove_at(set, i);
		break;
	}
	if (set->count == CLV_CANDIDATES_MAX) {
		if (set->list[set->count - 1].priority >= candidate->priority)
			return CLV_EFULL;
		set->count--;
	}
	for (at = set->count; at > 0 && set->list[at - 1].priority < candidate->priority; at--)
		set->list[at] = set->list[at - 1];
	set->list[at] = *candidate;
	set->count++;
	return 0;
}

/* ---- our own ---- */

/* Interfaces with a default route, then others, then those that lead nowhere by themselves. */
static unsigned rank(const struct clv_host_addr *a)
{
	if (a->has_default_route)
		return a->is_virtual ? 1 : 0;
	return a->is_virtual ? 3 : 2;
}

void clv_candidates_gather(struct clv_candidates *set, const struct clv_host_addr *addrs, size_t n,
			   __be16 port_v4, __be16 port_v6)
{
	unsigned order = 0;

	for (unsigned turn = 0; turn <= 3; turn++) {
		for (size_t i = 0; i < n; i++) {
			const struct clv_host_addr *a = &addrs[i];
			struct clv_candidate c = {
				.kind = CLV_CANDIDATE_HOST,
				.base = CLV_BASE_SOCKET,
				.is_local_only = turn == 3,
				.prefix_bits = a->prefix_bits,
			};

			if (rank(a) != turn || a->is_deprecated)
				continue;
			memcpy(c.endpoint.addr, a->addr, sizeof(a->addr));
			c.endpoint.port = clv_addr_is_v4(a->addr) ? port_v4 : port_v6;
			if (clv_addr_scope(a->addr) == CLV_SCOPE_LINK)
				c.scope_id = (uint32_t)a->ifindex;
			c.priority = clv_candidate_priority(c.kind, a->addr, order++);
			clv_candidates_add(set, &c);
		}
	}
}

bool clv_candidate_is_told(const struct clv_candidate *candidate, enum clv_privacy privacy)
{
	if (candidate->kind == CLV_CANDIDATE_RELAYED)
		return true;
	if (privacy == CLV_PRIVACY_RELAY_ONLY || candidate->is_local_only ||
	    clv_addr_scope(candidate->endpoint.addr) == CLV_SCOPE_LINK)
		return false;
	return privacy == CLV_PRIVACY_OPEN || candidate->kind != CLV_CANDIDATE_HOST;
}

/* ---- the peer's ---- */

const char *clv_target_verdict_name(enum clv_target_verdict verdict)
{
	static const char *const names[] = {
#define X(symbol, name, help) [CLV_TARGET_##symbol] = (name),
		CLV_TARGET_VERDICTS(X)
#undef X
	};

	return names[verdict];
}

/* The first or last address of a network of ours: for all hosts in it. */
static bool is_broadcast(const uint8_t *addr, unsigned prefix_bits)
{
	bool is_first = true, is_last = true;

	if (!clv_addr_is_v4(addr) || prefix_bits > 126)
		return false;
	for (unsigned bit = prefix_bits; bit < 128; bit++) {
		bool is_set = addr[bit / 8] >> (7 - bit % 8) & 1;

		is_first = is_first && !is_set;
		is_last = is_last && is_set;
	}
	return is_first || is_last;
}

/* Returns whether an interface of ours is in the target's network, and *all: it means all hosts. */
static bool is_of_our_networks(const struct clv_candidates *local, const uint8_t *addr, bool *all)
{
	bool is_within = false;

	*all = false;
	for (unsigned i = 0; i < local->count; i++) {
		const struct clv_candidate *c = &local->list[i];

		if (c->kind != CLV_CANDIDATE_HOST || !c->prefix_bits ||
		    !clv_addr_is_within(addr, c->endpoint.addr, c->prefix_bits))
			continue;
		is_within = true;
		*all = *all || is_broadcast(addr, c->prefix_bits);
	}
	return is_within;
}

static bool is_outside(const struct clv_candidate *c)
{
	return c->kind == CLV_CANDIDATE_REFLEXIVE &&
	       clv_addr_scope(c->endpoint.addr) == CLV_SCOPE_GLOBAL;
}

static bool have_same_outside(const struct clv_target_rules *rules)
{
	for (unsigned i = 0; i < rules->local->count; i++)
		for (unsigned k = 0; k < rules->remote->count; k++)
			if (is_outside(&rules->local->list[i]) &&
			    is_outside(&rules->remote->list[k]) &&
			    memcmp(rules->local->list[i].endpoint.addr,
				   rules->remote->list[k].endpoint.addr, 16) == 0)
				return true;
	return false;
}

/* A relay's own port, or, but for a bound port, any of its address. */
static bool is_relays(const struct clv_target_rules *rules, const struct clv_endpoint *target,
		      enum clv_candidate_kind kind)
{
	for (unsigned i = 0; i < rules->relay_count; i++) {
		const struct clv_endpoint *relay = &rules->relays[i];

		if (memcmp(relay->addr, target->addr, sizeof(relay->addr)) == 0 &&
		    (kind != CLV_CANDIDATE_RELAYED || relay->port == target->port))
			return true;
	}
	return false;
}

enum clv_target_verdict clv_target_check(const struct clv_target_rules *rules,
					 const struct clv_endpoint *target,
					 enum clv_candidate_kind kind)
{
	bool is_ours, is_all;

	if (!target->port)
		return CLV_TARGET_PORT;
	is_ours = is_of_our_networks(rules->local, target->addr, &is_all);
	if (is_all)
		return CLV_TARGET_SCOPE;
	if (is_relays(rules, target, kind))
		return CLV_TARGET_RELAY;
	switch (clv_addr_scope(target->addr)) {
	case CLV_SCOPE_GLOBAL:
		return CLV_TARGET_OK;
	case CLV_SCOPE_PRIVATE:
	case CLV_SCOPE_SHARED:
		if (is_ours)
			return CLV_TARGET_OK;
		if (kind != CLV_CANDIDATE_REFLEXIVE)
			return CLV_TARGET_FOREIGN_LAN;
		return have_same_outside(rules) ? CLV_TARGET_OK : CLV_TARGET_FOREIGN_NAT;
	default:
		return CLV_TARGET_SCOPE;
	}
}
