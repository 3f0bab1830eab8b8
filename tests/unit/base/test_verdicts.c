/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/addr.h"
#include "datapath/base/rand.h"
#include "datapath/base/verdicts.h"

static struct clv_prefix prefix(const char *addr, uint32_t bits)
{
	struct clv_prefix p = { .prefix_bits = bits };

	assert_int_equal(clv_addr_parse(addr, p.addr), 0);
	return p;
}

static const struct {
	const char *name;
	struct {
		const char *addr;
		uint32_t bits;
	} rules[6];
	struct {
		const char *addr;
		int32_t rule;
	} looks[8];
} cases[] = {
	{ "no rules", { { 0 } }, { { "::", -1 }, { "1.2.3.4", -1 }, { "ffff::", -1 } } },
	{ "everything", { { "::", 0 } }, { { "::", 0 }, { "1.2.3.4", 0 }, { "ffff::1", 0 } } },
	{ "one address, the first and the last of all",
	  { { "::", 128 }, { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128 } },
	  { { "::", 0 },
	    { "::1", -1 },
	    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", -1 },
	    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 } } },
	{ "the longest decides, whatever the order",
	  { { "10.1.2.3", 128 }, { "10.0.0.0", 104 }, { "10.1.0.0", 112 } },
	  { { "9.255.255.255", -1 },
	    { "10.0.0.0", 1 },
	    { "10.1.0.0", 2 },
	    { "10.1.2.3", 0 },
	    { "10.1.2.4", 2 },
	    { "10.2.0.0", 1 },
	    { "10.255.255.255", 1 },
	    { "11.0.0.0", -1 } } },
	{ "prefixes that begin or end together",
	  { { "2001:db8::", 32 },
	    { "2001:db8::", 64 },
	    { "2001:db8:ffff:ffff::", 64 },
	    { "2001:db8:ffff::", 48 },
	    { "2001:db9::", 32 } },
	  { { "2001:db8::1", 1 },
	    { "2001:db8:0:1::", 0 },
	    { "2001:db8:ffff::", 3 },
	    { "2001:db8:ffff:fffe:ffff:ffff:ffff:ffff", 3 },
	    { "2001:db8:ffff:ffff::", 2 },
	    { "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 2 },
	    { "2001:db9::", 4 },
	    { "2001:dba::", -1 } } },
	{ "prefixes of 63, 64 and 65 bits",
	  { { "fd00:0:0:2::", 63 }, { "fd00:0:0:2::", 64 }, { "fd00:0:0:2:8000::", 65 } },
	  { { "fd00:0:0:1:ffff::", -1 },
	    { "fd00:0:0:2::", 1 },
	    { "fd00:0:0:2:8000::", 2 },
	    { "fd00:0:0:2:ffff::", 2 },
	    { "fd00:0:0:3::", 0 },
	    { "fd00:0:0:4::", -1 } } },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct clv_verdicts_rule rules[6] = { 0 };
		struct clv_verdicts *v;
		uint8_t addr[16];
		size_t n = 0;

		for (; n < COUNT(rules) && cases[i].rules[n].addr; n++)
			rules[n].prefix = prefix(cases[i].rules[n].addr, cases[i].rules[n].bits);
		assert_int_equal(clv_verdicts_new(rules, n, &v), 0);
		for (size_t k = 0; k < COUNT(cases[i].looks) && cases[i].looks[k].addr; k++) {
			assert_int_equal(clv_addr_parse(cases[i].looks[k].addr, addr), 0);
			CHECK_ROW(cases[i].name,
				  clv_verdicts_find(v, addr) == cases[i].looks[k].rule);
		}
		clv_verdicts_unref(v);
	}
}

enum {
	RULES = 400,
	LOOKS = 20000,
};

/* Bits that are seldom set make prefixes nest. */
static uint8_t sparse(struct clv_rand *rand)
{
	return (uint8_t)(clv_rand_u64(rand) & clv_rand_u64(rand) & clv_rand_u64(rand));
}

static bool covers(const struct clv_prefix *p, const uint8_t addr[16])
{
	for (uint32_t i = 0; i < p->prefix_bits; i++)
		if ((p->addr[i / 8] ^ addr[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

static int32_t longest(const struct clv_verdicts_rule *rules, size_t n, const uint8_t addr[16])
{
	int32_t best = -1;

	for (size_t i = 0; i < n; i++)
		if (covers(&rules[i].prefix, addr) &&
		    (best < 0 || rules[i].prefix.prefix_bits > rules[best].prefix.prefix_bits))
			best = (int32_t)i;
	return best;
}

static bool is_denied(const struct clv_verdicts_rule *rules, int32_t rule)
{
	return rule >= 0 && rules[rule].verdict == CLV_VERDICT_DENY;
}

static bool is_known(const struct clv_verdicts_rule *rules, size_t n, const struct clv_prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(&rules[i].prefix, p, sizeof(*p)) == 0)
			return true;
	return false;
}

static void test_against_a_list(void **state)
{
	static struct clv_verdicts_rule rules[RULES];
	struct clv_verdicts *v;
	struct clv_rand rand;
	uint8_t addr[16];
	size_t n = 0;

	(void)state;
	clv_rand_init(&rand, 7);
	while (n < RULES) {
		struct clv_prefix p = { .prefix_bits = (uint32_t)(clv_rand_u64(&rand) % 129) };

		for (uint32_t i = 0; i < p.prefix_bits; i++)
			p.addr[i / 8] |= sparse(&rand) & (0x80 >> i % 8);
		if (is_known(rules, n, &p))
			continue;
		rules[n].prefix = p;
		rules[n].verdict = n % 2 ? CLV_VERDICT_DENY : CLV_VERDICT_ALLOW;
		n++;
	}
	assert_int_equal(clv_verdicts_new(rules, n, &v), 0);
	for (unsigned i = 0; i < LOOKS; i++) {
		memcpy(addr, rules[clv_rand_u64(&rand) % n].prefix.addr, sizeof(addr));
		for (unsigned k = clv_rand_u64(&rand) % 16; k < 16; k++)
			addr[k] |= sparse(&rand);
		assert_int_equal(clv_verdicts_find(v, addr), longest(rules, n, addr));
		assert_int_equal(clv_verdicts_denies(v, addr),
				 is_denied(rules, longest(rules, n, addr)));
		assert_false(clv_verdicts_denies(NULL, addr));
	}
	/* it lives as long as anybody has a reference */
	assert_ptr_equal(clv_verdicts_ref(v), v);
	clv_verdicts_unref(v);
	clv_verdicts_denies(v, addr);
	clv_verdicts_unref(v);
	assert_null(clv_verdicts_ref(NULL));
	clv_verdicts_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("the longest prefix around an address decides", test_cases),
		CASE("random prefixes agree with a look at every one", test_against_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
