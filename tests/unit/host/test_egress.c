/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/host/egress.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	MIN = 47810,
	MAX = 47829,
	COUNT = MAX - MIN + 1,
};

static uint8_t loopback[16], other[16];

static int setup(void **state)
{
	(void)state;
	return clv_addr_parse("127.0.0.1", loopback) || clv_addr_parse("127.0.0.2", other);
}

static struct clv_egress_pool *open_pool(void)
{
	struct clv_egress_pool *pool;

	assert_int_equal(clv_egress_open(MIN, MAX, &pool), 0);
	return pool;
}

/* Whether another program could bind the port. */
static bool is_free(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool ok;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ok = bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
	close(fd);
	return ok;
}

static unsigned open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void all_ports_of_the_range_are_given_once(void **state)
{
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress taken[COUNT], more;
	bool seen[COUNT] = { 0 };
	unsigned i, at;

	(void)state;
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(clv_egress_take(pool, loopback, i & 1, &taken[i]), 0);
		at = ntohs(taken[i].local.port) - MIN;
		assert_true(at < COUNT && !seen[at]);
		seen[at] = true;
		assert_memory_equal(taken[i].local.addr, loopback, 16);
		assert_false(is_free(MIN + at));
	}
	assert_int_equal(clv_egress_used(pool), COUNT);
	assert_int_equal(clv_egress_take(pool, loopback, true, &more), CLV_EFULL);
	/* Each address has its own range. */
	assert_int_equal(clv_egress_take(pool, other, true, &more), 0);
	clv_egress_close(pool);
	assert_true(is_free(MIN));
}

static void a_port_given_back_is_free_for_all(void **state)
{
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e, again;
	uint16_t port;

	(void)state;
	assert_int_equal(clv_egress_take(pool, loopback, true, &e), 0);
	port = ntohs(e.local.port);
	again = e;
	clv_egress_give(pool, &e);
	assert_int_equal(e.fd, -1);
	assert_true(is_free(port));
	assert_int_equal(clv_egress_used(pool), 0);
	clv_egress_give(pool, &again); /* a second time is accepted */
	assert_int_equal(clv_egress_used(pool), 0);
	clv_egress_close(pool);
}

static void foreign_ports_are_stepped_over(void **state)
{
	struct clv_egress_pool *mine, *theirs;
	struct clv_egress e;
	unsigned i;

	(void)state;
	mine = open_pool();
	theirs = open_pool();
	for (i = 0; i < COUNT - 1; i++)
		assert_int_equal(clv_egress_take(theirs, loopback, true, &e), 0);
	assert_int_equal(clv_egress_take(mine, loopback, true, &e), 0);
	assert_int_equal(clv_egress_take(mine, loopback, true, &e), CLV_EFULL);
	clv_egress_close(theirs);
	assert_int_equal(clv_egress_take(mine, loopback, true, &e), 0);
	clv_egress_close(mine);
}

static void ports_do_not_come_in_order(void **state)
{
	struct clv_egress_pool *pool;
	struct clv_egress e;
	unsigned i, steps = 0;
	uint16_t last = 0;

	(void)state;
	assert_int_equal(clv_egress_open(40000, 47000, &pool), 0);
	for (i = 0; i < 32; i++) {
		assert_int_equal(clv_egress_take(pool, loopback, true, &e), 0);
		steps += ntohs(e.local.port) == last + 1;
		last = ntohs(e.local.port);
	}
	assert_true(steps < 4);
	clv_egress_close(pool);
}

static void nothing_is_left_open(void **state)
{
	unsigned before = open_fds(), i;
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e;

	(void)state;
	for (i = 0; i < COUNT; i++)
		assert_int_equal(clv_egress_take(pool, loopback, i & 1, &e), 0);
	clv_egress_close(pool);
	assert_int_equal(open_fds(), before);
	clv_egress_close(NULL);
}

static void foreign_addresses_and_bad_ranges_are_errors(void **state)
{
	struct clv_egress_pool *pool;
	struct clv_egress e;
	uint8_t foreign[16];

	(void)state;
	assert_int_equal(clv_egress_open(0, 10, &pool), CLV_ERANGE);
	assert_int_equal(clv_egress_open(10, 9, &pool), CLV_ERANGE);
	pool = open_pool();
	assert_int_equal(clv_addr_parse("203.0.113.77", foreign), 0);
	assert_int_equal(clv_egress_take(pool, foreign, true, &e), -EADDRNOTAVAIL);
	assert_int_equal(clv_egress_used(pool), 0);
	clv_egress_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_ports_of_the_range_are_given_once),
		cmocka_unit_test(a_port_given_back_is_free_for_all),
		cmocka_unit_test(foreign_ports_are_stepped_over),
		cmocka_unit_test(ports_do_not_come_in_order),
		cmocka_unit_test(nothing_is_left_open),
		cmocka_unit_test(foreign_addresses_and_bad_ranges_are_errors),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
