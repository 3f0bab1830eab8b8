/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Patterns of arrival on a clock of the test's own, and what a thread makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "datapath/base/pace.h"
#include "datapath/base/clock.h"

#define USEC UINT64_C(1000)

enum {
	STEP_NS = 500, /* a step takes */
};

static const struct clv_pace_params params = {
	.spin_ns = 50 * USEC,
	.spin_per_sec = 15000,
	.batch = 8,
	.pause_max_ns = 100 * USEC,
};

/* What a thread did with its time. */
struct spent {
	uint64_t looking_ns, pausing_ns, sleeping_ns;
	unsigned sleeps, pauses, steps_with_work;
	uint64_t worst_wait_ns; /* of an arrival, until it was seen */
};

/* Arrivals every gap_ns (odd ones after answer_ns, when that is not 0), for length_ns. */
static struct spent run(const struct clv_pace_params *p, uint64_t gap_ns, uint64_t answer_ns,
			uint64_t length_ns)
{
	struct clv_pace pace = { .p = *p };
	struct spent s = { 0 };
	uint64_t now = CLV_SEC, end = now + length_ns, next = now + gap_ns, pause;
	unsigned n = 0;

	while (now < end) {
		unsigned work = 0;

		while (next <= now) {
			if (now - next > s.worst_wait_ns)
				s.worst_wait_ns = now - next;
			work++;
			n++;
			next += !answer_ns ? gap_ns : n % 2 ? answer_ns : gap_ns - answer_ns;
		}
		s.steps_with_work += work > 0;
		switch (clv_pace_next(&pace, work, now, &pause)) {
		case CLV_PACE_STEP:
			now += STEP_NS;
			s.looking_ns += work ? 0 : STEP_NS;
			break;
		case CLV_PACE_PAUSE:
			assert_true(pause > 0 && pause <= p->pause_max_ns);
			s.pauses++;
			s.pausing_ns += pause;
			now += pause;
			break;
		case CLV_PACE_SLEEP:
			s.sleeps++;
			s.sleeping_ns += next - now;
			now = next;
			break;
		}
	}
	return s;
}

static void with_nothing_to_do_it_sleeps(void **state)
{
	struct spent s = run(&params, 100 * CLV_MSEC, 0, CLV_SEC);

	(void)state;
	assert_true(s.sleeps >= 9 && s.pauses == 0);
	assert_true(s.looking_ns < CLV_SEC / 1000);
}

static void an_answer_that_follows_soon_finds_it_awake(void **state)
{
	/* a thousand questions a second, each answered after 30 us */
	struct spent s = run(&params, CLV_MSEC, 30 * USEC, CLV_SEC);

	(void)state;
	assert_true(s.sleeps > 900 && s.sleeps < 1100); /* once for each question */
	assert_true(s.looking_ns < CLV_SEC / 10);
}

static void looking_on_in_vain_is_given_up(void **state)
{
	/* nothing ever comes within the 50 us */
	struct spent s = run(&params, 200 * USEC, 0, CLV_SEC);

	(void)state;
	assert_true(s.sleeps > 4500);
	assert_true(s.looking_ns < CLV_SEC / 50);
}

/* One datagram is work for several steps; that is not an answer. */
static void what_one_arrival_takes_several_steps_for_is_no_find(void **state)
{
	struct clv_pace pace = { .p = params };
	uint64_t now = CLV_SEC, pause;
	unsigned looking = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		for (int step = 0; step < 3; step++)
			clv_pace_next(&pace, 1, now += STEP_NS, &pause);
		while (clv_pace_next(&pace, 0, now += STEP_NS, &pause) != CLV_PACE_SLEEP)
			looking++;
		now += CLV_MSEC;
	}
	assert_int_equal(pace.spins_useful, 0);
	assert_in_range(pace.spins, 4, 100); /* of a thousand times */
	assert_in_range(looking, 4, 100 * params.spin_ns / STEP_NS);
}

static void looks_are_counted_with_what_they_found(void **state)
{
	struct clv_pace pace = { .p = params };
	uint64_t now = CLV_SEC, pause;

	(void)state;
	clv_pace_next(&pace, 1, now, &pause);
	clv_pace_next(&pace, 0, now += STEP_NS, &pause);
	clv_pace_next(&pace, 1, now += STEP_NS, &pause); /* an answer */
	while (clv_pace_next(&pace, 0, now += STEP_NS, &pause) != CLV_PACE_SLEEP)
		;
	assert_int_equal(pace.spins, 2);
	assert_int_equal(pace.spins_useful, 1);
}

static void looking_on_is_tried_again_when_the_pattern_changes(void **state)
{
	struct clv_pace pace = { .p = params };
	uint64_t now = CLV_SEC, pause;
	unsigned looked = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) { /* in vain */
		clv_pace_next(&pace, 1, now, &pause);
		while (clv_pace_next(&pace, 0, now += STEP_NS, &pause) != CLV_PACE_SLEEP)
			;
		now += CLV_MSEC;
	}
	for (int i = 0; i < 1000; i++) { /* from now on an answer comes after 20 us */
		clv_pace_next(&pace, 1, now, &pause);
		if (clv_pace_next(&pace, 0, now += 20 * USEC, &pause) == CLV_PACE_STEP) {
			clv_pace_next(&pace, 1, now, &pause);
			looked++;
		}
		now += CLV_MSEC;
	}
	assert_true(looked > 800);
}

static void with_much_to_do_it_does_not_look_on(void **state)
{
	const struct clv_pace_params p = { .spin_ns = 50 * USEC, .spin_per_sec = 15000 };
	struct spent s = run(&p, 40 * USEC, 0, CLV_SEC); /* each would be found */

	(void)state;
	assert_true(s.sleeps > 24000);
	assert_true(s.looking_ns < CLV_SEC / 50);
}

static void much_is_taken_by_the_handful(void **state)
{
	/* a hundred thousand a second: one every 10 us */
	struct spent s = run(&params, 10 * USEC, 0, CLV_SEC);

	(void)state;
	assert_true(s.pauses > 10000 && s.pauses < 14000); /* 8 at a time */
	assert_true(s.worst_wait_ns <= params.pause_max_ns + STEP_NS);
	assert_true(s.sleeps < 100);
}

static void a_batch_is_waited_for_no_longer_than_the_longest_pause(void **state)
{
	const struct clv_pace_params p = { .batch = 64, .pause_max_ns = 100 * USEC };
	struct spent many = run(&p, 2 * USEC, 0, CLV_SEC); /* half a million a second */
	struct spent fewer = run(&p, 5 * USEC, 0, CLV_SEC);
	struct spent few = run(&p, 15 * USEC, 0, CLV_SEC); /* less than 8 in the longest pause */

	(void)state;
	assert_in_range(many.steps_with_work, 500000 / 64, 500000 / 32);
	assert_in_range(fewer.steps_with_work, 200000 / 22, 200000 / 16);
	assert_true(many.worst_wait_ns <= p.pause_max_ns && fewer.worst_wait_ns <= p.pause_max_ns);
	assert_int_equal(few.pauses, 0);
}

static void half_a_batch_is_not_kept_waiting(void **state)
{
	struct clv_pace pace = { .p = { .batch = 64, .pause_max_ns = 100 * USEC } };
	uint64_t now = CLV_SEC, pause;

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(clv_pace_next(&pace, 32, now += 50 * USEC, &pause), CLV_PACE_STEP);
	assert_int_equal(clv_pace_next(&pace, 31, now, &pause), CLV_PACE_PAUSE);
	/* at 640,000 a second the other 33 take so long */
	assert_in_range(pause, 50 * USEC, 54 * USEC);
}

static void when_it_stops_pausing_ends(void **state)
{
	struct clv_pace pace = { .p = params };
	uint64_t now = CLV_SEC, pause;
	unsigned pauses = 0;
	enum clv_pace_action a;

	(void)state;
	for (int i = 0; i < 1000; i++)
		clv_pace_next(&pace, 1, now += 5 * USEC, &pause);
	while ((a = clv_pace_next(&pace, 0, now, &pause)) != CLV_PACE_SLEEP) {
		assert_true(++pauses < 1000);
		now += a == CLV_PACE_PAUSE ? pause : STEP_NS;
	}
	assert_true(pauses > 0 && pauses < 100);
}

static void a_busy_thread_never_rests(void **state)
{
	struct spent s = run(&params, STEP_NS / 4, 0, 100 * CLV_MSEC);

	(void)state;
	assert_true(s.pauses == 0 && s.sleeps <= 1);
}

static void both_can_be_turned_off(void **state)
{
	const struct clv_pace_params off = { 0 };
	struct spent s = run(&off, 10 * USEC, 0, 100 * CLV_MSEC);

	(void)state;
	assert_true(s.pauses == 0 && s.looking_ns == 0 && s.sleeps > 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_nothing_to_do_it_sleeps),
		cmocka_unit_test(an_answer_that_follows_soon_finds_it_awake),
		cmocka_unit_test(looking_on_in_vain_is_given_up),
		cmocka_unit_test(what_one_arrival_takes_several_steps_for_is_no_find),
		cmocka_unit_test(looks_are_counted_with_what_they_found),
		cmocka_unit_test(looking_on_is_tried_again_when_the_pattern_changes),
		cmocka_unit_test(with_much_to_do_it_does_not_look_on),
		cmocka_unit_test(much_is_taken_by_the_handful),
		cmocka_unit_test(a_batch_is_waited_for_no_longer_than_the_longest_pause),
		cmocka_unit_test(half_a_batch_is_not_kept_waiting),
		cmocka_unit_test(when_it_stops_pausing_ends),
		cmocka_unit_test(a_busy_thread_never_rests),
		cmocka_unit_test(both_can_be_turned_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
