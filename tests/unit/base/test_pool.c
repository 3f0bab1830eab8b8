/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/base/pool.h"

static void lends_each_once(void **state)
{
	enum { COUNT_MAX = 5 };
	struct clv_pool p;
	uint8_t *bufs[COUNT_MAX];

	(void)state;
	assert_int_equal(clv_pool_init(&p, COUNT_MAX, 100), 0);
	assert_int_equal(p.buf_len, 128);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < COUNT_MAX; i++) {
			bufs[i] = clv_pool_take(&p);
			assert_non_null(bufs[i]);
			assert_int_equal((uintptr_t)bufs[i] % 64, 0);
			for (int j = 0; j < i; j++)
				assert_true(bufs[i] >= bufs[j] + p.buf_len ||
					    bufs[j] >= bufs[i] + p.buf_len);
			memset(bufs[i], i, p.buf_len);
		}
		assert_null(clv_pool_take(&p));
		for (int i = 0; i < COUNT_MAX; i++)
			clv_pool_give(&p, bufs[i]);
	}
	assert_ptr_equal(clv_pool_take(&p), bufs[COUNT_MAX - 1]);
	clv_pool_fini(&p);
	clv_pool_fini(&p);
}

#ifndef NDEBUG
static void catches_a_buffer_given_twice(void **state)
{
	struct clv_pool p;
	void *buf;
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(clv_pool_init(&p, 2, 64), 0);
	buf = clv_pool_take(&p);
	clv_pool_give(&p, buf);
	child = fork();
	if (child == 0) {
		close(STDERR_FILENO); /* the assertion's message would look like a failure */
		clv_pool_give(&p, buf);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	clv_pool_fini(&p);
}
#endif

static void may_be_empty(void **state)
{
	struct clv_pool p;

	(void)state;
	assert_int_equal(clv_pool_init(&p, 0, 100), 0);
	assert_null(clv_pool_take(&p));
	clv_pool_fini(&p);
	assert_int_equal(clv_pool_init(&p, SIZE_MAX / 64, 100), -ENOMEM);
	assert_int_equal(clv_pool_init(&p, 1, SIZE_MAX), -ENOMEM);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("every buffer is lent once, the last one given first", lends_each_once),
#ifndef NDEBUG
		CASE("a buffer given twice ends the program", catches_a_buffer_given_twice),
#endif
		CASE("none and too many are different results", may_be_empty),
	};

	return cmocka_run_group_tests_name("pool", cases, NULL, NULL);
}
