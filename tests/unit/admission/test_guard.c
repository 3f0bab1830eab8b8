/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "bpf/guard.h"
#include "control/admission/guard.h"
#include "datapath/base/addr.h"

#define SEC UINT64_C(1000000000)

static const uint64_t seed[2] = { 3, 5 };

static void a_token_that_was_given_back_is_there_again(void **state)
{
	struct clv_guard_limits limits = { .host = clv_rate_of(1, 2), .net = clv_rate_of(1, 3) };
	uint64_t now_ns = 1000 * SEC;
	uint8_t addr[16];
	struct clv_guard g;

	(void)state;
	clv_addr_parse("192.0.2.1", addr);
	assert_int_equal(clv_guard_init(&g, &limits, 64, seed), 0);
	clv_guard_give(&g, addr, CLV_GUARD_INITIAL, now_ns); /* of a full bucket */
	for (int i = 0; i < 50; i++) {
		assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
		assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
		clv_guard_give(&g, addr, CLV_GUARD_INITIAL, now_ns);
		clv_guard_give(&g, addr, CLV_GUARD_INITIAL, now_ns);
	}
	assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	assert_false(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	/* Not more than the bucket holds, however late it comes back. */
	now_ns += 10 * SEC;
	clv_guard_give(&g, addr, CLV_GUARD_INITIAL, now_ns);
	clv_guard_give(&g, addr, CLV_GUARD_INITIAL, now_ns);
	assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	assert_true(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	assert_false(clv_guard_take(&g, addr, CLV_GUARD_INITIAL, now_ns));
	clv_guard_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a token that was given back is there again",
		     a_token_that_was_given_back_is_there_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
