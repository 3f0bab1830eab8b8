/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "control/peer/candidates.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

static struct clv_endpoint at(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static const struct {
	const char *addr;
	enum clv_scope scope;
} scopes[] = {
	{ "0.0.0.0", CLV_SCOPE_NONE },
	{ "0.1.2.3", CLV_SCOPE_NONE },
	{ "10.0.0.1", CLV_SCOPE_PRIVATE },
	{ "11.0.0.1", CLV_SCOPE_GLOBAL },
	{ "100.63.255.255", CLV_SCOPE_GLOBAL },
	{ "100.64.0.0", CLV_SCOPE_SHARED },
	{ "100.127.255.255", CLV_SCOPE_SHARED },
	{ "100.128.0.0", CLV_SCOPE_GLOBAL },
	{ "127.0.0.1", CLV_SCOPE_NONE },
	{ "169.254.1.1", CLV_SCOPE_LINK },
	{ "172.15.0.1", CLV_SCOPE_GLOBAL },
	{ "172.31.0.1", CLV_SCOPE_PRIVATE },
	{ "172.32.0.1", CLV_SCOPE_GLOBAL },
	{ "192.0.0.8", CLV_SCOPE_NONE },
	{ "192.168.255.1", CLV_SCOPE_PRIVATE },
	{ "203.0.113.1", CLV_SCOPE_GLOBAL },
	{ "223.255.255.255", CLV_SCOPE_GLOBAL },
	{ "224.0.0.1", CLV_SCOPE_NONE },
	{ "240.0.0.1", CLV_SCOPE_NONE },
	{ "255.255.255.255", CLV_SCOPE_NONE },
	{ "::", CLV_SCOPE_NONE },
	{ "::1", CLV_SCOPE_NONE },
	{ "64:ff9b::c000:201", CLV_SCOPE_NONE },
	{ "2001:0:1::1", CLV_SCOPE_NONE },
	{ "2002:a00:1::1", CLV_SCOPE_NONE },
	{ "2001:db8::1", CLV_SCOPE_GLOBAL },
	{ "3fff::1", CLV_SCOPE_GLOBAL },
	{ "4000::1", CLV_SCOPE_NONE },
	{ "fc00::1", CLV_SCOPE_PRIVATE },
	{ "fdff::1", CLV_SCOPE_PRIVATE },
	{ "fe80::1", CLV_SCOPE_LINK },
	{ "fec0::1", CLV_SCOPE_NONE },
	{ "ff02::1", CLV_SCOPE_NONE },
};

static void an_address_has_its_scope(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		uint8_t addr[16];

		print_message("%s\n", scopes[i].addr);
		assert_int_equal(clv_addr_parse(scopes[i].addr, addr), 0);
		assert_int_equal(clv_addr_scope(addr), scopes[i].scope);
	}
}

static void priorities_are_those_of_ice(void **state)
{
	struct clv_endpoint v4 = at("192.0.2.1:1"), v6 = at("[2001:db8::1]:1"),
			    ula = at("[fd00::1]:1");
	uint32_t host6 = clv_candidate_priority(CLV_CANDIDATE_HOST, v6.addr, 0);
	uint32_t host4 = clv_candidate_priority(CLV_CANDIDATE_HOST, v4.addr, 0);

	(void)state;
	assert_int_equal(host6, 2130706431);
	assert_int_equal(clv_candidate_priority(CLV_CANDIDATE_REFLEXIVE, v6.addr, 0), 1694498815);
	assert_int_equal(clv_candidate_priority(CLV_CANDIDATE_PEER_REFLEXIVE, v6.addr, 0),
			 1862270975);
	assert_int_equal(clv_candidate_priority(CLV_CANDIDATE_RELAYED, v6.addr, 0), 16777215);
	assert_true(clv_pair_priority(2130706431, 1694498815) == UINT64_C(7277816997797167103));
	assert_true(host6 > host4);
	assert_true(host4 > clv_candidate_priority(CLV_CANDIDATE_HOST, v4.addr, 1));
	assert_true(host4 > clv_candidate_priority(CLV_CANDIDATE_HOST, ula.addr, 0));
	assert_true(clv_candidate_priority(CLV_CANDIDATE_HOST, v4.addr, 1000) >
		    clv_candidate_priority(CLV_CANDIDATE_MAPPED, v6.addr, 0));
}

static void put(struct clv_host_addr *a, const char *text, uint8_t bits, int ifindex)
{
	*a = (struct clv_host_addr){ .prefix_bits = bits, .ifindex = ifindex };
	assert_int_equal(clv_addr_parse(text, a->addr), 0);
}

static void interfaces_with_a_default_route_come_first(void **state)
{
	static const char *const order[] = { "[2001:db8::5]:9", "[fe80::5]:9",	 "192.0.2.5:7",
					     "10.8.0.5:7",	"192.168.5.5:7", "172.17.0.1:7",
					     "[fd00::5]:9" };
	struct clv_candidates set = { .count = 0 };
	struct clv_host_addr a[9];

	(void)state;
	put(&a[0], "127.0.0.1", 104, 1);
	put(&a[1], "172.17.0.1", 112, 5); /* docker0 */
	a[1].is_virtual = true;
	put(&a[2], "192.168.5.5", 120, 4);
	put(&a[3], "10.8.0.5", 120, 6); /* a VPN that has taken the default route */
	a[3].is_virtual = a[3].has_default_route = true;
	put(&a[4], "192.0.2.5", 120, 2);
	a[4].has_default_route = true;
	put(&a[5], "2001:db8::5", 64, 2);
	a[5].has_default_route = true;
	put(&a[6], "fd00::5", 64, 2);
	put(&a[7], "fe80::5", 64, 2);
	put(&a[8], "2001:db8::6", 64, 2);
	a[8].is_deprecated = true;

	clv_candidates_gather(&set, a, 9, htons(7), htons(9));
	assert_int_equal(set.count, 7);
	for (unsigned i = 0; i < set.count; i++) {
		char text[CLV_ADDR_TEXT_MAX];

		assert_string_equal(clv_endpoint_format(&set.list[i].endpoint, text, sizeof(text)),
				    order[i]);
		assert_int_equal(set.list[i].scope_id, i == 1 ? 2 : 0);
		assert_int_equal(set.list[i].is_local_only, i == 5);
	}
	/* A socket without IPv6 has no such candidates. */
	set.count = 0;
	clv_candidates_gather(&set, a, 9, htons(7), 0);
	assert_int_equal(set.count, 4);
}

static void a_full_set_keeps_the_best(void **state)
{
	struct clv_candidates set = { .count = 0 };
	struct clv_candidate c = { .kind = CLV_CANDIDATE_HOST, .endpoint = at("192.0.2.1:1") };

	(void)state;
	for (unsigned i = 0; i < CLV_CANDIDATES_MAX; i++) {
		c.endpoint.addr[15] = (uint8_t)(100 + i);
		c.priority = 1000 + i;
		assert_int_equal(clv_candidates_add(&set, &c), 0);
	}
	c.endpoint.addr[15] = 1;
	c.priority = 1000;
	assert_int_equal(clv_candidates_add(&set, &c), CLV_EFULL);
	c.priority = 1001;
	assert_int_equal(clv_candidates_add(&set, &c), 0);
	assert_int_equal(set.count, CLV_CANDIDATES_MAX);
	assert_int_equal(set.list[0].priority, 1015);
	assert_int_equal(set.list[15].priority, 1001);

	/* The same again, as a better kind and as a worse one. */
	c.priority = 5000;
	assert_int_equal(clv_candidates_add(&set, &c), 0);
	assert_int_equal(set.list[0].priority, 5000);
	c.priority = 4000;
	assert_int_equal(clv_candidates_add(&set, &c), -EEXIST);
	assert_int_equal(set.count, CLV_CANDIDATES_MAX);

	c.endpoint = at("192.0.2.1:0");
	assert_int_equal(clv_candidates_add(&set, &c), CLV_EDENIED);
	c.endpoint = at("127.0.0.1:1");
	assert_int_equal(clv_candidates_add(&set, &c), CLV_EDENIED);
}

static void privacy_decides_what_is_told(void **state)
{
	static const struct {
		const char *endpoint;
		enum clv_candidate_kind kind;
		bool is_local_only, told[3]; /* relay-only, reflexive, open */
	} cases[] = {
		{ "203.0.113.1:1", CLV_CANDIDATE_RELAYED, false, { true, true, true } },
		{ "203.0.113.2:1", CLV_CANDIDATE_REFLEXIVE, false, { false, true, true } },
		{ "203.0.113.3:1", CLV_CANDIDATE_MAPPED, false, { false, true, true } },
		{ "203.0.113.4:1", CLV_CANDIDATE_HOST, false, { false, false, true } },
		{ "172.17.0.1:1", CLV_CANDIDATE_HOST, true, { false, false, false } },
		{ "[fe80::1]:1", CLV_CANDIDATE_HOST, false, { false, false, false } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_candidate c = { .kind = cases[i].kind,
					   .is_local_only = cases[i].is_local_only,
					   .endpoint = at(cases[i].endpoint) };

		for (int p = CLV_PRIVACY_RELAY_ONLY; p <= CLV_PRIVACY_OPEN; p++)
			assert_int_equal(clv_candidate_is_told(&c, (enum clv_privacy)p),
					 cases[i].told[p]);
	}
}

static const struct {
	const char *name, *target;
	enum clv_candidate_kind kind;
	enum clv_target_verdict verdict;
} targets[] = {
	{ "a public one", "198.51.100.1:5", CLV_CANDIDATE_HOST, CLV_TARGET_OK },
	{ "port 0", "198.51.100.1:0", CLV_CANDIDATE_HOST, CLV_TARGET_PORT },
	{ "loopback", "127.0.0.1:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "loopback, IPv6", "[::1]:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "multicast", "224.0.0.251:5353", CLV_CANDIDATE_REFLEXIVE, CLV_TARGET_SCOPE },
	{ "multicast, IPv6", "[ff02::fb]:5353", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "broadcast", "255.255.255.255:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "link-local", "[fe80::1]:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "behind a NAT64", "[64:ff9b::a00:1]:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "a neighbour", "192.168.1.77:5", CLV_CANDIDATE_HOST, CLV_TARGET_OK },
	{ "all neighbours", "192.168.1.255:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "all neighbours of old", "192.168.1.0:5", CLV_CANDIDATE_HOST, CLV_TARGET_SCOPE },
	{ "another LAN", "192.168.2.77:5", CLV_CANDIDATE_HOST, CLV_TARGET_FOREIGN_LAN },
	{ "another LAN, of no kind", "10.0.0.1:5", CLV_CANDIDATE_UNKNOWN, CLV_TARGET_FOREIGN_LAN },
	{ "another LAN, IPv6", "[fd00::1]:5", CLV_CANDIDATE_HOST, CLV_TARGET_FOREIGN_LAN },
	{ "inside a NAT", "100.64.0.9:5", CLV_CANDIDATE_REFLEXIVE, CLV_TARGET_FOREIGN_NAT },
	{ "the relay", "203.0.113.1:443", CLV_CANDIDATE_HOST, CLV_TARGET_RELAY },
	{ "the relay as a relayed one", "203.0.113.1:443", CLV_CANDIDATE_RELAYED,
	  CLV_TARGET_RELAY },
	{ "another port of the relay", "203.0.113.1:53", CLV_CANDIDATE_REFLEXIVE,
	  CLV_TARGET_RELAY },
	{ "a bound port", "203.0.113.1:40000", CLV_CANDIDATE_RELAYED, CLV_TARGET_OK },
};

static void a_peer_cannot_make_us_send_anywhere(void **state)
{
	struct clv_endpoint relay = at("203.0.113.1:443");
	struct clv_candidates local = { .count = 0 }, remote = { .count = 0 };
	struct clv_target_rules rules = { &local, &remote, &relay, 1 };
	struct clv_candidate c = { .kind = CLV_CANDIDATE_HOST,
				   .endpoint = at("192.168.1.5:7"),
				   .prefix_bits = 120 };

	(void)state;
	assert_int_equal(clv_candidates_add(&local, &c), 0);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct clv_endpoint target = at(targets[i].target);

		print_message("%s\n", targets[i].name);
		assert_int_equal(clv_target_check(&rules, &target, targets[i].kind),
				 targets[i].verdict);
	}
}

static void behind_one_nat_its_inside_may_be_tried(void **state)
{
	struct clv_candidates local = { .count = 0 }, remote = { .count = 0 };
	struct clv_target_rules rules = { &local, &remote, NULL, 0 };
	struct clv_candidate c = { .kind = CLV_CANDIDATE_REFLEXIVE,
				   .endpoint = at("198.51.100.9:1000") };
	struct clv_endpoint inner = at("100.64.0.9:5");

	(void)state;
	assert_int_equal(clv_candidates_add(&local, &c), 0);
	assert_int_equal(clv_target_check(&rules, &inner, CLV_CANDIDATE_REFLEXIVE),
			 CLV_TARGET_FOREIGN_NAT);
	c.endpoint = at("198.51.100.9:2000");
	assert_int_equal(clv_candidates_add(&remote, &c), 0);
	assert_int_equal(clv_target_check(&rules, &inner, CLV_CANDIDATE_REFLEXIVE), CLV_TARGET_OK);
	assert_int_equal(clv_target_check(&rules, &inner, CLV_CANDIDATE_HOST),
			 CLV_TARGET_FOREIGN_LAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_its_scope),
		cmocka_unit_test(priorities_are_those_of_ice),
		cmocka_unit_test(interfaces_with_a_default_route_come_first),
		cmocka_unit_test(a_full_set_keeps_the_best),
		cmocka_unit_test(privacy_decides_what_is_told),
		cmocka_unit_test(a_peer_cannot_make_us_send_anywhere),
		cmocka_unit_test(behind_one_nat_its_inside_may_be_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
