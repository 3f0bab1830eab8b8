/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/masque/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	V4_OFFSET_BITS = 96, /* where IPv4 addresses start in the 16-byte form */
};

struct clv_policy {
	struct clv_policy_rule *rules; /* longest prefix first; one rule for a prefix */
	size_t len;
};

struct special {
	const char *prefix;
	const char *why;
};

/*
 * The special-use registries of IPv4 and IPv6 (RFC 6890 and its updates), as far as they are not
 * ordinary destinations.  The NAT64 prefix 64:ff9b::/96 is missing on purpose: an IPv6-only relay
 * reaches IPv4 through it, and the address inside is judged.
 */
static const struct special specials[] = {
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

/* Where an IPv6 form keeps the IPv4 address it stands for. */
struct disguise {
	uint8_t prefix[12];
	uint8_t prefix_bits;
	uint8_t at[4];	  /* byte positions */
	bool inverted;	  /* all bits are flipped */
	bool may_be_none; /* one form of several: 0.0.0.0/8 says that it is not this one */
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
};

static bool has_prefix(const uint8_t *addr, const uint8_t *prefix, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(addr, prefix, whole) != 0)
		return false;
	return rest == 0 || ((addr[whole] ^ prefix[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

/* Parse "address" or "address/bits".  Bits behind the prefix must be zero: else it is a mistake. */
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

/* Set a prefix's verdict; a later call for the same prefix replaces it.  There is room. */
static void set_rule(struct clv_policy *p, const struct clv_prefix *prefix,
		     enum clv_verdict verdict, const char *why)
{
	size_t i;

	for (i = 0; i < p->len; i++) {
		if (memcmp(&p->rules[i].prefix, prefix, sizeof(*prefix)) == 0)
			break;
	}
	p->rules[i] = (struct clv_policy_rule){ *prefix, verdict, why };
	if (i == p->len)
		p->len++;
}

static int set_operator_rules(struct clv_policy *p, const char *const *texts, size_t len,
			      enum clv_verdict verdict, char *error, size_t error_len)
{
	struct clv_prefix prefix;

	for (size_t i = 0; i < len; i++) {
		if (parse_prefix(texts[i], &prefix) < 0) {
			snprintf(error, error_len, "%s: not an address prefix", texts[i]);
			return CLV_ESYNTAX;
		}
		set_rule(p, &prefix, verdict, "operator");
	}
	return 0;
}

static int compare_rules(const void *a, const void *b)
{
	const struct clv_policy_rule *ra = a, *rb = b;

	if (ra->prefix.prefix_bits != rb->prefix.prefix_bits)
		return ra->prefix.prefix_bits > rb->prefix.prefix_bits ? -1 : 1;
	return memcmp(ra->prefix.addr, rb->prefix.addr, sizeof(ra->prefix.addr));
}

int clv_policy_new(const char *const *allow, size_t allow_len, const char *const *deny,
		   size_t deny_len, struct clv_policy **out, char *error, size_t error_len)
{
	const size_t special_len = sizeof(specials) / sizeof(specials[0]);
	struct clv_policy *p = calloc(1, sizeof(*p));
	struct clv_prefix prefix;
	int err = -ENOMEM;

	if (!p)
		return -ENOMEM;
	p->rules = calloc(special_len + allow_len + deny_len, sizeof(*p->rules));
	if (!p->rules)
		goto free_policy;
	for (size_t i = 0; i < special_len; i++) {
		err = parse_prefix(specials[i].prefix, &prefix);
		if (err < 0)
			goto free_policy;
		set_rule(p, &prefix, CLV_VERDICT_DENY, specials[i].why);
	}
	/* The order makes the precedence for equal prefixes: table, allow, deny. */
	err = set_operator_rules(p, allow, allow_len, CLV_VERDICT_ALLOW, error, error_len);
	if (err < 0)
		goto free_policy;
	err = set_operator_rules(p, deny, deny_len, CLV_VERDICT_DENY, error, error_len);
	if (err < 0)
		goto free_policy;
	qsort(p->rules, p->len, sizeof(*p->rules), compare_rules);
	*out = p;
	return 0;

free_policy:
	clv_policy_free(p);
	return err;
}

void clv_policy_free(struct clv_policy *p)
{
	if (!p)
		return;
	free(p->rules);
	free(p);
}

/* The verdict on an address as it stands. */
static int check_plain(const struct clv_policy *p, const uint8_t addr[static 16],
		       bool (*is_own)(void *user, const uint8_t addr[16]), void *user,
		       const char **why)
{
	if (is_own && is_own(user, addr)) {
		*why = "own address";
		return CLV_EDENIED;
	}
	for (size_t i = 0; i < p->len; i++) {
		const struct clv_policy_rule *rule = &p->rules[i];

		if (!has_prefix(addr, rule->prefix.addr, rule->prefix.prefix_bits))
			continue;
		if (rule->verdict == CLV_VERDICT_ALLOW)
			return 0;
		*why = rule->why;
		return CLV_EDENIED;
	}
	return 0;
}

/* Unwrap addr by one disguise into the 16-byte form of IPv4.  Returns whether it wears it. */
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
	return err;
}

size_t clv_policy_rules(const struct clv_policy *p, const struct clv_policy_rule **out)
{
	*out = p->rules;
	return p->len;
}
