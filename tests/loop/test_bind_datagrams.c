/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Datagrams through bound tunnels, on every variant of bound_fixture.h. */
#include "tests/unit/check.h"

#include "tests/loop/bound_fixture.h"

static void test_uncompressed(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		assert_int_equal(f->w->relay.egress_held, 2);
		remote_send_run(f, &f->r4, &f->a.ports[0], "early");
		peer_expect(&f->a, ""); /* not permitted yet */
		peer_exchange(f, &f->a, "11020200", "120102");
		peer_send(f, &f->a, 2, "04" R4_HEX, "up");
		remote_expect(&f->r4, &f->a.ports[0], "up");
		remote_send_run(f, &f->r4, &f->a.ports[0], "down");
		peer_expect(&f->a, "00 02 04 c612050123 28 646f776e");
		remote_send_run(f, &f->s4, &f->a.ports[0], "who?");
		peer_expect(&f->a, "00 02 04 c612050223 28 77686f3f");
		peer_send(f, &f->a, 2, "06" R6_HEX, "six");
		remote_expect(&f->r6, &f->a.ports[1], "six");
		remote_send_run(f, &f->r6, &f->a.ports[1], "6");
		peer_expect(&f->a, "00 02 06 20010db8000500000000000000000001 2328 36");
		bound_teardown(f);
	}
}

static void test_compressed(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11080404" R4_HEX "11140606" R6_HEX, "120104120106");
		peer_send(f, &f->a, 4, "", "up");
		remote_expect(&f->r4, &f->a.ports[0], "up");
		remote_send_run(f, &f->r4, &f->a.ports[0], "down");
		peer_expect(&f->a, "00 04 646f776e");
		peer_send(f, &f->a, 6, "", "up");
		remote_expect(&f->r6, &f->a.ports[1], "up");
		remote_send_run(f, &f->r6, &f->a.ports[1], "down");
		peer_expect(&f->a, "00 06 646f776e");
		/* without an uncompressed context no other remote gets in */
		remote_send_run(f, &f->s4, &f->a.ports[0], "let me in");
		peer_expect(&f->a, "");
		peer_send(f, &f->a, 2, "04" S4_HEX, "?");
		assert_int_equal(f->s4.received, 0);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

static void come_sized(struct fixture *f, struct remote *r, size_t len)
{
	static const uint8_t payload[2000];

	wire_send(&f->w->wire, &r->endpoint, &f->a.ports[0], 0, payload, len);
	bound_run(f);
}

/* The size reported to a remote is exact, whatever headers are added. */
static void expect_true_size(struct fixture *f, struct remote *r)
{
	uint64_t reported = f->w->too_big.count;
	size_t fits;

	come_sized(f, r, 1900);
	assert_int_equal(f->w->too_big.count, reported + 1);
	assert_memory_equal(&f->w->too_big.tuple.remote, &r->endpoint, sizeof(r->endpoint));
	assert_memory_equal(&f->w->too_big.tuple.local, &f->a.ports[0], sizeof(f->a.ports[0]));
	fits = f->w->too_big.mtu - 28;
	assert_int_equal(f->a.datagrams, 0);
	come_sized(f, r, fits);
	assert_int_equal(f->a.datagrams, 1);
	come_sized(f, r, fits + 1);
	assert_int_equal(f->a.datagrams, 1);
	assert_int_equal(f->w->too_big.count, reported + 2);
	f->a.datagrams = 0;
}

/* A router reports a path MTU of 576 bytes to a remote. */
static void reduce_path_mtu(struct fixture *f, struct remote *r)
{
	struct clv_tuple tuple = { .local = f->a.ports[0], .remote = r->endpoint };
	static const uint8_t payload[600];

	clv_control_icmp(f->w->relay.control, &tuple, 576);
	bound_run(f);
	raw_datagram(f->a.raw, 0, 4, payload, 576 - 27);
	bound_run(f);
	assert_int_equal(r->received, 0);
	raw_datagram(f->a.raw, 0, 4, payload, 576 - 28);
	bound_run(f);
	assert_int_equal(r->received, 1);
	r->received = 0;
}

static void test_too_big(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11080404" R4_HEX, "120104");
		come_sized(f, &f->s4, 1900); /* not permitted: no answer either */
		assert_int_equal(f->w->too_big.count, 0);
		expect_true_size(f, &f->r4);
		reduce_path_mtu(f, &f->r4);
		peer_exchange(f, &f->a, "11020200", "120102");
		expect_true_size(f, &f->s4);
		bound_teardown(f);
	}
}

static void test_both(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_exchange(f, &f->a, "11020200 11080404" R4_HEX, "120102120104");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 04 78");
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 02 04 c612050223 28 78");
		/* uncompressed toward one that has a context: sent normally */
		peer_send(f, &f->a, 2, "04" R4_HEX, "y");
		remote_expect(&f->r4, &f->a.ports[0], "y");
		/* closing the uncompressed context leaves the other, and forgets who had none */
		peer_send(f, &f->a, 2, "04" S4_HEX, "z");
		remote_expect(&f->s4, &f->a.ports[0], "z");
		assert_int_equal(bound_remotes(f), 2);
		peer_exchange(f, &f->a, "130102", "");
		assert_int_equal(bound_remotes(f), 1);
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "");
		peer_send(f, &f->a, 2, "04" S4_HEX, "z");
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_CLOSED_CONTEXT), 1);
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 04 78");
		/* and again, by another ID */
		peer_exchange(f, &f->a, "11020600", "120106");
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 06 04 c612050223 28 78");
		/* who is named while it is being closed is forgotten with it */
		raw_capsules(f->a.raw, 0, "130106");
		raw_datagram(f->a.raw, 0, 6, "\x04\xc6\x12\x05\x02\x23\x28z", 8);
		bound_run(f);
		assert_int_equal(f->s4.received, 0);
		assert_int_equal(bound_remotes(f), 1);
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

static void test_real_target(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup(v, NULL);

		peer_connect(f, &f->a, 0);
		peer_bind(f, &f->a, "/.well-known/masque/udp/198.18.5.1/9000/");
		peer_send(f, &f->a, 0, "", "target");
		remote_expect(&f->r4, &f->a.ports[0], "target");
		remote_send_run(f, &f->r4, &f->a.ports[0], "answer");
		peer_expect(&f->a, "00 00 616e73776572");
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "");
		peer_exchange(f, &f->a, "11020200 11080404" S4_HEX "11080604" R4_HEX,
			      "120102120104130106");
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 04 78");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect(&f->a, "00 00 78");
		remote_send_run(f, &f->r6, &f->a.ports[1], "6");
		peer_expect(&f->a, "00 02 06 20010db8000500000000000000000001 2328 36");
		bound_teardown(f);
	}
}

/* RFC 9298 section 5: marks of the client's packets are of its path, not of the target's. */
static void test_not_ect(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup(v, NULL);

		peer_connect(f, &f->a, 0);
		peer_bind(f, &f->a, "/.well-known/masque/udp/198.18.5.1/9000/");
		peer_exchange(f, &f->a, "11020200 11080404" S4_HEX, "120102120104");
		for (uint8_t ecn = 1; ecn <= 3; ecn++) {
			f->a.raw->ecn = ecn;
			peer_send(f, &f->a, 0, "", "target");
			remote_expect(&f->r4, &f->a.ports[0], "target");
			peer_send(f, &f->a, 4, "", "compressed");
			remote_expect(&f->s4, &f->a.ports[0], "compressed");
			peer_send(f, &f->a, 2, "06" R6_HEX, "uncompressed");
			remote_expect(&f->r6, &f->a.ports[1], "uncompressed");
		}
		assert_int_equal(f->r4.ecn | f->s4.ecn | f->r6.ecn, 0);
		bound_teardown(f);
	}
}

static void test_capsules(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup(v, NULL);

		peer_connect_without_datagrams(f, &f->a, 0);
		peer_bind(f, &f->a, ANY);
		peer_exchange(f, &f->a, "11020200 11080404" R4_HEX, "120102120104");
		peer_exchange(f, &f->a, "0003046869", ""); /* "hi" */
		remote_expect(&f->r4, &f->a.ports[0], "hi");
		peer_exchange(f, &f->a, "000a0204" S4_HEX "6869", "");
		remote_expect(&f->s4, &f->a.ports[0], "hi");
		remote_send_run(f, &f->r4, &f->a.ports[0], "x");
		peer_expect_capsules(&f->a, "00020478");
		remote_send_run(f, &f->s4, &f->a.ports[0], "x");
		peer_expect_capsules(&f->a, "00090204c612050223"
					    "2878");
		assert_int_equal(f->a.datagrams, 0);
		peer_exchange(f, &f->a, "0003006869", "");
		peer_expect_reset(f, &f->a, CLV_H3_DATAGRAM_ERROR);
		bound_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("the uncompressed context carries datagrams from and to any remote",
		     test_uncompressed),
		CASE("with compressed contexts alone no other remote gets in", test_compressed),
		CASE("a remote is sent the exact size that fits", test_too_big),
		CASE("a remote with a context uses it, others the uncompressed one", test_both),
		CASE("a real target keeps Context ID 0", test_real_target),
		CASE("whatever the client's packets are marked, those to targets are Not-ECT",
		     test_not_ect),
		CASE("a peer without DATAGRAM frames uses capsules", test_capsules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
