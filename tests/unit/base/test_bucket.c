/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/bucket.h"
#include "datapath/base/clock.h"

/* Tokens that are there at a moment. */
static unsigned drain(struct clv_bucket *b, uint64_t now_ns)
{
	unsigned n = 0;

	while (n < 1000 && clv_bucket_take(b, now_ns))
		n++;
	return n;
}

static void starts_full(void **state)
{
	struct clv_bucket b = clv_bucket_of(10, 7);

	(void)state;
	assert_int_equal(drain(&b, 0), 7);
	b = clv_bucket_of(10, 7);
	assert_int_equal(drain(&b, 1000 * CLV_SEC), 7);
}

static void fills_at_its_rate(void **state)
{
	struct clv_bucket b = clv_bucket_of(10, 7);
	uint64_t now_ns = 50 * CLV_SEC;

	(void)state;
	drain(&b, now_ns);
	assert_false(clv_bucket_take(&b, now_ns + 100 * CLV_MSEC - 1));
	assert_true(clv_bucket_take(&b, now_ns + 100 * CLV_MSEC));
	assert_false(clv_bucket_take(&b, now_ns + 100 * CLV_MSEC));
	assert_int_equal(drain(&b, now_ns + 400 * CLV_MSEC), 3);
}

static void holds_no_more_than_its_burst(void **state)
{
	struct clv_bucket b = clv_bucket_of(10, 7);

	(void)state;
	drain(&b, CLV_SEC);
	assert_int_equal(drain(&b, 1000 * CLV_SEC), 7);
}

static void refusals_cost_nothing(void **state)
{
	struct clv_bucket b = clv_bucket_of(1, 1);

	(void)state;
	assert_true(clv_bucket_take(&b, CLV_SEC));
	for (int i = 0; i < 100; i++)
		assert_false(clv_bucket_take(&b, CLV_SEC + (uint64_t)i));
	assert_true(clv_bucket_take(&b, 2 * CLV_SEC));
}

static void a_second_lets_the_rate_through(void **state)
{
	static const uint32_t rates[] = { 1, 3, 7, 1000, 4096, 999999 };

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct clv_bucket b = clv_bucket_of(rates[i], 1);
		uint64_t step_ns = CLV_SEC / rates[i], n = 0;

		for (uint64_t at = 0; at < CLV_SEC; at += step_ns)
			n += clv_bucket_take(&b, CLV_SEC + at);
		assert_in_range(n, rates[i], rates[i] + rates[i] / 1000 + 1);
	}
}

static void no_rate_is_no_limit(void **state)
{
	struct clv_bucket b = clv_bucket_of(0, 5);

	(void)state;
	assert_false(clv_bucket_has_limit(&b));
	assert_int_equal(drain(&b, CLV_SEC), 1000);
	b = clv_bucket_of(1, 5);
	assert_true(clv_bucket_has_limit(&b));
}

static void a_burst_of_none_is_one(void **state)
{
	struct clv_bucket b = clv_bucket_of(2, 0);

	(void)state;
	assert_int_equal(drain(&b, CLV_SEC), 1);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("a bucket starts full", starts_full),
		CASE("it fills at its rate", fills_at_its_rate),
		CASE("it holds no more than its burst", holds_no_more_than_its_burst),
		CASE("a refusal takes nothing", refusals_cost_nothing),
		CASE("a second lets the rate through", a_second_lets_the_rate_through),
		CASE("a rate of 0 is no limit", no_rate_is_no_limit),
		CASE("a burst of 0 is one token", a_burst_of_none_is_one),
	};

	return cmocka_run_group_tests_name("bucket", cases, NULL, NULL);
}
