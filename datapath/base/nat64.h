/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nat64 - IPv4 addresses embedded in IPv6 addresses behind the prefix of a NAT64.
 *
 * IPv4 addresses have the 16-byte form ::ffff:a.b.c.d.
 *
 * Spec: RFC 6052 section 2.2; RFC 7050 section 3 for the discovery.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_NAT64_H
#define CLV_BASE_NAT64_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

/* The name whose AAAA records are the prefix with the well-known addresses 192.0.0.170 and .171. */
#define CLV_NAT64_NAME "ipv4only.arpa"

/* Whether a prefix may have this many bits: 32, 40, 48, 56, 64 or 96. */
bool clv_nat64_is_length(unsigned prefix_bits);

/* The prefixes of these two have such a length, and zeros behind it. */

/* Read the IPv4 address that addr embeds.  Returns false when it is not behind the prefix. */
bool clv_nat64_extract(const struct clv_prefix *prefix, const uint8_t addr[static 16],
		       uint8_t v4[static 16]);
/* Fill addr with the address behind the prefix that stands for v4. */
void clv_nat64_embed(const struct clv_prefix *prefix, const uint8_t v4[static 16],
		     uint8_t addr[static 16]);

/*
 * Find the prefix in an address of CLV_NAT64_NAME.
 * Returns whether the address embeds a well-known one, at one place only, and fills *out then.
 */
bool clv_nat64_find(const uint8_t addr[static 16], struct clv_prefix *out);

#endif
