/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The peer's address, its path and the path MTU change under a tunnel in use. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"

static struct clv_endpoint at(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

/* The client's packets come from outside from now on; packets in flight to it still arrive. */
static void rebind(struct world *w, const char *outside)
{
	w->wire.nat_inside = w->clients[0].endpoint;
	w->wire.nat_former = w->wire.nat_outside;
	w->wire.nat_outside = at(outside);
	w->wire.nat_far_inside = w->relay_endpoint;
	w->wire.nat_far_outside = w->relay_endpoint6;
}

/* n datagrams, one each millisecond. */
static void traffic(struct world *w, unsigned n, size_t len)
{
	world_app_send_many(w, n, len);
}

static void expect_all_back(struct world *w, uint64_t sent)
{
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, sent);
	assert_int_equal(w->clients[0].apps[0].wrong, 0);
	assert_int_equal(world_drops(w), 0);
	assert_true(w->clients[0].is_up);
}

static uint64_t path_changes(const struct world *w)
{
	return world_count(w, CLV_COUNT_PATH_CHANGES);
}

static void test_rebinding_under_traffic(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	traffic(w, 50, 600);
	for (uint64_t i = 1; i <= 8; i++) {
		char outside[32];

		snprintf(outside, sizeof(outside), "198.18.0.2:%u", (unsigned)(50000 + i));
		rebind(w, outside);
		traffic(w, 50, 600);
		world_run(w, 100 * CLV_MSEC, NULL);
		assert_int_equal(path_changes(w), i);
	}
	expect_all_back(w, 450);
	world_free(w);
}

static void test_migration_under_traffic(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	traffic(w, 30, 1200);
	rebind(w, "198.18.0.99:40000");
	traffic(w, 60, 1200);
	rebind(w, "198.18.0.98:1025");
	traffic(w, 60, 1200);
	expect_all_back(w, 150);
	assert_int_equal(path_changes(w), 2);
	world_free(w);
}

/* The relay on kernel sockets learns the return path from the packet alone. */
static void test_migration_over_kernel_sockets(void **state)
{
	struct world *w = world_with_tunnel(
		&(struct world_params){ .workers = 2, .kernel_path = true });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	traffic(w, 30, 1200);
	rebind(w, "198.18.0.99:40000");
	traffic(w, 60, 1200);
	expect_all_back(w, 90);
	assert_int_equal(path_changes(w), 1);
	world_free(w);
}

static void test_migration_across_workers(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 4 });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	for (uint16_t i = 0; i < 12; i++) {
		char outside[32];

		snprintf(outside, sizeof(outside), "198.18.0.%u:40000", 10u + i);
		rebind(w, outside);
		w->relay.arrival = i % 4; /* other 4-tuple, other queue */
		traffic(w, 30, 600);
	}
	expect_all_back(w, 360);
	assert_int_equal(path_changes(w), 12);
	assert_true(world_count(w, CLV_COUNT_HANDOFF_OUT) > 100);
	world_free(w);
}

/* Each packet on another queue than the one before, also those of the validation. */
static void test_migration_while_queues_alternate(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 3 });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	for (uint32_t i = 0; i < 200; i++) {
		if (i == 100)
			rebind(w, "198.18.0.77:40000");
		w->relay.arrival = i % 3;
		world_app_send(w, 0, 0, 300, i);
		world_run(w, CLV_MSEC, NULL);
	}
	expect_all_back(w, 200);
	assert_int_equal(path_changes(w), 1);
	world_free(w);
}

static void test_migration_across_families(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	world_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].max_payload, 1440);
	rebind(w, "198.18.0.2:40000");
	traffic(w, 40, 1200);
	rebind(w, "[2001:db8:1::2]:40000");
	traffic(w, 60, 1200);
	assert_int_equal(path_changes(w), 1);
	rebind(w, "198.18.0.2:40000");
	traffic(w, 60, 1200);
	expect_all_back(w, 160);
	assert_int_equal(path_changes(w), 2);
	world_free(w);
}

/* An IPv6 header is 20 bytes longer: the largest packet over IPv4 does not fit the same link. */
static void test_packets_shrink_for_ipv6(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });
	uint64_t before;

	(void)state;
	world_run(w, 2 * CLV_SEC, NULL);
	rebind(w, "[2001:db8:1::2]:40000");
	w->wire.mtu = 1452;
	traffic(w, 60, 1200);
	world_run(w, 2 * CLV_SEC, NULL);
	before = w->clients[0].apps[0].received;
	/* what came back toward the peer is the relay's doing; the client still thinks it is IPv4 */
	wire_send(&w->wire, &w->target, &w->target_heard, 0, (const uint8_t[1420]){ 0 }, 1420);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, before + 1);
	wire_send(&w->wire, &w->target, &w->target_heard, 0, (const uint8_t[1430]){ 0 }, 1430);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, before + 1);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_TOO_BIG_PEER), 1);
	world_free(w);
}

/* Only the target sends: the client's acknowledgements alone show its new address. */
static void test_rebinding_of_a_client_that_listens(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });
	const uint8_t payload[600] = { 0 };

	(void)state;
	rebind(w, "198.18.0.2:40000");
	traffic(w, 1, 100);
	world_run(w, CLV_SEC, NULL);
	w->clients[0].apps[0].received = 0;
	for (uint32_t i = 0; i < 300; i++) {
		if (i == 100)
			rebind(w, "198.18.0.2:50000");
		if (i == 200)
			rebind(w, "198.18.0.55:40000");
		wire_send(&w->wire, &w->target, &w->target_heard, 0, payload, sizeof(payload));
		world_run(w, CLV_MSEC, NULL);
	}
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 300);
	assert_int_equal(world_drops(w), 0);
	assert_int_equal(path_changes(w), 2);
	world_free(w);
}

static void test_going_back_and_forth(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		rebind(w, i & 1 ? "198.18.0.91:40000" : "198.18.0.2:40000");
		traffic(w, 40, 600);
	}
	expect_all_back(w, 400);
	assert_int_equal(path_changes(w), 9);
	world_free(w);
}

/* Late packets arrive from the former address. */
static void test_rebinding_with_reordering(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct world *w = world_with_tunnel(&(struct world_params){ .seed = seed });

		w->wire.jitter_ns = 8 * CLV_MSEC;
		rebind(w, "198.18.0.2:40000");
		for (unsigned i = 0; i < 4; i++) {
			rebind(w, i & 1 ? "198.18.0.2:51000" : "198.18.0.2:51001");
			traffic(w, 60, 600);
		}
		expect_all_back(w, 240);
		assert_true(path_changes(w) >= 4);
		world_free(w);
	}
}

static const struct clv_endpoint *copied_to;

/* An attacker on the path sends a copy of each packet of the client from another address, first. */
static bool copy(void *user, const struct wire_packet *p)
{
	struct world *w = user;

	if (clv_endpoint_equal(&p->from, &w->clients[0].endpoint) && copied_to) {
		const struct clv_endpoint from = *copied_to;

		copied_to = NULL; /* the copy is not copied */
		wire_send(&w->wire, &from, &p->to, 0, p->bytes, p->len);
		copied_to = &w->wire.nat_former;
	}
	return true;
}

/* Copies from an address that answers no challenge leave the tunnel where it is. */
static void test_copies_move_nothing(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });
	uint64_t drops;

	(void)state;
	w->wire.nat_former = at("198.18.0.66:666");
	copied_to = &w->wire.nat_former;
	w->wire.tap = copy;
	w->wire.tap_user = w;
	for (uint32_t i = 0; i < 100; i++) {
		world_app_send(w, 0, 0, 600, i);
		world_run(w, 50 * CLV_MSEC, NULL);
	}
	assert_int_equal(path_changes(w), 0);
	assert_true(w->clients[0].is_up);
	w->wire.tap = NULL;
	world_run(w, 5 * CLV_SEC, NULL); /* path validation is over */
	drops = world_drops(w);
	w->clients[0].apps[0].received = 0;
	traffic(w, 50, 600);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 50);
	assert_int_equal(world_drops(w), drops);
	assert_int_equal(path_changes(w), 0);
	world_free(w);
}

/* Garbage with the right connection ID, from ever new places, while the client really moves. */
static bool add_garbage(void *user, const struct wire_packet *p)
{
	struct world *w = user;
	static uint16_t port;
	struct clv_endpoint from = at("198.18.0.66:1");
	uint8_t garbage[100] = { 0x40 };

	if (!clv_endpoint_equal(&p->from, &w->wire.nat_outside) || p->bytes[0] & 0x80 ||
	    p->len < 20)
		return true;
	memcpy(garbage + 1, p->bytes + 1, CLV_CID_LEN);
	for (int i = 0; i < 8; i++) {
		from.port = htons((uint16_t)(1000 + port++ % 60000));
		wire_send(&w->wire, &from, &p->to, 0, garbage, sizeof(garbage));
	}
	return true;
}

static void test_garbage_does_not_hinder_a_move(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });

	(void)state;
	rebind(w, "198.18.0.2:40000");
	w->wire.tap = add_garbage;
	w->wire.tap_user = w;
	traffic(w, 50, 600);
	rebind(w, "198.18.0.31:40000");
	traffic(w, 100, 600);
	rebind(w, "198.18.0.32:40000");
	traffic(w, 100, 600);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 250);
	assert_int_equal(path_changes(w), 2);
	/* the garbage itself, and nothing of the tunnel's */
	assert_true(world_count(w, CLV_COUNT_DROP_QUIC) > 0);
	assert_int_equal(world_drops(w), world_count(w, CLV_COUNT_DROP_QUIC));
	world_free(w);
}

static struct clv_conn *conn_of(struct clv_worker *worker)
{
	for (uint32_t i = 0; i < worker->p.conns_max; i++)
		if (worker->conns[i].conn)
			return worker->conns[i].conn;
	return NULL;
}

/* What control and the worker know of the peer stays, until the new place answered. */
static void test_validation_comes_first(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });
	struct clv_conn *conn = conn_of(w->relay.workers[0]);
	struct clv_endpoint before = conn->flow.remote;

	(void)state;
	w->wire.delay_ns = 50 * CLV_MSEC;
	rebind(w, "198.18.0.2:50000");
	world_app_send(w, 0, 0, 600, 0);
	world_run(w, 99 * CLV_MSEC, NULL); /* there, and the challenge halfway back */
	assert_int_equal(w->target_received, 0);
	assert_true(clv_endpoint_equal(&conn->flow.remote, &before));
	assert_int_equal(path_changes(w), 0);
	world_run(w, 200 * CLV_MSEC, NULL); /* it has answered, also a second, padded one */
	assert_true(clv_endpoint_equal(&conn->flow.remote, &w->wire.nat_outside));
	assert_int_equal(path_changes(w), 1);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 1);
	world_free(w);
}

/* A client whose host got another address goes on from it: no new session, no new tunnel. */
static void test_client_takes_another_address(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });
	struct world_client *c = &w->clients[0];

	(void)state;
	traffic(w, 20, 600);
	world_run(w, 100 * CLV_MSEC, NULL);
	memset(c->sock.sockets[CLV_WORKER_LISTENER_SOCKET].addr, 0, 16); /* any address */
	for (uint8_t i = 0; i < 5; i++) {
		c->endpoint.addr[15] = (uint8_t)(100 + i);
		clv_control_routes_changed(c->control);
		traffic(w, 50, 600);
		world_run(w, 200 * CLV_MSEC, NULL);
	}
	expect_all_back(w, 270);
	assert_int_equal(path_changes(w), 5);
	assert_int_equal(clv_count_read(clv_worker_counters(c->worker), CLV_COUNT_PATH_CHANGES), 5);
	assert_int_equal(world_count(w, CLV_COUNT_REQUESTS), 1);
	assert_int_equal(world_count(w, CLV_COUNT_HANDSHAKES), 1);
	world_free(w);
}

/* A router on the path has a smaller MTU and reports nothing: it is discovered and reported. */
static void test_path_shrinks_under_traffic(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });
	struct world_client *c = &w->clients[0];

	(void)state;
	world_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(c->max_payload, 1440);
	w->wire.mtu = 1350;
	for (uint32_t i = 0; i < 800; i++) {
		world_app_send(w, 0, 0, 1400, i);
		world_run(w, 10 * CLV_MSEC, NULL);
	}
	assert_true(c->max_payload <= 1350 - 32);
	assert_true(c->max_payload >= 1252 - 32);
	world_run(w, 20 * CLV_SEC, NULL);
	assert_true(c->max_payload >= 1350 - 32 - 16); /* and what it does carry is used */
	c->apps[0].received = 0;
	traffic(w, 50, 1300);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(c->apps[0].received, 50);
	world_free(w);
}

/* Loss alone is no smaller path. */
static void test_loss_does_not_shrink_packets(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct world *w = world_with_tunnel(&(struct world_params){ .seed = seed });
		struct world_client *c = &w->clients[0];

		world_run(w, 2 * CLV_SEC, NULL);
		assert_int_equal(c->max_payload, 1440);
		w->wire.loss_permille = 200;
		for (uint32_t i = 0; i < 1000; i++) {
			world_app_send(w, 0, 0, 1400, i);
			world_run(w, 10 * CLV_MSEC, NULL);
			assert_int_equal(c->max_payload, 1440);
		}
		world_free(w);
	}
}

/* A path that grew is found by the next look, ten minutes later at most. */
static void test_path_grows_again(void **state)
{
	struct world *w = world_with_tunnel(
		&(struct world_params){ .proxy = { .tunnel_idle_ns = 3600 * CLV_SEC } });

	(void)state;
	w->wire.mtu = 1300;
	for (unsigned i = 0; i < 5; i++) { /* the search on a path that carried 1500 at first */
		traffic(w, 20, 1100);
		world_run(w, 5 * CLV_SEC, NULL);
	}
	w->wire.mtu = 0;
	for (unsigned i = 0; i < 70; i++) {
		traffic(w, 1, 100);
		world_run(w, 10 * CLV_SEC, NULL);
	}
	assert_int_equal(w->clients[0].max_payload, 1440);
	world_free(w);
}

/* The relay's own link got another MTU: what it sends fits from then on. */
static void test_link_mtu_changes(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });
	struct clv_conn *conn = conn_of(w->relay.workers[0]);

	(void)state;
	world_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(conn->pmtu.confirmed, 1472);
	w->hop_mtu = 1400;
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(conn->pmtu.confirmed, 1372);
	traffic(w, 20, 1300);
	w->hop_mtu = 1500;
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(conn->pmtu.confirmed, 1472);
	expect_all_back(w, 20);
	world_free(w);
}

/* The neighbour toward the peer is resolved again: the peer's own frames show its link address. */
static void neighbour_changed(struct world *w, const char *addr)
{
	uint8_t addrs[1][16];

	assert_int_equal(clv_addr_parse(addr, addrs[0]), 0);
	clv_control_neighbours_changed(w->relay.control, addrs, 1);
}

/* The route to a client that is a neighbour is looked up at its present address alone. */
static void test_a_neighbour_that_moved(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });
	uint64_t routed;

	(void)state;
	rebind(w, "198.18.0.2:40000");
	traffic(w, 50, 600);
	rebind(w, "198.18.0.7:50001");
	traffic(w, 50, 600);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(path_changes(w), 1);
	routed = w->relay.routed;
	neighbour_changed(w, "198.18.0.2");
	assert_int_equal(w->relay.routed, routed);
	neighbour_changed(w, "198.18.0.7");
	assert_int_equal(w->relay.routed, routed + 1);
	expect_all_back(w, 100);
	world_free(w);
}

/* The route to the target moves to an interface without AF_XDP: no tunnel keeps using the former. */
static void test_way_leaves_af_xdp(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .workers = 2 });
	struct world_app *app = &w->clients[0].apps[0];

	(void)state;
	traffic(w, 10, 600);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->received, 10);
	w->p.kernel_path = true;
	clv_control_routes_changed(w->relay.control);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(app->closed, 1);
	assert_true(w->clients[0].is_up);
	world_free(w);
}

static void test_neighbour_in_doubt_costs_nothing(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });

	(void)state;
	traffic(w, 20, 600);
	w->hop_state = CLV_HOP_RESOLVING;
	clv_control_routes_changed(w->relay.control);
	world_run(w, 10 * CLV_MSEC, NULL);
	assert_int_equal(conn_of(w->relay.workers[0])->flow.hop.state, CLV_HOP_READY);
	w->hop_state = CLV_HOP_READY;
	clv_control_routes_changed(w->relay.control);
	traffic(w, 20, 600);
	expect_all_back(w, 40);
	world_free(w);
}

#define CASE(text, function)                                                                       \
	{                                                                                          \
		text, function, NULL, NULL, NULL                                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a NAT's new port under traffic loses nothing", test_rebinding_under_traffic),
		CASE("a new address under traffic loses nothing", test_migration_under_traffic),
		CASE("nor does it over kernel sockets", test_migration_over_kernel_sockets),
		CASE("nor when it comes in by another worker's queue",
		     test_migration_across_workers),
		CASE("nor when packets come in by all queues in turn",
		     test_migration_while_queues_alternate),
		CASE("a move to IPv6 and back loses nothing", test_migration_across_families),
		CASE("packets are smaller where headers are larger", test_packets_shrink_for_ipv6),
		CASE("a client that only listens can move",
		     test_rebinding_of_a_client_that_listens),
		CASE("going back to an address known before is followed",
		     test_going_back_and_forth),
		CASE("late packets from the former address confuse nothing",
		     test_rebinding_with_reordering),
		CASE("a client that is a neighbour is found where it moved",
		     test_a_neighbour_that_moved),
		CASE("copies from elsewhere move nothing", test_copies_move_nothing),
		CASE("garbage from everywhere does not hinder a move",
		     test_garbage_does_not_hinder_a_move),
		CASE("nothing changes before the path is validated", test_validation_comes_first),
		CASE("a client whose host has another address goes on from it",
		     test_client_takes_another_address),
		CASE("a reduced path MTU is discovered and reported to the client",
		     test_path_shrinks_under_traffic),
		CASE("loss alone does not make packets smaller", test_loss_does_not_shrink_packets),
		CASE("an increased path MTU is discovered in time", test_path_grows_again),
		CASE("another MTU of the relay's link is used at once", test_link_mtu_changes),
		CASE("a neighbour being looked up again costs nothing",
		     test_neighbour_in_doubt_costs_nothing),
		CASE("no tunnel stays open when its route moves to an interface without AF_XDP",
		     test_way_leaves_af_xdp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
