/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/base/timers.h"
#include "datapath/quic/pmtu.h"

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

/* Lost on a path that carried them: a probe decides whether the size is abandoned. */
static void test_black_hole(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	search(&p, 1472);
	for (int i = 0; i < 3; i++)
		assert_false(clv_pmtu_data_lost(&p, 1400, 0));
	assert_int_equal(clv_pmtu_probe(&p, 0), 0);
	clv_pmtu_data_lost(&p, 1400, 0);
	for (uint64_t now = 0; now < 3 * CLV_SEC; now += CLV_SEC) {
		assert_int_equal(p.confirmed, 1472);
		assert_int_equal(clv_pmtu_probe(&p, now), 1472);
		clv_pmtu_sent(&p);
		clv_pmtu_lost(&p, now);
	}
	assert_int_equal(p.confirmed, 1252);
	search(&p, 1300);
	assert_true(p.confirmed <= 1300 && p.confirmed > 1300 - 32);
}

/* Where a probe finds no place between datagrams, they are evidence enough after a second. */
static void test_black_hole_without_probes(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	search(&p, 1472);
	for (int i = 0; i < 100; i++)
		assert_false(clv_pmtu_data_lost(&p, 1400, CLV_SEC / 2));
	assert_int_equal(p.confirmed, 1472);
	assert_true(clv_pmtu_data_lost(&p, 1400, 2 * CLV_SEC));
	assert_int_equal(p.confirmed, 1252);
}

static void test_small_losses_say_nothing(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	search(&p, 1472);
	for (uint64_t i = 0; i < 100; i++)
		assert_false(clv_pmtu_data_lost(&p, 1252, i * CLV_SEC));
	for (uint64_t i = 0; i < 100; i++) { /* nor large ones between which others arrive */
		assert_false(clv_pmtu_data_lost(&p, 1400, i * CLV_SEC));
		clv_pmtu_data_acked(&p, 1400);
	}
	assert_int_equal(p.confirmed, 1472);
	assert_true(p.done);
}

static void test_another_path(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	search(&p, 1472);
	clv_pmtu_move(&p, false, 1500, 0); /* the same packet, less its longer header */
	assert_int_equal(p.confirmed, 1452);
	assert_int_equal(clv_pmtu_probe(&p, 0), 1452); /* to be confirmed */
	clv_pmtu_sent(&p);
	clv_pmtu_acked(&p, 0);
	assert_true(p.done);
	clv_pmtu_move(&p, true, 1400, 0);
	assert_int_equal(p.confirmed, 1372);
	clv_pmtu_move(&p, true, 1280, 0);
	assert_int_equal(p.confirmed, 1252);
	clv_pmtu_move(&p, true, 1500, 0);
	assert_int_equal(p.confirmed, 1252);
	search(&p, 1472);
	assert_int_equal(p.confirmed, 1472);
}

static void test_looked_at_again(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 1500);
	search(&p, 1300);
	assert_true(p.done);
	assert_true(clv_pmtu_next_ns(&p) >= 600 * CLV_SEC);
	assert_int_equal(clv_pmtu_probe(&p, 599 * CLV_SEC), 0);
	assert_int_equal(clv_pmtu_probe(&p, 2000 * CLV_SEC), 1472);
	clv_pmtu_sent(&p);
	assert_true(clv_pmtu_acked(&p, 2000 * CLV_SEC));
	assert_int_equal(p.confirmed, 1472);
	assert_int_equal(clv_pmtu_next_ns(&p), CLV_TIMER_NEVER);
}

static void test_jumbo_links(void **state)
{
	struct clv_pmtu p;

	(void)state;
	clv_pmtu_init(&p, true, 9000);
	assert_int_equal(clv_pmtu_probe(&p, 0), 1472);
	clv_pmtu_init(&p, false, 0); /* not known */
	assert_int_equal(clv_pmtu_probe(&p, 0), 1452);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_first_probe_is_the_link),
		cmocka_unit_test(test_smaller_paths),
		cmocka_unit_test(test_one_loss_is_not_a_limit),
		cmocka_unit_test(test_black_hole),
		cmocka_unit_test(test_black_hole_without_probes),
		cmocka_unit_test(test_small_losses_say_nothing),
		cmocka_unit_test(test_another_path),
		cmocka_unit_test(test_looked_at_again),
		cmocka_unit_test(test_jumbo_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
