/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A hog and a bystander at each ceiling: the hog takes all it can, and the bystander gets what it
 * asks for.  Without shares the hog shuts it out, which shows that the hog is one.
 *
 * Hand-made peers are in another network than the clients of the world.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/admission/accounts.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"
#include "tests/loop/raw.h"

enum {
	CEILING = 16,
	SHARES = 8,
	HOGS = 18,     /* what the hog asks for, more than there is */
	HOG_GETS = 12, /* all but two shares */
	HOG_PORT = 31000,
};

static uint32_t used(const struct world *w, enum clv_resource resource)
{
	return clv_control_accounts(w->relay.control)->ceilings[resource].used;
}

static uint64_t refused_source(const struct world *w, enum clv_resource resource)
{
	return clv_control_accounts(w->relay.control)->refused_source[resource];
}

static bool is_retry(const struct wire_packet *p)
{
	return p->len && (p->bytes[0] & 0xf0) == 0xf0; /* RFC 9000 section 17.2.5 */
}

/* Of what the relay sends to hand-made peers, only Retry packets arrive. */
static bool hog_hears_retries_alone(void *user, const struct wire_packet *p)
{
	uint8_t hogs[16];

	(void)user;
	assert_int_equal(clv_addr_parse("198.18.2.1", hogs), 0);
	return memcmp(p->to.addr, hogs, 16) != 0 || is_retry(p);
}

static bool hogs_hear_nothing(void *user, const struct wire_packet *p)
{
	(void)user;
	return ntohs(p->to.port) < HOG_PORT || ntohs(p->to.port) >= HOG_PORT + HOGS;
}

/* Peers of one address, each on a port of its own. */
static struct raw *open_hogs(struct world *w, const struct clv_endpoint *as)
{
	struct raw *hogs = calloc(HOGS, sizeof(*hogs));

	assert_non_null(hogs);
	for (unsigned i = 0; i < HOGS; i++) {
		raw_open(&hogs[i], w, 0);
		clv_rand_init(&hogs[i].rand, 7000 + i);
		if (as)
			hogs[i].endpoint = *as;
		hogs[i].endpoint.port = htons((uint16_t)(HOG_PORT + i));
	}
	return hogs;
}

static void close_hogs(struct raw *hogs)
{
	for (unsigned i = 0; i < HOGS; i++)
		raw_close(&hogs[i]);
	free(hogs);
}

static struct world *new_world(struct clv_control_limits limits, uint32_t shares)
{
	limits.shares = shares;
	limits.handshake_ns = 200 * CLV_SEC;
	limits.conn_idle_ns = 200 * CLV_SEC;
	return world_new(&(struct world_params){
		.clients = 2, .limits = limits, .proxy.request_ns = 200 * CLV_SEC });
}

/* ---- half-open connections ---- */

static bool bystander_connects_beside_half_open(uint32_t shares)
{
	struct world *w = new_world(
		(struct clv_control_limits){ .handshakes_max = CEILING, .retry_above = 2 }, shares);
	struct raw *hogs = open_hogs(w, NULL);
	bool result;

	w->wire.tap = hog_hears_retries_alone;
	for (unsigned i = 0; i < HOGS; i++)
		raw_half_open(&hogs[i], 200 * CLV_MSEC);
	assert_int_equal(used(w, CLV_RESOURCE_HANDSHAKES), shares > 1 ? HOG_GETS : CEILING);
	assert_int_equal(refused_source(w, CLV_RESOURCE_HANDSHAKES) > 0, shares > 1);
	result = world_connect(w, 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(used(w, CLV_RESOURCE_HANDSHAKES), shares > 1 ? HOG_GETS : CEILING);
	w->wire.tap = NULL;
	close_hogs(hogs);
	world_free(w);
	return result;
}

static void test_half_open_connections_of_a_hog_and_a_bystander(void **state)
{
	(void)state;
	assert_false(bystander_connects_beside_half_open(1));
	assert_true(bystander_connects_beside_half_open(SHARES));
}

/* Packets whose source is the victim's address, and whose sender never hears the relay. */
static void test_a_spoofed_source_does_not_lock_out_its_owner(void **state)
{
	struct world *w = new_world((struct clv_control_limits){ .handshakes_max = CEILING },
				    SHARES);
	struct raw *hogs = open_hogs(w, &w->clients[0].endpoint);

	(void)state;
	w->wire.tap = hogs_hear_nothing;
	for (unsigned i = 0; i < HOGS; i++)
		raw_half_open(&hogs[i], 20 * CLV_MSEC);
	assert_int_equal(used(w, CLV_RESOURCE_HANDSHAKES), HOG_GETS);
	assert_true(world_count(w, CLV_COUNT_RETRY_SENT) > 0);
	assert_true(world_connect(w, 0));
	w->wire.tap = NULL;
	close_hogs(hogs);
	world_free(w);
}

/* ---- connections ---- */

static bool bystander_connects_beside_connections(uint32_t shares)
{
	struct world *w = new_world((struct clv_control_limits){ .conns_total = CEILING }, shares);
	struct raw *hogs = open_hogs(w, NULL);
	unsigned connected = 0;
	bool result;

	for (unsigned i = 0; i < HOGS; i++)
		connected += raw_connect(&hogs[i]);
	assert_int_equal(connected, shares > 1 ? HOG_GETS : CEILING);
	assert_int_equal(used(w, CLV_RESOURCE_CONNS), connected);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_SOURCE_FULL) > 0, shares > 1);
	assert_int_equal(refused_source(w, CLV_RESOURCE_CONNS) > 0, shares > 1);
	result = world_connect(w, 0);
	close_hogs(hogs);
	/* What the hog held comes back with the end of its connections. */
	world_run(w, 300 * CLV_SEC, NULL);
	assert_true(used(w, CLV_RESOURCE_CONNS) <= 1);
	world_free(w);
	return result;
}

static void test_connections_of_a_hog_and_a_bystander(void **state)
{
	(void)state;
	assert_false(bystander_connects_beside_connections(1));
	assert_true(bystander_connects_beside_connections(SHARES));
}

/* ---- tunnels ---- */

/* Client i asks for n tunnels.  Returns how many open. */
static unsigned open_tunnels(struct world *w, unsigned i, unsigned n)
{
	unsigned opened = 0;

	assert_true(world_connect(w, i));
	for (unsigned a = 0; a < n; a++)
		assert_int_equal(world_tunnel(w, i, a, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	for (unsigned a = 0; a < n; a++)
		opened += (unsigned)w->clients[i].apps[a].opened;
	return opened;
}

static void test_tunnels_of_a_hog_its_neighbour_and_a_bystander(void **state)
{
	struct world *w = new_world((struct clv_control_limits){ .tunnels_total = CEILING },
				    SHARES);
	struct raw other;

	(void)state;
	assert_int_equal(open_tunnels(w, 0, HOGS), HOG_GETS);
	/* The neighbour's network has one of the two last shares, everybody else the other. */
	assert_int_equal(open_tunnels(w, 1, HOGS), CEILING / SHARES);
	raw_open(&other, w, 5);
	assert_true(raw_tunnel(&other));
	raw_connect_udp(&other, 4, "198.18.1.1", 7001);
	raw_run(&other, CLV_SEC);
	assert_int_equal(raw_status(&other, 4), 503); /* the last one is for somebody else */
	assert_int_equal(used(w, CLV_RESOURCE_TUNNELS), CEILING - 1);
	raw_close(&other);
	world_free(w);
}

static void test_without_shares_tunnels_of_a_hog_shut_out_a_bystander(void **state)
{
	struct world *w = new_world((struct clv_control_limits){ .tunnels_total = CEILING }, 1);

	(void)state;
	assert_int_equal(open_tunnels(w, 0, HOGS), CEILING);
	assert_int_equal(open_tunnels(w, 1, 1), 0);
	world_free(w);
}

/* ---- ports ---- */

static void test_ports_of_a_hog_and_a_bystander(void **state)
{
	struct world *w = world_new(&(struct world_params){ .clients = 2,
							    .limits = { .shares = SHARES },
							    .proxy = { .egress_ports = CEILING } });

	(void)state;
	w->egress_max = CEILING;
	assert_int_equal(open_tunnels(w, 0, HOGS), HOG_GETS);
	assert_int_equal(w->relay.egress_held, HOG_GETS);
	assert_true(refused_source(w, CLV_RESOURCE_PORTS) > 0);
	assert_int_equal(open_tunnels(w, 1, 1), 1);
	/* A dead client pays for its ports until they come back. */
	world_run(w, 300 * CLV_SEC, NULL);
	assert_int_equal(w->relay.egress_held, 0);
	assert_int_equal(used(w, CLV_RESOURCE_PORTS), 0);
	world_free(w);
}

/* The relay as a whole has room, but the worker of both does not. */
static void test_the_ceiling_of_a_worker_has_shares_as_well(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .clients = 2,
					.workers = 4,
					.limits = { .tunnels_max = CEILING, .shares = SHARES } });

	(void)state;
	assert_int_equal(open_tunnels(w, 0, HOGS), HOG_GETS);
	assert_int_equal(open_tunnels(w, 1, 1), 1);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_open_connections_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_a_spoofed_source_does_not_lock_out_its_owner),
		cmocka_unit_test(test_connections_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_tunnels_of_a_hog_its_neighbour_and_a_bystander),
		cmocka_unit_test(test_without_shares_tunnels_of_a_hog_shut_out_a_bystander),
		cmocka_unit_test(test_ports_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_the_ceiling_of_a_worker_has_shares_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
