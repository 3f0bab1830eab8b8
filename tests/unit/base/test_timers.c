/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>

#include "datapath/base/rand.h"
#include "datapath/base/timers.h"

static void expires_in_order(void **state)
{
	struct clv_timer a = { CLV_TIMER_NEVER, 0 }, b = a, c = a;
	struct clv_timers ts;

	(void)state;
	assert_int_equal(clv_timers_init(&ts, 3), 0);
	assert_true(clv_timers_next_ns(&ts) == CLV_TIMER_NEVER);
	assert_null(clv_timers_expire(&ts, UINT64_MAX));

	clv_timers_set(&ts, &a, 30);
	clv_timers_set(&ts, &b, 10);
	clv_timers_set(&ts, &c, 20);
	assert_int_equal(clv_timers_next_ns(&ts), 10);
	assert_null(clv_timers_expire(&ts, 9));
	assert_ptr_equal(clv_timers_expire(&ts, 20), &b);
	assert_true(b.at_ns == CLV_TIMER_NEVER);
	assert_ptr_equal(clv_timers_expire(&ts, 20), &c);
	assert_null(clv_timers_expire(&ts, 20));

	clv_timers_set(&ts, &b, 40);
	clv_timers_set(&ts, &a, 50); /* later */
	assert_int_equal(clv_timers_next_ns(&ts), 40);
	clv_timers_set(&ts, &a, 5); /* earlier */
	assert_int_equal(clv_timers_next_ns(&ts), 5);
	clv_timers_set(&ts, &a, CLV_TIMER_NEVER);
	clv_timers_set(&ts, &a, CLV_TIMER_NEVER);
	assert_int_equal(clv_timers_next_ns(&ts), 40);
	clv_timers_set(&ts, &b, CLV_TIMER_NEVER);
	assert_null(clv_timers_expire(&ts, UINT64_MAX));
	clv_timers_fini(&ts);
	clv_timers_fini(&ts);
}

static void behaves_like_a_model(void **state)
{
	enum { TIMERS = 200, STEPS = 40000 };
	static struct clv_timer timers[TIMERS];
	struct clv_timers ts;
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 2);
	assert_int_equal(clv_timers_init(&ts, TIMERS), 0);
	for (size_t i = 0; i < TIMERS; i++)
		timers[i] = (struct clv_timer){ CLV_TIMER_NEVER, 0 };

	for (int step = 0; step < STEPS; step++) {
		uint64_t x = clv_rand_u64(&r), earliest = CLV_TIMER_NEVER;
		size_t armed = 0;

		if (x % 4 == 0) {
			struct clv_timer *t = clv_timers_expire(&ts, (x >> 8) % 1000);

			assert_true(!t || t->at_ns == CLV_TIMER_NEVER);
		} else {
			clv_timers_set(&ts, &timers[(x >> 8) % TIMERS],
				       x % 4 == 1 ? CLV_TIMER_NEVER : (x >> 40) % 1000);
		}
		for (size_t i = 0; i < TIMERS; i++) {
			if (timers[i].at_ns < earliest)
				earliest = timers[i].at_ns;
			armed += timers[i].at_ns != CLV_TIMER_NEVER;
			assert_int_equal(timers[i].heap_pos != 0,
					 timers[i].at_ns != CLV_TIMER_NEVER);
		}
		assert_int_equal(ts.count, armed);
		assert_true(clv_timers_next_ns(&ts) == earliest);
	}
	for (uint64_t last = 0; ts.count;) {
		uint64_t at = clv_timers_next_ns(&ts);

		assert_true(at >= last);
		last = at;
		assert_non_null(clv_timers_expire(&ts, at));
	}
	clv_timers_fini(&ts);
}

static void refuses_absurd_limit(void **state)
{
	struct clv_timers ts;

	(void)state;
	assert_int_equal(clv_timers_init(&ts, SIZE_MAX), -ENOMEM);
	assert_int_equal(clv_timers_init(&ts, 0), 0);
	assert_true(clv_timers_next_ns(&ts) == CLV_TIMER_NEVER);
	clv_timers_fini(&ts);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("timers expire earliest first and not before their time", expires_in_order),
		CASE("random arming agrees with a plain model", behaves_like_a_model),
		CASE("a limit beyond memory is refused", refuses_absurd_limit),
	};

	return cmocka_run_group_tests_name("timers", cases, NULL, NULL);
}
