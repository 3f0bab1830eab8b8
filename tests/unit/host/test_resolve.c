/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names that need no name server, and ways to lose interest in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/host/resolve.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

struct outcome {
	unsigned calls;
	int err;
	size_t n;
	struct clv_endpoint addrs[CLV_RESOLVE_MAX];
};

static uv_loop_t loop;

static int setup(void **state)
{
	(void)state;
	return uv_loop_init(&loop);
}

static int teardown(void **state)
{
	(void)state;
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

static void on_done(void *user, int err, const struct clv_endpoint *addrs, size_t n)
{
	struct outcome *o = user;

	o->calls++;
	o->err = err;
	o->n = n;
	if (n)
		memcpy(o->addrs, addrs, n * sizeof(*addrs));
}

static struct clv_resolve *open_resolve(uint32_t pending_max, uint64_t wait_ns)
{
	struct clv_resolve *r;

	assert_int_equal(clv_resolve_open(&loop, pending_max, wait_ns, &r), 0);
	assert_true(clv_resolve_is_idle(r));
	return r;
}

static void drain(struct clv_resolve *r)
{
	while (!clv_resolve_is_idle(r))
		uv_run(&loop, UV_RUN_ONCE);
	clv_resolve_free(r);
}

static void literals_are_their_own_answer(void **state)
{
	static const char *const names[] = { "192.0.2.7", "2001:db8::7" };
	struct clv_resolve *r = open_resolve(8, CLV_SEC);
	char text[CLV_ADDR_TEXT_MAX];
	struct outcome o[2] = { 0 };
	uint64_t token;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(clv_resolve_start(r, names[i], on_done, &o[i], &token), 0);
		assert_true(token != 0);
		assert_int_equal(o[i].calls, 0); /* not from within the call */
	}
	drain(r);
	for (i = 0; i < 2; i++) {
		assert_int_equal(o[i].calls, 1);
		assert_int_equal(o[i].err, 0);
		assert_int_equal(o[i].n, 1);
		assert_int_equal(o[i].addrs[0].port, 0);
		assert_string_equal(clv_addr_format(o[i].addrs[0].addr, text, sizeof(text)),
				    names[i]);
	}
}

static void names_that_cannot_be_do_not_resolve(void **state)
{
	struct clv_resolve *r = open_resolve(8, 5 * CLV_SEC);
	struct outcome o = { 0 };
	char long_name[400];
	uint64_t token;

	(void)state;
	/* A name with a blank is refused by the resolver itself, without asking anybody. */
	assert_int_equal(clv_resolve_start(r, "no such name.invalid", on_done, &o, &token), 0);
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(clv_resolve_start(r, long_name, on_done, &o, &token), CLV_ENONAME);
	drain(r);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.err, CLV_ENONAME);
}

static void cancelled_names_are_not_told(void **state)
{
	struct clv_resolve *r = open_resolve(8, CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token;

	(void)state;
	assert_int_equal(clv_resolve_start(r, "192.0.2.7", on_done, &o, &token), 0);
	clv_resolve_cancel(r, token);
	clv_resolve_cancel(r, token);
	clv_resolve_cancel(r, token + 1);
	drain(r);
	assert_int_equal(o.calls, 0);
}

static void names_beyond_the_ceiling_are_refused(void **state)
{
	struct clv_resolve *r = open_resolve(2, CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token;

	(void)state;
	assert_int_equal(clv_resolve_start(r, "192.0.2.1", on_done, &o, &token), 0);
	assert_int_equal(clv_resolve_start(r, "192.0.2.2", on_done, &o, &token), 0);
	assert_int_equal(clv_resolve_start(r, "192.0.2.3", on_done, &o, &token), CLV_EFULL);
	while (!clv_resolve_is_idle(r))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(o.calls, 2);
	assert_int_equal(clv_resolve_start(r, "192.0.2.3", on_done, &o, &token), 0);
	drain(r);
	assert_int_equal(o.calls, 3);
}

/* With no time at all, the timer goes before the thread's answer is taken. */
static void late_answers_are_timeouts(void **state)
{
	struct clv_resolve *r = open_resolve(8, 0);
	struct outcome o = { 0 };
	uint64_t token;

	(void)state;
	assert_int_equal(clv_resolve_start(r, "192.0.2.7", on_done, &o, &token), 0);
	drain(r);
	assert_int_equal(o.calls, 1);
	assert_int_equal(o.err, CLV_ENAMETIME);
}

static void closing_forgets_what_is_pending(void **state)
{
	struct clv_resolve *r = open_resolve(64, CLV_SEC);
	struct outcome o = { 0 };
	uint64_t token;
	int i;

	(void)state;
	for (i = 0; i < 32; i++)
		assert_int_equal(clv_resolve_start(r, "192.0.2.7", on_done, &o, &token), 0);
	clv_resolve_close(r);
	drain(r);
	assert_int_equal(o.calls, 0);
	clv_resolve_close(NULL);
	assert_true(clv_resolve_is_idle(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_are_their_own_answer),
		cmocka_unit_test(names_that_cannot_be_do_not_resolve),
		cmocka_unit_test(cancelled_names_are_not_told),
		cmocka_unit_test(names_beyond_the_ceiling_are_refused),
		cmocka_unit_test(late_answers_are_timeouts),
		cmocka_unit_test(closing_forgets_what_is_pending),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
