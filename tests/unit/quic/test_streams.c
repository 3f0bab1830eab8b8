/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "datapath/quic/streams.h"

static void put(struct clv_streams *ss, int64_t id, const char *text, bool fin)
{
	assert_int_equal(clv_streams_write(ss, id, (const uint8_t *)text, strlen(text), fin), 0);
}

static void test_parts_of_a_chunk(void **state)
{
	struct clv_streams ss = { 0 };
	ngtcp2_vec v[4];
	int64_t id;
	bool fin;

	(void)state;
	put(&ss, 0, "hello", false);
	put(&ss, 0, "world", true);
	assert_int_equal(clv_streams_next(&ss, &id, v, 4, &fin), 2);
	assert_true(fin);
	clv_streams_sent(&ss, 0, 7, false);
	assert_int_equal(clv_streams_next(&ss, &id, v, 4, &fin), 1);
	assert_int_equal(v[0].len, 3);
	assert_memory_equal(v[0].base, "rld", 3);
	clv_streams_acked(&ss, 0, 6);
	assert_int_equal(ss.backlog, 4);
	clv_streams_sent(&ss, 0, 3, true);
	assert_int_equal(clv_streams_next(&ss, &id, v, 4, &fin), -1);
	clv_streams_acked(&ss, 0, 4);
	assert_int_equal(ss.backlog, 0);
	clv_streams_fini(&ss);
}

static void test_fin_alone(void **state)
{
	struct clv_streams ss = { 0 };
	ngtcp2_vec v[2];
	int64_t id;
	bool fin = false;

	(void)state;
	assert_int_equal(clv_streams_write(&ss, 4, NULL, 0, true), 0);
	assert_int_equal(clv_streams_next(&ss, &id, v, 2, &fin), 0);
	assert_int_equal(id, 4);
	assert_true(fin);
	clv_streams_sent(&ss, 4, 0, true);
	assert_int_equal(clv_streams_next(&ss, &id, v, 2, &fin), -1);
	clv_streams_fini(&ss);
}

static void test_turns(void **state)
{
	struct clv_streams ss = { 0 };
	ngtcp2_vec v[1];
	int64_t id, seen[4];
	bool fin;

	(void)state;
	put(&ss, 0, "aaaa", false);
	put(&ss, 4, "bbbb", false);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), 1);
		seen[i] = id;
		clv_streams_sent(&ss, id, 2, false);
	}
	assert_int_equal(seen[0], 0);
	assert_int_equal(seen[1], 4);
	assert_int_equal(seen[2], 0);
	assert_int_equal(seen[3], 4);
	clv_streams_fini(&ss);
}

static void test_blocked_and_dropped(void **state)
{
	struct clv_streams ss = { 0 };
	ngtcp2_vec v[1];
	int64_t id;
	bool fin;

	(void)state;
	put(&ss, 0, "a", false);
	put(&ss, 4, "b", false);
	clv_streams_block(&ss, 0);
	assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), 1);
	assert_int_equal(id, 4);
	clv_streams_drop(&ss, 4);
	assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), -1);
	clv_streams_unblock(&ss, 0);
	assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), 1);
	clv_streams_drop(&ss, 99); /* not there: nothing happens */
	clv_streams_fini(&ss);
	assert_int_equal(ss.backlog, 0);
}

/* What is sent and acknowledged is forgotten; the others keep their turn, however many there are. */
static void test_thousands(void **state)
{
	enum { MANY = 5000 };
	struct clv_streams ss = { 0 };
	ngtcp2_vec v[1];
	int64_t id;
	bool fin;

	(void)state;
	for (int64_t i = 0; i < MANY; i++)
		put(&ss, 4 * i, "ab", i & 1);
	assert_int_equal(ss.count, MANY);
	for (int64_t i = 0; i < MANY; i++) {
		assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), 1);
		assert_int_equal(id, 4 * i);
		assert_int_equal(fin, i & 1);
		clv_streams_sent(&ss, id, 2, fin);
	}
	assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), -1);
	for (int64_t i = MANY - 1; i >= 0; i--) {
		clv_streams_acked(&ss, 4 * i, 1);
		assert_int_equal(ss.count, i + 1);
		clv_streams_acked(&ss, 4 * i, 1);
		assert_int_equal(ss.count, i);
	}
	assert_int_equal(ss.backlog, 0);
	assert_int_equal(clv_streams_write(&ss, 8, NULL, 0, true), 0);
	assert_int_equal(clv_streams_next(&ss, &id, v, 1, &fin), 0);
	clv_streams_sent(&ss, 8, 0, true);
	assert_int_equal(ss.count, 0); /* a FIN alone is QUIC's to repeat */
	clv_streams_fini(&ss);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_of_a_chunk),
		cmocka_unit_test(test_fin_alone),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_blocked_and_dropped),
		cmocka_unit_test(test_thousands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
