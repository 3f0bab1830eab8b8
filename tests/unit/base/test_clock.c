/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"

static void goes_forward(void **state)
{
	uint64_t start = clv_clock_now_ns(), last = start;

	(void)state;
	while (last < start + CLV_MSEC) {
		uint64_t now = clv_clock_now_ns();

		assert_true(now >= last);
		last = now;
	}
	assert_true(CLV_SEC == 1000 * CLV_MSEC);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("the clock goes forward", goes_forward),
	};

	return cmocka_run_group_tests_name("clock", cases, NULL, NULL);
}
