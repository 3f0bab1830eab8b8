/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A relay and a client in one process: handshake, hand-over, tunnel, datagrams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"

static void test_handshake_and_hand_over(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	assert_true(world_connect(w, 0));
	world_run(w, 100 * CLV_MSEC, NULL); /* the Finished message is in flight */
	assert_int_equal(world_count(w, CLV_COUNT_HANDSHAKES), 1);
	world_free(w);
}

static void echo_sizes(const struct world_params *p)
{
	static const size_t sizes[] = { 0, 1, 100, 1200 };
	struct world *w = world_new(p);
	struct world_app *app = &w->clients[0].apps[0];

	world_open_tunnel(w);
	assert_int_equal(app->status, 200);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		world_app_send(w, 0, 0, sizes[i], (uint32_t)i);
		world_run(w, CLV_SEC, NULL);
		assert_int_equal(app->received, i + 1);
		assert_int_equal(app->last_len, sizes[i]);
	}
	assert_int_equal(app->wrong, 0);
	world_free(w);
}

static void test_echo(void **state)
{
	(void)state;
	echo_sizes(&(struct world_params){ 0 });
}

static void test_echo_kernel_path(void **state)
{
	(void)state;
	echo_sizes(&(struct world_params){ .kernel_path = true });
}

static void test_echo_in_capsules(void **state)
{
	(void)state;
	echo_sizes(&(struct world_params){ .no_datagrams = true });
}

/* A request each millisecond, each answered: on a short path the ACKs travel with the answers. */
static void test_no_packet_for_an_ack_that_can_ride_along(void **state)
{
	enum { QUESTIONS = 200 };
	struct world *w = world_new(&(struct world_params){ 0 });
	struct world_app *app = &w->clients[0].apps[0];
	uint64_t before;

	(void)state;
	world_open_tunnel(w);
	world_run(w, CLV_SEC, NULL); /* the path is known */
	before = world_count(w, CLV_COUNT_TX_PEER);
	world_app_send_many(w, QUESTIONS, 200);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(app->received, QUESTIONS);
	assert_in_range(world_count(w, CLV_COUNT_TX_PEER) - before, QUESTIONS,
			QUESTIONS + QUESTIONS / 4);
	world_free(w);
}

/* In one direction, ten datagrams in a millisecond: an ACK covers eight of them, or a millisecond. */
static void test_acks_are_few_where_nothing_comes_back(void **state)
{
	enum { DATAGRAMS = 800 };
	struct world *w = world_new(&(struct world_params){ 0 });
	uint64_t before;

	(void)state;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.2", 7000), 0);
	assert_true(world_run(w, 5 * CLV_SEC, world_is_answered));
	w->wire.delay_ns = CLV_MSEC / 20; /* a short path: the delay ngtcp2 takes is next to none */
	world_app_send_many(w, 50, 200);
	world_run(w, CLV_SEC, NULL);
	before = world_count(w, CLV_COUNT_TX_PEER);
	for (uint32_t i = 0; i < DATAGRAMS; i++) {
		world_app_send(w, 0, 0, 200, i);
		world_run(w, CLV_MSEC / 10, NULL);
	}
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_in_range(world_count(w, CLV_COUNT_TX_PEER) - before, DATAGRAMS / 16,
			DATAGRAMS / 8 + DATAGRAMS / 10 + 20);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_handshake_and_hand_over, NULL, NULL),
		cmocka_unit_test_setup_teardown(test_echo, NULL, NULL),
		cmocka_unit_test_setup_teardown(test_echo_kernel_path, NULL, NULL),
		cmocka_unit_test_setup_teardown(test_echo_in_capsules, NULL, NULL),
		cmocka_unit_test(test_no_packet_for_an_ack_that_can_ride_along),
		cmocka_unit_test(test_acks_are_few_where_nothing_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
