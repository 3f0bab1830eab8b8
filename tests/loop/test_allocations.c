/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker in its stride allocates nothing for a datagram: counted in malloc itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"

enum {
	WARM_UP = 3000,
	COUNTED = 3000,
};

static unsigned calls; /* to the allocator, from inside a worker's step */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAVE_COUNTING 0 /* the sanitizer has taken malloc for itself */
#else
#define HAVE_COUNTING 1

extern void *__libc_malloc(size_t len);
extern void *__libc_calloc(size_t n, size_t len);
extern void *__libc_realloc(void *p, size_t len);

static void count(void)
{
	if (world_in_worker && !wire_depth)
		calls++;
}

void *malloc(size_t len)
{
	count();
	return __libc_malloc(len);
}

void *calloc(size_t n, size_t len)
{
	count();
	return __libc_calloc(n, len);
}

void *realloc(void *p, size_t len)
{
	count();
	return __libc_realloc(p, len);
}
#endif

static void echo_many(struct world *w, uint32_t n)
{
	world_app_send_many(w, n, 1000);
}

static void test_no_allocation_for_a_datagram(void **state)
{
	struct world *w;

	(void)state;
	if (!HAVE_COUNTING) {
		print_message("the sanitizer owns malloc: counted in the plain build\n");
		skip();
	}
	w = world_new(&(struct world_params){ 0 });
	calls = 0;
	world_open_tunnel(w);
	assert_true(calls > 0); /* the counter counts: streams and first pools cost some */
	echo_many(w, WARM_UP);
	calls = 0;
	echo_many(w, COUNTED);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, WARM_UP + COUNTED);
	assert_int_equal(calls, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_allocation_for_a_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
