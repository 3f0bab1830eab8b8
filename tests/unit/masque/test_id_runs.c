/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/masque/id_runs.h"
#include "datapath/base/err.h"

enum {
	IDS = 64,
	STEP = 27, /* has no divisor in common with IDS: visits all of them, far apart */
};

static void test_every_order_gives_the_same_set(void **state)
{
	struct clv_id_runs set = { 0 };
	bool has[IDS] = { false };

	(void)state;
	for (uint64_t n = 0, id = 5; n < IDS; n++, id = (id + STEP) % IDS) {
		assert_false(clv_id_runs_has(&set, id));
		assert_int_equal(clv_id_runs_add(&set, id, IDS), 0);
		has[id] = true;
		for (uint64_t i = 0; i < IDS; i++)
			assert_int_equal(clv_id_runs_has(&set, i), has[i]);
	}
	assert_int_equal(set.len, 1);
	assert_false(clv_id_runs_has(&set, IDS));
	assert_false(clv_id_runs_has(&set, UINT64_MAX));
	clv_id_runs_fini(&set);
}

static void test_only_gaps_cost_room(void **state)
{
	struct clv_id_runs set = { 0 };

	(void)state;
	for (uint64_t id = 10; id < 10000; id++)
		assert_int_equal(clv_id_runs_add(&set, id, 1), 0);
	assert_int_equal(clv_id_runs_add(&set, 8, 1), CLV_EFULL);
	assert_int_equal(clv_id_runs_add(&set, 8, 2), 0);
	assert_int_equal(clv_id_runs_add(&set, 6, 2), CLV_EFULL);
	assert_false(clv_id_runs_has(&set, 6));
	/* What closes a gap is always let in. */
	assert_int_equal(clv_id_runs_add(&set, 9, 0), 0);
	assert_int_equal(set.len, 1);
	clv_id_runs_fini(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_order_gives_the_same_set),
		cmocka_unit_test(test_only_gaps_cost_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
