/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The life of a connection and its tunnels: limits, key update, idle, close, policy, next hops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/quic/dgram.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"

static void echo(struct world *w, unsigned n, size_t len)
{
	uint64_t before = w->clients[0].apps[0].received;

	for (unsigned i = 0; i < n; i++) {
		world_app_send(w, 0, 0, len, i);
		world_run(w, CLV_MSEC, NULL);
	}
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, before + n);
	assert_int_equal(w->clients[0].apps[0].wrong, 0);
}

static struct clv_conn *conn_of(struct clv_worker *worker)
{
	for (uint32_t i = 0; i < worker->p.conns_max; i++)
		if (worker->conns[i].conn)
			return worker->conns[i].conn;
	return NULL;
}

static void test_key_update(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });

	(void)state;
	echo(w, 10, 200);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(
			ngtcp2_conn_initiate_key_update(
				conn_of(round & 1 ? w->relay.workers[0] : w->clients[0].worker)->qc,
				w->wire.now_ns),
			0);
		echo(w, 20, 300);
		world_run(w, 2 * CLV_SEC, NULL); /* the old keys are let go */
	}
	assert_int_equal(world_count(w, CLV_COUNT_KEY_UPDATES), 3);
	world_free(w);
}

static void test_many_tunnels(void **state)
{
	struct world *w = world_new(&(struct world_params){ .workers = 2 });
	struct world_client *c = &w->clients[0];

	(void)state;
	assert_true(world_connect(w, 0));
	for (unsigned a = 0; a < WORLD_APPS_MAX; a++)
		assert_int_equal(world_tunnel(w, 0, a, "198.18.1.1", 7000), 0);
	world_run(w, 2 * CLV_SEC, NULL);
	for (unsigned a = 0; a < WORLD_APPS_MAX; a++) {
		assert_int_equal(c->apps[a].opened, 1);
		world_app_send(w, 0, a, 64, a);
	}
	world_run(w, CLV_SEC, NULL);
	for (unsigned a = 0; a < WORLD_APPS_MAX; a++) {
		assert_int_equal(c->apps[a].received, 1);
		assert_int_equal(c->apps[a].wrong, 0);
	}
	assert_int_equal(w->relay.egress_held, WORLD_APPS_MAX);
	for (unsigned a = 0; a < WORLD_APPS_MAX; a++)
		clv_relay_tunnel_close(c->apps[a].tunnel);
	world_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(w->relay.egress_held, 0); /* every port came back */
	world_free(w);
}

static void test_tunnel_idles_out(void **state)
{
	struct world *w = world_with_tunnel(
		&(struct world_params){ .limits = { .conn_idle_ns = 60 * CLV_SEC },
					.proxy = { .tunnel_idle_ns = 5 * CLV_SEC } });

	(void)state;
	world_run(w, 4 * CLV_SEC, NULL);
	echo(w, 1, 10); /* counts as life */
	world_run(w, 3 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].closed, 0);
	world_run(w, 6 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].closed, 1);
	assert_true(w->clients[0].is_up);
	assert_int_equal(w->relay.egress_held, 0);
	world_free(w);
}

static void test_connection_idles_out(void **state)
{
	struct world *w = world_with_tunnel(
		&(struct world_params){ .limits = { .conn_idle_ns = 3 * CLV_SEC } });

	(void)state;
	world_run(w, 10 * CLV_SEC, NULL);
	assert_true(w->clients[0].is_down);
	assert_int_equal(w->clients[0].down.error, CLV_ETIMEOUT);
	assert_int_equal(w->clients[0].apps[0].closed, 1);
	assert_int_equal(w->relay.egress_held, 0);
	assert_null(conn_of(w->relay.workers[0]));
	world_free(w);
}

static void test_client_closes(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });

	(void)state;
	clv_relay_session_close(w->clients[0].session);
	world_run(w, 3 * CLV_SEC, NULL);
	assert_true(w->clients[0].is_down);
	assert_null(conn_of(w->relay.workers[0]));
	assert_null(conn_of(w->clients[0].worker));
	assert_int_equal(w->relay.egress_held, 0);
	world_free(w);
}

static bool is_stopped(struct world *w)
{
	return clv_control_is_stopped(w->relay.control);
}

static void test_relay_stops(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	clv_control_stop(w->relay.control, w->wire.now_ns);
	assert_true(world_run(w, CLV_SEC, is_stopped));
	world_run(w, CLV_SEC, NULL);
	assert_true(w->clients[0].is_down); /* by the relay's close, without a timeout */
	assert_true(w->clients[0].down.is_remote);
	assert_int_equal(w->relay.egress_held, 0);
	world_free(w);
}

/* A relay that lost its state sends a stateless reset, with the token that the client has. */
static void test_relay_restarts(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	echo(w, 3, 100);
	world_relay_crash(w);
	assert_int_equal(world_count(w, CLV_COUNT_RESET_SENT), 0);
	world_app_send(w, 0, 0, 500, 1);
	world_run(w, 200 * CLV_MSEC, NULL);
	assert_int_equal(world_count(w, CLV_COUNT_RESET_SENT), 1);
	world_run(w, 2 * CLV_SEC, NULL);
	assert_true(w->clients[0].is_down);
	assert_true(world_connect(w, 0)); /* and takes the client again */
	world_free(w);
}

static void test_denied_target(void **state)
{
	static const char *const denied[] = { "127.0.0.1", "10.1.2.3", "198.18.0.1", "224.0.0.1" };
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	assert_true(world_connect(w, 0));
	for (unsigned i = 0; i < 4; i++) {
		struct world_app *app = &w->clients[0].apps[i];

		assert_int_equal(world_tunnel(w, 0, i, denied[i], 7000), 0);
		world_run(w, CLV_SEC, NULL);
		assert_int_equal(app->opened, 0);
		assert_int_equal(app->closed, 1);
		assert_int_equal(app->error, CLV_EDENIED);
	}
	assert_int_equal(w->relay.egress_held, 0);
	world_free(w);
}

static void test_family_the_relay_lacks(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct world_app *app = &w->clients[0].apps[0];

	(void)state;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "2600::1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->closed, 1);
	assert_int_equal(app->error, CLV_EUNROUTABLE);
	assert_int_equal(app->status, 502);
	world_free(w);
}

static void test_ports_used_up(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	const struct world_app *refused;

	(void)state;
	w->egress_max = 1;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	assert_int_equal(world_tunnel(w, 0, 1, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	refused = &w->clients[0].apps[w->clients[0].apps[0].opened ? 1 : 0];
	assert_int_equal(w->clients[0].apps[0].opened + w->clients[0].apps[1].opened, 1);
	assert_int_equal(refused->error, CLV_EFULL);
	assert_int_equal(refused->status, 503);
	world_free(w);
}

/* An address that two hosts pass to each other, and that is now with the relay. */
static void test_a_target_that_becomes_the_relays_own_loses_its_tunnel(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct world_app *apps = w->clients[0].apps;

	(void)state;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	assert_int_equal(world_tunnel(w, 0, 1, "198.18.1.2", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_true(apps[0].opened && apps[1].opened);
	clv_addr_parse("198.18.1.2", w->relay.floating);
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_false(apps[0].closed);
	assert_true(apps[1].closed);
	world_free(w);
}

static void test_next_hop_resolves_late(void **state)
{
	struct world *w = world_new(&(struct world_params){ .hop_wait_packets = 4 });
	struct world_app *app = &w->clients[0].apps[0];

	(void)state;
	w->hop_state = CLV_HOP_RESOLVING;
	world_open_tunnel(w);
	for (uint32_t i = 0; i < 6; i++)
		world_app_send(w, 0, 0, 50, i);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(w->target_received, 0);
	w->hop_state = CLV_HOP_READY;
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, 4); /* what the bound allowed, the rest is counted */
	assert_int_equal(world_count(w, CLV_COUNT_DROP_NO_NEIGHBOUR), 2);
	world_free(w);
}

/* A changed neighbour is looked at by the tunnel that sends to it, and by no other. */
static void test_a_changed_neighbour_concerns_its_own_tunnels(void **state)
{
	static const char *const others[] = { "198.18.1.2", "198.18.1.3", "198.18.1.4" };
	struct world *w = world_new(&(struct world_params){ .hop_wait_packets = 4 });
	struct world_app *app = &w->clients[0].apps[0];
	uint8_t addrs[2][16];
	uint64_t routed;

	(void)state;
	w->hop_state = CLV_HOP_RESOLVING;
	world_open_tunnel(w);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(world_tunnel(w, 0, 1 + i, others[i], 7000), 0);
	world_app_send(w, 0, 0, 50, 0);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(w->target_received, 0);
	w->hop_state = CLV_HOP_READY;
	routed = w->relay.routed;
	clv_addr_parse("198.18.1.77", addrs[0]); /* no tunnel's */
	clv_control_neighbours_changed(w->relay.control, addrs, 1);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(w->relay.routed, routed);
	memcpy(addrs[1], w->target.addr, 16);
	clv_control_neighbours_changed(w->relay.control, addrs, 2);
	assert_int_equal(w->relay.routed, routed + 1);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, 1);
	world_free(w);
}

/* Datagrams the client sends before its request was answered are kept, within bounds. */
static void test_early_datagrams(void **state)
{
	struct world *w = world_new(&(struct world_params){ .early_per_conn = 4 });
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	struct clv_conn *conn;
	size_t len;

	(void)state;
	assert_true(world_connect(w, 0));
	conn = conn_of(w->clients[0].worker);
	assert_non_null(conn);
	len = clv_dgram_encode_prefix(0, 0, prefix);
	for (int i = 0; i < 6; i++)
		clv_conn_send_datagram(conn, &w->clients[0].sock.port, prefix, len,
				       (const uint8_t *)"early", 5, w->wire.now_ns);
	world_run(w, 20 * CLV_MSEC, NULL);
	assert_int_equal(world_count(w, CLV_COUNT_EARLY_HELD), 4);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_EARLY_FULL), 2);
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->target_received, 4);
	/* and for a tunnel that never comes, they are let go */
	len = clv_dgram_encode_prefix(400, 0, prefix);
	clv_conn_send_datagram(conn, &w->clients[0].sock.port, prefix, len, (const uint8_t *)"x", 1,
			       w->wire.now_ns);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_EARLY_EXPIRED), 1);
	world_free(w);
}

/* The NAT in front of a client picks another port: same IDs, new 4-tuple. */
static void test_nat_rebinding(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	echo(w, 5, 300);
	for (uint16_t port = 50001; port < 50004; port++) {
		w->wire.nat_inside = w->clients[0].endpoint;
		w->wire.nat_outside = w->clients[0].endpoint;
		w->wire.nat_outside.port = htons(port);
		echo(w, 20, 300);
	}
	assert_int_equal(world_count(w, CLV_COUNT_PATH_CHANGES), 3);
	assert_true(w->clients[0].is_up);
	world_free(w);
}

/* A closed congestion window: the queue is short, and what it refuses is counted. */
static void test_send_queue_is_bounded(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){
		.limits = { .queue = { .packets = 8, .sojourn_ns = 20 * CLV_MSEC } } });
	uint64_t in = 400, out;

	(void)state;
	for (uint32_t i = 0; i < in; i++)
		world_app_send(w, 0, 0, 1100, i);
	world_run(w, 3 * CLV_SEC, NULL);
	out = w->clients[0].apps[0].received;
	assert_true(out > 0);
	assert_true(out < in);
	in -= clv_count_read(clv_worker_counters(w->clients[0].worker), CLV_COUNT_DROP_QUEUE_FULL);
	in -= clv_count_read(clv_worker_counters(w->clients[0].worker), CLV_COUNT_DROP_SOJOURN);
	in -= world_count(w, CLV_COUNT_DROP_QUEUE_FULL) + world_count(w, CLV_COUNT_DROP_SOJOURN);
	assert_int_equal(out, in); /* every datagram arrived or is in a counter */
	world_free(w);
}

static void test_path_mtu(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });

	(void)state;
	world_run(w, 3 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].max_payload, 1472 - 32); /* 1500-byte IPv4 link */
	echo(w, 5, 1440);
	w->clients[0].apps[0].received = 0;
	world_app_send(w, 0, 0, 1441, 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 0);
	assert_int_equal(clv_count_read(clv_worker_counters(w->clients[0].worker),
					CLV_COUNT_DROP_TOO_BIG_PEER),
			 1);
	world_free(w);
}

static void test_small_path_mtu(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	w->wire.mtu = 1300;
	world_open_tunnel(w);
	world_run(w, 30 * CLV_SEC, NULL);
	assert_true(w->clients[0].max_payload <= 1300 - 32);
	assert_true(w->clients[0].max_payload >= 1252 - 32);
	echo(w, 5, 1200);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_many_tunnels),
		cmocka_unit_test(test_tunnel_idles_out),
		cmocka_unit_test(test_connection_idles_out),
		cmocka_unit_test(test_client_closes),
		cmocka_unit_test(test_relay_stops),
		cmocka_unit_test(test_relay_restarts),
		cmocka_unit_test(test_denied_target),
		cmocka_unit_test(test_family_the_relay_lacks),
		cmocka_unit_test(test_ports_used_up),
		cmocka_unit_test(test_a_target_that_becomes_the_relays_own_loses_its_tunnel),
		cmocka_unit_test(test_next_hop_resolves_late),
		cmocka_unit_test(test_a_changed_neighbour_concerns_its_own_tunnels),
		cmocka_unit_test(test_early_datagrams),
		cmocka_unit_test(test_nat_rebinding),
		cmocka_unit_test(test_send_queue_is_bounded),
		cmocka_unit_test(test_path_mtu),
		cmocka_unit_test(test_small_path_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
