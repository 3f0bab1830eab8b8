/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/admission/policy.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct clv_policy *make(const char *const *allow, size_t allow_len, const char *const *deny,
			       size_t deny_len)
{
	struct clv_policy *p;
	char error[128] = "";

	if (clv_policy_new(allow, allow_len, deny, deny_len, &p, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return p;
}

static const char *verdict(const struct clv_policy *p, const char *text)
{
	const char *why = "";
	uint8_t addr[16];
	int err;

	assert_int_equal(clv_addr_parse(text, addr), 0);
	err = clv_policy_check(p, addr, NULL, NULL, &why);
	return err == 0 ? "ok" : why;
}

static void assert_verdict(const struct clv_policy *p, const char *text, const char *want)
{
	const char *got = verdict(p, text);

	if (strcmp(got, want) != 0)
		fail_msg("%s: %s, not %s", text, got, want);
}

static const struct {
	const char *addr, *verdict;
} defaults[] = {
	{ "8.8.8.8", "ok" },
	{ "1.0.0.0", "ok" },
	{ "223.255.255.255", "ok" },
	{ "0.0.0.0", "this network" },
	{ "0.255.255.255", "this network" },
	{ "9.255.255.255", "ok" },
	{ "10.0.0.0", "private" },
	{ "10.255.255.255", "private" },
	{ "11.0.0.0", "ok" },
	{ "100.63.255.255", "ok" },
	{ "100.64.0.0", "shared address space" },
	{ "100.127.255.255", "shared address space" },
	{ "100.128.0.0", "ok" },
	{ "126.255.255.255", "ok" },
	{ "127.0.0.1", "loopback" },
	{ "127.255.255.255", "loopback" },
	{ "128.0.0.0", "ok" },
	{ "169.254.169.254", "link-local" },
	{ "169.255.0.0", "ok" },
	{ "172.15.255.255", "ok" },
	{ "172.16.0.0", "private" },
	{ "172.31.255.255", "private" },
	{ "172.32.0.0", "ok" },
	{ "192.0.0.255", "protocol assignments" },
	{ "192.0.1.0", "ok" },
	{ "192.0.2.1", "documentation" },
	{ "192.88.99.1", "6to4 relay" },
	{ "192.168.255.255", "private" },
	{ "192.169.0.0", "ok" },
	{ "198.17.255.255", "ok" },
	{ "198.18.0.0", "benchmarking" },
	{ "198.19.255.255", "benchmarking" },
	{ "198.20.0.0", "ok" },
	{ "198.51.100.7", "documentation" },
	{ "203.0.113.7", "documentation" },
	{ "224.0.0.1", "multicast" },
	{ "239.255.255.255", "multicast" },
	{ "240.0.0.1", "reserved" },
	{ "255.255.255.254", "reserved" },
	{ "255.255.255.255", "broadcast" },

	{ "2606:4700::1", "ok" },
	{ "2a00::1", "ok" },
	{ "::", "unspecified" },
	{ "::1", "loopback" },
	{ "::2", "IPv4-compatible" },
	{ "::8.8.8.8", "IPv4-compatible" },
	{ "64:ff9b:1::1", "local NAT64" },
	{ "64:ff9b:1:ffff::1", "local NAT64" },
	{ "100::1", "discard" },
	{ "100:0:0:1::1", "dummy prefix" },
	{ "100:0:0:2::1", "not global unicast" },
	{ "2001:1::1", "protocol assignments" },
	{ "2001:2::1", "benchmarking" },
	{ "2001:1f::1", "ORCHID" },
	{ "2001:2f::1", "ORCHIDv2" },
	{ "2001:1ff::1", "protocol assignments" },
	{ "2001:200::1", "ok" },
	{ "2001:db8::1", "documentation" },
	{ "2001:db9::1", "ok" },
	{ "2002:808:808::1", "6to4" },
	{ "2003::1", "ok" },
	{ "3fff:fff::1", "documentation" },
	{ "3fff:1000::1", "ok" },
	{ "5f00::1", "segment routing" },
	{ "fbff::1", "not global unicast" },
	{ "fc00::1", "private" },
	{ "fdff::1", "private" },
	{ "fe80::1", "link-local" },
	{ "febf::1", "link-local" },
	{ "fec0::1", "site-local" },
	{ "ff02::1", "multicast" },
	{ "2001:0:808:808::f7f7:f7f7", "Teredo" },
	/* all of IPv6 but 2000::/3 and 64:ff9b::/96 */
	{ "64:ff9b::8.8.8.8", "ok" },
	{ "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast" },
	{ "64:ff9b:0:0:0:1::", "not global unicast" },
	{ "64:ff9b:2::1", "not global unicast" },
	{ "1fff:ffff::1", "not global unicast" },
	{ "2000::", "ok" },
	{ "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ok" },
	{ "4000::1", "not global unicast" },
	{ "8000::1", "not global unicast" },
	{ "e000::1", "not global unicast" },
	{ "200::1", "not global unicast" },
	{ "::ffff:0:8.8.8.8", "not global unicast" },
	/* ISATAP host parts behind any prefix */
	{ "2606:4700::5efe:8.8.8.8", "ok" },
	{ "2606:4700::5efe:10.0.0.1", "private" },
	{ "2606:4700::200:5efe:127.0.0.1", "loopback" },
	{ "2606:4700:0:1:0:5efe:192.168.1.1", "private" },
	{ "2606:4700::5eff:10.0.0.1", "ok" },
	{ "2606:4700::400:5efe:10.0.0.1", "ok" },
};

static void test_special_use_addresses_are_denied_by_default(void **state)
{
	struct clv_policy *p = make(NULL, 0, NULL, 0);

	(void)state;
	for (size_t i = 0; i < COUNT(defaults); i++)
		assert_verdict(p, defaults[i].addr, defaults[i].verdict);
	clv_policy_free(p);
}

static void test_an_ipv4_address_in_disguise_is_judged_too(void **state)
{
	/* The outer forms are allowed here: what remains is the inner address's verdict. */
	static const char *const allow[] = { "2002::/16",     "2001::/32",	 "64:ff9b:1::/48",
					     "::ffff:0:0/96", "::ffff:0:0:0/96", "::/96" };
	static const struct {
		const char *addr, *verdict;
	} cases[] = {
		{ "2002:808:808::1", "ok" },
		{ "2002:7f00:1::1", "loopback" },
		{ "2002:a00:1::", "private" },
		{ "2002:a9fe:a9fe::1", "link-local" },
		{ "2002::1", "this network" },
		{ "64:ff9b::808:808", "ok" },
		{ "64:ff9b::7f00:1", "loopback" },
		{ "64:ff9b::192.168.0.1", "private" },
		{ "64:ff9b::", "this network" },
		{ "64:ff9b::255.255.255.255", "broadcast" },
		{ "::ffff:0:8.8.8.8", "ok" },
		{ "::ffff:0:10.0.0.1", "private" },
		{ "::8.8.8.8", "ok" },
		{ "::10.0.0.1", "private" },
		{ "64:ff9b:1::8.8.8.8", "ok" },
		{ "64:ff9b:1::10.0.0.1", "private" },
		{ "64:ff9b:1:a00:0:100::", "private" },	   /* 10.0.0.1 behind 48 bits */
		{ "64:ff9b:1:808:8:800::", "ok" },	   /* 8.8.8.8 behind 48 bits */
		{ "64:ff9b:1:ab7f:0:1::", "loopback" },	   /* 127.0.0.1 behind 56 bits */
		{ "64:ff9b:1:abcd:a:0:100::", "private" }, /* 10.0.0.1 behind 64 bits */
		/* Teredo: server 8.8.8.8; client address with all bits flipped */
		{ "2001:0:808:808::f7f7:f7f7", "ok" },
		{ "2001:0:808:808::80ff:fffe", "loopback" },
		{ "2001:0:808:808::3f57:fffe", "private" },
		{ "2001:0:7f00:1::f7f7:f7f7", "loopback" },
		{ "10.0.0.1", "private" },
	};
	struct clv_policy *p = make(allow, COUNT(allow), NULL, 0);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_verdict(p, cases[i].addr, cases[i].verdict);
	clv_policy_free(p);
}

static void test_an_operators_allow_opens_inner_and_outer_together_only(void **state)
{
	static const char *const inner[] = { "10.0.0.0/8" };
	static const char *const both[] = { "10.0.0.0/8", "2002::/16" };
	struct clv_policy *p = make(inner, COUNT(inner), NULL, 0);

	(void)state;
	assert_verdict(p, "10.0.0.1", "ok");
	assert_verdict(p, "64:ff9b::10.0.0.1", "ok");
	assert_verdict(p, "2002:a00:1::1", "6to4");
	clv_policy_free(p);
	p = make(both, COUNT(both), NULL, 0);
	assert_verdict(p, "2002:a00:1::1", "ok");
	assert_verdict(p, "2002:c0a8:1::1", "private");
	clv_policy_free(p);
}

static void test_the_longest_prefix_decides_and_deny_wins_a_draw(void **state)
{
	static const char *const allow[] = { "198.18.0.0/15", "2001:db8::/32", "9.9.9.0/24",
					     "7.7.7.7",	      "fd00::/8",      "0.0.0.0/0" };
	static const char *const deny[] = { "198.18.7.0/24", "9.9.9.0/24", "7.0.0.0/8",
					    "8.8.8.8/32", "2001:db8:bad::/48" };
	static const struct {
		const char *addr, *verdict;
	} cases[] = {
		{ "198.18.0.1", "ok" },
		{ "198.19.255.255", "ok" },
		{ "198.18.7.1", "operator" },
		{ "2001:db8::1", "ok" },
		{ "2001:db8:bad::1", "operator" },
		{ "9.9.9.9", "operator" },
		{ "7.7.7.7", "ok" },
		{ "7.7.7.8", "operator" },
		{ "8.8.8.8", "operator" },
		{ "8.8.4.4", "ok" },
		{ "fd00::1", "ok" },
		{ "fc00::1", "private" },
		/* a shorter allow does not reach into the special-use table */
		{ "127.0.0.1", "loopback" },
		{ "64:ff9b::8.8.8.8", "operator" },
	};
	struct clv_policy *p = make(allow, COUNT(allow), deny, COUNT(deny));

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_verdict(p, cases[i].addr, cases[i].verdict);
	clv_policy_free(p);
}

static void test_everything_but_a_list_can_be_denied(void **state)
{
	static const char *const allow[] = { "8.8.8.0/24" };
	static const char *const deny[] = { "0.0.0.0/0", "::/0" };
	struct clv_policy *p = make(allow, COUNT(allow), deny, COUNT(deny));

	(void)state;
	assert_verdict(p, "8.8.8.8", "ok");
	assert_verdict(p, "8.8.4.4", "operator");
	assert_verdict(p, "2a00::1", "operator");
	assert_verdict(p, "64:ff9b::8.8.8.8", "operator");
	clv_policy_free(p);
}

static void test_operators_deny_covers_what_the_table_allows(void **state)
{
	static const char *const all6[] = { "::/0" }, *const some[] = { "2000::/4" };
	static const char *const allow[] = { "2606::/16" };
	struct clv_policy *p = make(allow, COUNT(allow), all6, COUNT(all6));

	(void)state;
	assert_verdict(p, "2a00::1", "operator");
	assert_verdict(p, "64:ff9b::8.8.8.8", "operator");
	assert_verdict(p, "4000::1", "operator");
	assert_verdict(p, "2606::1", "ok");
	clv_policy_free(p);
	p = make(all6, COUNT(all6), some, COUNT(some));
	assert_verdict(p, "4000::1", "ok");
	assert_verdict(p, "3000::1", "ok");
	assert_verdict(p, "2a00::1", "operator");
	assert_verdict(p, "fd00::1", "private");
	clv_policy_free(p);
}

static void test_operators_nat64_prefixes_are_looked_through(void **state)
{
	static const char *const prefixes[] = { "2606:4700:64::/96", "2607::/32",
						"2608:0:100::/40",   "2609:0:1::/48",
						"260a:0:0:100::/56", "260b:0:0:1::/64" };
	static const struct {
		const char *addr, *verdict;
	} cases[] = {
		{ "2606:4700:64::10.0.0.1", "private" },
		{ "2606:4700:64::8.8.8.8", "ok" },
		{ "2606:4700:65::10.0.0.1", "ok" },
		{ "2607:0:7f00:1::", "loopback" },
		{ "2607:0:808:808::", "ok" },
		{ "2608:0:10a:0:1::", "private" },
		{ "2609:0:1:a00:0:100::", "private" },
		{ "260a:0:0:10a:0:1::", "private" },
		{ "260b:0:0:1:a:0:100:0", "private" },
		{ "260b:0:0:1:8:808:800:0", "ok" },
	};
	static const char *const bad[] = { "",	     "x",	   "2606::/95",	 "2606::/0",
					   "2606::", "8.0.0.0/32", "2606::1/96", "2606::/128" };
	struct clv_policy *p = make(NULL, 0, NULL, 0);
	char error[128];

	(void)state;
	for (size_t i = 0; i < COUNT(prefixes); i++)
		assert_int_equal(clv_policy_add_nat64(p, prefixes[i], error, sizeof(error)), 0);
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_verdict(p, cases[i].addr, cases[i].verdict);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(clv_policy_add_nat64(p, bad[i], error, sizeof(error)),
				 CLV_ESYNTAX);
		assert_int_equal(strncmp(error, bad[i], strlen(bad[i])), 0);
	}
	clv_policy_free(p);
}

static bool is_own(void *user, const uint8_t addr[16])
{
	return memcmp(user, addr, 16) == 0;
}

static void test_the_relays_own_addresses_are_denied_in_every_form(void **state)
{
	static const char *const allow[] = { "2002::/16", "0.0.0.0/0", "8.8.8.8" };
	struct clv_policy *p = make(allow, COUNT(allow), NULL, 0);
	static const char *const forms[] = { "8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1" };
	uint8_t own[16], addr[16];
	const char *why;

	(void)state;
	assert_int_equal(clv_addr_parse("8.8.8.8", own), 0);
	for (size_t i = 0; i < COUNT(forms); i++) {
		why = "";
		assert_int_equal(clv_addr_parse(forms[i], addr), 0);
		assert_int_equal(clv_policy_check(p, addr, is_own, own, &why), CLV_EDENIED);
		assert_string_equal(why, "own address");
	}
	assert_int_equal(clv_addr_parse("8.8.4.4", addr), 0);
	assert_int_equal(clv_policy_check(p, addr, is_own, own, &why), 0);
	clv_policy_free(p);
}

static void test_bad_operator_entries_are_named(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"10.0.0.0/33",
		"10.0.0.0/",
		"10.0.0.0/-1",
		"10.0.0.0/8x",
		"10.0.0.1/8",
		"::/129",
		"fd00::1/64",
		"10.0.0/8",
		"/8",
		"fe80::1%lo",
		"10.0.0.0/ 8",
		"10.0.0.0/8/8",
		"10.0.0.0/99999999999999999999",
	};
	struct clv_policy *p;
	char error[128];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		*error = '\0';
		if (clv_policy_new(&bad[i], 1, NULL, 0, &p, error, sizeof(error)) != CLV_ESYNTAX)
			fail_msg("allow \"%s\" passed", bad[i]);
		assert_int_equal(strncmp(error, bad[i], strlen(bad[i])), 0);
		if (clv_policy_new(NULL, 0, &bad[i], 1, &p, error, sizeof(error)) != CLV_ESYNTAX)
			fail_msg("deny \"%s\" passed", bad[i]);
	}
}

static void test_rules_are_listed_once_for_a_prefix_in_the_form_of_the_map(void **state)
{
	static const char *const allow[] = { "198.18.0.0/15", "1.2.3.4", "1.2.3.4/32" };
	static const char *const deny[] = { "1.2.3.4" };
	struct clv_policy *p = make(allow, COUNT(allow), deny, COUNT(deny));
	const struct clv_policy_rule *rules;
	size_t n = clv_policy_rules(p, &rules);
	uint8_t bench[16], single[16];
	int seen = 0;

	(void)state;
	assert_int_equal(clv_addr_parse("198.18.0.0", bench), 0);
	assert_int_equal(clv_addr_parse("1.2.3.4", single), 0);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			assert_true(rules[i - 1].prefix.prefix_bits >= rules[i].prefix.prefix_bits);
		if (memcmp(rules[i].prefix.addr, bench, 16) == 0) {
			assert_int_equal(rules[i].prefix.prefix_bits, 96 + 15);
			assert_int_equal(rules[i].verdict, CLV_VERDICT_ALLOW);
			assert_string_equal(rules[i].why, "operator");
			seen++;
		}
		if (memcmp(rules[i].prefix.addr, single, 16) == 0) {
			assert_int_equal(rules[i].prefix.prefix_bits, 128);
			assert_int_equal(rules[i].verdict, CLV_VERDICT_DENY);
			seen++;
		}
	}
	assert_int_equal(seen, 2);
	clv_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_special_use_addresses_are_denied_by_default),
		cmocka_unit_test(test_an_ipv4_address_in_disguise_is_judged_too),
		cmocka_unit_test(test_an_operators_allow_opens_inner_and_outer_together_only),
		cmocka_unit_test(test_the_longest_prefix_decides_and_deny_wins_a_draw),
		cmocka_unit_test(test_everything_but_a_list_can_be_denied),
		cmocka_unit_test(test_operators_deny_covers_what_the_table_allows),
		cmocka_unit_test(test_operators_nat64_prefixes_are_looked_through),
		cmocka_unit_test(test_the_relays_own_addresses_are_denied_in_every_form),
		cmocka_unit_test(test_bad_operator_entries_are_named),
		cmocka_unit_test(test_rules_are_listed_once_for_a_prefix_in_the_form_of_the_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
