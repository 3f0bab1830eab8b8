/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/nat64.h"

enum {
	V4_OFFSET_BITS = 96, /* where IPv4 addresses start in the 16-byte form */
};

struct clv_policy {
	struct clv_policy_rule *rules; /* longest prefix first; one rule for a prefix */
	size_t len;
	struct clv_verdicts *verdicts; /* the same rules, for lookups */
	struct clv_prefix *nat64;      /* besides the well-known prefixes */
	size_t nat64_len;
};

/* Origins of rules; for the same prefix, a later one overrides. */
enum origin {
	FROM_TABLE,
	FROM_ALLOW,
	FROM_DENY,
};

struct candidate {
	struct clv_policy_rule rule;
	enum origin origin;
};

struct special {
	const char *prefix;
	const char *why; /* NULL: allowed */
};

/*
 * Ordinary destinations are IPv4 and the IPv6 space that IANA allocates, 2000::/3.  An IPv6-only relay
 * reaches IPv4 through the NAT64 prefix 64:ff9b::/96, and the embedded address is evaluated.  From
 * these the special-use registries of IPv4 and IPv6 (RFC 6890 and its updates) are excluded, except
 * for a few entries; the others are listed for their names.
 */
static const struct special specials[] = {
	{ "::/0", "not global unicast" },
	{ "0.0.0.0/0", NULL },
	{ "2000::/3", NULL },
	{ "64:ff9b::/96", NULL },

	{ "0.0.0.0/8", "this network" },
	{ "10.0.0.0/8", "private" },
	{ "100.64.0.0/10", "shared address space" },
	{ "127.0.0.0/8", "loopback" },
	{ "169.254.0.0/16", "link-local" },
	{ "172.16.0.0/12", "private" },
	{ "192.0.0.0/24", "protocol assignments" },
	{ "192.0.2.0/24", "documentation" },
	{ "192.88.99.0/24", "6to4 relay" },
	{ "192.168.0.0/16", "private" },
	{ "198.18.0.0/15", "benchmarking" },
	{ "198.51.100.0/24", "documentation" },
	{ "203.0.113.0/24", "documentation" },
	{ "224.0.0.0/4", "multicast" },
	{ "240.0.0.0/4", "reserved" },
	{ "255.255.255.255/32", "broadcast" },

	{ "::/96", "IPv4-compatible" },
	{ "::/128", "unspecified" },
	{ "::1/128", "loopback" },
	{ "64:ff9b:1::/48", "local NAT64" },
	{ "100::/64", "discard" },
	{ "100:0:0:1::/64", "dummy prefix" },
	{ "2001::/23", "protocol assignments" },
	{ "2001::/32", "Teredo" },
	{ "2001:2::/48", "benchmarking" },
	{ "2001:10::/28", "ORCHID" },
	{ "2001:20::/28", "ORCHIDv2" },
	{ "2001:db8::/32", "documentation" },
	{ "2002::/16", "6to4" },
	{ "3fff::/20", "documentation" },
	{ "5f00::/16", "segment routing" },
	{ "fc00::/7", "private" },
	{ "fe80::/10", "link-local" },
	{ "fec0::/10", "site-local" },
	{ "ff00::/8", "multicast" },
};

/* Where an IPv6 form embeds an IPv4 address. */
struct disguise {
	uint8_t prefix[12];
	uint8_t prefix_bits;
	uint8_t at[4];	  /* byte positions */
	bool inverted;	  /* all bits are flipped */
	bool may_be_none; /* one of several forms; 0.0.0.0/8 shows that it is another */
};

static const struct disguise disguises[] = {
	/* 6to4: RFC 3056 section 2 */
	{ { 0x20, 0x02 }, 16, { 2, 3, 4, 5 }, false, false },
	/* Teredo: the server, and the client's outer address: RFC 4380 section 4 */
	{ { 0x20, 0x01, 0, 0 }, 32, { 4, 5, 6, 7 }, false, false },
	{ { 0x20, 0x01, 0, 0 }, 32, { 12, 13, 14, 15 }, true, false },
	/* NAT64: RFC 6052 section 2.1 */
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, { 12, 13, 14, 15 }, false, false },
	/* NAT64 with local prefixes of 48, 56, 64 and 96 bits: RFC 8215, RFC 6052 section 2.2 */
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, { 6, 7, 9, 10 }, false, true },
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, { 7, 9, 10, 11 }, false, true },
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, { 9, 10, 11, 12 }, false, true },
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, { 12, 13, 14, 15 }, false, true },
	/* SIIT: RFC 2765 section 2.1; IPv4-compatible: RFC 4291 section 2.5.5.1 */
	{ { [8] = 0xff, [9] = 0xff }, 96, { 12, 13, 14, 15 }, false, false },
	{ { 0 }, 96, { 12, 13, 14, 15 }, false, true },
};

static bool has_prefix(const uint8_t *addr, const uint8_t *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(addr, prefix, whole) != 0)
		return false;
	return rest == 0 || ((addr[whole] ^ prefix[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

/* Parse "address" or "address/bits".  Bits after the prefix must be zero. */
static int parse_prefix(const char *text, struct clv_prefix *out)
{
	char addr_text[CLV_ADDR_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t addr_len = slash ? (size_t)(slash - text) : strlen(text);
	struct clv_prefix p = { 0 };
	unsigned long bits, bits_max;
	uint8_t rest = 0;
	bool is_v4;

	if (addr_len >= sizeof(addr_text))
		return CLV_ESYNTAX;
	memcpy(addr_text, text, addr_len);
	addr_text[addr_len] = '\0';
	if (clv_addr_parse(addr_text, p.addr) < 0)
		return CLV_ESYNTAX;
	is_v4 = strchr(addr_text, ':') == NULL;
	bits_max = is_v4 ? 32 : 128;
	bits = bits_max;
	if (slash) {
		char *end;

		if (slash[1] < '0' || slash[1] > '9')
			return CLV_ESYNTAX;
		bits = strtoul(slash + 1, &end, 10);
		if (*end != '\0' || bits > bits_max)
			return CLV_ESYNTAX;
	}
	p.prefix_bits = (uint32_t)(is_v4 ? bits + V4_OFFSET_BITS : bits);
	for (unsigned i = p.prefix_bits; i < 128; i++)
		rest |= p.addr[i / 8] & (0x80 >> (i % 8));
	if (rest)
		return CLV_ESYNTAX;
	*out = p;
	return 0;
}

static int read_operator_rules(struct candidate *out, const char *const *texts, size_t len,
			       enum origin origin, char *error, size_t error_len)
{
	for (size_t i = 0; i < len; i++) {
		out[i].rule.verdict = origin == FROM_DENY ? CLV_VERDICT_DENY : CLV_VERDICT_ALLOW;
		out[i].rule.why = "operator";
		out[i].origin = origin;
		if (parse_prefix(texts[i], &out[i].rule.prefix) < 0) {
			snprintf(error, error_len, "%s: not an address prefix", texts[i]);
			return CLV_ESYNTAX;
		}
	}
	return 0;
}

/*
 * Prefixes that the table allows are exceptions to its own rules, not to the operator's: they take
 * the verdict of the operator's longest prefix that contains them.
 */
static void adapt_allowed(struct candidate *table, size_t table_len,
			  const struct candidate *operators, size_t operators_len)
{
	for (size_t i = 0; i < table_len; i++) {
		const struct candidate *best = NULL;

		for (size_t k = 0; k < operators_len; k++) {
			const struct clv_prefix *p = &operators[k].rule.prefix;

			if (table[i].rule.verdict != CLV_VERDICT_ALLOW ||
			    p->prefix_bits > table[i].rule.prefix.prefix_bits ||
			    !has_prefix(table[i].rule.prefix.addr, p->addr, p->prefix_bits))
				continue;
			if (!best || p->prefix_bits > best->rule.prefix.prefix_bits ||
			    (p->prefix_bits == best->rule.prefix.prefix_bits &&
			     operators[k].origin > best->origin))
				best = &operators[k];
		}
		if (best) {
			table[i].rule.verdict = best->rule.verdict;
			table[i].rule.why = best->rule.why;
		}
	}
}

/* Longest prefix first; for the same prefix, the overriding rule first. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *ca = a, *cb = b;
	const struct clv_prefix *pa = &ca->rule.prefix, *pb = &cb->rule.prefix;
	int order;

	if (pa->prefix_bits != pb->prefix_bits)
		return pa->prefix_bits > pb->prefix_bits ? -1 : 1;
	order = memcmp(pa->addr, pb->addr, sizeof(pa->addr));
	return order ? order : (int)cb->origin - (int)ca->origin;
}

/* Sort the candidates and drop those that are overridden.  Returns 0 or -ENOMEM. */
static int set_rules(struct clv_policy *p, struct candidate *candidates, size_t len)
{
	struct clv_verdicts_rule *plain = calloc(len + 1, sizeof(*plain));
	int err = -ENOMEM;

	p->rules = calloc(len + 1, sizeof(*p->rules));
	if (!plain || !p->rules)
		goto free_plain;
	qsort(candidates, len, sizeof(*candidates), compare_candidates);
	for (size_t i = 0; i < len; i++) {
		const struct clv_policy_rule *rule = &candidates[i].rule;

		if (p->len &&
		    memcmp(&p->rules[p->len - 1].prefix, &rule->prefix, sizeof(rule->prefix)) == 0)
			continue;
		plain[p->len] = (struct clv_verdicts_rule){ rule->prefix, rule->verdict };
		p->rules[p->len++] = *rule;
	}
	err = clv_verdicts_new(plain, p->len, &p->verdicts);

free_plain:
	free(plain);
	return err;
}

int clv_policy_new(const char *const *allow, size_t allow_len, const char *const *deny,
		   size_t deny_len, struct clv_policy **out, char *error, size_t error_len)
{
	const size_t special_len = sizeof(specials) / sizeof(specials[0]);
	const size_t len = special_len + allow_len + deny_len;
	struct clv_policy *p = calloc(1, sizeof(*p));
	struct candidate *candidates = calloc(len, sizeof(*candidates));
	int err = p && candidates ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < special_len; i++) {
		candidates[i].rule.verdict = specials[i].why ? CLV_VERDICT_DENY : CLV_VERDICT_ALLOW;
		candidates[i].rule.why = specials[i].why ? specials[i].why : "global unicast";
		candidates[i].origin = FROM_TABLE;
		err = parse_prefix(specials[i].prefix, &candidates[i].rule.prefix);
	}
	if (!err)
		err = read_operator_rules(candidates + special_len, allow, allow_len, FROM_ALLOW,
					  error, error_len);
	if (!err)
		err = read_operator_rules(candidates + special_len + allow_len, deny, deny_len,
					  FROM_DENY, error, error_len);
	if (!err) {
		adapt_allowed(candidates, special_len, candidates + special_len,
			      allow_len + deny_len);
		err = set_rules(p, candidates, len);
	}
	free(candidates);
	if (err)
		clv_policy_free(p);
	else
		*out = p;
	return err;
}

void clv_policy_free(struct clv_policy *p)
{
	if (!p)
		return;
	clv_verdicts_unref(p->verdicts);
	free(p->nat64);
	free(p->rules);
	free(p);
}

int clv_policy_add_nat64(struct clv_policy *p, const char *text, char *error, size_t error_len)
{
	struct clv_prefix prefix;

	if (parse_prefix(text, &prefix) < 0 || !strchr(text, ':') ||
	    !clv_nat64_is_length(prefix.prefix_bits)) {
		snprintf(error, error_len,
			 "%s: not an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits", text);
		return CLV_ESYNTAX;
	}
	return clv_policy_add_nat64_prefix(p, &prefix);
}

int clv_policy_add_nat64_prefix(struct clv_policy *p, const struct clv_prefix *prefix)
{
	struct clv_prefix *list = realloc(p->nat64, (p->nat64_len + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	p->nat64 = list;
	list[p->nat64_len++] = *prefix;
	return 0;
}

/* Evaluate an address without unwrapping.  Own addresses come last: they may need a query. */
static int check_plain(const struct clv_policy *p, const uint8_t addr[static 16],
		       bool (*is_own)(void *user, const uint8_t addr[16]), void *user,
		       const char **why)
{
	int32_t at;

	at = clv_verdicts_find(p->verdicts, addr);
	if (at >= 0 && p->rules[at].verdict == CLV_VERDICT_DENY) {
		*why = p->rules[at].why;
		return CLV_EDENIED;
	}
	if (is_own && is_own(user, addr)) {
		*why = "own address";
		return CLV_EDENIED;
	}
	return 0;
}

/* Extract the IPv4 address that addr embeds in this form.  Returns whether it has the form. */
static bool unwrap(const struct disguise *d, const uint8_t addr[static 16],
		   uint8_t inner[static 16])
{
	if (!has_prefix(addr, d->prefix, d->prefix_bits))
		return false;
	memset(inner, 0, 10);
	memset(inner + 10, 0xff, 2);
	for (int i = 0; i < 4; i++)
		inner[12 + i] = (uint8_t)(addr[d->at[i]] ^ (d->inverted ? 0xff : 0));
	return !d->may_be_none || inner[12] != 0;
}

/* An ISATAP interface ID after any prefix: 0000:5efe or 0200:5efe and the address, RFC 5214 6.1. */
static bool unwrap_isatap(const uint8_t addr[static 16], uint8_t inner[static 16])
{
	static const struct disguise isatap = { { 0 }, 0, { 12, 13, 14, 15 }, false, false };

	return (addr[8] & 0xfc) == 0 && addr[9] == 0 && addr[10] == 0x5e && addr[11] == 0xfe &&
	       unwrap(&isatap, addr, inner);
}

int clv_policy_check(const struct clv_policy *p, const uint8_t addr[static 16],
		     bool (*is_own)(void *user, const uint8_t addr[16]), void *user,
		     const char **why)
{
	uint8_t inner[16];
	int err = check_plain(p, addr, is_own, user, why);

	for (size_t i = 0; err == 0 && i < sizeof(disguises) / sizeof(disguises[0]); i++) {
		if (unwrap(&disguises[i], addr, inner))
			err = check_plain(p, inner, is_own, user, why);
	}
	for (size_t i = 0; err == 0 && i < p->nat64_len; i++)
		if (clv_nat64_extract(&p->nat64[i], addr, inner))
			err = check_plain(p, inner, is_own, user, why);
	if (err == 0 && !clv_addr_is_v4(addr) && unwrap_isatap(addr, inner))
		err = check_plain(p, inner, is_own, user, why);
	return err;
}

int clv_policy_parse_prefix(const char *text, struct clv_prefix *out)
{
	return parse_prefix(text, out);
}

size_t clv_policy_rules(const struct clv_policy *p, const struct clv_policy_rule **out)
{
	*out = p->rules;
	return p->len;
}

struct clv_verdicts *clv_policy_verdicts(const struct clv_policy *p)
{
	return p->verdicts;
}
