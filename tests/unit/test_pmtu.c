/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/session/pmtu.h"

/* Search until it ends on a path that carries at most passes bytes of UDP payload. */
static unsigned search(struct clv_pmtu *p, unsigned passes)
{
	uint64_t now = 0;
	unsigned probes = 0;

	while (!p->done) {
		uint16_t size = clv_pmtu_probe(p, now);

		if (size) {
			assert_true(size > p->confirmed);
			clv_pmtu_sent(p);
			assert_int_equal(clv_pmtu_probe(p, now), 0); /* one at a time */
			if (size <= passes)
				clv_pmtu_acked(p, now);
			else
				clv_pmtu_lost(p, now);
			assert_true(++probes < 100);
		}
		now += CLV_SEC;
	}
	return probes;
}

static void test_floor(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, false, 1280);
	assert_int_equal(p.confirmed, 1232);
	assert_true(p.done);
	clv_pmtu_init(&p, true, 1280);
	assert_int_equal(p.confirmed, 1252);
	clv_pmtu_init(&p, false, 600); /* no IPv6 link is below 1280 */
	assert_int_equal(p.confirmed, 1232);
	assert_true(p.done);
}

static void test_first_probe_is_the_link(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	assert_int_equal(search(&p, 1472), 1);
	assert_int_equal(p.confirmed, 1472);
}

static void test_smaller_paths(void **state)
{
	static const unsigned passes[] = { 1232, 1300, 1372, 1400, 1451 };

	(void)state;
	for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
		struct clv_pmtu p;

		clv_pmtu_init(&p, false, 1500);
		search(&p, passes[i]);
		assert_true(p.confirmed <= passes[i]);
		assert_true(p.confirmed + 32u >= passes[i]); /* the last step is below 16 */
	}
}

static void test_one_loss_is_not_a_limit(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	clv_pmtu_sent(&p);
	clv_pmtu_lost(&p, 0);
	assert_int_equal(clv_pmtu_probe(&p, 0), 0); /* not at once */
	assert_int_equal(clv_pmtu_probe(&p, CLV_SEC), 1472);
	clv_pmtu_sent(&p);
	assert_true(clv_pmtu_acked(&p, CLV_SEC));
	assert_int_equal(p.confirmed, 1472);
	assert_false(clv_pmtu_acked(&p, CLV_SEC)); /* a late one changes nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_first_probe_is_the_link),
		cmocka_unit_test(test_smaller_paths),
		cmocka_unit_test(test_one_loss_is_not_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
