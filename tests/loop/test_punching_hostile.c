/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A peer, or somebody on the way, who wants an end to scan, to flood, to tell or to fall over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/loop/nat_world.h"

static struct nat_world world;

static struct clv_endpoint at(const char *text)
{
	struct clv_endpoint ep;

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

/* A world whose two ends know each other and have nothing to do. */
static void begin(enum end_kind dialler, enum end_kind listener)
{
	nat_world_open(&world, dialler, listener, 99);
	nat_world_start(&world);
	nat_world_run(&world, CLV_SEC);
}

static uint64_t counted(unsigned who, enum clv_punch_counter counter)
{
	return clv_rounds_count(world.ends[who].rounds, counter);
}

static void add_address(uint64_t sequence, const struct clv_endpoint *ep)
{
	struct clv_peer_capsule c = { .type = CLV_PEER_ADD_ADDRESS,
				      .sequence = sequence,
				      .address = { .endpoint = *ep,
						   .has_extension = true,
						   .kind = CLV_CANDIDATE_HOST,
						   .priority = UINT32_MAX } };

	nat_world_tell(&world.ends[0], &c);
	assert_int_equal(world.ends[0].err, 0);
}

static void punch_me(uint64_t round, uint64_t sequence, const struct clv_endpoint *ep)
{
	struct clv_peer_capsule c = { .type = CLV_PEER_PUNCH_ME_NOW,
				      .round = round,
				      .sequence = sequence,
				      .address = { .endpoint = *ep,
						   .has_extension = true,
						   .kind = CLV_CANDIDATE_HOST,
						   .priority = UINT32_MAX } };

	nat_world_tell(&world.ends[1], &c);
	assert_int_equal(world.ends[1].err, 0);
}

static bool has_sent_to(const struct end *e, const struct clv_endpoint *to)
{
	for (unsigned i = 0; i < e->seen_count; i++)
		if (memcmp(e->seen[i].addr, to->addr, 16) == 0)
			return true;
	return false;
}

/* ---- a listener that lies about its addresses ---- */

static void a_million_addresses_are_sixteen(void **state)
{
	struct clv_endpoint ep = at("198.51.99.1:1000");

	(void)state;
	nat_world_open(&world, END_OPEN, END_SYMMETRIC, 99);
	world.ends[1].privacy = CLV_PRIVACY_RELAY_ONLY;
	nat_world_start(&world);
	nat_world_run(&world, CLV_SEC);
	nat_world_tell(&world.ends[0], &(struct clv_peer_capsule){ .type = CLV_PEER_HELLO,
								   .hello = { .version = 1,
									      .version_min = 1,
									      .privacy = 2,
									      .pairs_max = 255 } });
	for (uint32_t i = 0; i < 1000000; i++) {
		clv_store_be32(ep.addr + 12, 0xc6330000 + i % 0xffff);
		add_address(100 + i, &ep);
		if (i % 1000 == 0)
			nat_world_run(&world, 10 * CLV_MSEC);
	}
	assert_int_equal(clv_rounds_remote(world.ends[0].rounds)->count, CLV_CANDIDATES_MAX);
	assert_true(counted(0, CLV_PUNCH_CANDIDATES_REFUSED) >= 1000000 - CLV_CANDIDATES_MAX);
	assert_true(world.ends[0].seen_count <= CLV_CANDIDATES_MAX);
	assert_true(counted(0, CLV_PUNCH_ROUNDS) <= 7);
	nat_world_close(&world);
}

/* Takes back and tells others as fast as it can, for ten minutes. */
static void one_who_changes_his_mind_floods_nobody(void **state)
{
	struct clv_endpoint ep = at("198.51.99.1:1000");
	unsigned bytes;

	(void)state;
	begin(END_OPEN, END_BLOCKED);
	bytes = world.ends[0].bytes;
	for (uint32_t i = 0; i < 60000; i++) {
		struct clv_peer_capsule gone = { .type = CLV_PEER_REMOVE_ADDRESS,
						 .sequence = 99 + i };

		nat_world_tell(&world.ends[0], &gone);
		ep.port = htons((uint16_t)(1000 + i % 60000));
		add_address(100 + i, &ep);
		nat_world_run(&world, 10 * CLV_MSEC);
	}
	/* 6 rounds, and one each half minute; 100 pairs, and one each minute; 7 small probes each. */
	assert_true(counted(0, CLV_PUNCH_ROUNDS) <= 6 + 20 + 1);
	assert_true(world.ends[0].bytes - bytes <= 110 * 7 * CLV_PROBE_MIN);
	nat_world_close(&world);
}

static void no_lan_is_scanned(void **state)
{
	unsigned inside = 0;

	(void)state;
	begin(END_PORT_RESTRICTED, END_BLOCKED); /* the dialler is 192.168.1.10 */
	for (unsigned i = 0; i < 254; i++) {
		struct clv_endpoint ep = at("192.168.1.0:53");
		struct clv_peer_capsule gone = { .type = CLV_PEER_REMOVE_ADDRESS,
						 .sequence = 99 + i };

		ep.addr[15] = (uint8_t)i;
		nat_world_tell(&world.ends[0], &gone);
		add_address(100 + i, &ep);
		nat_world_run(&world, 31 * CLV_SEC);
	}
	for (unsigned i = 0; i < world.ends[0].seen_count; i++)
		inside += clv_addr_scope(world.ends[0].seen[i].addr) == CLV_SCOPE_PRIVATE;
	assert_int_equal(inside, CLV_PAIRS_PRIVATE_MAX);
	assert_true(counted(0, CLV_PUNCH_PAIRS_PRIVATE) > 100);
	nat_world_close(&world);
}

static const char *const forbidden[] = {
	"127.0.0.1:53",	      "[::1]:53",
	"224.0.0.251:5353",   "255.255.255.255:9",
	"169.254.169.254:80", "10.0.0.1:53",
	"172.16.0.1:53",      "192.168.2.1:53",
	"192.168.1.255:9",    "100.64.0.1:53",
	"203.0.113.1:443",    "203.0.113.1:53",
	"[fe80::1]:53",	      "[2001:db8:ffff::1]:443",
	"[ff02::fb]:5353",    "0.0.0.0:53",
};

static void forbidden_addresses_get_nothing_from_either_end(void **state)
{
	(void)state;
	for (unsigned who = 0; who < 2; who++) {
		unsigned tried = 0;

		/* Either end is 192.168.1.10 or 192.168.2.10. */
		begin(who ? END_BLOCKED : END_PORT_RESTRICTED,
		      who ? END_PORT_RESTRICTED : END_BLOCKED);
		for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
			struct clv_endpoint ep = at(forbidden[i]);

			if (who && (i == 7 || i == 8))
				continue; /* it is in this network, or its broadcast is another */
			if (who == 0)
				add_address(100 + i, &ep);
			else
				punch_me(1000 + i, 0, &ep);
			nat_world_run(&world, 40 * CLV_SEC);
			assert_false(has_sent_to(&world.ends[who], &ep));
			tried++;
		}
		assert_true(counted(who, CLV_PUNCH_FILTERED_POLICY) +
				    counted(who, CLV_PUNCH_FILTERED_FAMILY) +
				    counted(who, CLV_PUNCH_CANDIDATES_REFUSED) >=
			    tried);
		nat_world_close(&world);
	}
}

/* ---- a dialler that punches at others ---- */

static void a_dialler_cannot_aim_the_listener(void **state)
{
	struct clv_endpoint victim = at("198.51.99.1:1000");
	unsigned datagrams;

	(void)state;
	begin(END_BLOCKED, END_OPEN);
	datagrams = world.ends[1].datagrams;
	/* A round each 100 ms with 50 pairs, for five minutes. */
	for (unsigned round = 1000; round < 4000; round++) {
		for (unsigned i = 0; i < 50; i++) {
			victim.port = htons((uint16_t)(1000 + i));
			punch_me(round, 0, &victim);
		}
		nat_world_run(&world, 100 * CLV_MSEC);
	}
	assert_true(counted(1, CLV_PUNCH_ROUNDS) <= 6 + 10 + 1);
	assert_true(counted(1, CLV_PUNCH_ROUNDS_REFUSED) > 2000);
	/* 17 rounds of 10 pairs, 7 small probes for each: 88 kB in five minutes. */
	assert_true(world.ends[1].datagrams - datagrams <= 17 * 10 * 7);
	assert_true(world.ends[1].bytes <= world.ends[1].datagrams * CLV_PROBE_MIN);
	nat_world_close(&world);
}

static void rounds_and_pairs_that_are_none_are_refused(void **state)
{
	struct clv_endpoint ep = at("198.51.99.1:1000");
	uint64_t before;

	(void)state;
	begin(END_BLOCKED, END_OPEN);
	before = counted(1, CLV_PUNCH_PUNCHES_REFUSED);
	punch_me(50, 12345, &ep); /* a candidate that was never told */
	punch_me(49, 0, &ep);	  /* an old round */
	ep = at("[2001:db8::9]:5");
	punch_me(50, 0, &ep); /* of another family */
	assert_int_equal(counted(1, CLV_PUNCH_PUNCHES_REFUSED), before + 3);
	nat_world_run(&world, 5 * CLV_SEC);
	assert_false(has_sent_to(&world.ends[1], &ep));
	nat_world_close(&world);
}

static void the_wrong_end_ends_the_connection(void **state)
{
	static const enum clv_peer_capsule_type types[] = {
		CLV_PEER_PUNCH_ME_NOW, /* to the dialler */
		CLV_PEER_ADD_ADDRESS,  /* to the listener */
		CLV_PEER_REMOVE_ADDRESS,
	};

	(void)state;
	begin(END_OPEN, END_OPEN);
	for (unsigned i = 0; i < 3; i++) {
		struct clv_peer_capsule c = { .type = types[i] };

		c.address.endpoint = at("198.51.99.1:1000");
		nat_world_tell(&world.ends[i > 0], &c);
		assert_int_equal(world.ends[i > 0].err, CLV_EPROTO);
	}
	nat_world_close(&world);
}

static void a_later_version_is_spoken_to_in_ours(void **state)
{
	struct clv_peer_capsule c = { .type = CLV_PEER_HELLO,
				      .hello = { .version = 255, .version_min = 1, .privacy = 2 } };

	(void)state;
	begin(END_OPEN, END_OPEN);
	nat_world_tell(&world.ends[1], &c);
	assert_int_equal(world.ends[1].err, 0);
	c.hello.version_min = 254;
	nat_world_tell(&world.ends[1], &c);
	assert_int_equal(world.ends[1].err, CLV_ERANGE);
	nat_world_close(&world);
}

/* ---- somebody on the way ---- */

struct copy {
	struct end *from;
	struct clv_endpoint src, dst;
	size_t len;
	uint8_t bytes[CLV_PROBE_MAX];
};

static struct copy copies[400];
static unsigned copied;

static bool copy_all(struct nat_world *w, struct end *from, const struct clv_endpoint *src,
		     const struct clv_endpoint *dst, uint8_t *bytes, size_t *len)
{
	struct copy *c = &copies[copied];

	(void)w;
	if (copied == 400)
		return true;
	copied++;
	*c = (struct copy){ .from = from, .src = *src, .dst = *dst, .len = *len };
	memcpy(c->bytes, bytes, *len);
	return true;
}

static void begin_watched(void)
{
	copied = 0;
	nat_world_open(&world, END_OPEN, END_OPEN, 99);
	world.on_wire = copy_all;
	nat_world_start(&world);
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	nat_world_run(&world, 4 * CLV_SEC); /* it is measured for a while */
	assert_in_range(copied, 8, 300);
	world.on_wire = NULL;
}

static struct end *receiver(const struct copy *c)
{
	return &world.ends[c->from == &world.ends[0]];
}

static void replayed_probes_are_not_answered(void **state)
{
	struct clv_endpoint victim = at("198.51.99.1:1000");
	unsigned datagrams;

	(void)state;
	begin_watched();
	datagrams = world.ends[0].datagrams + world.ends[1].datagrams;
	for (unsigned i = 0; i < copied; i++) {
		nat_world_inject(receiver(&copies[i]), &victim, copies[i].bytes, copies[i].len);
		nat_world_inject(receiver(&copies[i]), &copies[i].src, copies[i].bytes,
				 copies[i].len);
	}
	nat_world_run(&world, 5 * CLV_SEC);
	assert_int_equal(world.ends[0].datagrams + world.ends[1].datagrams, datagrams);
	assert_int_equal(clv_rounds_probes(world.ends[0].rounds, CLV_PROBE_REPLAYED) +
				 clv_rounds_probes(world.ends[1].rounds, CLV_PROBE_REPLAYED),
			 2 * copied);
	nat_world_close(&world);
}

static void forged_and_cut_probes_are_not_answered(void **state)
{
	unsigned datagrams, tried = 0;

	(void)state;
	begin_watched();
	datagrams = world.ends[0].datagrams + world.ends[1].datagrams;
	for (unsigned i = 0; i < copied; i++) {
		struct copy *c = &copies[i];

		for (size_t len = 9; len < c->len; len += 7, tried++)
			nat_world_inject(receiver(c), &c->src, c->bytes, len);
		for (size_t byte = 9; byte < c->len; byte += 11, tried++) {
			c->bytes[byte] ^= 1;
			nat_world_inject(receiver(c), &c->src, c->bytes, c->len);
			c->bytes[byte] ^= 1;
		}
	}
	nat_world_run(&world, 5 * CLV_SEC);
	assert_true(tried > 500);
	assert_int_equal(world.ends[0].datagrams + world.ends[1].datagrams, datagrams);
	nat_world_close(&world);
}

static unsigned diverted, diverted_bytes;

/* What the dialler sends comes from a victim; what the listener sends is the victim's to read. */
static bool divert(struct nat_world *w, struct end *from, const struct clv_endpoint *src,
		   const struct clv_endpoint *dst, uint8_t *bytes, size_t *len)
{
	struct clv_endpoint victim = at("198.51.99.1:1000");

	(void)src;
	(void)dst;
	if (from != &w->ends[0])
		return false;
	diverted++;
	diverted_bytes += (unsigned)*len;
	nat_world_inject(&w->ends[1], &victim, bytes, *len);
	return false;
}

static void a_victim_gets_what_came_from_it_and_one_series(void **state)
{
	struct end *listener = &world.ends[1];
	struct clv_endpoint victim = at("198.51.99.1:1000");

	(void)state;
	diverted = diverted_bytes = 0;
	nat_world_open(&world, END_OPEN, END_OPEN, 99);
	world.on_wire = divert;
	nat_world_start(&world);
	nat_world_run(&world, 3 * CLV_SEC);
	assert_in_range(diverted, 7, 20);
	assert_true(has_sent_to(listener, &victim));
	assert_false(listener->is_proven);
	/* Its answers, 7 probes to the victim, and 7 to where the dialler says that it is. */
	assert_true(listener->bytes <= diverted_bytes + 2 * 7 * CLV_PROBE_MIN);
	assert_true(listener->bytes <= listener->datagrams * CLV_PROBE_MIN);
	nat_world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_addresses_are_sixteen),
		cmocka_unit_test(one_who_changes_his_mind_floods_nobody),
		cmocka_unit_test(no_lan_is_scanned),
		cmocka_unit_test(forbidden_addresses_get_nothing_from_either_end),
		cmocka_unit_test(a_dialler_cannot_aim_the_listener),
		cmocka_unit_test(rounds_and_pairs_that_are_none_are_refused),
		cmocka_unit_test(the_wrong_end_ends_the_connection),
		cmocka_unit_test(a_later_version_is_spoken_to_in_ours),
		cmocka_unit_test(replayed_probes_are_not_answered),
		cmocka_unit_test(forged_and_cut_probes_are_not_answered),
		cmocka_unit_test(a_victim_gets_what_came_from_it_and_one_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
