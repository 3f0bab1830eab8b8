/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the policy, the draft and ceilings forbid bound tunnels, and how long they live, on every
 * variant of bound_fixture.h.
 */
#include "tests/unit/check.h"

#include "control/admission/accounts.h"
#include "datapath/base/clock.h"
#include "tests/loop/bound_fixture.h"

#define DENIED "0a000001 2328" /* 10.0.0.1 */

/* ---- policy ---- */

/*
 * Give the relay a policy that allows the networks of the remotes (is_v4_only: of the IPv4 ones) except
 * for the first.  The caller frees it.
 */
static struct clv_policy *deny_first(struct fixture *f, bool is_v4_only)
{
	static const char *const allow[] = { "198.18.0.0/15", "2001:db8::/32" };
	static const char *const deny = "198.18.5.1";
	struct clv_policy *policy;
	char error[128];

	assert_int_equal(
		clv_policy_new(allow, is_v4_only ? 1 : 2, &deny, 1, &policy, error, sizeof(error)),
		0);
	world_set_policy(f->w, policy);
	bound_run(f);
	return policy;
}

static void test_policy(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);
		struct clv_policy *policy;

		peer_exchange(f, &f->a, "11020200 11080404" DENIED "11080604" R4_HEX,
			      "120102130104120106");
		peer_send(f, &f->a, 2, "04" DENIED, "x");
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REFUSED_REMOTE), 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTE_REFUSED_POLICY), 1);
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		peer_send(f, &f->a, 6, "", "x");
		remote_expect(&f->r4, &f->a.ports[0], "x");
		/* an address is denied while it is in use, with a context and without */
		peer_send(f, &f->a, 2, "06" R6_HEX, "x");
		f->r6.received = 0;
		policy = deny_first(f, true);
		peer_expect_capsules(&f->a, "130106");
		peer_send(f, &f->a, 6, "", "x");
		peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		assert_int_equal(f->r4.received, 0);
		peer_send(f, &f->a, 2, "06" R6_HEX, "x");
		assert_int_equal(f->r6.received, 0);
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		peer_expect_alive(&f->a);
		world_set_policy(f->w, f->w->policy);
		bound_teardown(f);
		clv_policy_free(policy);
	}
}

/* What was dropped for its sender's address, in XDP or by the worker that reads the socket. */
static uint64_t denied(const struct fixture *f)
{
	if (f->w->p.kernel_path)
		assert_int_equal(f->w->relay.xdp_denied, 0);
	else
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_DENIED), 0);
	return f->w->relay.xdp_denied + world_count(f->w, CLV_COUNT_DROP_DENIED);
}

static void test_policy_inwards(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);
		struct clv_policy *policy;
		struct remote private;

		remote_join(&private, f->w, "10.0.0.1:9000");
		remote_send_run(f, &private, &f->a.ports[0], "closed"); /* unknown first */
		peer_expect(&f->a, "");
		assert_int_equal(denied(f), 0);
		peer_exchange(f, &f->a, "11020200", "120102");
		remote_send_run(f, &private, &f->a.ports[0], "open");
		peer_expect(&f->a, "");
		assert_int_equal(denied(f), 1);
		/* a pending registration admits no datagram, not even until control has refused it */
		raw_datagram(f->a.raw, 0, 2, "\x04\x0a\0\0\x01\x23\x28x", 8);
		for (int i = 0; i < 4; i++) {
			remote_send(&private, &f->a.ports[0], "asked");
			world_turn(f->w, CLV_MSEC / 10);
		}
		bound_run(f);
		peer_expect(&f->a, "");
		assert_int_equal(denied(f), 5);
		assert_int_equal(private.received, 0);

		/* a remote in use, and others of its network, when the policy changes */
		peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		remote_expect(&f->r4, &f->a.ports[0], "x");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 02 04 c612050123 28 78");
		policy = deny_first(f, false);
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "");
		assert_int_equal(denied(f), 6);
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 02 04 c612050223 28 78");
		world_set_policy(f->w, f->w->policy);
		bound_run(f);
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 02 04 c612050123 28 78");
		assert_int_equal(denied(f), 6);
		clv_policy_free(policy);
		bound_teardown(f);
	}
}

/* ---- what is wrong ---- */

static const struct {
	const char *name, *wire;
} wrong[] = {
	{ "ASSIGN of Context ID 0", "11020000" },
	{ "IP version 5", "11080405000000000050" },
	{ "a byte too many", "1103020000" },
	{ "a truncated address", "11050404cb0071" },
	{ "CLOSE of Context ID 0", "130100" },
	{ "ACK of what was never assigned", "120108" },
	{ "an odd ID of the client", "11020100" },
	{ "a second uncompressed context", "11020200 11020400" },
	{ "an ID twice", "11020200 130102 11020200" },
	{ "a remote twice", "11080204" R4_HEX "11080404" R4_HEX },
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		const struct variant *v = &bound_variants[i % COUNT(bound_variants)];
		struct fixture *f = bound_setup_peer(v, NULL);

		raw_capsules(f->a.raw, 0, wrong[i].wire);
		bound_run(f);
		CHECK_ROW(wrong[i].name, raw_stream_of(f->a.raw, 0)->was_reset);
		peer_expect_reset(f, &f->a, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_MALFORMED), 1);
		bound_teardown(f);
	}
}

/* Uncompressed datagrams without a valid remote are dropped, and nothing else happens. */
static void test_bad_uncompressed(void **state)
{
	static const char *const bad[] = {
		"",
		"04",
		"04 c612",
		"05 c6120501 2328",
		"04 c6120501 0000",
		"06 00000000000000000000ffffc6120501 0000",
		"06 00000000000000000000000000000000 2328",
		"06 20010db8",
	};

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11020200", "120102");
		for (size_t i = 0; i < COUNT(bad); i++) {
			peer_send(f, &f->a, 2, bad[i], "");
			assert_int_equal(world_count(f->w, CLV_COUNT_DROP_BAD_REMOTE), i + 1);
		}
		/* IPv4 written as IPv6 is that IPv4 remote; in a registration it is refused. */
		peer_send(f, &f->a, 2, "06 00000000000000000000ffff" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		peer_exchange(f, &f->a, "111404 06 00000000000000000000ffff" S4_HEX, "130104");
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* ---- ceilings ---- */

static void test_registration_rate(void **state)
{
	struct clv_bound_settings slow = bound_settings();

	(void)state;
	slow.registrations_per_sec = 2;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &slow);

		peer_exchange(f, &f->a,
			      "11020200 11080404" R4_HEX "11080604" S4_HEX "11080804 c6120503 0001",
			      "120102120104130106130108");
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_REFUSED_RATE), 2);
		raw_run(f->a.raw, CLV_SEC);
		peer_exchange(f, &f->a, "11080a04" S4_HEX, "12010a");
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

static void test_unread_answers(void **state)
{
	struct clv_bound_settings few = bound_settings();

	(void)state;
	few.contexts.unacked_max = 8;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &few);
		struct raw_stream *s = raw_stream_of(f->a.raw, 0);

		/* as many as it likes, if it reads */
		for (unsigned id = 100; id < 140; id += 2) {
			char hex[64], answer[16];

			snprintf(hex, sizeof(hex), "110940%02x04c61205%02x0001", id, id);
			snprintf(answer, sizeof(answer), "120240%02x", id);
			peer_exchange(f, &f->a, hex, answer);
		}
		f->a.raw->never_acks = true;
		for (unsigned id = 2; id < 60 && !s->was_reset; id += 2) {
			char hex[64];

			snprintf(hex, sizeof(hex), "1108%02x04c61205%02x0001", id, id);
			raw_capsules(f->a.raw, 0, hex);
			raw_run(f->a.raw, 20 * CLV_MSEC);
		}
		assert_true(s->was_reset);
		assert_int_equal(s->reset_code, CLV_H3_EXCESSIVE_LOAD);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_ABORT_ANSWERS), 1);
		bound_teardown(f);
	}
}

static void test_remotes_of_a_tunnel(void **state)
{
	struct clv_bound_settings few = bound_settings();

	(void)state;
	few.remotes_per_tunnel = 1;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &few);

		peer_exchange(f, &f->a, "11020200", "120102");
		peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		remote_expect(&f->r4, &f->a.ports[0], "x");
		/* one that never answered makes room, and control learns of it before the new one */
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTES_EVICTED), 1);
		assert_int_equal(bound_remotes(f), 1);
		/* one that answered is spared, however long it is silent then */
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REMOTES_FULL), 1);
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTES_EVICTED), 1);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* The worker has room, but what clients may hold together is used up. */
static void test_remotes_of_all_clients(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		clv_accounts_set_max(
			(struct clv_accounts *)(uintptr_t)clv_control_accounts(f->w->relay.control),
			CLV_RESOURCE_REMOTES, 1);
		peer_exchange(f, &f->a, "11020200", "120102");
		peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		remote_expect(&f->r4, &f->a.ports[0], "x");
		/* one that never answered makes room for the next try */
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTE_REFUSED_FULL), 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTES_EVICTED), 1);
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		assert_int_equal(bound_remotes(f), 1);
		/* one that answered is spared */
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		for (unsigned tries = 0; tries < 2; tries++)
			peer_send(f, &f->a, 2, "04" R4_HEX, "x");
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTES_EVICTED), 1);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* On the connection's second tunnel: hex is all of the datagram. */
static void send_on_second(struct fixture *f, uint64_t context, const char *hex)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, hex);
	raw_datagram(f->a.raw, 4, context, b.bytes, b.len);
	bound_run(f);
}

static void exchange_on_second(struct fixture *f, const char *hex, const char *answers)
{
	uint8_t body[RAW_STREAM_BYTES];
	struct raw_bytes want = { .len = 0 };

	raw_capsules(f->a.raw, 4, hex);
	bound_run(f);
	put_hex(&want, answers);
	assert_int_equal(raw_body(f->a.raw, 4, body, sizeof(body)), want.len);
	assert_memory_equal(body, want.bytes, want.len);
}

static void test_remotes_of_a_connection(void **state)
{
	struct clv_bound_settings few = bound_settings();

	(void)state;
	few.remotes_per_conn = 2;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &few);

		raw_connect_bind(f->a.raw, 4, ANY);
		bound_run(f);
		assert_int_equal(raw_status(f->a.raw, 4), 200);
		/* one with a context and one without, of the first tunnel */
		peer_exchange(f, &f->a, "11020200 11080404" R4_HEX, "120102120104");
		peer_send(f, &f->a, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->a.ports[0], "x");
		/* nothing is left for the second, with a context or without */
		exchange_on_second(f, "11020200 11080404" S4_HEX, "120102130104");
		assert_int_equal(world_count(f->w, CLV_COUNT_REFUSED_REMOTES_CONN), 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_CONTEXT_REFUSED_FULL), 1);
		send_on_second(f, 2, "04" R4_HEX "78");
		assert_int_equal(f->r4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REMOTES_CONN), 1);
		/* another connection has a share of its own */
		peer_connect(f, &f->b, 1);
		peer_bind(f, &f->b, ANY);
		peer_exchange(f, &f->b, "11020200 11080404" R4_HEX, "120102120104");
		peer_send(f, &f->b, 2, "04" S4_HEX, "x");
		remote_expect(&f->s4, &f->b.ports[0], "x");
		/* what one tunnel gives up the other may have: a context, then a whole tunnel */
		peer_exchange(f, &f->a, "130104", "");
		send_on_second(f, 2, "04" R4_HEX "78");
		assert_int_equal(f->r4.received, 1);
		/* and its own remote that never answered makes room */
		send_on_second(f, 2, "06" R6_HEX "78");
		assert_int_equal(f->r6.received, 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_REMOTES_EVICTED), 1);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_REMOTES_CONN), 1);
		raw_stream(f->a.raw, 0, NULL, 0, true);
		bound_run(f);
		exchange_on_second(f, "11140606" R6_HEX, "120102130104120106");
		assert_int_equal(world_count(f->w, CLV_COUNT_REFUSED_REMOTES_CONN), 1);
		assert_int_equal(bound_remotes(f), 3);
		bound_teardown(f);
	}
}

/* ---- life ---- */

static void test_ports_are_held(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11020200", "120102");
		/* longer than an ordinary tunnel may be silent; the connection is kept alive */
		for (int i = 0; i < 20; i++) {
			raw_send(f->a.raw, (const uint8_t[]){ 0x01, 0, 0, 0 }, 4);
			raw_run(f->a.raw, 10 * CLV_SEC);
		}
		remote_send_run(f, &f->r4, &f->a.ports[0], "still there?");
		assert_int_equal(f->a.datagrams, 1);
		peer_expect_alive(&f->a);
		/* the request ends, and with it the ports */
		raw_stream(f->a.raw, 0, NULL, 0, true);
		bound_run(f);
		assert_int_equal(f->w->relay.egress_held, 0);
		bound_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("the policy applies to every registration and datagram, also after a change",
		     test_policy),
		CASE("remotes that the policy denies are dropped and counted, by XDP or by a worker",
		     test_policy_inwards),
		CASE("a malformed capsule resets the stream and frees the ports", test_wrong),
		CASE("an uncompressed datagram without a valid remote is dropped",
		     test_bad_uncompressed),
		CASE("registrations that come too fast are refused", test_registration_rate),
		CASE("a peer that does not read the answers loses its tunnel", test_unread_answers),
		CASE("the remotes of a tunnel have a ceiling", test_remotes_of_a_tunnel),
		CASE("the remotes of all clients have a ceiling", test_remotes_of_all_clients),
		CASE("the tunnels of a connection share its ceiling of remotes",
		     test_remotes_of_a_connection),
		CASE("ports are held as long as the request lives", test_ports_are_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
