/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/hash.h"

/* From CPython 3.11, whose bytes hash is SipHash-1-3, with PYTHONHASHSEED=0: the all-zero seed. */
static void agrees_with_python(void **state)
{
	static const struct {
		size_t len; /* of 00 01 02 ... */
		uint64_t hash;
	} rows[] = {
		{ 1, 0x68a914128e01e473 },  { 7, 0x2f098ab0c751325a },	{ 8, 0xead411e67ebe2eea },
		{ 15, 0xf30eb725bb91c9ea }, { 16, 0x8972188433a5c5b7 }, { 20, 0x639e355ae68c0100 },
		{ 40, 0x95bc321ab41d8206 }, { 44, 0xd857641079efd1fd }, { 64, 0x75e05fd5bbc870c6 },
	};
	static const uint64_t seed[2] = { 0, 0 };
	uint8_t data[65];

	(void)state;
	for (size_t offset = 0; offset < 2; offset++) {
		for (size_t i = 0; i < 64; i++)
			data[offset + i] = (uint8_t)i;
		for (size_t i = 0; i < COUNT(rows); i++)
			assert_int_equal(clv_hash(seed, data + offset, rows[i].len), rows[i].hash);
	}
}

static void depends_on_seed(void **state)
{
	static const uint64_t seeds[][2] = { { 0, 0 }, { 1, 0 }, { 0, 1 } };

	(void)state;
	for (size_t i = 0; i < COUNT(seeds); i++) {
		for (size_t j = 0; j < i; j++)
			assert_true(clv_hash(seeds[i], "key", 3) != clv_hash(seeds[j], "key", 3));
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("hashes of all lengths agree with another implementation", agrees_with_python),
		CASE("another seed gives another hash", depends_on_seed),
	};

	return cmocka_run_group_tests_name("hash", cases, NULL, NULL);
}
