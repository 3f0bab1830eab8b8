/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What ends at once, with many tunnels or remotes, is removed in portions: packets get their turn. */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"
#include "datapath/worker/state.h"
#include "tests/loop/bound_fixture.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum { TUNNELS = 600, REMOTES = 500, PORTION = 256 };

/* Step the worker alone until left is 0; the most that one step took. */
static size_t worst_step(struct world *w, size_t (*left)(const struct clv_worker *worker))
{
	struct clv_worker *worker = w->relay.workers[0];
	size_t before = left(worker), worst = 0;

	for (int i = 0; before; i++) {
		size_t now;

		assert_true(i < 100);
		clv_worker_step(worker, w->wire.now_ns);
		now = left(worker);
		if (before - now > worst)
			worst = before - now;
		before = now;
	}
	return worst;
}

static size_t tunnels_left(const struct clv_worker *worker)
{
	return worker->tunnels.by_stream.count;
}

static size_t remotes_left(const struct clv_worker *worker)
{
	return worker->remotes.by_endpoint.count;
}

static void test_a_connection_with_many_tunnels_ends_in_portions(void **state)
{
	static const uint8_t close[] = { 0x1d, 0x41, 0x00, 0x00 }; /* CONNECTION_CLOSE */
	struct world *w = world_new(
		&(struct world_params){ .limits = { .tunnels_per_conn = TUNNELS + 1 } });
	struct raw *r = hostile_peer(w, 0);

	(void)state;
	assert_true(raw_tunnel(r));
	for (int i = 1; i < TUNNELS; i++) {
		raw_connect_udp(r, 4 * i, "198.18.1.1", (uint16_t)(1000 + i));
		raw_run(r, 5 * CLV_MSEC);
	}
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(tunnels_left(w->relay.workers[0]), TUNNELS);
	raw_send(r, close, sizeof(close));
	raw_run(r, 20 * CLV_MSEC); /* it drains */
	assert_int_equal(tunnels_left(w->relay.workers[0]), TUNNELS);
	w->wire.now_ns += 10 * CLV_SEC;
	assert_in_range(worst_step(w, tunnels_left), 1, PORTION);
	raw_run(r, 20 * CLV_MSEC);
	assert_int_equal(w->relay.egress_held, 0);
	assert_int_equal(w->relay.workers[0]->cids.count, 0);
	hostile_peer_free(r);
	hostile_assert_serves(w);
	world_free(w);
}

/* A peer with a bound tunnel, whose uncompressed context has Context ID 2, and with many remotes. */
static struct fixture *many_remotes(void)
{
	struct fixture *f = bound_setup_peer(&bound_variants[0], NULL);

	peer_exchange(f, &f->a, "11020200", "120102");
	for (int i = 0; i < REMOTES; i++) {
		const uint8_t named[] = {
			0x04, 198,  18,	 (uint8_t)(6 + i / 200), (uint8_t)(1 + i % 200),
			0x1f, 0x40, 'x',
		};

		raw_datagram(f->a.raw, 0, 2, named, sizeof(named));
		raw_run(f->a.raw, 2 * CLV_MSEC);
	}
	bound_run(f);
	assert_int_equal(remotes_left(f->w->relay.workers[0]), REMOTES);
	return f;
}

/* Step all until the worker has removed the first of them, in a portion. */
static void until_first_portion(struct fixture *f)
{
	struct clv_worker *worker = f->w->relay.workers[0];

	for (int i = 0; i < 100 && remotes_left(worker) == REMOTES; i++) {
		wire_run(&f->w->wire);
		clv_worker_step(worker, f->w->wire.now_ns);
		clv_control_step(f->w->relay.control, f->w->wire.now_ns);
		f->w->wire.now_ns += CLV_MSEC;
	}
	assert_in_range(remotes_left(worker), REMOTES - PORTION, REMOTES - 1);
}

static void test_a_tunnel_with_many_remotes_ends_in_portions(void **state)
{
	struct fixture *f = many_remotes();
	uint64_t stale;

	(void)state;
	raw_stream(f->a.raw, 0, NULL, 0, true); /* the end of the request */
	until_first_portion(f);
	/* it relays nothing meanwhile */
	stale = world_count(f->w, CLV_COUNT_DROP_STALE);
	raw_datagram(f->a.raw, 0, 2, "\x04\xc6\x12\x06\x01\x1f\x40x", 8);
	f->w->wire.now_ns += 50 * CLV_MSEC;
	wire_run(&f->w->wire);
	assert_in_range(worst_step(f->w, remotes_left), 1, PORTION);
	assert_int_equal(world_count(f->w, CLV_COUNT_DROP_STALE), stale + 1);
	bound_run(f);
	assert_int_equal(tunnels_left(f->w->relay.workers[0]), 0);
	bound_teardown(f);
}

/* Control removes those it knows of one by one: here the worker is left alone with all of them. */
static void test_an_uncompressed_context_with_many_remotes_ends_in_portions(void **state)
{
	struct fixture *f = many_remotes();
	struct clv_worker *worker = f->w->relay.workers[0];
	struct clv_cmd_context_close cmd = { .context_id = 2 };

	(void)state;
	for (uint32_t i = 0; i < worker->tunnels.max; i++)
		if (worker->tunnels.slots[i].used)
			cmd.ref = (struct clv_ref){
				i, worker->tunnels.slots[i].generation, 0, { 0 }
			};
	assert_int_equal(clv_mailbox_send(f->w->relay.commands[0], CLV_CMD_CONTEXT_CLOSE, &cmd,
					  sizeof(cmd), NULL, 0),
			 0);
	clv_mailbox_flush(f->w->relay.commands[0]);
	assert_in_range(worst_step(f->w, remotes_left), 1, PORTION);
	bound_run(f);
	bound_teardown(f);
}

static void test_what_waits_for_removal_is_not_used(void **state)
{
	struct fixture *f = many_remotes();
	uint64_t refused, resolved;

	(void)state;
	peer_send(f, &f->a, 2, "04" R4_HEX, "x");
	remote_expect(&f->r4, &f->a.ports[0], "x");
	/* closed, opened again and named before the worker has removed them all */
	resolved = remotes_left(f->w->relay.workers[0]);
	refused = world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE);
	raw_capsules(f->a.raw, 0, "130102 11020400");
	for (int i = 0; i < 100 && remotes_left(f->w->relay.workers[0]) == resolved; i++)
		world_turn(f->w, CLV_MSEC / 100);
	peer_send(f, &f->a, 4, "04" R4_HEX, "y");
	remote_expect(&f->r4, &f->a.ports[0], "y");
	assert_int_equal(remotes_left(f->w->relay.workers[0]), 1);
	assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE), refused);
	bound_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_connection_with_many_tunnels_ends_in_portions),
		cmocka_unit_test(test_a_tunnel_with_many_remotes_ends_in_portions),
		cmocka_unit_test(test_an_uncompressed_context_with_many_remotes_ends_in_portions),
		cmocka_unit_test(test_what_waits_for_removal_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
