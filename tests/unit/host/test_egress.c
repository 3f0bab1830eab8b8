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
	REMOTES = 200,
};

static const struct clv_egress_wish alone;

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
		assert_int_equal(clv_egress_take(pool, loopback, i & 1, &alone, &taken[i]), 0);
		at = ntohs(taken[i].local.port) - MIN;
		assert_true(at < COUNT && !seen[at]);
		seen[at] = true;
		assert_memory_equal(taken[i].local.addr, loopback, 16);
		assert_false(is_free(MIN + at));
	}
	assert_int_equal(clv_egress_used(pool), COUNT);
	assert_int_equal(clv_egress_take(pool, loopback, true, &alone, &more), CLV_EFULL);
	/* Each address has its own range. */
	assert_int_equal(clv_egress_take(pool, other, true, &alone, &more), 0);
	clv_egress_close(pool);
	assert_true(is_free(MIN));
}

static void a_port_given_back_is_free_for_all(void **state)
{
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e, again;
	uint16_t port;
	void *owner;

	(void)state;
	assert_int_equal(clv_egress_take(pool, loopback, true, &alone, &e), 0);
	port = ntohs(e.local.port);
	again = e;
	assert_true(clv_egress_give(pool, &e, &owner));
	assert_int_equal(e.fd, -1);
	assert_true(is_free(port));
	assert_int_equal(clv_egress_used(pool), 0);
	assert_false(clv_egress_give(pool, &again, &owner)); /* a second time is accepted */
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
		assert_int_equal(clv_egress_take(theirs, loopback, true, &alone, &e), 0);
	assert_int_equal(clv_egress_take(mine, loopback, true, &alone, &e), 0);
	assert_int_equal(clv_egress_take(mine, loopback, true, &alone, &e), CLV_EFULL);
	clv_egress_close(theirs);
	assert_int_equal(clv_egress_take(mine, loopback, true, &alone, &e), 0);
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
		assert_int_equal(clv_egress_take(pool, loopback, true, &alone, &e), 0);
		steps += ntohs(e.local.port) == last + 1;
		last = ntohs(e.local.port);
	}
	assert_true(steps < 4);
	clv_egress_close(pool);
}

/* ---- shared ports ---- */

static struct clv_endpoint remote_number(unsigned number)
{
	struct clv_endpoint remote = { .port = htons(53) };

	assert_int_equal(clv_addr_parse("192.0.2.1", remote.addr), 0);
	remote.addr[14] = (uint8_t)(number >> 8);
	remote.addr[15] = (uint8_t)number;
	return remote;
}

/* Half of the range serves any number of remotes, and no two tunnels have the same tuple. */
static void tunnels_to_different_remotes_share_ports(void **state)
{
	struct clv_egress_pool *pool = open_pool();
	static struct clv_egress taken[REMOTES];
	struct clv_egress alone_ones[COUNT / 2], more;
	int owners[REMOTES];
	unsigned i, k, given = 0, new_ones = 0;

	(void)state;
	for (i = 0; i < REMOTES; i++) {
		const struct clv_endpoint remote = remote_number(i % (REMOTES / 2));
		const struct clv_egress_wish wish = { .remote = &remote, .owner = &owners[i] };

		assert_int_equal(clv_egress_take(pool, loopback, true, &wish, &taken[i]), 0);
		new_ones += taken[i].is_new;
		for (k = 0; k < i; k++)
			assert_false(clv_endpoint_equal(&taken[k].local, &taken[i].local) &&
				     clv_endpoint_equal(&taken[k].remote, &taken[i].remote));
	}
	assert_int_equal(new_ones, COUNT / 2);
	assert_int_equal(clv_egress_used(pool), COUNT / 2);
	/* What needs a port of its own has the other half. */
	for (i = 0; i < COUNT / 2; i++)
		assert_int_equal(clv_egress_take(pool, loopback, true, &alone, &alone_ones[i]), 0);
	assert_int_equal(clv_egress_take(pool, loopback, true, &alone, &more), CLV_EFULL);

	for (i = 0; i < REMOTES; i++) {
		void *owner = NULL;

		if (!clv_egress_give(pool, &taken[i], &owner))
			continue;
		given++;
		assert_true((int *)owner >= owners && (int *)owner < owners + REMOTES);
		assert_true(is_free(ntohs(taken[i].local.port)));
	}
	assert_int_equal(given, COUNT / 2);
	assert_int_equal(clv_egress_used(pool), COUNT / 2);
	clv_egress_close(pool);
}

/* The same 4-tuple cannot be two tunnels', so these need a port each. */
static void tunnels_to_one_remote_have_all_ports(void **state)
{
	const struct clv_endpoint remote = remote_number(1), other = remote_number(2);
	const struct clv_egress_wish wish = { .remote = &remote }, others = { .remote = &other };
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(clv_egress_take(pool, loopback, true, &wish, &e), 0);
	assert_int_equal(clv_egress_take(pool, loopback, true, &wish, &e), CLV_EFULL);
	assert_int_equal(clv_egress_take(pool, loopback, true, &others, &e), 0);
	assert_false(e.is_new);
	clv_egress_close(pool);
}

static void no_new_port_is_taken_for_who_has_its_share(void **state)
{
	const struct clv_endpoint remote = remote_number(1), other = remote_number(2);
	const struct clv_egress_wish wish = { .remote = &remote };
	const struct clv_egress_wish first = { .remote = &other, .no_new = true };
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e, shared;

	(void)state;
	assert_int_equal(clv_egress_take(pool, loopback, true, &first, &e), CLV_EFULL);
	assert_int_equal(clv_egress_take(pool, loopback, true, &wish, &e), 0);
	assert_int_equal(clv_egress_take(pool, loopback, true, &first, &shared), 0);
	assert_true(clv_endpoint_equal(&shared.local, &e.local));
	/* On a socket that a worker receives on, a port is not shared. */
	assert_int_equal(clv_egress_take(pool, loopback, false, &first, &e), CLV_EFULL);
	clv_egress_close(pool);
}

static void nothing_is_left_open(void **state)
{
	unsigned before = open_fds(), i;
	struct clv_egress_pool *pool = open_pool();
	struct clv_egress e;

	(void)state;
	for (i = 0; i < COUNT; i++)
		assert_int_equal(clv_egress_take(pool, loopback, i & 1, &alone, &e), 0);
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
	assert_int_equal(clv_egress_take(pool, foreign, true, &alone, &e), -EADDRNOTAVAIL);
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
		cmocka_unit_test(tunnels_to_different_remotes_share_ports),
		cmocka_unit_test(tunnels_to_one_remote_have_all_ports),
		cmocka_unit_test(no_new_port_is_taken_for_who_has_its_share),
		cmocka_unit_test(nothing_is_left_open),
		cmocka_unit_test(foreign_addresses_and_bad_ranges_are_errors),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
