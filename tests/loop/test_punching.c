/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ends of each kind against each: which find a direct path, how soon, and what it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "tests/loop/nat_world.h"

/* D: direct.  R: relayed, and T: relayed over TCP, as no UDP passes. */
static const char matrix[END_KINDS][END_KINDS + 1] = {
	"DDDDDDTRRD", /* open */
	"DDDDDDTRRD", /* full-cone */
	"DDDDDDTRRD", /* address-restricted */
	"DDDDRDTRRD", /* port-restricted */
	"DDDRRRTRRR", /* symmetric */
	"DDDDRDTRRD", /* cgnat */
	"TTTTTTTTTT", /* udp-blocked */
	"RRRRRRTDDD", /* v6-open */
	"RRRRRRTDDD", /* v6-firewall */
	"DDDDRDTDDD", /* v6-nat64 */
};

static struct nat_world world;

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void run_pair(enum end_kind dialler, enum end_kind listener, enum clv_privacy privacy,
		     unsigned loss_percent, uint64_t *direct_ms, unsigned *direct)
{
	struct nat_world *w = &world;
	bool is_direct;
	uint64_t start_ns;

	nat_world_open(w, dialler, listener, 1 + dialler * 100 + listener + loss_percent * 10000);
	w->ends[0].privacy = w->ends[1].privacy = privacy;
	w->loss_percent = loss_percent;
	nat_world_start(w);
	start_ns = w->now_ns;
	is_direct = nat_world_run_direct(w, 5 * CLV_SEC);
	if (is_direct != (matrix[dialler][listener] == 'D'))
		fail_msg("%s dials %s, %u %% loss: %s", end_kind_names[dialler],
			 end_kind_names[listener], loss_percent, is_direct ? "direct" : "relayed");
	if (is_direct)
		direct_ms[(*direct)++] = (w->ends[0].proven_ns - start_ns) / CLV_MSEC;
	/* The first round: what is told for it. */
	assert_true(w->ends[0].capsule_bytes + w->ends[1].capsule_bytes < 8000);
	nat_world_close(w);
}

static void run_matrix(enum clv_privacy privacy, unsigned loss_percent)
{
	uint64_t ms[END_KINDS * END_KINDS];
	unsigned n = 0;

	for (int d = 0; d < END_KINDS; d++)
		for (int l = 0; l < END_KINDS; l++)
			run_pair((enum end_kind)d, (enum end_kind)l, privacy, loss_percent, ms, &n);
	qsort(ms, n, sizeof(ms[0]), by_size);
	print_message("%u of 100 direct; ms to direct: p50 %llu, p95 %llu, max %llu\n", n,
		      (unsigned long long)ms[n / 2], (unsigned long long)ms[n * 95 / 100],
		      (unsigned long long)ms[n - 1]);
	assert_true(ms[n / 2] < 300 && ms[n * 95 / 100] < 1000);
}

static void every_pair_that_can_be_direct_is(void **state)
{
	(void)state;
	run_matrix(CLV_PRIVACY_OPEN, 0);
}

static void so_it_is_when_host_addresses_are_not_told(void **state)
{
	(void)state;
	run_matrix(CLV_PRIVACY_REFLEXIVE, 0);
}

static void so_it_is_on_lossy_paths(void **state)
{
	(void)state;
	run_matrix(CLV_PRIVACY_OPEN, 3);
	run_matrix(CLV_PRIVACY_OPEN, 10);
}

/* ---- other networks ---- */

static void begin(enum end_kind dialler, enum end_kind listener)
{
	nat_world_open(&world, dialler, listener, 77);
}

static void neighbours_meet_inside(void **state)
{
	(void)state;
	begin(END_PORT_RESTRICTED, END_PORT_RESTRICTED);
	nat_world_same_nat(&world, true);
	nat_world_start(&world);
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	assert_int_equal(clv_addr_scope(world.ends[0].path.addr), CLV_SCOPE_PRIVATE);
	nat_world_close(&world);

	/* Those who do not tell their host addresses stay with the relay: this NAT does not hairpin. */
	begin(END_PORT_RESTRICTED, END_PORT_RESTRICTED);
	nat_world_same_nat(&world, true);
	world.ends[1].privacy = CLV_PRIVACY_REFLEXIVE;
	nat_world_start(&world);
	assert_false(nat_world_run_direct(&world, 5 * CLV_SEC));
	nat_world_close(&world);
}

static void behind_one_provider_without_hairpin_it_is_the_relay(void **state)
{
	(void)state;
	begin(END_CGNAT, END_CGNAT);
	nat_world_same_nat(&world, false);
	nat_world_start(&world);
	assert_false(nat_world_run_direct(&world, 10 * CLV_SEC));
	nat_world_close(&world);
}

static void a_path_for_small_packets_alone_is_not_taken(void **state)
{
	(void)state;
	begin(END_PORT_RESTRICTED, END_FULL_CONE);
	world.mtu = CLV_PROBE_MAX - 1;
	nat_world_start(&world);
	nat_world_run(&world, 5 * CLV_SEC);
	assert_false(world.ends[0].is_proven);
	assert_true(clv_rounds_count(world.ends[0].rounds, CLV_PUNCH_PAIRS_SMALL_ONLY) > 0);
	nat_world_close(&world);
}

/* ---- time ---- */

static void what_came_to_nothing_is_tried_again_ever_more_seldom(void **state)
{
	/* A round is over after 3 s, and waits are a fifth more or less: 1, 2, 5, 10, 30, 60, ... */
	static const unsigned rounds_after_sec[][3] = {
		{ 3, 1, 1 }, { 5, 2, 2 }, { 36, 5, 5 }, { 75, 6, 6 }, { 3600, 17, 21 },
	};
	struct clv_rounds *r;
	uint64_t start_ns;
	unsigned bytes;

	(void)state;
	begin(END_SYMMETRIC, END_SYMMETRIC);
	nat_world_start(&world);
	start_ns = world.now_ns;
	r = world.ends[0].rounds;
	for (unsigned i = 0; i < 5; i++) {
		nat_world_run(&world, start_ns + rounds_after_sec[i][0] * CLV_SEC - world.now_ns);
		print_message("%u s: %u rounds\n", rounds_after_sec[i][0],
			      (unsigned)clv_rounds_count(r, CLV_PUNCH_ROUNDS));
		assert_in_range(clv_rounds_count(r, CLV_PUNCH_ROUNDS), rounds_after_sec[i][1],
				rounds_after_sec[i][2]);
	}
	/* Once the waits are long, a minute costs less than 2 kB. */
	bytes = world.ends[0].bytes;
	nat_world_run(&world, 3600 * CLV_SEC);
	assert_true(world.ends[0].bytes - bytes < 60 * 2000);
	assert_int_equal(clv_rounds_count(r, CLV_PUNCH_ROUNDS_SILENT),
			 clv_rounds_count(r, CLV_PUNCH_ROUNDS));
	nat_world_close(&world);
}

static void between_two_symmetric_nats_one_round_each_5_minutes(void **state)
{
	(void)state;
	begin(END_SYMMETRIC, END_SYMMETRIC);
	nat_world_start(&world);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(clv_rounds_set_class(world.ends[i].rounds,
						      CLV_NAT_CLASS_SYMMETRIC_PORT, world.now_ns),
				 0);
	nat_world_run(&world, 3600 * CLV_SEC);
	assert_in_range(clv_rounds_count(world.ends[0].rounds, CLV_PUNCH_ROUNDS), 10, 16);
	nat_world_close(&world);
}

/* Each end counts a pair once when it is first asked, answers and is proven, under its kind. */
static void kinds_add_up(void)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct clv_rounds *rounds = world.ends[i].rounds;
		const struct clv_checks *checks = clv_rounds_checks(rounds);
		uint64_t tried = 0, answered = 0, won = 0, kinds_won = 0;
		unsigned n;
		const struct clv_pair *pairs = clv_rounds_pairs(rounds, &n);

		for (unsigned k = 0; k < n; k++) {
			tried += !pairs[k].is_given;
			answered += !pairs[k].is_given && pairs[k].answered_ns;
			won += pairs[k].proven_ns != 0;
		}
		for (unsigned k = 0; k < CLV_CANDIDATE_KIND_MAX; k++) {
			assert_true(checks->won[k] <= checks->tried[k]);
			tried -= checks->tried[k];
			kinds_won += checks->won[k];
		}
		assert_int_equal(tried, 0);
		assert_int_equal(clv_rounds_count(rounds, CLV_PUNCH_PAIRS_ANSWERED), answered);
		assert_int_equal(kinds_won, won);
		assert_true(won > 0);
	}
}

static void a_direct_path_is_kept_open_and_missed_when_it_dies(void **state)
{
	unsigned datagrams;
	uint64_t cut_ns;

	(void)state;
	begin(END_PORT_RESTRICTED, END_CGNAT);
	nat_world_start(&world);
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	nat_world_run(&world, 10 * CLV_SEC);
	datagrams = world.ends[0].datagrams + world.ends[1].datagrams;
	nat_world_run(&world, 600 * CLV_SEC);
	assert_true(world.ends[0].is_proven && world.ends[1].is_proven);
	datagrams = world.ends[0].datagrams + world.ends[1].datagrams - datagrams;
	assert_in_range(datagrams, 600 / 15 * 2, 600 / 15 * 8);
	assert_int_equal(clv_rounds_count(world.ends[0].rounds, CLV_PUNCH_ROUNDS), 1);
	kinds_add_up();

	/* It dies: noticed at once when the owner asks, and found again when it is back. */
	world.is_cut = true;
	cut_ns = world.now_ns;
	clv_rounds_ask(world.ends[0].rounds, world.now_ns);
	world.ends[0].next_ns = world.now_ns;
	nat_world_run(&world, 60 * CLV_SEC);
	assert_false(world.ends[0].is_proven);
	assert_false(world.ends[1].is_proven);
	assert_true(world.ends[0].lost_ns - cut_ns <= 3 * CLV_SEC + CLV_MSEC);
	world.is_cut = false;
	assert_true(nat_world_run_direct(&world, 130 * CLV_SEC));
	kinds_add_up(); /* what is proven again is no other pair */
	nat_world_close(&world);
}

static void a_new_network_is_tried_at_once(void **state)
{
	uint64_t start_ns;

	(void)state;
	begin(END_SYMMETRIC, END_PORT_RESTRICTED);
	nat_world_start(&world);
	assert_false(nat_world_run_direct(&world, 400 * CLV_SEC));

	/* The dialler moves behind another NAT, then the listener does. */
	world.nats[0].is_symmetric = false;
	world.nats[0].count = 0;
	start_ns = world.now_ns;
	nat_world_gather(&world.ends[0]);
	world.ends[0].next_ns = world.now_ns;
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	assert_true(world.now_ns - start_ns < 400 * CLV_MSEC);

	memset(world.ends[0].path.addr, 0, 16);
	world.nats[1].count = 0;
	world.nats[1].outside[15]++;
	start_ns = world.now_ns;
	nat_world_gather(&world.ends[1]);
	world.ends[1].next_ns = world.now_ns;
	nat_world_run(&world, CLV_SEC);
	assert_int_equal(world.ends[0].path.addr[15], 131);
	nat_world_close(&world);
}

static void a_rebinding_is_found_by_asking(void **state)
{
	struct clv_endpoint former, seen = { .port = 0 };
	uint8_t byte = 0;

	(void)state;
	begin(END_PORT_RESTRICTED, END_OPEN);
	nat_world_start(&world);
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	former = world.ends[1].path;
	/* The NAT forgets, and the next packet of the connection comes from another port. */
	world.nats[0].count = 0;
	nat_world_send(&world.ends[0], &world.ends[0].path, &byte, 1);
	seen = world.nats[0].list[0].outside;
	assert_int_not_equal(seen.port, former.port);
	clv_rounds_check(world.ends[1].rounds, CLV_BASE_SOCKET, &seen, world.now_ns);
	world.ends[1].next_ns = world.now_ns;
	nat_world_run(&world, 100 * CLV_MSEC);
	assert_int_equal(world.ends[1].alive.port, seen.port);
	nat_world_run(&world, 16 * CLV_SEC);
	assert_int_equal(world.ends[1].path.port, seen.port);
	nat_world_close(&world);
}

static void keys_change_each_day_and_nobody_notices(void **state)
{
	(void)state;
	begin(END_FULL_CONE, END_OPEN);
	nat_world_start(&world);
	assert_true(nat_world_run_direct(&world, CLV_SEC));
	nat_world_run(&world, 50 * 3600 * CLV_SEC);
	assert_true(world.ends[0].is_proven && world.ends[1].is_proven);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(clv_rounds_probes(world.ends[i].rounds, CLV_PROBE_BAD_TAG), 0);
		assert_int_equal(clv_rounds_count(world.ends[i].rounds, CLV_PUNCH_PAIRS_LOST), 0);
	}
	nat_world_close(&world);
}

/* ---- privacy ---- */

static void an_end_that_uses_relays_alone_sends_nothing(void **state)
{
	(void)state;
	for (unsigned who = 0; who < 2; who++) {
		struct end *shy;

		begin(END_OPEN, END_OPEN);
		shy = &world.ends[who];
		shy->privacy = CLV_PRIVACY_RELAY_ONLY;
		nat_world_start(&world);
		nat_world_run(&world, 5 * CLV_SEC);
		assert_int_equal(world.ends[0].datagrams, 0);
		assert_int_equal(world.ends[1].datagrams, 0);
		assert_true(clv_rounds_remote(world.ends[0].rounds)->count > 0);

		/* Until it trusts the other. */
		assert_int_equal(
			clv_rounds_set_privacy(shy->rounds, CLV_PRIVACY_REFLEXIVE, world.now_ns),
			0);
		shy->next_ns = world.now_ns;
		assert_true(nat_world_run_direct(&world, CLV_SEC));

		/* And when it does not any more, no probe is answered. */
		assert_int_equal(
			clv_rounds_set_privacy(shy->rounds, CLV_PRIVACY_RELAY_ONLY, world.now_ns),
			0);
		assert_false(shy->is_proven);
		nat_world_run(&world, 60 * CLV_SEC);
		assert_false(world.ends[!who].is_proven);
		nat_world_close(&world);
	}
}

static void a_planned_round_is_not_begun_when_relays_alone_are_wanted(void **state)
{
	struct clv_peer_capsule hello = { .type = CLV_PEER_HELLO };
	struct end *dialler = &world.ends[0];
	unsigned datagrams;

	(void)state;
	begin(END_SYMMETRIC, END_PORT_RESTRICTED);
	nat_world_start(&world);
	nat_world_run(&world, 2 * CLV_SEC);
	assert_true(dialler->datagrams > 0);
	assert_int_equal(
		clv_rounds_set_privacy(dialler->rounds, CLV_PRIVACY_RELAY_ONLY, world.now_ns), 0);
	datagrams = dialler->datagrams;
	nat_world_run(&world, 3600 * CLV_SEC);
	assert_int_equal(dialler->datagrams, datagrams);
	nat_world_close(&world);

	/* Nor where the peer does not speak of addresses as we do. */
	begin(END_SYMMETRIC, END_PORT_RESTRICTED);
	nat_world_start(&world);
	nat_world_run(&world, 4 * CLV_SEC);
	clv_rounds_hello(world.ends[1].rounds, &hello.hello);
	hello.hello.dialects = 2;
	nat_world_tell(dialler, &hello);
	nat_world_run(&world, 8 * CLV_SEC);
	datagrams = dialler->datagrams;
	nat_world_run(&world, 3600 * CLV_SEC);
	assert_int_equal(dialler->datagrams, datagrams);
	nat_world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair_that_can_be_direct_is),
		cmocka_unit_test(so_it_is_when_host_addresses_are_not_told),
		cmocka_unit_test(so_it_is_on_lossy_paths),
		cmocka_unit_test(neighbours_meet_inside),
		cmocka_unit_test(behind_one_provider_without_hairpin_it_is_the_relay),
		cmocka_unit_test(a_path_for_small_packets_alone_is_not_taken),
		cmocka_unit_test(what_came_to_nothing_is_tried_again_ever_more_seldom),
		cmocka_unit_test(between_two_symmetric_nats_one_round_each_5_minutes),
		cmocka_unit_test(a_direct_path_is_kept_open_and_missed_when_it_dies),
		cmocka_unit_test(a_new_network_is_tried_at_once),
		cmocka_unit_test(a_rebinding_is_found_by_asking),
		cmocka_unit_test(keys_change_each_day_and_nobody_notices),
		cmocka_unit_test(an_end_that_uses_relays_alone_sends_nothing),
		cmocka_unit_test(a_planned_round_is_not_begun_when_relays_alone_are_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
