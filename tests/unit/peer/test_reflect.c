/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asking relays at which address they see us, on a clock of the test. */
#include "tests/unit/check.h"

#include "control/peer/reflect.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#define SEEN "192.0.2.77:6000"

static struct clv_rand rnd;
static struct clv_reflect r;
static struct clv_endpoint relays[3];
static const uint64_t t0 = 77 * CLV_SEC;

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep = { 0 };

	assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static int begin(void **state)
{
	(void)state;
	clv_rand_init(&rnd, 4);
	relays[0] = endpoint("198.51.100.1:443");
	relays[1] = endpoint("198.51.100.2:443");
	relays[2] = endpoint("[2001:db8::3]:443");
	return clv_reflect_start(&r, &rnd, relays, COUNT(relays), t0);
}

struct sent {
	int relay;
	uint8_t request[CLV_STUN_HEADER_LEN];
};

static size_t send_due(uint64_t now_ns, struct sent out[static 8])
{
	size_t n = 0;

	while ((out[n].relay = clv_reflect_next(&r, now_ns, out[n].request)) >= 0)
		n++;
	return n;
}

/* As the relay answers that sees us at `seen`, from the address `from`. */
static int answer_from(const struct sent *s, const struct clv_endpoint *from, const char *seen,
		       uint64_t now_ns)
{
	uint8_t answer[CLV_STUN_ANSWER_MAX];
	struct clv_endpoint us = endpoint(seen);
	size_t len = clv_stun_answer(s->request, sizeof(s->request), &us, answer);

	return clv_reflect_take(&r, from, answer, len, now_ns);
}

static void all_are_asked_at_once_and_answers_end_the_round(void **state)
{
	struct sent s[8];

	(void)state;
	assert_int_equal(send_due(t0, s), 3);
	assert_int_equal(clv_reflect_next_ns(&r), t0 + 200 * CLV_MSEC);
	assert_int_equal(answer_from(&s[1], &relays[1], SEEN, t0 + 20 * CLV_MSEC), 0);
	assert_int_equal(answer_from(&s[0], &relays[0], SEEN, t0 + 30 * CLV_MSEC), 0);
	assert_false(clv_reflect_is_done(&r));
	assert_int_equal(answer_from(&s[2], &relays[2], "[2001:db8::9]:7", t0 + 31 * CLV_MSEC), 0);
	assert_true(clv_reflect_is_done(&r));
	assert_int_equal(r.relays[0].rtt_ns, 30 * CLV_MSEC);
	assert_int_equal(r.relays[0].tries, 1);
	assert_int_equal(r.relays[0].error, 0);
	assert_int_equal(ntohs(r.relays[0].seen.port), 6000);
	assert_int_equal(r.foreign + r.malformed, 0);
}

static void who_is_silent_is_asked_again_and_given_up(void **state)
{
	struct sent s[8];

	(void)state;
	assert_int_equal(send_due(t0, s), 3);
	assert_int_equal(answer_from(&s[0], &relays[0], SEEN, t0 + CLV_MSEC), 0);
	assert_int_equal(send_due(t0 + 199 * CLV_MSEC, s), 0);
	assert_int_equal(send_due(t0 + 200 * CLV_MSEC, s), 2);
	assert_int_equal(send_due(t0 + 600 * CLV_MSEC, s), 2);
	assert_int_equal(answer_from(&s[0], &relays[1], SEEN, t0 + 650 * CLV_MSEC), 0);
	assert_int_equal(r.relays[1].rtt_ns, 50 * CLV_MSEC);
	assert_int_equal(r.relays[1].tries, 3);
	assert_int_equal(send_due(t0 + 1599 * CLV_MSEC, s), 0);
	assert_false(clv_reflect_is_done(&r));
	assert_int_equal(send_due(t0 + 1600 * CLV_MSEC, s), 0);
	assert_true(clv_reflect_is_done(&r));
	assert_int_equal(r.relays[2].error, CLV_ETIMEOUT);
	assert_int_equal(r.relays[2].seen.port, 0);
}

static void an_answer_to_an_earlier_request_counts_with_its_own_time(void **state)
{
	struct sent first[8], second[8];

	(void)state;
	send_due(t0, first);
	send_due(t0 + 200 * CLV_MSEC, second);
	assert_memory_not_equal(first[0].request + 8, second[0].request + 8, 12);
	assert_int_equal(answer_from(&first[0], &relays[0], SEEN, t0 + 250 * CLV_MSEC), 0);
	assert_int_equal(r.relays[0].rtt_ns, 250 * CLV_MSEC);
	/* And the one to the second changes nothing. */
	assert_int_equal(answer_from(&second[0], &relays[0], "192.0.2.9:1", t0 + 260 * CLV_MSEC),
			 CLV_EDENIED);
	assert_int_equal(ntohs(r.relays[0].seen.port), 6000);
	assert_int_equal(r.foreign, 0);
}

static void forged_answers_are_refused(void **state)
{
	const struct clv_endpoint stranger = endpoint("203.0.113.66:443"),
				  other_port = endpoint("198.51.100.1:444");
	struct sent s[8], guess;

	(void)state;
	send_due(t0, s);
	assert_int_equal(answer_from(&s[0], &stranger, SEEN, t0 + 1), CLV_EDENIED);
	assert_int_equal(answer_from(&s[0], &other_port, SEEN, t0 + 1), CLV_EDENIED);
	/* Another relay cannot answer for it, though it has an ID of its own. */
	assert_int_equal(answer_from(&s[0], &relays[1], SEEN, t0 + 1), CLV_EDENIED);
	guess = s[0];
	guess.request[19] ^= 1;
	assert_int_equal(answer_from(&guess, &relays[0], SEEN, t0 + 1), CLV_EDENIED);
	assert_int_equal(r.foreign, 4);
	/* An address of the other family than it was asked by. */
	assert_int_equal(answer_from(&s[1], &relays[1], "[2001:db8::9]:7", t0 + 1), 0);
	assert_int_equal(r.relays[1].error, CLV_EPROTO);
	assert_int_equal(r.relays[1].seen.port, 0);
	/* Its own request, sent back. */
	assert_int_equal(clv_reflect_take(&r, &relays[0], s[0].request, 20, t0 + 1), CLV_ERANGE);
	assert_int_equal(r.malformed, 1);
	assert_int_equal(answer_from(&s[0], &relays[0], SEEN, t0 + 1), 0);
}

static void a_refusal_and_a_failure_are_evidence(void **state)
{
	uint8_t refusal[28] = { 1, 0x11, 0, 8 };
	struct sent s[8];

	(void)state;
	send_due(t0, s);
	memcpy(refusal + 4, s[0].request + 4, 16);
	memcpy(refusal + 20, "\0\x09\0\x04\0\0\x04\x14", 8);
	assert_int_equal(clv_reflect_take(&r, &relays[0], refusal, sizeof(refusal), t0 + 5), 0);
	assert_int_equal(r.relays[0].error, CLV_EPROTO);
	assert_int_equal(r.relays[0].status, 420);
	clv_reflect_fail(&r, 2, CLV_EUNROUTABLE);
	assert_int_equal(send_due(t0 + CLV_SEC, s), 2); /* the silent one, twice */
	assert_int_equal(s[0].relay, 1);
	assert_int_equal(s[1].relay, 1);
	assert_int_equal(r.relays[2].error, CLV_EUNROUTABLE);
}

static void what_cannot_be_asked_is_not(void **state)
{
	struct clv_endpoint many[CLV_REFLECT_RELAYS_MAX + 1] = { 0 };
	struct sent s[8];

	(void)state;
	assert_int_equal(clv_reflect_start(&r, &rnd, many, COUNT(many), t0), CLV_EFULL);
	many[0] = many[1] = relays[0];
	many[2] = relays[1];
	many[2].port = 0;
	assert_int_equal(clv_reflect_start(&r, &rnd, many, 3, t0), 0);
	assert_int_equal(r.relays_len, 2); /* named twice, asked once */
	assert_int_equal(send_due(t0, s), 1);
	assert_int_equal(r.relays[1].error, CLV_ERANGE);
	assert_int_equal(clv_reflect_start(&r, &rnd, many, 0, t0), 0);
	assert_true(clv_reflect_is_done(&r));
}

int main(void)
{
#define FRESH(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		FRESH(all_are_asked_at_once_and_answers_end_the_round),
		FRESH(who_is_silent_is_asked_again_and_given_up),
		FRESH(an_answer_to_an_earlier_request_counts_with_its_own_time),
		FRESH(forged_answers_are_refused),
		FRESH(a_refusal_and_a_failure_are_evidence),
		FRESH(what_cannot_be_asked_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
