/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/rand.h"

static void repeats_a_seed(void **state)
{
	struct clv_rand a, b, c;
	uint8_t x[600], y[600];

	(void)state;
	clv_rand_init(&a, 5);
	clv_rand_init(&b, 5);
	clv_rand_init(&c, 6);
	clv_rand_bytes(&a, x, sizeof(x));
	for (size_t i = 0; i < sizeof(y); i += 25)
		clv_rand_bytes(&b, y + i, 25);
	assert_memory_equal(x, y, sizeof(x));
	assert_true(clv_rand_u64(&a) == clv_rand_u64(&b));
	clv_rand_bytes(&c, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
}

static void differs_without_a_seed(void **state)
{
	struct clv_rand a, b;
	uint8_t x[32], y[32];

	(void)state;
	clv_rand_init(&a, 0);
	clv_rand_init(&b, 0);
	clv_rand_bytes(&a, x, sizeof(x));
	clv_rand_bytes(&b, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
	clv_rand_bytes(&a, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
}

static void forgets_what_it_gave(void **state)
{
	static const uint8_t zeros[100];
	struct clv_rand r;
	uint8_t out[100];

	(void)state;
	clv_rand_init(&r, 0);
	clv_rand_bytes(&r, out, sizeof(out));
	assert_int_equal(r.used, sizeof(out));
	assert_memory_equal(r.buf, zeros, sizeof(zeros));
	assert_memory_not_equal(r.buf + sizeof(out), zeros, sizeof(zeros));
}

static void spreads_over_all_bits(void **state)
{
	uint64_t ones = 0, zeros = 0;
	struct clv_rand r;

	(void)state;
	for (uint64_t seed = 0; seed < 2; seed++) {
		clv_rand_init(&r, seed);
		for (int i = 0; i < 200; i++) {
			uint64_t x = clv_rand_u64(&r);

			ones |= x;
			zeros |= ~x;
		}
		assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("a seed repeats its bytes however they are asked for", repeats_a_seed),
		CASE("without a seed no two generators agree", differs_without_a_seed),
		CASE("bytes handed out are cleared in the buffer", forgets_what_it_gave),
		CASE("every bit takes both values", spreads_over_all_bits),
	};

	return cmocka_run_group_tests_name("rand", cases, NULL, NULL);
}
