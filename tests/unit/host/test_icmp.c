/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/icmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/io/packet.h"
#include "tests/unit/hex.h"

/* Quoted: 192.0.2.10:40000 -> 198.51.100.20:443, UDP of 1464 bytes; 2001:db8::a -> 2001:db8:1::14. */
#define IP4   "4500 05b8 1c46 4000 40 11 0000 c000020a c6336414"
#define IP6   "6000 0000 05a4 11 40 20010db800000000000000000000000a 20010db8000100000000000000000014"
#define PORTS "9c40 01bb"

enum { MAX = 200 };

static const struct icmp_case {
	const char *name;
	const char *head; /* type, code, checksum (corrected for IPv4), four bytes */
	const char *quote;
	int64_t mtu; /* 0: not about size; -1: refused */
	bool is_v6;
} cases[] = {
	{ "fragmentation needed", "03 04 0000 0000 0578", IP4 PORTS, 1400, false },
	{ "from a router that says no MTU", "03 04 0000 0000 0000", IP4 PORTS, 1006, false },
	{ "an MTU below what IPv4 hosts take", "03 04 0000 0000 0044", IP4 PORTS, 576, false },
	{ "an MTU the packet did fit", "03 04 0000 0000 05b8", IP4 PORTS, -1, false },
	{ "port unreachable", "03 03 0000 0000 0000", IP4 PORTS, 0, false },
	{ "host unreachable", "03 01 0000 0000 0000", IP4 PORTS, 0, false },
	{ "time exceeded", "0b 00 0000 0000 0000", IP4 PORTS, 0, false },
	{ "parameter problem", "0c 00 0000 0000 0000", IP4 PORTS, 0, false },
	{ "a redirect", "05 01 0000 c0000201", IP4 PORTS, -1, false },
	{ "an echo", "08 00 0000 0001 0001", IP4 PORTS, -1, false },
	{ "cut in the quoted ports", "03 03 0000 0000 0000", IP4 "9c40 01", -1, false },
	{ "cut in the quoted header", "03 03 0000 0000 0000", "4500 0044", -1, false },
	{ "nothing quoted", "03 03 0000 0000 0000", "", -1, false },
	{ "about TCP", "03 03 0000 0000 0000",
	  "4500 05b8 1c46 4000 40 06 0000 c000020a c6336414" PORTS, -1, false },
	{ "about a later fragment", "03 03 0000 0000 0000",
	  "4500 05b8 1c46 0010 40 11 0000 c000020a c6336414" PORTS, -1, false },
	{ "a quoted header that ends after the message", "03 03 0000 0000 0000",
	  "4f00 05b8 1c46 4000 40 11 0000 c000020a c6336414" PORTS, -1, false },
	{ "a quoted header shorter than any", "03 03 0000 0000 0000",
	  "4400 05b8 1c46 4000 40 11 0000 c000020a c6336414" PORTS, -1, false },
	{ "IPv6 inside ICMPv4", "03 03 0000 0000 0000", IP6 PORTS, -1, false },
	{ "packet too big", "02 00 0000 00000578", IP6 PORTS, 1400, true },
	{ "an MTU below that of IPv6", "02 00 0000 00000044", IP6 PORTS, 1280, true },
	{ "an MTU beyond any packet", "02 00 0000 ffffffff", IP6 PORTS, -1, true },
	{ "ICMPv6 port unreachable", "01 04 0000 00000000", IP6 PORTS, 0, true },
	{ "ICMPv6 time exceeded", "03 00 0000 00000000", IP6 PORTS, 0, true },
	{ "ICMPv6 parameter problem", "04 00 0000 00000000", IP6 PORTS, 0, true },
	{ "a neighbour advertisement", "88 00 0000 00000000", IP6 PORTS, -1, true },
	{ "ICMPv6 about a fragment", "01 04 0000 00000000",
	  "6000 0000 05a4 2c 40 20010db800000000000000000000000a 20010db8000100000000000000000014" PORTS,
	  -1, true },
	{ "ICMPv6 cut in the quoted ports", "01 04 0000 00000000", IP6 "9c40 01", -1, true },
	{ "IPv4 inside ICMPv6", "01 04 0000 00000000", IP4 PORTS, -1, true },
};

static void run_case(const struct icmp_case *c)
{
	uint8_t message[2 * MAX], *exact;
	struct clv_icmp_error e = { .mtu = 77 };
	size_t len = unhex(c->head, message);
	uint16_t check;
	int err;

	len += unhex(c->quote, message + len);
	if (!c->is_v6) {
		check = (uint16_t)~clv_packet_fold(clv_packet_sum(message, len, 0));
		memcpy(message + 2, &check, sizeof(check));
	}
	exact = malloc(len); /* a sanitizer sees the first byte past the end */
	assert_non_null(exact);
	memcpy(exact, message, len);
	err = clv_icmp_decode(c->is_v6, exact, len, &e);
	free(exact);
	if (err != (c->mtu < 0 ? CLV_EPROTO : 0) || e.mtu != (c->mtu < 0 ? 77 : (uint64_t)c->mtu))
		fail_msg("%s: err %d, mtu %u", c->name, err, e.mtu);
	if (err)
		return;
	assert_int_equal(ntohs(e.tuple.local.port), 40000);
	assert_int_equal(ntohs(e.tuple.remote.port), 443);
	assert_int_equal(e.tuple.local.addr[15], 0x0a);
	assert_int_equal(e.tuple.remote.addr[15], 0x14);
	assert_int_equal(e.tuple.local.addr[10], c->is_v6 ? 0 : 0xff);
}

static void test_every_kind_of_error_is_read_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		run_case(&cases[i]);
}

static void test_a_wrong_checksum_is_refused(void **state)
{
	uint8_t message[2 * MAX];
	struct clv_icmp_error e;
	size_t len = unhex("03 03 dead 0000 0000", message);

	(void)state;
	len += unhex(IP4 PORTS, message + len);
	assert_int_equal(clv_icmp_decode(false, message, len, &e), CLV_EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_error_is_read_or_refused),
		cmocka_unit_test(test_a_wrong_checksum_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
