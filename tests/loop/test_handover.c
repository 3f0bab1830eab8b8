/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hand-over of a connection from control to a worker, with packets at every moment of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"

enum {
	SENT = 40,
};

static void shut(struct world *w)
{
	for (uint16_t i = 0; i < w->p.workers; i++) {
		assert_int_equal(w->relay.xsk[i].taken, 0);
		assert_int_equal(w->relay.sock[i].taken, 0);
	}
	world_free(w);
}

/* Connect, open a tunnel, echo SENT datagrams while time goes on. */
static void run_echo(struct world *w)
{
	struct world_app *app = &w->clients[0].apps[0];

	world_open_tunnel(w);
	for (uint32_t i = 0; i < SENT; i++) {
		world_app_send(w, 0, 0, 100 + i * 20, i);
		world_run(w, 2 * CLV_MSEC, NULL);
	}
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->wrong, 0);
}

static void test_reordered_packets(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct world *w = world_new(&(struct world_params){ .seed = seed, .workers = 2 });

		w->wire.jitter_ns = 12 *
				    CLV_MSEC; /* twice the delay: anything overtakes anything */
		run_echo(w);
		assert_int_equal(w->clients[0].apps[0].received, SENT);
		assert_int_equal(world_count(w, CLV_COUNT_DROP_STALE), 0);
		assert_int_equal(world_count(w, CLV_COUNT_EVENT_NOMEM), 0);
		shut(w);
	}
}

static void test_doubled_packets(void **state)
{
	struct world *w = world_new(&(struct world_params){ .seed = 5, .workers = 2 });

	(void)state;
	w->wire.duplicate_permille = 500;
	w->wire.jitter_ns = 8 * CLV_MSEC;
	run_echo(w);
	/* the UDP legs are doubled as the wire does it; nothing of it is lost */
	assert_true(w->clients[0].apps[0].received >= SENT);
	shut(w);
}

static void test_lossy_link(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct world *w = world_new(&(struct world_params){ .seed = seed, .workers = 2 });

		w->wire.loss_permille = 100;
		w->wire.jitter_ns = 3 * CLV_MSEC;
		run_echo(w);
		assert_true(w->clients[0].apps[0].received > SENT / 3);
		shut(w);
	}
}

/* Frames of the peer arrive on worker 0's queue, the connection lives in worker 1. */
static void test_frames_on_another_queue(void **state)
{
	struct world *w = world_new(&(struct world_params){ .seed = 3, .workers = 2 });

	(void)state;
	w->relay.flow_worker = 1;
	w->relay.arrival = 0;
	run_echo(w);
	assert_int_equal(w->clients[0].apps[0].received, SENT);
	assert_true(world_count(w, CLV_COUNT_HANDOFF_OUT) > SENT);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_HANDOFF_FULL), 0);
	shut(w);
}

/* Once the IDs are published no tunnel packet passes through control. */
static void test_control_is_out_of_the_way(void **state)
{
	struct world *w = world_new(&(struct world_params){ .seed = 4 });
	uint64_t before;

	(void)state;
	run_echo(w);
	before = w->relay.to_kernel;
	world_app_send_many(w, SENT, 500);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->relay.to_kernel, before);
	assert_int_equal(w->clients[0].apps[0].received, 2 * SENT);
	shut(w);
}

/* On a busy core a worker goes on with the time of long before, and with commands of just now. */
static void test_a_worker_that_was_kept_waiting_takes_a_connection_of_later(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = world_new(
			&(struct world_params){ .seed = seed, .workers = 2, .late_workers = true });

		w->wire.jitter_ns = CLV_MSEC;
		run_echo(w);
		assert_int_equal(w->clients[0].apps[0].received, SENT);
		shut(w);
	}
}

/* The first packet after an ID was issued may come before the kernel's table has it. */
static void test_packets_by_the_kernel_reach_the_worker(void **state)
{
	struct world *w = world_new(&(struct world_params){ .seed = 6 });
	struct world_app *app = &w->clients[0].apps[0];

	(void)state;
	world_open_tunnel(w);
	memset(&w->relay.conns, 0, sizeof(w->relay.conns)); /* the table forgets everything */
	world_app_send_many(w, SENT, 500);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, SENT);
	assert_int_equal(world_count(w, CLV_COUNT_RESET_SENT), 0);
	shut(w);
}

static void test_relay_full_of_connections(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .clients = 2, .limits = { .conns_max = 1 } });

	(void)state;
	assert_true(world_connect(w, 0));
	assert_false(world_connect(w, 1) && w->clients[1].is_up && !w->clients[1].is_down &&
		     world_run(w, CLV_SEC, NULL));
	world_run(w, CLV_SEC, NULL);
	assert_true(w->clients[1].is_down);
	assert_int_equal(w->clients[1].down.code, NGTCP2_CONNECTION_REFUSED);
	assert_true(w->clients[0].is_up);
	shut(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reordered_packets),
		cmocka_unit_test(test_doubled_packets),
		cmocka_unit_test(test_lossy_link),
		cmocka_unit_test(test_frames_on_another_queue),
		cmocka_unit_test(test_control_is_out_of_the_way),
		cmocka_unit_test(test_packets_by_the_kernel_reach_the_worker),
		cmocka_unit_test(test_a_worker_that_was_kept_waiting_takes_a_connection_of_later),
		cmocka_unit_test(test_relay_full_of_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
