/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * policy - decide which targets the relay may send to: special-use ranges, own addresses, lists.
 *
 * The longest matching prefix decides.  For the same prefix, an operator's entry overrides the
 * special-use table, and deny overrides allow.  All of IPv6 but 2000::/3 and 64:ff9b::/96 is denied.
 * For IPv6 addresses that embed an IPv4 address (6to4, NAT64, Teredo, SIIT, ISATAP), the inner
 * address must be allowed too, whatever rule allows the outer one.  IPv4 targets have the 16-byte
 * form ::ffff:a.b.c.d here; an IPv6 literal of that form is refused when requests are parsed.
 *
 * Spec: RFC 9298 section 7, RFC 6890 and its registries.
 * Order: 1. new  2. add_nat64  3. everything else, and from now on it is immutable
 * Threading: control.
 */
#ifndef CLV_ADMISSION_POLICY_H
#define CLV_ADMISSION_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/verdicts.h"

struct clv_policy;

/* One rule, for display and for the `denied` map. */
struct clv_policy_rule {
	struct clv_prefix prefix;
	enum clv_verdict verdict;
	const char *why; /* "loopback", "private", "operator", ...; lives as long as the policy */
};

/*
 * Build a policy from the special-use table and the operator's prefixes ("198.18.0.0/15",
 * "fd00::/8", a single address).  allow, deny: copies.  error: one line naming the bad entry.
 * Returns 0 and fills *out, CLV_ESYNTAX or -ENOMEM.
 */
int clv_policy_new(const char *const *allow, size_t allow_len, const char *const *deny,
		   size_t deny_len, struct clv_policy **out, char *error, size_t error_len);
void clv_policy_free(struct clv_policy *p);

/*
 * Also evaluate the IPv4 addresses that are embedded in one more NAT64 prefix ("2001:db8:64::/96"; 32,
 * 40, 48, 56, 64 or 96 bits, RFC 6052 section 2.2).  The prefix itself is allowed or denied like any
 * other.  Returns as new.
 */
int clv_policy_add_nat64(struct clv_policy *p, const char *prefix, char *error, size_t error_len);
/* The same with a prefix that was discovered, of one of these lengths.  Returns 0 or -ENOMEM. */
int clv_policy_add_nat64_prefix(struct clv_policy *p, const struct clv_prefix *prefix);

/*
 * Evaluate a target address.  is_own: whether an address is the relay's own; may be NULL.
 * Returns 0 to allow, or CLV_EDENIED with *why set to the reason (lives as long as the policy).
 */
int clv_policy_check(const struct clv_policy *p, const uint8_t addr[static 16],
		     bool (*is_own)(void *user, const uint8_t addr[16]), void *user,
		     const char **why);

/*
 * Parse "address" or "address/bits", whose bits behind the prefix must be zero.
 * Returns 0 and fills *out, or CLV_ESYNTAX.
 */
int clv_policy_parse_prefix(const char *text, struct clv_prefix *out);

size_t clv_policy_rules(const struct clv_policy *p, const struct clv_policy_rule **out);
/* Lends the same rules in the form that workers look up where the kernel's map is not used. */
struct clv_verdicts *clv_policy_verdicts(const struct clv_policy *p);

#endif
