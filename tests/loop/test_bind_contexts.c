/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Contexts of bound tunnels: the client's and the relay's own, from registration to close, on every
 * variant of bound_fixture.h.
 */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/loop/bound_fixture.h"

static void test_close(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11080404" R4_HEX, "120104");
		peer_exchange(f, &f->a, "130104", "");
		peer_send(f, &f->a, 4, "", "late");
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
		remote_send_run(f, &f->r4, &f->a.ports[0], "late");
		peer_expect(&f->a, "");
		/* one that only the relay may open waits for nothing */
		peer_send(f, &f->a, 1, "", "whose?");
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
		peer_expect_alive(&f->a);
		/* the remote may be registered anew; what comes by the old ID stays lost */
		peer_exchange(f, &f->a, "11080604" R4_HEX, "120106");
		peer_send(f, &f->a, 4, "", "late");
		assert_int_equal(f->r4.received, 0);
		peer_send(f, &f->a, 6, "", "in time");
		remote_expect(&f->r4, &f->a.ports[0], "in time");
		bound_teardown(f);
	}
}

/* It waits for a registration that cannot come any more, and goes nowhere. */
static void test_refused(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11080404 0a000001 2328", "130104"); /* 10.0.0.1 */
		peer_send(f, &f->a, 4, "", "refused");
		peer_exchange(f, &f->a, "11080604" R4_HEX, "120106");
		raw_run(f->a.raw, 5 * CLV_SEC);
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_CLOSED_CONTEXT) +
					 world_count(f->w, CLV_COUNT_DROP_EARLY_EXPIRED),
				 1);
		peer_send(f, &f->a, 6, "", "good");
		remote_expect(&f->r4, &f->a.ports[0], "good");
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

static void test_before_the_ack(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		/* the datagram overtakes the capsule */
		raw_datagram(f->a.raw, 0, 4, "first", 5);
		peer_exchange(f, &f->a, "11080404" R4_HEX, "120104");
		remote_expect(&f->r4, &f->a.ports[0], "first");
		bound_teardown(f);
	}
}

/* ---- Context ID 0 ---- */

static void test_context_zero(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_send(f, &f->a, 0, "", "x");
		peer_expect_reset(f, &f->a, CLV_H3_DATAGRAM_ERROR);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_ZERO), 1);
		bound_teardown(f);
	}
}

/* Our own client, and what became of its tunnel. */
struct ours {
	bool is_open, is_closed;
	int error;
};

static void ours_on_open(void *user, const struct clv_client_result *result)
{
	struct ours *o = user;

	assert_true(result->is_bound);
	o->is_open = true;
}

static void ours_on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct ours *o = user;

	assert_null(result);
	o->is_closed = true;
	o->error = error;
}

/* The relay is made to send what it never would. */
static void test_context_zero_at_the_client(void **state)
{
	static const struct clv_relay_tunnel_ops ops = {
		.on_open = ours_on_open,
		.on_closed = ours_on_closed,
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup(v, NULL);
		struct world *w = f->w;
		struct ours ours = { 0 };
		const struct clv_relay_tunnel_params params = { .ops = &ops, .user = &ours };
		struct clv_cmd_tunnel_send zero = { .context_id = 0 };
		struct clv_relay_tunnel *tunnel;

		peer_connect(f, &f->a, 0);
		w->relay.flow_worker = 0;
		assert_true(world_connect(w, 0));
		assert_int_equal(clv_relay_tunnel_open(w->clients[0].session, &params, &tunnel), 0);
		bound_run(f);
		assert_true(ours.is_open);
		/* the first tunnel of its worker */
		zero.ref = (struct clv_ref){ .generation = 1 };
		assert_int_equal(clv_mailbox_send(w->relay.commands[0], CLV_CMD_TUNNEL_UP, &zero,
						  sizeof(zero), "x", 1),
				 0);
		bound_run(f);
		assert_true(ours.is_closed);
		assert_int_equal(ours.error, CLV_EPROTO);
		assert_int_equal(w->relay.egress_held, 0); /* the relay closed it, too */
		assert_false(w->clients[0].is_down);
		bound_teardown(f);
	}
}

/* ---- the relay's own contexts ---- */

static void make_busy(struct fixture *f, struct remote *r)
{
	for (int i = 0; i < 10; i++)
		remote_send(r, &f->a.ports[0], "b");
	peer_send(f, &f->a, 2, "04" R4_HEX, "b");
	for (int i = 0; i < 10; i++) {
		struct raw_bytes b = { .len = 0 };

		put_hex(&b, "04" R4_HEX "62");
		raw_datagram(f->a.raw, 0, 2, b.bytes, b.len);
	}
	bound_run(f);
	r->received = 0;
	f->a.datagrams = 0;
}

static void test_busy(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &bound_eager);

		peer_exchange(f, &f->a, "11020200", "120102");
		make_busy(f, &f->r4);
		peer_expect_capsules(&f->a, "11080104c61205012328");
		/* not acknowledged: the relay sends by the uncompressed one, and takes both */
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 02 04 c612050123 28 78");
		peer_send(f, &f->a, 1, "", "by yours");
		remote_expect(&f->r4, &f->a.ports[0], "by yours");
		peer_exchange(f, &f->a, "120101", "");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 01 78");
		/* crossing */
		peer_exchange(f, &f->a, "11080404" R4_HEX, "130101120104");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 04 78");
		peer_send(f, &f->a, 1, "", "late");
		assert_int_equal(f->r4.received, 0);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

static void test_no_own_contexts_without_an_uncompressed_one(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &bound_eager);

		peer_exchange(f, &f->a, "11080404" R4_HEX, "120104");
		for (int i = 0; i < 20; i++)
			remote_send(&f->r4, &f->a.ports[0], "b");
		bound_run(f);
		peer_expect_capsules(&f->a, "");
		bound_teardown(f);
	}
}

static void test_idle(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &bound_eager);

		peer_exchange(f, &f->a, "11020200 11080404" R4_HEX "11080604" S4_HEX,
			      "120102120104120106");
		for (int i = 0; i < 4; i++) {
			raw_run(f->a.raw, CLV_SEC);
			remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		}
		peer_expect_capsules(&f->a, "130104");
		f->a.datagrams = 0;
		remote_send_run(f, &f->r4, &f->a.ports[0], "x"); /* as one of many now */
		peer_expect(&f->a, "00 02 04 c612050123 28 78");
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXTS_IDLE), 1);
		bound_teardown(f);
	}
}

/* ---- control handles events later than its workers sent them ---- */

static void send_while_stuck(struct fixture *f, const char *hex)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, hex);
	raw_datagram(f->a.raw, 0, 2, b.bytes, b.len);
}

/*
 * The worker receives three commands at once: a context for which two pending remotes leave no room;
 * the close of the uncompressed context, which removes both; and another route for the remote of the
 * first, which then has no context at all.
 */
static void test_route_after_the_close(void **state)
{
	struct clv_bound_settings few = bound_settings();

	(void)state;
	few.remotes_max = 2;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &few);

		peer_exchange(f, &f->a, "11020200", "120102");
		f->w->is_control_stuck = true;
		raw_capsules(f->a.raw, 0, "11080404" R4_HEX "130102");
		raw_run(f->a.raw, 10 * CLV_MSEC);
		send_while_stuck(f, "04" S4_HEX "78");
		send_while_stuck(f, "06" R6_HEX "78");
		raw_run(f->a.raw, 10 * CLV_MSEC);
		assert_int_equal(bound_remotes(f), 2);

		clv_control_step(f->w->relay.control, f->w->wire.now_ns);
		f->w->hop_mtu = 1400;
		clv_control_routes_changed(f->w->relay.control);
		f->w->is_control_stuck = false;
		bound_run(f);
		/* no room for the context, and no context for the route */
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REMOTES_FULL), 2);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE), 2);
		assert_int_equal(f->s4.received + f->r6.received, 0);
		peer_expect_capsules(&f->a, "120104130104");
		assert_int_equal(bound_remotes(f), 0);
		/* the dropped remotes may be registered again */
		peer_exchange(f, &f->a, "11080604" R4_HEX "11080804" S4_HEX, "120106120108");
		peer_send(f, &f->a, 6, "", "x");
		remote_expect(&f->r4, &f->a.ports[0], "x");
		assert_int_equal(bound_remotes(f), 2);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* The worker has closed the tunnel by itself when control answers its earlier request. */
static void test_remote_of_a_closed_tunnel(void **state)
{
	struct clv_bound_settings brief = bound_settings();

	(void)state;
	brief.tunnel_idle_ns = 2 * CLV_SEC;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &brief);

		peer_exchange(f, &f->a, "11020200", "120102");
		f->w->is_control_stuck = true;
		send_while_stuck(f, "04" R4_HEX "78");
		raw_run(f->a.raw, CLV_SEC);
		assert_int_equal(bound_remotes(f), 1);
		raw_run(f->a.raw, 3 * CLV_SEC);
		assert_int_equal(bound_remotes(f), 0);
		f->w->is_control_stuck = false;
		bound_run(f);
		assert_int_equal(bound_remotes(f), 0);
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE), 1);
		assert_int_equal(f->w->relay.egress_held, 0);
		bound_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("datagrams of a closed context are dropped and nothing else happens",
		     test_close),
		CASE("a datagram of a refused context is dropped and nothing else happens",
		     test_refused),
		CASE("a datagram may overtake the capsule that registers it", test_before_the_ack),
		CASE("Context ID 0 without a target aborts the stream", test_context_zero),
		CASE("Context ID 0 without a target aborts the stream at the client, too",
		     test_context_zero_at_the_client),
		CASE("the relay opens contexts for busy remotes, and prefers the client's",
		     test_busy),
		CASE("without an uncompressed context the relay opens none",
		     test_no_own_contexts_without_an_uncompressed_one),
		CASE("an idle context is closed", test_idle),
		CASE("a route for a remote whose contexts are both closed creates none",
		     test_route_after_the_close),
		CASE("a remote after the end of its tunnel creates none",
		     test_remote_of_a_closed_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
