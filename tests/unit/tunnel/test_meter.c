/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The rates and the total of one client at one worker. */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"
#include "datapath/tunnel/meter.h"

#define START (5 * CLV_SEC)

static bool pass(struct clv_meter *m, enum clv_meter_way way, size_t len, uint64_t now_ns)
{
	if (clv_meter_judge(m, way, len, now_ns) != CLV_COUNTER_MAX)
		return false;
	clv_meter_charge(m, way, len, now_ns);
	return true;
}

/* How many of 10,000 a second pass in some seconds. */
static unsigned flood(struct clv_meter *m, enum clv_meter_way way, size_t len, unsigned sec)
{
	unsigned passed = 0;

	for (unsigned i = 0; i < 10000 * sec; i++)
		passed += pass(m, way, len, START + i * (CLV_SEC / 10000));
	return passed;
}

static struct clv_meter meter_of(uint64_t packets, uint64_t mbit, uint32_t shares, uint64_t bytes)
{
	return (struct clv_meter){ .limits = clv_meter_limits_of(packets, mbit, shares, bytes) };
}

static void without_limits_everything_passes_and_is_counted(void **state)
{
	struct clv_meter m = meter_of(UINT64_MAX, UINT64_MAX, 1, UINT64_MAX);

	(void)state;
	assert_int_equal(flood(&m, CLV_METER_TO_TARGET, 1000, 1), 10000);
	assert_int_equal(m.packets[CLV_METER_TO_TARGET], 10000);
	assert_int_equal(m.bytes[CLV_METER_TO_TARGET], 10000000);
	assert_int_equal(m.bytes[CLV_METER_TO_PEER], 0);
	assert_int_equal(m.dropped[CLV_METER_TO_TARGET], 0);
}

static void packets_are_limited_in_each_direction(void **state)
{
	struct clv_meter m = meter_of(1000, UINT64_MAX, 1, UINT64_MAX);

	(void)state;
	for (int way = 0; way < CLV_METER_WAYS; way++) {
		assert_in_range(flood(&m, (enum clv_meter_way)way, 100, 10), 10000, 10101);
		assert_in_range(m.dropped[way], 89899, 90000);
	}
}

static void bytes_are_limited_whatever_the_size(void **state)
{
	static const size_t sizes[] = { 100, 1200, 60000 };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct clv_meter m = meter_of(UINT64_MAX, 8, 1, UINT64_MAX);
		size_t seconds = 10;

		flood(&m, CLV_METER_TO_PEER, sizes[i], (unsigned)seconds);
		/* 1 MB a second, or less if less was sent, and the burst */
		if (sizes[i] * 10000 < 1000000)
			assert_int_equal(m.dropped[CLV_METER_TO_PEER], 0);
		assert_in_range(m.bytes[CLV_METER_TO_PEER], seconds * 1000000 - 60000,
				seconds * 1000000 + 160000);
	}
}

static void a_slow_rate_still_passes_datagrams_of_any_size(void **state)
{
	struct clv_meter m = meter_of(1, 1, 8, UINT64_MAX);

	(void)state;
	assert_true(pass(&m, CLV_METER_TO_TARGET, 65507, START));
	assert_false(pass(&m, CLV_METER_TO_TARGET, 65507, START + CLV_SEC));
	assert_true(pass(&m, CLV_METER_TO_TARGET, 65507, START + 10 * CLV_SEC));
}

static void workers_divide_the_rate(void **state)
{
	struct clv_meter m = meter_of(1000, UINT64_MAX, 4, UINT64_MAX);

	(void)state;
	assert_in_range(flood(&m, CLV_METER_TO_TARGET, 10, 10), 2500, 2526);
}

static void zero_allows_nothing(void **state)
{
	struct clv_meter packets = meter_of(0, UINT64_MAX, 1, UINT64_MAX);
	struct clv_meter bytes = meter_of(UINT64_MAX, 0, 1, UINT64_MAX);
	struct clv_meter total = meter_of(UINT64_MAX, UINT64_MAX, 1, 0);

	(void)state;
	assert_int_equal(flood(&packets, CLV_METER_TO_TARGET, 10, 1), 0);
	assert_int_equal(flood(&bytes, CLV_METER_TO_TARGET, 10, 1), 0);
	assert_int_equal(clv_meter_judge(&total, CLV_METER_TO_PEER, 10, START),
			 CLV_COUNT_DROP_CLIENT_BYTES);
}

static void the_total_is_of_both_directions(void **state)
{
	struct clv_meter m = meter_of(UINT64_MAX, UINT64_MAX, 1, 10000);

	(void)state;
	assert_int_equal(flood(&m, CLV_METER_TO_TARGET, 1000, 1), 10);
	assert_false(pass(&m, CLV_METER_TO_PEER, 1, START));
	/* More is allowed later. */
	m.limits.bytes_max = 12000;
	assert_true(pass(&m, CLV_METER_TO_PEER, 2000, START));
	assert_false(pass(&m, CLV_METER_TO_PEER, 1, START));
	/* And less does not wrap. */
	m.limits.bytes_max = 5;
	assert_false(pass(&m, CLV_METER_TO_PEER, 1, START));
}

static void the_largest_limits_do_not_overflow(void **state)
{
	struct clv_meter m = meter_of(1000000000, 1000000, 64, UINT64_C(1) << 62);

	(void)state;
	assert_int_equal(flood(&m, CLV_METER_TO_TARGET, 1200, 1), 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_everything_passes_and_is_counted),
		cmocka_unit_test(packets_are_limited_in_each_direction),
		cmocka_unit_test(bytes_are_limited_whatever_the_size),
		cmocka_unit_test(a_slow_rate_still_passes_datagrams_of_any_size),
		cmocka_unit_test(workers_divide_the_rate),
		cmocka_unit_test(zero_allows_nothing),
		cmocka_unit_test(the_total_is_of_both_directions),
		cmocka_unit_test(the_largest_limits_do_not_overflow),
	};

	return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
