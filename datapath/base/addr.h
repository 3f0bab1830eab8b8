/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * addr - UDP endpoints in the form the maps use: 16 address bytes, IPv4 as ::ffff:a.b.c.d.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_ADDR_H
#define CLV_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "bpf/abi.h"

enum {
	CLV_ADDR_TEXT_MAX = 64, /* "[v6 address]:port" and the closing zero */
};

static inline bool clv_addr_is_v4(const uint8_t addr[static 16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(addr, prefix, sizeof(prefix)) == 0;
}

static inline bool clv_endpoint_equal(const struct clv_endpoint *a, const struct clv_endpoint *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* All zero address: "::", a wildcard.  ::ffff:0.0.0.0 is the IPv4 wildcard and not this one. */
bool clv_addr_is_any(const uint8_t addr[static 16]);
/* The wildcard of either family. */
bool clv_addr_is_wildcard(const uint8_t addr[static 16]);

/* Fill out from a sockaddr_in or sockaddr_in6.  Returns 0, or -EAFNOSUPPORT for other families. */
int clv_endpoint_from_sockaddr(const struct sockaddr *sa, struct clv_endpoint *out);

/*
 * Fill *out for a system call: a sockaddr_in6 always when v6_socket, else a sockaddr_in for IPv4.
 * Returns the length to pass with it.
 */
socklen_t clv_endpoint_to_sockaddr(const struct clv_endpoint *ep, bool v6_socket,
				   struct sockaddr_storage *out);

/*
 * Parse "a.b.c.d" or an IPv6 literal without brackets and without a zone into 16 bytes.
 * Returns 0 or CLV_ESYNTAX.
 */
int clv_addr_parse(const char *text, uint8_t out[static 16]);

/*
 * Parse "a.b.c.d:port" or "[v6]:port".  Returns 0, CLV_ESYNTAX or CLV_ERANGE (port above 65535).
 */
int clv_endpoint_parse(const char *text, struct clv_endpoint *out);

/* Write "a.b.c.d" or "v6" (v4-mapped shown as IPv4).  Returns buf. */
const char *clv_addr_format(const uint8_t addr[static 16], char *buf, size_t len);

/* Write "a.b.c.d:port" or "[v6]:port".  Returns buf. */
const char *clv_endpoint_format(const struct clv_endpoint *ep, char *buf, size_t len);

#endif
