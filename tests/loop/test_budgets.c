/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What clients may make control keep for them: a hog loses its connection, a bystander nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/core/state.h"
#include "control/tls/tls_memory.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	LIMIT = 256 << 10, /* buffered */
	CAPSULE = 12000,   /* bytes of a value that never comes whole */
};

/* One more request of a client without SETTINGS: its tunnel waits, and with it a capsule. */
static void half_a_capsule(struct raw *r, int64_t id)
{
	struct raw_bytes b = { .len = 0 }, capsule = { .len = 0 };
	uint8_t value[RAW_PACKET_MAX / 2] = { 0 };

	raw_connect_udp(r, id, "198.18.1.1", 7000);
	put_varint(&capsule, 0);
	put_varint(&capsule, CAPSULE);
	put_bytes(&capsule, value, sizeof(value));
	put_varint(&b, 0x00);
	put_varint(&b, capsule.len);
	put_bytes(&b, capsule.bytes, capsule.len);
	raw_stream(r, id, b.bytes, b.len, false);
}

/* As many requests as it may have, or until it is closed. */
static void hog(struct raw *r, unsigned requests)
{
	for (unsigned i = 0; i < requests && !r->is_closed; i++) {
		half_a_capsule(r, 4 * (int64_t)i);
		raw_run(r, 5 * CLV_MSEC);
	}
}

static const struct clv_budget *buffered(const struct world *w)
{
	return clv_control_buffered(w->relay.control);
}

/* Connection, tunnels and requests of client 0 are as if it were alone. */
static void assert_undisturbed(struct world *w, unsigned app)
{
	assert_true(w->clients[0].is_up);
	assert_false(w->clients[0].is_down);
	assert_int_equal(world_tunnel(w, 0, app, "198.18.1.1", 7000), 0);
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(w->clients[0].apps[app].opened, 1);
	hostile_assert_serves(w);
}

static void test_a_client_without_settings_loses_its_own_connection(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .limits.buffered = LIMIT });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_connect(r));
	/* up to three quarters it may have */
	hog(r, LIMIT * 3 / 4 / CAPSULE);
	assert_false(r->is_closed);
	assert_true(buffered(w)->used > LIMIT / 2);
	assert_undisturbed(w, 1);
	/* not more */
	for (unsigned i = 0; i < 3; i++)
		half_a_capsule(r, 4 * (int64_t)(LIMIT * 3 / 4 / CAPSULE + i));
	raw_run(r, 50 * CLV_MSEC);
	assert_true(r->is_closed && r->close_is_app);
	assert_int_equal(r->close_code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(world_count(w, CLV_COUNT_BUFFERED_FULL), 1);
	assert_int_equal(buffered(w)->refused, 1);
	assert_int_equal(buffered(w)->used, 0);
	assert_undisturbed(w, 2);
	hostile_peer_free(r);
	world_free(w);
}

static void test_of_several_hogs_the_largest_goes_first(void **state)
{
	enum { HOGS = 4, EACH = LIMIT * 3 / 4 / CAPSULE / HOGS };
	struct world *w = world_with_tunnel(&(struct world_params){ .limits.buffered = LIMIT });
	struct raw *r[HOGS];

	(void)state;
	for (unsigned i = 0; i < HOGS; i++) {
		r[i] = hostile_peer(w, i + 1);
		assert_true(raw_connect(r[i]));
		hog(r[i], EACH);
	}
	/* The second has one more than the others; it is the fourth that exceeds the limit. */
	half_a_capsule(r[1], 4 * EACH);
	raw_run(r[1], 20 * CLV_MSEC);
	half_a_capsule(r[1], 4 * EACH + 4);
	raw_run(r[1], 20 * CLV_MSEC);
	for (unsigned i = 0; i < HOGS; i++)
		raw_run(r[i], 20 * CLV_MSEC);
	assert_true(r[1]->is_closed);
	assert_false(r[0]->is_closed || r[2]->is_closed || r[3]->is_closed);
	assert_undisturbed(w, 1);
	for (unsigned i = 0; i < HOGS; i++)
		hostile_peer_free(r[i]);
	world_free(w);
}

/* What control writes is charged as well, but ends nobody who holds little. */
static void test_a_write_of_control_is_not_the_victim(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .limits.buffered = LIMIT });
	struct clv_budget *b = &w->relay.control->budget;

	(void)state;
	b->max = 1; /* not a byte is left */
	assert_undisturbed(w, 1);
	assert_int_equal(world_count(w, CLV_COUNT_BUFFERED_FULL), 0);
	world_free(w);
}

/* Datagrams for a worker that does not keep up are lost beyond a bound, and counted. */
static void test_what_waits_for_a_worker_has_a_ceiling(void **state)
{
	struct world *w = world_with_tunnel(&(struct world_params){ .limits.buffered = LIMIT });
	struct clv_control *c = w->relay.control;
	struct clv_session *s = c->sessions;
	static const uint8_t packet[1200];
	const struct clv_cmd_packet cmd = { .ref = s->ref };
	uint64_t sent = 0;

	(void)state;
	while (!world_count(w, CLV_COUNT_DROP_WORKER_BUSY)) {
		workers_send_datagram(c, s, CLV_CMD_PACKET, &cmd, sizeof(cmd), packet,
				      sizeof(packet));
		assert_in_range(++sent, 0, 100000);
	}
	assert_in_range(buffered(w)->used, 1, LIMIT / 4 / 8);
	overload_relieve(c);
	assert_undisturbed(w, 1);
	assert_int_equal(buffered(w)->used, 0);
	world_free(w);
}

/* ---- what the HTTP library keeps ---- */

/* A field section that never ends: a value of 65535 bytes is announced, and few come. */
static void unfinished(struct raw *r, int64_t id)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, "01 bfffffff 0000 23 666f6f 7f80ff03 616161");
	raw_stream(r, id, b.bytes, b.len, false);
}

static const struct clv_budget *http_memory(const struct world *w)
{
	return clv_control_http_memory(w->relay.control);
}

static void test_field_sections_that_never_end_have_a_ceiling(void **state)
{
	enum { HOGS = 3, STREAMS = 2000, UNFINISHED = 64, EACH = 100 << 10 };
	struct world *w = world_with_tunnel(
		&(struct world_params){ .limits.tunnels_per_conn = STREAMS });
	struct raw *r[HOGS];
	size_t before = raw_memory();

	(void)state;
	for (unsigned i = 0; i < HOGS; i++) {
		r[i] = hostile_peer(w, i + 1);
		assert_true(raw_connect(r[i]));
		raw_h3_start(r[i]);
		for (int64_t k = 0; k < STREAMS; k++) {
			unfinished(r[i], 4 * k);
			if (k % 20 == 0)
				raw_run(r[i], CLV_MSEC);
		}
		raw_run(r[i], 50 * CLV_MSEC);
		assert_false(r[i]->is_closed);
		assert_in_range(r[i]->memory_peak, 0, before + (i + 1) * UNFINISHED * EACH);
	}
	assert_in_range(http_memory(w)->used, HOGS * UNFINISHED * 65535, HOGS * UNFINISHED * EACH);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_UNFINISHED),
			 HOGS * (STREAMS - UNFINISHED));
	assert_undisturbed(w, 1);
	/* beyond their time limit nothing is left of them */
	for (unsigned i = 0; i < HOGS; i++)
		raw_run(r[i], 5 * CLV_SEC);
	assert_in_range(http_memory(w)->used, 0, HOGS * (STREAMS << 10));
	for (unsigned i = 0; i < HOGS; i++)
		hostile_peer_free(r[i]);
	world_free(w);
}

static void test_a_connection_has_a_share_of_the_memory_for_requests(void **state)
{
	struct world *w = world_with_tunnel(
		&(struct world_params){ .limits.http_memory = 2 << 20 });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_connect(r));
	raw_h3_start(r);
	for (int64_t id = 0; id < 12; id += 4) /* 3 times 64 KiB of 256 */
		unfinished(r, id);
	raw_run(r, 50 * CLV_MSEC);
	assert_false(r->is_closed);
	unfinished(r, 12);
	raw_run(r, 50 * CLV_MSEC);
	assert_true(r->is_closed && r->close_is_app);
	assert_int_equal(r->close_code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(world_count(w, CLV_COUNT_HTTP_MEMORY_FULL), 1);
	raw_run(r, CLV_SEC);
	assert_in_range(http_memory(w)->used, 0, 64 << 10);
	assert_undisturbed(w, 1);
	hostile_peer_free(r);
	world_free(w);
}

static void test_of_all_memory_for_requests_the_largest_is_given_up(void **state)
{
	enum { LIMIT_HTTP = 2 << 20, HOGS = 9, SECTIONS = 3 }; /* each nearly an eighth */
	struct world *w = world_with_tunnel(
		&(struct world_params){ .limits.http_memory = LIMIT_HTTP });
	struct raw *r[HOGS];
	unsigned closed = 0;

	(void)state;
	for (unsigned i = 0; i < HOGS; i++) {
		r[i] = hostile_peer(w, i + 1);
		assert_true(raw_connect(r[i]));
		raw_h3_start(r[i]);
		for (int64_t k = 0; k < SECTIONS; k++)
			unfinished(r[i], 4 * k);
		raw_run(r[i], 20 * CLV_MSEC);
		assert_in_range(http_memory(w)->used, 1, LIMIT_HTTP * 3 / 4);
	}
	for (unsigned i = 0; i < HOGS; i++) {
		raw_run(r[i], 20 * CLV_MSEC);
		closed += r[i]->is_closed && r[i]->close_code == CLV_H3_EXCESSIVE_LOAD;
	}
	assert_in_range(closed, 1, HOGS - 5);
	assert_int_equal(world_count(w, CLV_COUNT_HTTP_MEMORY_FULL), closed);
	assert_undisturbed(w, 1);
	for (unsigned i = 0; i < HOGS; i++)
		hostile_peer_free(r[i]);
	world_free(w);
}

/* ---- what a worker keeps ---- */

/* Nothing comes from any client but the first: what the relay sends the others stays unacknowledged. */
static bool only_the_first_answers(void *user, const struct wire_packet *p)
{
	const struct world *w = user;

	for (unsigned i = 1; i < WORLD_CLIENTS_MAX; i++)
		if (clv_endpoint_equal(&p->from, &w->clients[i].endpoint))
			return false;
	return true;
}

/* A datagram of the target to the relay's n-th port, which becomes a capsule. */
static void from_target(struct world *w, unsigned n)
{
	struct clv_endpoint port = w->relay_endpoint;
	uint8_t payload[1000] = { 0 };

	port.port = htons((uint16_t)(20000 + n));
	wire_send(&w->wire, &w->target, &port, 0, payload, sizeof(payload));
}

static void test_clients_that_acknowledge_nothing_and_a_bystander(void **state)
{
	enum { HOGS = WORLD_CLIENTS_MAX - 1, CEILING = 40 << 10, EACH = 14 << 10, ROUNDS = 60 };
	struct world *w = world_new(&(struct world_params){ .clients = WORLD_CLIENTS_MAX,
							    .no_datagrams = true,
							    .limits.buffered = CEILING,
							    .proxy.capsule_backlog = EACH });
	struct world_app *mine = &w->clients[0].apps[0];
	unsigned down = 0;

	(void)state;
	for (unsigned i = 1; i <= HOGS; i++) {
		assert_true(world_connect(w, i));
		assert_int_equal(world_tunnel(w, i, 0, "198.18.1.1", 7000), 0);
		world_run(w, 100 * CLV_MSEC, NULL);
		assert_int_equal(w->clients[i].apps[0].opened, 1);
	}
	world_open_tunnel(w);
	w->wire.tap = only_the_first_answers;
	w->wire.tap_user = w;
	for (unsigned n = 0; n < ROUNDS; n++) {
		for (unsigned i = 0; i <= HOGS; i++)
			from_target(w, i);
		world_run(w, 10 * CLV_MSEC, NULL);
		assert_in_range(w->relay.workers[0]->buffered.used, 0, CEILING);
	}
	world_run(w, 100 * CLV_MSEC, NULL);
	assert_int_equal(mine->received, ROUNDS);
	assert_true(world_count(w, CLV_COUNT_BUFFERED_FULL) >= 1);
	w->wire.tap = NULL;
	world_run(w, 3 * CLV_SEC, NULL);
	for (unsigned i = 1; i <= HOGS; i++)
		down += w->clients[i].is_down && w->clients[i].down.code == CLV_H3_EXCESSIVE_LOAD;
	assert_int_equal(down, world_count(w, CLV_COUNT_BUFFERED_FULL));
	assert_true(down < HOGS); /* no more than it takes */
	mine->wrong = 0;	  /* from_target has another pattern */
	assert_undisturbed(w, 1);
	world_free(w);
}

/* ---- what TLS keeps ---- */

/* The peer that tries now hears nothing, so that its handshake stays incomplete. */
static bool is_deaf(void *user, const struct wire_packet *p)
{
	const struct raw *const *trying = user;

	return !*trying || !clv_endpoint_equal(&p->to, &(*trying)->endpoint);
}

static void test_no_handshake_begins_while_tls_holds_too_much(void **state)
{
	enum { HOGS = 8, ROOM = 3 };
	struct world *w = world_with_tunnel(&(struct world_params){ 0 });
	struct clv_control *c = w->relay.control;
	uint64_t before = clv_tls_memory_held(), one;
	struct raw *r[HOGS], *trying = NULL;

	(void)state;
	w->wire.tap = is_deaf;
	w->wire.tap_user = &trying;
	for (unsigned i = 0; i < HOGS; i++) {
		trying = r[i] = hostile_peer(w, i + 1);
		raw_half_open(r[i], 20 * CLV_MSEC);
		if (i == 0) {
			one = clv_tls_memory_held() - before;
			assert_in_range(one, 10000, 1 << 20);
			print_message("%llu bytes for a half-open connection\n",
				      (unsigned long long)one);
			c->p.limits.tls_memory = before + ROOM * one;
		}
	}
	trying = NULL;
	assert_int_equal(c->handshaking, ROOM);
	assert_true(world_count(w, CLV_COUNT_DROP_TLS_MEMORY) >= HOGS - ROOM);
	assert_undisturbed(w, 1);
	/* when they have timed out, there is room again */
	world_run(w, 12 * CLV_SEC, NULL);
	assert_int_equal(c->handshaking, 0);
	assert_true(raw_connect(r[0]));
	for (unsigned i = 0; i < HOGS; i++)
		hostile_peer_free(r[i]);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_without_settings_loses_its_own_connection),
		cmocka_unit_test(test_of_several_hogs_the_largest_goes_first),
		cmocka_unit_test(test_a_write_of_control_is_not_the_victim),
		cmocka_unit_test(test_what_waits_for_a_worker_has_a_ceiling),
		cmocka_unit_test(test_field_sections_that_never_end_have_a_ceiling),
		cmocka_unit_test(test_a_connection_has_a_share_of_the_memory_for_requests),
		cmocka_unit_test(test_of_all_memory_for_requests_the_largest_is_given_up),
		cmocka_unit_test(test_clients_that_acknowledge_nothing_and_a_bystander),
		cmocka_unit_test(test_no_handshake_begins_while_tls_holds_too_much),
	};

	clv_tls_memory_count();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
