/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/nat64.h"

/* RFC 6052 section 2.4 */
static const struct {
	const char *prefix;
	unsigned bits;
	const char *v4, *v6;
} examples[] = {
	{ "2001:db8::", 32, "192.0.2.33", "2001:db8:c000:221::" },
	{ "2001:db8:100::", 40, "192.0.2.33", "2001:db8:1c0:2:21::" },
	{ "2001:db8:122::", 48, "192.0.2.33", "2001:db8:122:c000:2:2100::" },
	{ "2001:db8:122:300::", 56, "192.0.2.33", "2001:db8:122:3c0:0:221::" },
	{ "2001:db8:122:344::", 64, "192.0.2.33", "2001:db8:122:344:c0:2:2100::" },
	{ "2001:db8:122:344::", 96, "192.0.2.33", "2001:db8:122:344::192.0.2.33" },
	{ "64:ff9b::", 96, "192.0.2.33", "64:ff9b::192.0.2.33" },
};

static struct clv_prefix prefix_of(const char *text, unsigned bits)
{
	struct clv_prefix p = { .prefix_bits = bits };

	assert_int_equal(clv_addr_parse(text, p.addr), 0);
	return p;
}

static void addresses_are_embedded_and_extracted(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct clv_prefix p = prefix_of(examples[i].prefix, examples[i].bits);
		uint8_t v4[16], v6[16], got[16];

		assert_true(clv_nat64_is_length(p.prefix_bits));
		assert_int_equal(clv_addr_parse(examples[i].v4, v4), 0);
		assert_int_equal(clv_addr_parse(examples[i].v6, v6), 0);
		clv_nat64_embed(&p, v4, got);
		assert_memory_equal(got, v6, 16);
		assert_true(clv_nat64_extract(&p, v6, got));
		assert_memory_equal(got, v4, 16);
		v6[3] ^= 1;
		assert_false(clv_nat64_extract(&p, v6, got));
	}
	assert_false(clv_nat64_is_length(0));
	assert_false(clv_nat64_is_length(95));
	assert_false(clv_nat64_is_length(128));
}

static void the_prefix_is_found_by_the_well_known_addresses(void **state)
{
	static const char *const none[] = { "2001:db8::1", "64:ff9b::192.0.0.172",
					    "64:ff9b::192.0.1.170",
					    "::", "2001:db8:c000:aa::192.0.0.170" /* which? */ };
	struct clv_prefix found;
	uint8_t v4[16], v6[16];

	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct clv_prefix p = prefix_of(examples[i].prefix, examples[i].bits);

		assert_int_equal(clv_addr_parse(i % 2 ? "192.0.0.170" : "192.0.0.171", v4), 0);
		clv_nat64_embed(&p, v4, v6);
		assert_true(clv_nat64_find(v6, &found));
		assert_int_equal(found.prefix_bits, p.prefix_bits);
		assert_memory_equal(found.addr, p.addr, 16);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_int_equal(clv_addr_parse(none[i], v6), 0);
		assert_false(clv_nat64_find(v6, &found));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_embedded_and_extracted),
		cmocka_unit_test(the_prefix_is_found_by_the_well_known_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
