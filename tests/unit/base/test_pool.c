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
			bufs[i] = clv_pool_take(&p, NULL);
			assert_non_null(bufs[i]);
			assert_int_equal((uintptr_t)bufs[i] % 64, 0);
			for (int j = 0; j < i; j++)
				assert_true(bufs[i] >= bufs[j] + p.buf_len ||
					    bufs[j] >= bufs[i] + p.buf_len);
			memset(bufs[i], i, p.buf_len);
		}
		assert_null(clv_pool_take(&p, NULL));
		for (int i = 0; i < COUNT_MAX; i++)
			clv_pool_give(&p, bufs[i]);
	}
	assert_ptr_equal(clv_pool_take(&p, NULL), bufs[COUNT_MAX - 1]);
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
	buf = clv_pool_take(&p, NULL);
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
	assert_null(clv_pool_take(&p, NULL));
	clv_pool_fini(&p);
	assert_int_equal(clv_pool_init(&p, SIZE_MAX / 64, 100), -ENOMEM);
	assert_int_equal(clv_pool_init(&p, 1, SIZE_MAX), -ENOMEM);
}

static void is_shared(void **state)
{
	enum { COUNT = 64 };
	struct clv_share source = { 0 }, hogs[2] = { { .group = &source }, { .group = &source } };
	struct clv_share bystander = { 0 };
	void *taken[COUNT];
	struct clv_pool p;
	unsigned n = 0;

	(void)state;
	assert_int_equal(clv_pool_init(&p, COUNT, 100), 0);
	for (int round = 0; round < COUNT; round++)
		for (int i = 0; i < 2; i++) {
			void *buf = clv_pool_take(&p, &hogs[i]);

			if (buf)
				taken[n++] = buf;
		}
	assert_int_equal(n, COUNT / 2); /* what one source may have, however many hogs it has */
	assert_int_equal(source.held, n);
	for (unsigned i = 0; i < COUNT / 4; i++) {
		taken[n] = clv_pool_take(&p, &bystander);
		assert_non_null(taken[n++]);
	}
	assert_null(clv_pool_take(&p, &bystander));
	while (n)
		clv_pool_give(&p, taken[--n]);
	assert_int_equal(hogs[0].held + hogs[1].held + source.held + bystander.held, 0);
	assert_int_equal(p.free_len, COUNT);
	clv_pool_fini(&p);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("every buffer is lent once, the last one given first", lends_each_once),
#ifndef NDEBUG
		CASE("a buffer given twice ends the program", catches_a_buffer_given_twice),
#endif
		CASE("a source with any number of hogs leaves buffers for a bystander", is_shared),
		CASE("none and too many are different results", may_be_empty),
	};

	return cmocka_run_group_tests_name("pool", cases, NULL, NULL);
}
