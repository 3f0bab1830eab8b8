/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bound tunnels of one relay that are each other's remotes, on every variant of bound_fixture.h. */
#include "tests/unit/check.h"

#include "datapath/base/addr.h"
#include "tests/loop/bound_fixture.h"

static void assign_hex(char out[static 64], unsigned id, const struct clv_endpoint *ep)
{
	bool v4 = clv_addr_is_v4(ep->addr);
	size_t n = (size_t)sprintf(out, "11%02x%02x%02x", v4 ? 8 : 20, id, v4 ? 4 : 6);

	for (int i = v4 ? 12 : 0; i < 16; i++)
		n += (size_t)sprintf(out + n, "%02x", ep->addr[i]);
	sprintf(out + n, "%04x", ntohs(ep->port));
}

static void test_hairpin(void **state)
{
	char hex[64];

	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);

		peer_connect(f, &f->b, 1);
		peer_bind(f, &f->b, ANY);
		for (int family = 0; family < 2; family++) {
			char id[16], down[32];

			/* A knows B's port, B does not want A yet */
			assign_hex(hex, 2 + 2 * (unsigned)family, &f->b.ports[family]);
			snprintf(id, sizeof(id), "1201%02x", 2 + 2 * family);
			peer_exchange(f, &f->a, hex, id);
			peer_send(f, &f->a, 2 + 2 * (uint64_t)family, "", "hello");
			peer_expect(&f->b, "");
			assert_int_equal(world_count(f->w, CLV_COUNT_DROP_UNKNOWN_REMOTE),
					 (unsigned)family + 1);
			/* now it does */
			assign_hex(hex, 6 + 2 * (unsigned)family, &f->a.ports[family]);
			snprintf(id, sizeof(id), "1201%02x", 6 + 2 * family);
			peer_exchange(f, &f->b, hex, id);
			peer_send(f, &f->a, 2 + 2 * (uint64_t)family, "", "hello");
			snprintf(down, sizeof(down), "00 %02x 68656c6c6f", 6 + 2 * family);
			peer_expect(&f->b, down);
			peer_send(f, &f->b, 6 + 2 * (uint64_t)family, "", "there");
			snprintf(down, sizeof(down), "00 %02x 7468657265", 2 + 2 * family);
			peer_expect(&f->a, down);
		}
		/* B ends: A's context is closed, and A keeps its tunnel */
		raw_stream(f->b.raw, 0, NULL, 0, true);
		bound_run(f);
		peer_expect_capsules(&f->a, "130104130102");
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* Behind a NAT tunnels know each other by the addresses it shows. */
static void test_hairpin_behind_a_nat(void **state)
{
	struct clv_bound_settings shown = bound_eager;
	char hex[64];

	(void)state;
	shown.has_public[0] = true;
	assert_int_equal(clv_addr_parse("192.0.2.99", shown.public_addr[0]), 0);
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, &shown);

		peer_connect(f, &f->b, 1);
		peer_bind(f, &f->b, ANY);
		assert_memory_equal(f->a.ports[0].addr, shown.public_addr[0], 16);
		assign_hex(hex, 2, &f->b.ports[0]);
		peer_exchange(f, &f->a, hex, "120102");
		assign_hex(hex, 4, &f->a.ports[0]);
		peer_exchange(f, &f->b, hex, "120104");
		peer_send(f, &f->a, 2, "", "hello");
		peer_expect(&f->b, "00 04 68656c6c6f");
		peer_send(f, &f->b, 4, "", "there");
		peer_expect(&f->a, "00 02 7468657265");
		bound_teardown(f);
	}
}

/* What comes out of a connection goes into the same one again, while it is being read. */
static void test_hairpin_within_a_connection(void **state)
{
	(void)state;
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup_peer(v, NULL);
		struct peer other = { .raw = f->a.raw };

		raw_connect_bind(f->a.raw, 4, ANY);
		bound_run(f);
		assert_int_equal(raw_status(f->a.raw, 4), 200);
		peer_read_ports(&other, 4);
		for (unsigned family = 0; family < 2; family++) {
			char hex[64];
			uint64_t id = 2 + 2 * family;

			assign_hex(hex, (unsigned)id, &other.ports[family]);
			raw_capsules(f->a.raw, 0, hex);
			assign_hex(hex, (unsigned)id, &f->a.ports[family]);
			raw_capsules(f->a.raw, 4, hex);
			bound_run(f);
			for (unsigned i = 0; i < 20; i++)
				raw_datagram(f->a.raw, 0, id, (const uint8_t *)"hello", 5);
			bound_run(f);
			assert_int_equal(f->a.datagrams, 20);
			assert_string_equal(f->a.last,
					    family ? "010468656c6c6f" : "010268656c6c6f");
			raw_datagram(f->a.raw, 4, id, (const uint8_t *)"there", 5);
			bound_run(f);
			assert_int_equal(f->a.datagrams, 21);
			assert_string_equal(f->a.last,
					    family ? "00047468657265" : "00027468657265");
			f->a.datagrams = 0;
		}
		peer_expect_alive(&f->a);
		bound_teardown(f);
	}
}

/* The longest capsules carry more than a UDP packet can: they end at the other tunnel's door. */
static void test_hairpin_of_the_longest(void **state)
{
	enum { LONGEST = 65527 + 27 };
	static uint8_t capsule[5 + 1 + 4 + LONGEST];
	struct raw_bytes head = { .len = 0 };
	char hex[64];

	(void)state;
	put_hex(&head, "00 80010017 00 80010012 04"); /* DATA; DATAGRAM capsule; Context ID */
	memcpy(capsule, head.bytes, head.len);
	EACH_VARIANT(v)
	{
		struct fixture *f = bound_setup(v, NULL);

		peer_connect_without_datagrams(f, &f->a, 0);
		peer_bind(f, &f->a, ANY);
		peer_connect_without_datagrams(f, &f->b, 1);
		peer_bind(f, &f->b, ANY);
		/* everything in front of what B gets is as long as can be */
		peer_exchange(f, &f->b, "1109c10000000000000200", "1208c100000000000002");
		assign_hex(hex, 4, &f->b.ports[1]);
		peer_exchange(f, &f->a, hex, "120104");
		raw_stream(f->a.raw, 0, capsule, sizeof(capsule), false);
		bound_run(f);
		assert_int_equal(world_count(f->w, CLV_COUNT_DROP_TOO_BIG_TARGET), 1);
		peer_expect_capsules(&f->b, "");
		peer_expect_alive(&f->a);
		peer_expect_alive(&f->b);
		bound_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("two peers of one relay meet inside it, by both families", test_hairpin),
		CASE("behind a NAT they meet at the advertised addresses",
		     test_hairpin_behind_a_nat),
		CASE("two tunnels of one connection meet, too", test_hairpin_within_a_connection),
		CASE("what no UDP packet can carry does not pass between tunnels",
		     test_hairpin_of_the_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
