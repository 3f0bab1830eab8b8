/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two peers on lossy links: the raced handshake, moves between links that lose nothing, and ends. */
#include "tests/loop/peers.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum { RELAY, DIRECT, RELAY2, SLOW };

static struct peers *open_world(void)
{
	struct peers *w = malloc(sizeof(*w));

	peers_open(w, 7);
	w->links[RELAY] = (struct peers_link){ .delay_ns = 40 * CLV_MSEC, .is_relayed = true };
	w->links[DIRECT] = (struct peers_link){ .delay_ns = 8 * CLV_MSEC };
	w->links[RELAY2] = (struct peers_link){ .delay_ns = 55 * CLV_MSEC, .is_relayed = true };
	w->links[SLOW] = (struct peers_link){ .delay_ns = 90 * CLV_MSEC };
	return w;
}

static void close_world(struct peers *w)
{
	peers_close(w);
	free(w);
}

static bool dialler_is_down(struct peers *w)
{
	return w->ends[0].is_down;
}

static bool are_both_down(struct peers *w)
{
	return w->ends[0].is_down && w->ends[1].is_down;
}

static bool is_direct(struct peers *w)
{
	return peers_link_in_use(w, 0) == DIRECT && peers_link_in_use(w, 1) == DIRECT;
}

static bool is_relayed(struct peers *w)
{
	int a = peers_link_in_use(w, 0), b = peers_link_in_use(w, 1);

	return (a == RELAY || a == RELAY2) && (b == RELAY || b == RELAY2);
}

/* Let what was sent arrive, and compare. */
static void assert_nothing_lost(struct peers *w)
{
	uint64_t tick_ns = w->tick_ns;

	w->tick_ns = 0;
	peers_run(w, CLV_SEC, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(peers_missing(w, i, 0, w->ends[i].sent), 0);
		assert_int_equal(w->ends[i].refused, 0);
		assert_int_equal(w->ends[i].doubled, 0);
		assert_int_equal(w->ends[i].wrong, 0);
		assert_int_equal(w->ends[1 - i].stream_received, w->ends[i].stream_sent);
	}
	w->tick_ns = tick_ns;
	w->next_tick_ns = w->now_ns;
}

static void each_end_proves_its_key_and_is_up_within_two_round_trips(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns = w->now_ns;

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	assert_true(w->now_ns - start_ns <= 2 * 80 * CLV_MSEC);
	assert_memory_equal(w->ends[0].proven, w->ends[1].id, 32);
	assert_memory_equal(w->ends[1].proven, w->ends[0].id, 32);
	peers_run(w, CLV_SEC, NULL);
	assert_int_equal(w->ends[1].flow, 7);
	assert_nothing_lost(w);
	close_world(w);
}

static void a_listener_with_another_key_is_not_believed(void **state)
{
	struct peers *w = open_world();
	uint8_t other[32] = { 1 };

	(void)state;
	peers_dial(w, 1 << RELAY, other);
	assert_true(peers_run(w, 2 * CLV_SEC, dialler_is_down));
	assert_int_equal(w->ends[0].end.error, CLV_EUNTRUSTED);
	assert_false(w->ends[0].is_up);
	assert_false(w->ends[1].is_up);
	close_world(w);
}

static void a_refused_dialler_hears_so_and_nothing_of_it_is_delivered(void **state)
{
	struct peers *w = open_world();

	(void)state;
	w->ends[1].accepts = false;
	peers_dial(w, 1 << RELAY, NULL);
	assert_int_equal(clv_peerconn_send(w->ends[0].conn, 7, "early", 5), 0);
	peers_run(w, 300 * CLV_MSEC, NULL);
	assert_true(w->ends[1].is_proven);
	assert_false(w->ends[0].is_up);
	assert_int_equal(clv_peerconn_send(w->ends[1].conn, 7, "x", 1), CLV_ECLOSED);
	clv_peerconn_close(w->ends[1].conn, CLV_PEERCONN_REFUSED);
	clv_peerconn_flush(w->ends[1].conn, w->now_ns);
	assert_true(peers_run(w, CLV_SEC, dialler_is_down));
	assert_int_equal(w->ends[0].end.error, CLV_EDENIED);
	assert_int_equal(w->ends[0].end.code, CLV_PEERCONN_REFUSED);
	assert_int_equal(w->ends[1].wrong + w->ends[1].received, 0);
	close_world(w);
}

static void what_is_sent_before_the_listener_accepts_arrives_after_it(void **state)
{
	struct peers *w = open_world();

	(void)state;
	w->ends[1].accepts = false;
	w->tick_ns = 0;
	peers_dial(w, 1 << RELAY, NULL);
	clv_peerconn_send(w->ends[0].conn, 9, "early", 5);
	peers_run(w, 300 * CLV_MSEC, NULL);
	assert_int_equal(w->ends[1].wrong, 0);
	peers_accept(w);
	clv_peerconn_flush(w->ends[1].conn, w->now_ns);
	assert_int_equal(w->ends[1].wrong, 1); /* not of the length the fixture expects */
	assert_int_equal(w->ends[1].flow, 9);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	close_world(w);
}

static void the_handshake_takes_the_link_that_answers_first(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns = w->now_ns;

	(void)state;
	peers_dial(w, 1 << RELAY | 1 << DIRECT | 1 << RELAY2, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	assert_true(w->now_ns - start_ns <= 40 * CLV_MSEC);
	assert_true(is_direct(w));
	peers_run(w, CLV_SEC, NULL);
	assert_int_equal(w->ends[0].moves, 0);
	assert_nothing_lost(w);
	close_world(w);
}

static void a_link_that_carries_only_one_way_does_not_hold_up_the_race(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns = w->now_ns;

	(void)state;
	w->links[DIRECT].is_dead_to_dialler = true;
	peers_dial(w, 1 << RELAY | 1 << DIRECT, NULL);
	assert_true(peers_run(w, 3 * CLV_SEC, peers_are_up));
	assert_true(w->now_ns - start_ns <= 1500 * CLV_MSEC);
	assert_int_equal(peers_link_in_use(w, 0), RELAY);
	peers_run(w, CLV_SEC, NULL);
	assert_true(w->ends[0].received > 200 && w->ends[1].received > 200);
	close_world(w);
}

static void a_dead_link_does_not_hold_up_the_race(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns = w->now_ns;

	(void)state;
	w->links[DIRECT].is_dead = true;
	peers_dial(w, 1 << RELAY | 1 << DIRECT, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	assert_true(w->now_ns - start_ns <= 2 * 80 * CLV_MSEC);
	close_world(w);
}

static void from_relay_to_direct_and_back_a_hundred_times_nothing_is_lost_or_doubled(void **state)
{
	struct peers *w = open_world();

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	peers_run(w, 300 * CLV_MSEC, NULL);
	peers_mark(w);
	for (unsigned i = 0; i < 50; i++) {
		struct clv_peer_link relay = peers_link_of(w, 0, RELAY);

		peers_validate(w, DIRECT);
		assert_true(peers_run(w, 2 * CLV_SEC, is_direct));
		assert_int_equal(w->ends[0].move.why, CLV_PATH_BETTER);
		peers_run(w, 60 * CLV_MSEC, NULL);
		assert_int_equal(clv_peerconn_move(w->ends[0].conn, &relay, false, w->now_ns), 0);
		clv_peerconn_flush(w->ends[0].conn, w->now_ns);
		assert_true(peers_run(w, CLV_SEC, is_relayed));
	}
	assert_true(w->ends[0].moves >= 100 && w->ends[1].moves >= 100);
	/* less than two round trips of the relay and 30 ms */
	for (unsigned i = 0; i < 2; i++) {
		assert_true(w->ends[i].gap_ns < 190 * CLV_MSEC);
		assert_true(w->ends[i].stream_gap_ns < 190 * CLV_MSEC);
	}
	assert_nothing_lost(w);
	assert_true(w->ends[0].sent > 10000);
	close_world(w);
}

static void after_a_move_the_relay_carries_only_what_keeps_it(void **state)
{
	struct peers *w = open_world();
	uint64_t sent;

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	peers_validate(w, DIRECT);
	assert_true(peers_run(w, CLV_SEC, is_direct));
	peers_run(w, 300 * CLV_MSEC, NULL);
	sent = w->links[RELAY].sent;
	peers_run(w, 3 * CLV_SEC, NULL);
	assert_true(w->links[RELAY].sent - sent < 10);
	close_world(w);
}

/* The direct link dies under load: how long until both ends receive again. */
static void direct_dies(bool has_prober, double loss)
{
	struct peers *w = open_world();

	w->has_prober = has_prober;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	peers_validate(w, DIRECT);
	assert_true(peers_run(w, CLV_SEC, is_direct));
	w->links[RELAY].loss = loss;
	peers_run(w, CLV_SEC, NULL);
	peers_mark(w);
	w->links[DIRECT].is_dead = true;
	assert_true(peers_run(w, 3 * CLV_SEC, is_relayed));
	peers_run(w, 2 * CLV_SEC, NULL);
	assert_int_equal(w->ends[0].move.why, CLV_PATH_SILENT);
	assert_int_equal(w->ends[1].move.why, CLV_PATH_PEER);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(w->ends[i].gap_ns < 800 * CLV_MSEC);
		assert_false(w->ends[i].is_down);
	}
	/* the stream lacks nothing */
	w->tick_ns = 0;
	peers_run(w, 3 * CLV_SEC, NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(w->ends[1 - i].stream_received, w->ends[i].stream_sent);
	assert_int_equal(w->ends[0].wrong + w->ends[1].wrong, 0);
	if (has_prober)
		assert_true(w->ends[0].asked > 0);
	close_world(w);
}

static void when_the_direct_link_dies_the_relay_takes_over_within_800_ms(void **state)
{
	(void)state;
	direct_dies(false, 0);
	direct_dies(true, 0);
	direct_dies(true, 0.03);
}

static void an_end_that_only_receives_notices_a_dead_link_too(void **state)
{
	struct peers *w = open_world();

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	w->ends[0].sent = PEERS_NUMBERS; /* the dialler is silent from now on */
	w->has_prober = false;
	peers_validate(w, DIRECT);
	assert_true(peers_run(w, CLV_SEC, is_direct));
	peers_run(w, CLV_SEC, NULL);
	w->links[DIRECT].is_dead = true;
	assert_true(peers_run(w, 1500 * CLV_MSEC, is_relayed));
	close_world(w);
}

static void direct_and_relay_die_and_the_standby_relay_takes_over(void **state)
{
	struct peers *w = open_world();
	struct clv_peer_link standby;

	(void)state;
	w->has_prober = true;
	standby = peers_link_of(w, 0, RELAY2);
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	assert_int_equal(clv_peerconn_link_add(w->ends[0].conn, &standby), 0);
	peers_validate(w, DIRECT);
	assert_true(peers_run(w, CLV_SEC, is_direct));
	peers_run(w, CLV_SEC, NULL);
	peers_mark(w);
	w->links[DIRECT].is_dead = w->links[RELAY].is_dead = true;
	assert_true(peers_run(w, 3 * CLV_SEC, is_relayed));
	assert_int_equal(peers_link_in_use(w, 0), RELAY2);
	peers_run(w, CLV_SEC, NULL);
	assert_true(w->ends[0].gap_ns < CLV_SEC && w->ends[1].gap_ns < CLV_SEC);
	close_world(w);
}

static void a_link_that_is_hardly_better_is_not_moved_to(void **state)
{
	struct peers *w = open_world();

	(void)state;
	w->links[SLOW].delay_ns = 9 * CLV_MSEC;
	peers_dial(w, 1 << SLOW, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	for (unsigned i = 0; i < 50; i++) {
		peers_validate(w, DIRECT); /* 16 ms against 18 */
		peers_run(w, 100 * CLV_MSEC, NULL);
	}
	assert_int_equal(w->ends[0].moves, 0);
	w->links[DIRECT].delay_ns = 2 * CLV_MSEC;
	for (unsigned i = 0; i < 15; i++) { /* much better, but not for two seconds yet */
		peers_validate(w, DIRECT);
		peers_run(w, 100 * CLV_MSEC, NULL);
	}
	assert_int_equal(w->ends[0].moves, 0);
	for (unsigned i = 0; i < 10; i++) {
		peers_validate(w, DIRECT);
		peers_run(w, 100 * CLV_MSEC, NULL);
	}
	assert_int_equal(w->ends[0].moves, 1);
	assert_nothing_lost(w);
	close_world(w);
}

static void a_peer_that_is_gone_is_down_after_ten_seconds(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns;

	(void)state;
	w->has_prober = true;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	for (unsigned i = 0; i < PEERS_LINKS; i++)
		w->links[i].is_dead = true;
	start_ns = w->now_ns;
	assert_true(peers_run(w, 30 * CLV_SEC, are_both_down));
	assert_in_range((w->now_ns - start_ns) / CLV_MSEC, 9800, 11000);
	assert_int_equal(w->ends[0].end.error, CLV_ETIMEOUT);
	close_world(w);
}

static void nobody_answers_and_the_dialler_gives_up_after_ten_seconds(void **state)
{
	struct peers *w = open_world();
	uint64_t start_ns = w->now_ns;

	(void)state;
	w->links[RELAY].is_dead = true;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, 30 * CLV_SEC, dialler_is_down));
	assert_in_range((w->now_ns - start_ns) / CLV_MSEC, 9900, 10500);
	assert_int_equal(w->ends[0].end.error, CLV_ETIMEOUT);
	close_world(w);
}

static void an_idle_connection_stays_up(void **state)
{
	struct peers *w = open_world();
	uint64_t sent;

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	peers_run(w, 100 * CLV_MSEC, NULL);
	w->tick_ns = 0;
	peers_run(w, 10 * CLV_SEC, NULL);
	sent = w->links[RELAY].sent;
	peers_run(w, 120 * CLV_SEC, NULL);
	assert_false(w->ends[0].is_down || w->ends[1].is_down);
	assert_true(w->links[RELAY].sent - sent < 100);
	assert_nothing_lost(w);
	close_world(w);
}

static void a_close_reaches_the_other_end(void **state)
{
	struct peers *w = open_world();

	(void)state;
	peers_dial(w, 1 << RELAY, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	clv_peerconn_close(w->ends[0].conn, CLV_PEERCONN_NO_ERROR);
	clv_peerconn_flush(w->ends[0].conn, w->now_ns);
	w->tick_ns = 0;
	peers_run(w, 5 * CLV_SEC, NULL);
	assert_true(w->ends[1].is_down);
	assert_true(w->ends[1].end.is_remote);
	assert_int_equal(w->ends[1].end.error, 0);
	assert_true(clv_peerconn_is_over(w->ends[0].conn));
	assert_true(clv_peerconn_is_over(w->ends[1].conn));
	close_world(w);
}

/*
 * The dialler moves and has little to say: what it sends lets the listener answer with so many bytes that
 * its window is full when it may send no more to the new address, and then none of them arrives.
 */
static void a_listener_whose_window_stays_full_begins_anew(void **state)
{
	struct peers *w = open_world();
	struct clv_peerconn_info info;
	struct clv_peer_link slow;
	uint32_t received;

	(void)state;
	slow = peers_link_of(w, 0, SLOW);
	peers_dial(w, 1 << DIRECT, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	peers_run(w, 300 * CLV_MSEC, NULL);
	w->links[SLOW].is_dead_to_dialler = true;
	w->ends[0].sent = PEERS_NUMBERS; /* the dialler is silent from now on */
	assert_int_equal(clv_peerconn_link_add(w->ends[0].conn, &slow), 0);
	assert_int_equal(clv_peerconn_move(w->ends[0].conn, &slow, true, w->now_ns), 0);
	clv_peerconn_flush(w->ends[0].conn, w->now_ns);
	peers_run(w, 2 * CLV_SEC, NULL);
	w->links[SLOW].is_dead_to_dialler = false;
	received = w->ends[0].received;
	peers_run(w, 5 * CLV_SEC, NULL);
	assert_true(w->ends[0].received > received + 200);
	clv_peerconn_info(w->ends[1].conn, &info);
	assert_int_equal(info.stalls, 1);
	assert_false(w->ends[0].is_down || w->ends[1].is_down);
	close_world(w);
}

static void packets_from_an_unproven_address_are_read_but_not_followed(void **state)
{
	struct peers *w = open_world();
	struct clv_peer_link slow;

	(void)state;
	w->needs_proof = true;
	w->has_prober = true;
	slow = peers_link_of(w, 0, SLOW);
	peers_dial(w, 1 << DIRECT, NULL);
	assert_true(peers_run(w, CLV_SEC, peers_are_up));
	clv_peerconn_link_add(w->ends[0].conn, &slow);
	clv_peerconn_move(w->ends[0].conn, &slow, true, w->now_ns);
	clv_peerconn_flush(w->ends[0].conn, w->now_ns);
	peers_run(w, 150 * CLV_MSEC, NULL);
	assert_int_equal(peers_link_in_use(w, 1), DIRECT);
	assert_true(w->ends[1].asked > 0);
	slow = peers_link_of(w, 1, SLOW);
	clv_peerconn_link_validated(w->ends[1].conn, &slow, 180 * CLV_MSEC, w->now_ns);
	peers_run(w, 500 * CLV_MSEC, NULL);
	assert_int_equal(peers_link_in_use(w, 1), SLOW);
	close_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_end_proves_its_key_and_is_up_within_two_round_trips),
		cmocka_unit_test(a_listener_with_another_key_is_not_believed),
		cmocka_unit_test(a_refused_dialler_hears_so_and_nothing_of_it_is_delivered),
		cmocka_unit_test(what_is_sent_before_the_listener_accepts_arrives_after_it),
		cmocka_unit_test(the_handshake_takes_the_link_that_answers_first),
		cmocka_unit_test(a_link_that_carries_only_one_way_does_not_hold_up_the_race),
		cmocka_unit_test(a_dead_link_does_not_hold_up_the_race),
		cmocka_unit_test(
			from_relay_to_direct_and_back_a_hundred_times_nothing_is_lost_or_doubled),
		cmocka_unit_test(after_a_move_the_relay_carries_only_what_keeps_it),
		cmocka_unit_test(when_the_direct_link_dies_the_relay_takes_over_within_800_ms),
		cmocka_unit_test(an_end_that_only_receives_notices_a_dead_link_too),
		cmocka_unit_test(direct_and_relay_die_and_the_standby_relay_takes_over),
		cmocka_unit_test(a_link_that_is_hardly_better_is_not_moved_to),
		cmocka_unit_test(a_peer_that_is_gone_is_down_after_ten_seconds),
		cmocka_unit_test(nobody_answers_and_the_dialler_gives_up_after_ten_seconds),
		cmocka_unit_test(an_idle_connection_stays_up),
		cmocka_unit_test(a_close_reaches_the_other_end),
		cmocka_unit_test(a_listener_whose_window_stays_full_begins_anew),
		cmocka_unit_test(packets_from_an_unproven_address_are_read_but_not_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
