/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The relay stops with more connections than a transmit ring has places: every client is told. */
#include "tests/unit/check.h"

#include <arpa/inet.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum { PEERS = 150, RING = 100, FIRST_PORT = 20000 };

static unsigned told[PEERS]; /* packets since the relay began to stop */

static bool count_told(void *user, const struct wire_packet *p)
{
	unsigned port = ntohs(p->to.port);

	(void)user;
	if (port >= FIRST_PORT && port < FIRST_PORT + PEERS)
		told[port - FIRST_PORT]++;
	return true;
}

static bool is_stopped(struct world *w)
{
	return clv_control_is_stopped(w->relay.control);
}

static void every_client_is_told(bool kernel_path)
{
	struct world *w = world_new(
		&(struct world_params){ .kernel_path = kernel_path,
					.limits = { .conns_max = 512,
						    .handshakes_max = 512,
						    .conn_idle_ns = 3600 * CLV_SEC },
					.proxy.request_ns = 3600 * CLV_SEC });
	struct raw *last = hostile_peer(w, 1);
	struct wire_port *port = kernel_path ? &w->relay.sock[0] : &w->relay.xsk[0];

	memset(told, 0, sizeof(told));
	for (unsigned i = 0; i < PEERS; i++) {
		struct raw *r = hostile_peer(w, 0);

		r->endpoint.port = htons((uint16_t)(FIRST_PORT + i));
		assert_true(raw_connect(r));
		hostile_peer_free(r); /* it does not hear of it */
	}
	assert_true(raw_tunnel(last));
	port->ring = RING;
	w->wire.tap = count_told;
	clv_control_stop(w->relay.control, w->wire.now_ns);
	assert_true(world_run(w, 100 * CLV_MSEC, is_stopped));
	for (unsigned i = 0; i < PEERS; i++)
		assert_int_equal(told[i], 1);
	raw_run(last, 100 * CLV_MSEC);
	assert_true(last->is_closed);
	assert_true(last->close_is_app);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TX_RING), 0);
	hostile_peer_free(last);
	world_free(w);
}

static void test_every_client_is_told_that_the_relay_stops(void **state)
{
	(void)state;
	every_client_is_told(false);
	every_client_is_told(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_client_is_told_that_the_relay_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
