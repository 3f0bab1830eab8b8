/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Admission of new clients: handshakes in pieces, address validation, ceilings, buffered bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/core/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"

enum {
	FLIGHT_MAX = 8,
};

static bool from_client(const struct world *w, const struct wire_packet *p)
{
	return clv_endpoint_equal(&p->from, &w->clients[0].endpoint);
}

static bool is_over(struct world *w)
{
	return w->clients[0].is_up || w->clients[0].is_down;
}

/* ---- a ClientHello in pieces ---- */

/* The client's first flight, held back; what it repeats meanwhile is lost. */
struct held {
	struct world *w;
	bool holding;
	unsigned len;
	size_t lens[FLIGHT_MAX];
	uint8_t bytes[FLIGHT_MAX][1500];
};

static bool hold(void *user, const struct wire_packet *p)
{
	struct held *h = user;

	if (!h->holding || !from_client(h->w, p))
		return true;
	if (h->len < FLIGHT_MAX && p->len >= 1200) {
		memcpy(h->bytes[h->len], p->bytes, p->len);
		h->lens[h->len++] = p->len;
	}
	return false;
}

static void hand_out(struct held *h, unsigned i)
{
	struct world *w = h->w;

	h->holding = false;
	wire_send(&w->wire, &w->clients[0].endpoint, &w->relay_endpoint, 0, h->bytes[i],
		  h->lens[i]);
	h->holding = true;
}

/* Turn order[] into the next permutation; false after the last. */
static bool next_order(unsigned *order, unsigned n)
{
	unsigned i = n - 1, j = n - 1, t;

	while (i && order[i - 1] > order[i])
		i--;
	if (!i)
		return false;
	while (order[j] < order[i - 1])
		j--;
	t = order[i - 1], order[i - 1] = order[j], order[j] = t;
	for (j = n - 1; i < j; i++, j--)
		t = order[i], order[i] = order[j], order[j] = t;
	return true;
}

/* Returns how many datagrams the flight had; fails unless the session came up. */
static unsigned connect_in_order(const unsigned *order, uint64_t gap_ns, bool always_retry)
{
	struct world *w = world_new(&(struct world_params){ .always_retry = always_retry });
	struct held h = { .w = w, .holding = true };
	unsigned n;

	w->wire.tap = hold;
	w->wire.tap_user = &h;
	world_connect_start(w, 0);
	world_run(w, 10 * CLV_MSEC, NULL);
	n = h.len;
	assert_in_range(n, 2, FLIGHT_MAX);
	for (unsigned i = 0; order && i < n; i++) {
		hand_out(&h, order[i]);
		world_run(w, gap_ns, NULL);
	}
	h.holding = false;
	if (order) {
		world_run(w, 8 * CLV_SEC, is_over);
		if (!w->clients[0].is_up)
			fail_msg("no session with order %u %u, gap %lu ms", order[0], order[1],
				 gap_ns / CLV_MSEC);
	}
	w->wire.tap = NULL;
	world_free(w);
	return n;
}

static void test_a_clienthello_in_several_initials_in_any_order_and_with_gaps(void **state)
{
	static const uint64_t gaps_ns[] = { 0, 30 * CLV_MSEC, 400 * CLV_MSEC };
	unsigned order[FLIGHT_MAX], n = connect_in_order(NULL, 0, false), tried = 0;

	(void)state;
	for (unsigned g = 0; g < 3; g++) {
		for (unsigned i = 0; i < n; i++)
			order[i] = i;
		do {
			connect_in_order(order, gaps_ns[g], false);
			tried++;
		} while (next_order(order, n));
	}
	assert_true(tried >= 6);
}

static void test_a_clienthello_in_several_initials_after_a_retry(void **state)
{
	unsigned order[FLIGHT_MAX], n = connect_in_order(NULL, 0, true);

	(void)state;
	for (unsigned i = 0; i < n; i++)
		order[i] = n - 1 - i;
	connect_in_order(order, 30 * CLV_MSEC, true);
}

/* ---- proof of the address ---- */

struct bytes {
	struct world *w;
	uint64_t in, out;
	uint64_t in_max; /* what comes from the client beyond is lost */
};

static bool weigh(void *user, const struct wire_packet *p)
{
	struct bytes *b = user;

	if (!from_client(b->w, p)) {
		b->out += p->len;
		assert_true(b->out <= 3 * b->in);
		return false; /* the client never receives it */
	}
	if (b->in + p->len > b->in_max)
		return false;
	b->in += p->len;
	return true;
}

static void test_an_unvalidated_address_gets_at_most_three_times_its_bytes(void **state)
{
	static const uint64_t ins[] = { 1300, 2600, 4000, 6000, 60000 };

	(void)state;
	for (unsigned i = 0; i < sizeof(ins) / sizeof(ins[0]); i++) {
		for (int retry = 0; retry < 2; retry++) {
			struct world *w = world_new(
				&(struct world_params){ .always_retry = retry });
			struct bytes b = { .w = w, .in_max = ins[i] };

			w->wire.tap = weigh;
			w->wire.tap_user = &b;
			world_connect_start(w, 0);
			world_run(w, 12 * CLV_SEC, NULL);
			assert_true(b.in > 0);
			assert_int_equal(
				w->relay.control ? world_count(w, CLV_COUNT_HANDSHAKES) : 1, 0);
			w->wire.tap = NULL;
			world_free(w);
		}
	}
}

static void disconnect(struct world *w, unsigned i)
{
	clv_relay_session_close(w->clients[i].session);
	world_run(w, 5 * CLV_SEC, NULL);
	assert_true(w->clients[i].is_down);
}

static void test_a_client_with_an_address_token_skips_the_retry(void **state)
{
	struct world *w = world_new(&(struct world_params){ .always_retry = true, .clients = 2 });

	(void)state;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_count(w, CLV_COUNT_RETRY_SENT), 4); /* one a datagram */
	world_run(w, CLV_SEC, NULL);
	for (unsigned visit = 1; visit <= 3; visit++) {
		uint64_t retries = world_count(w, CLV_COUNT_RETRY_SENT);

		disconnect(w, 0);
		assert_true(world_connect(w, 0));
		assert_int_equal(world_count(w, CLV_COUNT_RETRY_SENT), retries);
		assert_true(world_count(w, CLV_COUNT_TOKENS_TAKEN) >= visit);
		world_run(w, CLV_SEC, NULL); /* each visit brings the token of the next */
	}
	/* so it does when the relay was restarted meanwhile */
	disconnect(w, 0);
	world_relay_crash(w);
	assert_true(world_connect(w, 0));
	assert_int_equal(world_count(w, CLV_COUNT_RETRY_SENT), 0);
	/* but a client without a token is sent a Retry */
	assert_true(world_connect(w, 1));
	assert_true(world_count(w, CLV_COUNT_RETRY_SENT) > 0);
	world_free(w);
}

/* The first two clients never receive the relay's packets. */
static bool two_hear_nothing(void *user, const struct wire_packet *p)
{
	const struct world *w = user;

	return !clv_endpoint_equal(&p->to, &w->clients[0].endpoint) &&
	       !clv_endpoint_equal(&p->to, &w->clients[1].endpoint);
}

static void test_retries_are_sent_only_above_the_configured_load(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .clients = 4, .limits = { .retry_above = 2 } });
	uint64_t retries;

	(void)state;
	w->wire.tap = two_hear_nothing;
	w->wire.tap_user = w;
	for (unsigned i = 0; i < 2; i++) { /* half-open: the load */
		world_connect_start(w, i);
		world_run(w, 100 * CLV_MSEC, NULL);
		assert_int_equal(world_count(w, CLV_COUNT_RETRY_SENT), 0);
	}
	assert_true(world_connect(w, 2));
	retries = world_count(w, CLV_COUNT_RETRY_SENT);
	assert_true(retries > 0);
	world_run(w, 15 * CLV_SEC, NULL); /* they time out */
	assert_true(world_count(w, CLV_COUNT_HANDSHAKE_FAILED) >= 2);
	assert_true(world_connect(w, 3));
	assert_int_equal(world_count(w, CLV_COUNT_RETRY_SENT), retries);
	w->wire.tap = NULL;
	world_free(w);
}

/* ---- ceilings ---- */

static void expect_second_refused(const struct clv_control_limits *limits, enum clv_counter counter)
{
	struct world *w = world_new(&(struct world_params){ .clients = 2, .limits = *limits });

	assert_true(world_connect(w, 0));
	assert_false(world_connect(w, 1));
	assert_true(w->clients[1].is_down);
	assert_true(w->clients[1].down.is_remote);
	assert_int_equal(w->clients[1].down.code, NGTCP2_CONNECTION_REFUSED);
	assert_true(world_count(w, counter) > 0);
	assert_true(world_count(w, CLV_COUNT_CONNS_REFUSED) > 0);
	assert_true(w->clients[0].is_up);
	/* the first leaves, and there is room */
	disconnect(w, 0);
	assert_true(world_connect(w, 1));
	world_free(w);
}

static void test_connections_have_a_ceiling_in_total(void **state)
{
	(void)state;
	expect_second_refused(&(struct clv_control_limits){ .conns_total = 1 },
			      CLV_COUNT_DROP_CONNS_FULL);
}

static void test_connections_have_a_ceiling_for_each_source_prefix(void **state)
{
	(void)state;
	expect_second_refused(&(struct clv_control_limits){ .conns_per_net = 1 },
			      CLV_COUNT_DROP_SOURCE_FULL);
}

/* The ceiling of a host does not count connections of another host of its network. */
static void test_the_ceiling_of_a_host_does_not_affect_its_neighbours(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .clients = 2, .limits = { .conns_per_host = 1 } });

	(void)state;
	assert_true(world_connect(w, 0));
	assert_true(world_connect(w, 1));
	world_free(w);
}

/* Ask for n tunnels; returns how many opened, the others were answered with status. */
static unsigned open_tunnels(struct world *w, unsigned n, unsigned status)
{
	unsigned opened = 0;

	assert_true(world_connect(w, 0));
	for (unsigned a = 0; a < n; a++)
		assert_int_equal(world_tunnel(w, 0, a, "198.18.1.1", 7000), 0);
	world_run(w, 900 * CLV_MSEC, NULL);
	for (unsigned a = 0; a < n; a++) {
		const struct world_app *app = &w->clients[0].apps[a];

		opened += app->opened;
		if (!app->opened)
			assert_int_equal(app->status, status);
	}
	return opened;
}

static void test_tunnels_have_a_ceiling_in_total(void **state)
{
	struct world *w = world_new(&(struct world_params){ .limits = { .tunnels_total = 3 } });

	(void)state;
	assert_int_equal(open_tunnels(w, 5, 503), 3);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_TUNNELS), 2);
	for (unsigned a = 0; a < 5; a++)
		if (w->clients[0].apps[a].opened)
			clv_relay_tunnel_close(w->clients[0].apps[a].tunnel);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(world_tunnel(w, 0, 9, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[9].opened, 1);
	world_free(w);
}

static void test_requests_beyond_the_rate_are_answered_429(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .proxy = { .requests_per_sec = 1, .requests_burst = 4 } });

	(void)state;
	assert_int_equal(open_tunnels(w, 6, 429), 4);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_RATE), 2);
	world_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(world_tunnel(w, 0, 9, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[9].opened, 1);
	world_free(w);
}

/* ---- bytes that wait ---- */

static bool deaf(void *user, const struct wire_packet *p)
{
	return !from_client(user, p);
}

static uint64_t waiting(const struct world *w)
{
	return w->relay.workers[0]->buffered.used;
}

/* A client that takes nothing: its capsules wait at the relay, up to the ceiling of all. */
static void test_buffered_bytes_have_a_ceiling_over_all_streams(void **state)
{
	enum { CEILING = 65536, TUNNELS = 8 };
	struct world *w = world_new(
		&(struct world_params){ .no_datagrams = true,
					.limits = { .buffered = CEILING },
					.proxy = { .capsule_backlog = CEILING } });
	uint64_t peak = 0;

	(void)state;
	assert_int_equal(open_tunnels(w, TUNNELS, 0), TUNNELS);
	w->wire.tap = deaf;
	w->wire.tap_user = w;
	for (unsigned n = 0; n < 400 && !world_count(w, CLV_COUNT_BUFFERED_FULL); n++) {
		for (unsigned i = 0; i < w->relay.egress_held; i++) {
			struct clv_endpoint port = w->relay_endpoint;
			uint8_t payload[1000] = { 0 };

			port.port = htons((uint16_t)(20000 + i));
			wire_send(&w->wire, &w->target, &port, 0, payload, sizeof(payload));
		}
		world_run(w, 10 * CLV_MSEC, NULL);
		if (waiting(w) > peak)
			peak = waiting(w);
	}
	assert_int_equal(world_count(w, CLV_COUNT_BUFFERED_FULL), 1);
	assert_true(peak > CEILING / 2);
	assert_true(peak <= CEILING);
	w->wire.tap = NULL;
	world_run(w, 3 * CLV_SEC, NULL);
	assert_true(w->clients[0].is_down); /* by a close with the reason */
	assert_int_equal(w->clients[0].down.code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(waiting(w), 0);
	world_free(w);
}

static uint64_t closed_by_control(const struct world *w)
{
	return clv_count_read(clv_control_counters(w->relay.control), CLV_COUNT_BUFFERED_FULL);
}

static void expect_close_for_load(struct world *w)
{
	world_run(w, 3 * CLV_SEC, NULL);
	assert_true(closed_by_control(w) > 0);
	assert_true(w->clients[0].is_down);
	assert_int_equal(w->clients[0].down.code, CLV_H3_EXCESSIVE_LOAD);
	world_free(w);
}

/* What comes before the hand-over; here there is no room for a single byte. */
static void test_bytes_buffered_for_the_hand_over_count(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });

	(void)state;
	w->relay.control->budget.max = 1;
	world_connect_start(w, 0);
	expect_close_for_load(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_clienthello_in_several_initials_in_any_order_and_with_gaps),
		cmocka_unit_test(test_a_clienthello_in_several_initials_after_a_retry),
		cmocka_unit_test(test_an_unvalidated_address_gets_at_most_three_times_its_bytes),
		cmocka_unit_test(test_a_client_with_an_address_token_skips_the_retry),
		cmocka_unit_test(test_retries_are_sent_only_above_the_configured_load),
		cmocka_unit_test(test_connections_have_a_ceiling_in_total),
		cmocka_unit_test(test_connections_have_a_ceiling_for_each_source_prefix),
		cmocka_unit_test(test_the_ceiling_of_a_host_does_not_affect_its_neighbours),
		cmocka_unit_test(test_tunnels_have_a_ceiling_in_total),
		cmocka_unit_test(test_requests_beyond_the_rate_are_answered_429),
		cmocka_unit_test(test_buffered_bytes_have_a_ceiling_over_all_streams),
		cmocka_unit_test(test_bytes_buffered_for_the_hand_over_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
