/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/tunnel/waitq.h"

static struct clv_pool pool;

static int setup(void **state)
{
	(void)state;
	return clv_pool_init(&pool, 4, 256);
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(pool.free_len, pool.count); /* every buffer is back */
	clv_pool_fini(&pool);
	return 0;
}

static int push(struct clv_waitq *q, const char *head, const char *tail, uint64_t now)
{
	return clv_waitq_push(q, &pool, NULL, (const uint8_t *)head, strlen(head),
			      (const uint8_t *)tail, strlen(tail), now);
}

static void test_order(void **state)
{
	struct clv_waitq q;
	const uint8_t *data;
	size_t len;

	(void)state;
	clv_waitq_init(&q, 3, 100);
	assert_int_equal(push(&q, "a", "1", 0), 0);
	assert_int_equal(push(&q, "b", "", 1), 0);
	assert_true(clv_waitq_peek(&q, &data, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(data, "a1", 2);
	clv_waitq_pop(&q, &pool);
	assert_true(clv_waitq_peek(&q, &data, &len));
	assert_memory_equal(data, "b", 1);
	clv_waitq_pop(&q, &pool);
	assert_false(clv_waitq_peek(&q, &data, &len));
}

static void test_bounds(void **state)
{
	struct clv_waitq q, other;
	uint8_t big[300] = { 0 };

	(void)state;
	clv_waitq_init(&q, 3, 100);
	clv_waitq_init(&other, 3, 100);
	for (int i = 0; i < 3; i++)
		assert_int_equal(push(&q, "x", "", 0), 0);
	assert_int_equal(push(&q, "x", "", 0), CLV_EFULL);
	assert_int_equal(push(&other, "y", "", 0), 0);
	assert_int_equal(push(&other, "y", "", 0), -ENOBUFS);
	assert_int_equal(clv_waitq_push(&other, &pool, NULL, big, sizeof(big), NULL, 0, 0),
			 CLV_ERANGE);
	assert_int_equal(clv_waitq_fini(&q, &pool), 3);
	assert_int_equal(clv_waitq_fini(&other, &pool), 1);
}

static void test_sojourn(void **state)
{
	struct clv_waitq q;

	(void)state;
	clv_waitq_init(&q, 4, 100);
	push(&q, "a", "", 0);
	push(&q, "b", "", 50);
	assert_int_equal(clv_waitq_expire(&q, &pool, 99), 0);
	assert_int_equal(clv_waitq_expire(&q, &pool, 100), 1);
	assert_int_equal(clv_waitq_expire(&q, &pool, 1000), 1);
	assert_int_equal(q.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sojourn, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
