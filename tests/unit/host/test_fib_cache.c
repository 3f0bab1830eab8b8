/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "control/host/fib_cache.h"

enum {
	MAX = 8,
	SCANNED = 1000,
};

static struct clv_fib_cache cache;

static int setup(void **state)
{
	(void)state;
	return clv_fib_cache_init(&cache, MAX, (const uint64_t[2]){ 1, 2 });
}

static int teardown(void **state)
{
	(void)state;
	clv_fib_cache_fini(&cache);
	return 0;
}

/* Numbers differ in the source or in the destination. */
static const struct clv_fib_query *query_of(unsigned number)
{
	static struct clv_fib_query query;

	query.remote[15] = (uint8_t)(number >> 1);
	query.local[14] = (uint8_t)(number >> 9);
	query.local[15] = (uint8_t)(number & 1);
	return &query;
}

static void put(unsigned number)
{
	const struct clv_fib_answer answer = { .oif = (int)number };

	clv_fib_cache_put(&cache, query_of(number), &answer);
}

static bool knows(unsigned number)
{
	const struct clv_fib_answer *answer = clv_fib_cache_find(&cache, query_of(number));

	assert_true(!answer || answer->oif == (int)number);
	return answer != NULL;
}

static void test_each_new_answer_pushes_out_one(void **state)
{
	(void)state;
	for (unsigned n = 0; n < MAX; n++)
		put(n);
	for (unsigned n = MAX; n < SCANNED; n++) {
		put(n);
		assert_false(knows(n - MAX));
		for (unsigned kept = n - MAX + 1; kept <= n; kept++)
			assert_true(knows(kept));
	}
}

static void test_nothing_is_known_after_forget(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++) {
		for (unsigned n = 0; n < MAX + 3; n++)
			put(n);
		clv_fib_cache_forget(&cache);
		for (unsigned n = 0; n < MAX + 3; n++)
			assert_false(knows(n));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_new_answer_pushes_out_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_known_after_forget, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
