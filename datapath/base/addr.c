/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "datapath/base/err.h"

enum { V4_OFFSET = 12 }; /* of the IPv4 address inside ::ffff:a.b.c.d */

static void map_v4(const void *v4, uint8_t out[static 16])
{
	memset(out, 0, 10);
	memset(out + 10, 0xff, 2);
	memcpy(out + V4_OFFSET, v4, 4);
}

bool clv_addr_is_any(const uint8_t addr[static 16])
{
	static const uint8_t any[16];

	return memcmp(addr, any, sizeof(any)) == 0;
}

bool clv_addr_is_wildcard(const uint8_t addr[static 16])
{
	static const uint8_t zero[4];

	return clv_addr_is_any(addr) ||
	       (clv_addr_is_v4(addr) && memcmp(addr + V4_OFFSET, zero, sizeof(zero)) == 0);
}

int clv_endpoint_from_sockaddr(const struct sockaddr *sa, struct clv_endpoint *out)
{
	struct clv_endpoint ep = { 0 };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)sa;

		map_v4(&sin->sin_addr, ep.addr);
		ep.port = sin->sin_port;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)sa;

		memcpy(ep.addr, &sin6->sin6_addr, sizeof(ep.addr));
		ep.port = sin6->sin6_port;
	} else {
		return -EAFNOSUPPORT;
	}
	*out = ep;
	return 0;
}

socklen_t clv_endpoint_to_sockaddr(const struct clv_endpoint *ep, bool v6_socket,
				   struct sockaddr_storage *out)
{
	struct sockaddr_in6 *sin6 = (void *)out;
	struct sockaddr_in *sin = (void *)out;

	if (!v6_socket && clv_addr_is_v4(ep->addr)) {
		memset(sin, 0, sizeof(*sin));
		sin->sin_family = AF_INET;
		sin->sin_port = ep->port;
		memcpy(&sin->sin_addr, ep->addr + V4_OFFSET, sizeof(sin->sin_addr));
		return sizeof(*sin);
	}
	memset(sin6, 0, sizeof(*sin6));
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = ep->port;
	memcpy(&sin6->sin6_addr, ep->addr, sizeof(sin6->sin6_addr));
	return sizeof(*sin6);
}

int clv_addr_parse(const char *text, uint8_t out[static 16])
{
	uint8_t addr[16];

	if (inet_pton(AF_INET, text, addr) == 1) {
		map_v4(addr, out);
		return 0;
	}
	if (inet_pton(AF_INET6, text, addr) == 1) {
		memcpy(out, addr, sizeof(addr));
		return 0;
	}
	return CLV_ESYNTAX;
}

/* Digits only: strtoul would take a sign and white space. */
static int parse_port(const char *text, __be16 *out)
{
	unsigned long port = 0;

	if (!*text)
		return CLV_ESYNTAX;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return CLV_ESYNTAX;
		if (port <= UINT16_MAX)
			port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > UINT16_MAX)
		return CLV_ERANGE;
	*out = htons((uint16_t)port);
	return 0;
}

int clv_endpoint_parse(const char *text, struct clv_endpoint *out)
{
	bool is_v6 = text[0] == '[';
	const char *host = text + is_v6, *end = strchr(text, is_v6 ? ']' : ':');
	char buf[INET6_ADDRSTRLEN];
	struct clv_endpoint ep = { 0 };
	size_t len;
	int err;

	if (!end || (is_v6 && end[1] != ':'))
		return CLV_ESYNTAX;
	len = (size_t)(end - host);
	if (len >= sizeof(buf))
		return CLV_ESYNTAX;
	memcpy(buf, host, len);
	buf[len] = '\0';
	/* "[192.0.2.1]:53" is no form of an IPv4 endpoint. */
	if (is_v6 && !strchr(buf, ':'))
		return CLV_ESYNTAX;

	err = clv_addr_parse(buf, ep.addr);
	if (!err)
		err = parse_port(end + 1 + is_v6, &ep.port);
	if (!err)
		*out = ep;
	return err;
}

const char *clv_addr_format(const uint8_t addr[static 16], char *buf, size_t len)
{
	char text[INET6_ADDRSTRLEN];

	if (clv_addr_is_v4(addr))
		inet_ntop(AF_INET, addr + V4_OFFSET, text, sizeof(text));
	else
		inet_ntop(AF_INET6, addr, text, sizeof(text));
	snprintf(buf, len, "%s", text);
	return buf;
}

const char *clv_endpoint_format(const struct clv_endpoint *ep, char *buf, size_t len)
{
	bool is_v4 = clv_addr_is_v4(ep->addr);
	char text[INET6_ADDRSTRLEN];

	clv_addr_format(ep->addr, text, sizeof(text));
	snprintf(buf, len, is_v4 ? "%s:%u" : "[%s]:%u", text, (unsigned)ntohs(ep->port));
	return buf;
}
