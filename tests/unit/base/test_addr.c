/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <errno.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

static const struct {
	const char *text;
	int err;
	const char *shown; /* NULL: as text */
} endpoints[] = {
	{ "192.0.2.1:443", 0, NULL },
	{ "0.0.0.0:0", 0, NULL },
	{ "[2001:db8::1]:65535", 0, NULL },
	{ "[::]:0", 0, NULL },
	{ "[2001:DB8:0:0::0001]:0080", 0, "[2001:db8::1]:80" },
	{ "[::ffff:192.0.2.1]:53", 0, "192.0.2.1:53" },
	{ "192.0.2.1:65536", CLV_ERANGE, NULL },
	{ "192.0.2.1:99999999999999999999999", CLV_ERANGE, NULL },
	{ "", CLV_ESYNTAX, NULL },
	{ "192.0.2.1", CLV_ESYNTAX, NULL },
	{ "192.0.2.1:", CLV_ESYNTAX, NULL },
	{ "192.0.2.1:+5", CLV_ESYNTAX, NULL },
	{ "192.0.2.1: 5", CLV_ESYNTAX, NULL },
	{ "192.0.2.1:5x", CLV_ESYNTAX, NULL },
	{ "192.0.2:5", CLV_ESYNTAX, NULL },
	{ "192.0.2.256:5", CLV_ESYNTAX, NULL },
	{ ":5", CLV_ESYNTAX, NULL },
	{ "2001:db8::1", CLV_ESYNTAX, NULL },
	{ "[2001:db8::1", CLV_ESYNTAX, NULL },
	{ "[2001:db8::1]", CLV_ESYNTAX, NULL },
	{ "[2001:db8::1]5", CLV_ESYNTAX, NULL },
	{ "[2001:db8::1]:", CLV_ESYNTAX, NULL },
	{ "[192.0.2.1]:53", CLV_ESYNTAX, NULL },
	{ "[]:53", CLV_ESYNTAX, NULL },
	{ "[fe80::1%eth0]:53", CLV_ESYNTAX, NULL },
	{ "[11111111111111111111111111111111111111111111111111111]:5", CLV_ESYNTAX, NULL },
	{ "relay.example:53", CLV_ESYNTAX, NULL },
};

static void parses(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(endpoints); i++) {
		struct clv_endpoint ep, before;
		char buf[CLV_ADDR_TEXT_MAX];
		const char *shown = endpoints[i].shown ? endpoints[i].shown : endpoints[i].text;

		memset(&ep, 0x5a, sizeof(ep));
		before = ep;
		CHECK_ROW(endpoints[i].text,
			  clv_endpoint_parse(endpoints[i].text, &ep) == endpoints[i].err);
		if (endpoints[i].err) {
			CHECK_ROW(endpoints[i].text, clv_endpoint_equal(&ep, &before));
			continue;
		}
		CHECK_ROW(endpoints[i].text, ep.pad[0] == 0 && ep.pad[1] == 0);
		assert_string_equal(clv_endpoint_format(&ep, buf, sizeof(buf)), shown);
	}
}

static void parses_addresses(void **state)
{
	uint8_t addr[16];
	char buf[CLV_ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(clv_addr_parse("198.51.100.7", addr), 0);
	assert_true(clv_addr_is_v4(addr));
	assert_string_equal(clv_addr_format(addr, buf, sizeof(buf)), "198.51.100.7");
	assert_int_equal(clv_addr_parse("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", addr), 0);
	assert_false(clv_addr_is_v4(addr));
	assert_string_equal(clv_addr_format(addr, buf, sizeof(buf)),
			    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_int_equal(clv_addr_parse("[::1]", addr), CLV_ESYNTAX);
	assert_int_equal(clv_addr_parse("fe80::1%1", addr), CLV_ESYNTAX);
	assert_int_equal(clv_addr_parse("", addr), CLV_ESYNTAX);
	/* A buffer too small cuts the text and nothing else. */
	assert_string_equal(clv_addr_format(addr, buf, 5), "ffff");
}

static void knows_any(void **state)
{
	uint8_t addr[16];

	(void)state;
	clv_addr_parse("::", addr);
	assert_true(clv_addr_is_any(addr) && clv_addr_is_wildcard(addr));
	clv_addr_parse("0.0.0.0", addr);
	assert_true(!clv_addr_is_any(addr) && clv_addr_is_wildcard(addr));
	clv_addr_parse("0.0.0.1", addr);
	assert_false(clv_addr_is_any(addr) || clv_addr_is_wildcard(addr));
	clv_addr_parse("::1", addr);
	assert_false(clv_addr_is_any(addr) || clv_addr_is_wildcard(addr));
}

static void goes_through_sockaddr(void **state)
{
	static const struct {
		const char *text;
		bool v6_socket;
		sa_family_t family;
	} rows[] = {
		{ "192.0.2.1:443", false, AF_INET },
		{ "192.0.2.1:443", true, AF_INET6 },
		{ "[2001:db8::1]:443", false, AF_INET6 },
		{ "[2001:db8::1]:443", true, AF_INET6 },
	};
	struct sockaddr unix_address = { .sa_family = AF_UNIX };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct clv_endpoint in, out;
		struct sockaddr_storage ss;
		socklen_t len;

		memset(&ss, 0x5a, sizeof(ss));
		clv_endpoint_parse(rows[i].text, &in);
		len = clv_endpoint_to_sockaddr(&in, rows[i].v6_socket, &ss);
		assert_int_equal(ss.ss_family, rows[i].family);
		assert_int_equal(len, rows[i].family == AF_INET ? sizeof(struct sockaddr_in)
								: sizeof(struct sockaddr_in6));
		if (rows[i].family == AF_INET6) {
			assert_int_equal(((struct sockaddr_in6 *)&ss)->sin6_scope_id, 0);
			assert_int_equal(((struct sockaddr_in6 *)&ss)->sin6_flowinfo, 0);
		}
		assert_int_equal(clv_endpoint_from_sockaddr((struct sockaddr *)&ss, &out), 0);
		assert_true(clv_endpoint_equal(&in, &out));
		assert_int_equal(clv_endpoint_from_sockaddr(&unix_address, &out), -EAFNOSUPPORT);
		assert_true(clv_endpoint_equal(&in, &out));
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("endpoints are parsed strictly and shown in one form", parses),
		CASE("addresses are parsed without brackets and zones", parses_addresses),
		CASE("only :: is any address", knows_any),
		CASE("endpoints survive a conversion to sockaddr and back", goes_through_sockaddr),
	};

	return cmocka_run_group_tests_name("addr", cases, NULL, NULL);
}
