/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the workers' sockets for held ports lost, by counters of the kernel that wrap. */
#include "tests/unit/check.h"

#include "control/daemon/held.h"

static void the_filters_drops_are_not_lost(void **state)
{
	(void)state;
	assert_int_equal(clv_held_lost_next(0, 0, 0), 0);
	assert_int_equal(clv_held_lost_next(0, 540, 540), 0);
	assert_int_equal(clv_held_lost_next(0, 540, 500), 40);
}

/* The filter's count is read later. */
static void what_was_lost_never_goes_back(void **state)
{
	(void)state;
	assert_int_equal(clv_held_lost_next(0, 10, 12), 0);
	assert_int_equal(clv_held_lost_next(40, 540, 505), 40);
	assert_int_equal(clv_held_lost_next(40, 546, 505), 41);
}

static void the_kernels_counters_may_wrap(void **state)
{
	const uint64_t most = UINT32_MAX, step = 1 << 30;
	uint64_t lost = 0, i;

	(void)state;
	/* of the filter alone */
	assert_int_equal(clv_held_lost_next(7, 7 + (uint32_t)(most + 5), most + 5), 7);
	/* of what was lost */
	for (i = 1; i <= 9; i++) {
		lost = clv_held_lost_next(lost, (uint32_t)(i * step + 100), 100);
		assert_int_equal(lost, i * step);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_filters_drops_are_not_lost),
		cmocka_unit_test(what_was_lost_never_goes_back),
		cmocka_unit_test(the_kernels_counters_may_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
