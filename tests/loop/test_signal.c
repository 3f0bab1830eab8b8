/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Peers at one relay that tell it where they are, find each other and knock; and what nobody may do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/signal_fixture.h"

/* ---- what works ---- */

static void two_peers_find_each_other_and_knock(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 2 }, 2, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(peers[i].hellos, 1);
		assert_int_equal(peers[i].observed, 1);
		assert_memory_equal(&peers[i].at, &world->clients[i].endpoint, sizeof(peers[i].at));
	}
	assert_memory_equal(&peers[0].relay, &peers[1].relay, sizeof(peers[0].relay));

	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_NOBODY], 1);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	assert_int_equal(peers[1].published[CLV_SIGNAL_DONE], 1);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 1);
	assert_int_equal(peers[0].found_port, 4001);

	peers[1].replies_with_record = true;
	signal_knock(0, 1, 5000);
	signal_run(CLV_SEC);
	assert_int_equal(peers[1].knocks, 1);
	assert_int_equal(peers[1].knock_port, 5000);
	assert_memory_equal(&peers[1].knocker, &peers[0].id, sizeof(peers[0].id));
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_DONE], 1);
	assert_int_equal(world_count(world, CLV_COUNT_LOOKUPS_HIT), 1);
	assert_int_equal(world_count(world, CLV_COUNT_LOOKUPS_MISS), 1);
	assert_int_equal(world_count(world, CLV_COUNT_KNOCKS), 1);
	assert_int_equal(signal_at_relay()->knocks.count, 0);
	signal_stop();
}

static void a_record_lives_as_long_as_its_stream_and_is_signed_anew(void **state)
{
	uint64_t seq;

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	seq = peers[0].found_seq;
	for (unsigned i = 0; i < 120; i++) { /* 20 minutes: longer than a record lives */
		signal_look_up(0, 1);
		signal_look_up(1, 0);
		signal_run(10 * CLV_SEC);
	}
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 121);
	assert_true(peers[0].found_seq > seq);
	assert_int_equal(peers[1].published[CLV_SIGNAL_DONE], 5);

	clv_relay_session_signal_close(world->clients[1].session);
	peers[1].signal = NULL;
	signal_run(CLV_SEC);
	assert_int_equal(signal_at_relay()->records.count, 0);
	assert_int_equal(signal_at_relay()->streams, 1);
	signal_look_up(0, 1);
	signal_knock(0, 1, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_NOBODY], 1);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_NOBODY], 1);

	signal_open(1);
	signal_run(CLV_SEC);
	signal_publish(1, 4002);
	signal_run(CLV_SEC);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found_port, 4002);
	assert_int_equal(clv_signal_session_withdraw(signal_session(1)), 0);
	signal_run(CLV_SEC);
	assert_int_equal(signal_at_relay()->records.count, 0);
	signal_stop();
}

static void a_record_that_is_not_signed_anew_expires(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	signal_session(1)->publish_ns = UINT64_MAX;
	signal_run((CLV_OBJECT_RECORD_SEC + CLV_OBJECT_SKEW_SEC + 1) * CLV_SEC);
	assert_int_equal(signal_at_relay()->records.count, 0);
	assert_int_equal(signal_at_relay()->records.bytes, 0);
	signal_stop();
}

static void a_client_is_told_its_new_address_when_it_moves(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 2 }, 1, 0);
	assert_int_equal(world_tunnel(world, 0, 0, "198.18.1.1", 7000), 0);
	signal_run(CLV_SEC);
	for (unsigned i = 0; i < 3; i++) {
		struct clv_endpoint outside = world->clients[0].endpoint;

		outside.port = htons((uint16_t)(50001 + i));
		world->wire.nat_inside = world->clients[0].endpoint;
		world->wire.nat_former = world->wire.nat_outside;
		world->wire.nat_outside = outside;
		world->wire.nat_far_inside = world->relay_endpoint;
		world->wire.nat_far_outside = world->relay_endpoint6;
		world_app_send_many(world, 50, 100);
		signal_run(CLV_SEC);
		assert_int_equal(world_count(world, CLV_COUNT_PATH_CHANGES), 1 + i);
		assert_int_equal(peers[0].observed, 2 + i);
		assert_memory_equal(&peers[0].at, &outside, sizeof(outside));
	}
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBSERVED), 4);
	signal_stop();
}

/* ---- what nobody may do ---- */

static void without_an_identity_there_is_nothing_to_say(void **state)
{
	struct clv_object record = { .kind = 0 };
	const struct clv_object_endpoint from = signal_at(1);

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 1);
	assert_int_equal(peers[0].observed, 1);
	assert_int_equal(clv_signal_session_publish(signal_session(0), &record), -ENOKEY);
	assert_int_equal(clv_signal_session_knock(signal_session(0), &peers[1].id, &from, NULL),
			 -ENOKEY);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 1);
	signal_stop();
}

/* Client 0 has the key of client 1 at hand, but TLS has not proven it. */
static void nobody_speaks_for_an_identity_that_tls_has_not_proven(void **state)
{
	struct clv_signal_session *s;

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 3, 0);
	s = signal_session(0);
	s->signer = peers[1].signer;
	signal_publish(0, 6666);
	signal_knock(0, 2, 6666);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].published[CLV_SIGNAL_DENIED], 1);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_DENIED], 1);
	assert_int_equal(peers[2].knocks, 0);
	assert_int_equal(signal_at_relay()->records.count, 0);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_NO_IDENTITY), 2);
	signal_stop();
}

static void send_object(unsigned i, enum clv_signal_type type, const struct clv_identity *to,
			const uint8_t *object, size_t len)
{
	uint8_t capsule[CLV_SIGNAL_MAX];
	struct clv_signal s = { .type = type, .object = object, .object_len = len };
	size_t head;

	if (to)
		s.id = *to;
	s.request[0] = (uint8_t)len;
	s.request[1] = object[len - 1];
	head = clv_signal_write(&s, capsule);
	memcpy(capsule + head, object, len);
	assert_int_equal(signal_session(i)->ops->send(signal_session(i)->user, capsule, head + len),
			 0);
	signal_run(CLV_SEC);
}

static size_t make_record(unsigned i, uint64_t seq, uint32_t issued_sec, uint8_t *object)
{
	struct clv_object o = {
		.kind = CLV_OBJECT_RECORD,
		.seq = seq,
		.issued_sec = issued_sec,
		.lifetime_sec = 900,
		.endpoints = { signal_at(4001) },
		.endpoints_len = 1,
		.own_len = 1,
	};
	size_t len;

	assert_int_equal(clv_object_sign(&o, peers[i].signer, object, &len), 0);
	return len;
}

static void bad_records_are_refused_and_counted(void **state)
{
	uint8_t object[CLV_OBJECT_MAX];
	uint32_t now_sec;
	size_t len;

	(void)state;
	signal_start((struct world_params){ .workers = 1,
					    .signal = { .is_offered = true,
							.records_max = 8,
							.knocks_max = 8,
							.knock_ns = CLV_SEC,
							.backlog = 65536 } },
		     1, 0);
	now_sec = (uint32_t)(signal_wall_ms() / 1000);
	len = make_record(0, 1000, now_sec, object);
	object[len - 1] ^= 1;
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBJECTS_FORGED), 1);
	object[len - 1] ^= 1;
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len - 1);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBJECTS_MALFORMED), 1);
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	assert_int_equal(signal_at_relay()->records.count, 1);
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBJECTS_REPLAYED), 1);
	len = make_record(0, 999, now_sec, object);
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBJECTS_REPLAYED), 2);
	len = make_record(0, 2000, now_sec - 3600, object);
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	len = make_record(0, 2000, now_sec + 3600, object);
	send_object(0, CLV_SIGNAL_PUBLISH, NULL, object, len);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_OBJECTS_EXPIRED), 2);
	assert_int_equal(signal_at_relay()->records.count, 1);
	assert_int_equal(peers[0].closed, 0);
	signal_stop();
}

static void a_replayed_knock_is_not_heard_twice(void **state)
{
	uint8_t object[CLV_OBJECT_MAX];
	struct clv_object o = {
		.kind = CLV_OBJECT_KNOCK,
		.seq = 5,
		.lifetime_sec = 30,
		.has_knock = true,
		.from = signal_at(5000),
	};
	size_t len;

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	o.issued_sec = (uint32_t)(signal_wall_ms() / 1000);
	o.to = peers[1].id;
	assert_int_equal(clv_object_sign(&o, peers[0].signer, object, &len), 0);
	send_object(0, CLV_SIGNAL_KNOCK, &peers[1].id, object, len);
	assert_int_equal(peers[1].knocks, 1);
	send_object(0, CLV_SIGNAL_KNOCK, &peers[1].id, object, len);
	assert_int_equal(peers[1].knocks, 1);
	/* A signature is for the peer to check, not for the relay. */
	object[len - 1] ^= 1;
	send_object(0, CLV_SIGNAL_KNOCK, &peers[1].id, object, len);
	assert_int_equal(world_count(world, CLV_COUNT_KNOCKS), 3);
	assert_int_equal(peers[1].knocks, 1);
	signal_stop();
}

static void a_knock_that_nobody_answers_comes_back(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	signal_publish(1, 4001);
	peers[1].is_silent = true;
	signal_run(CLV_SEC);
	signal_knock(0, 1, 5000);
	signal_run(9 * CLV_SEC);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_NOBODY], 0);
	signal_run(2 * CLV_SEC);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_NOBODY], 1);
	assert_int_equal(world_count(world, CLV_COUNT_KNOCKS_UNANSWERED), 1);
	/* Too late, and to nobody any more. */
	assert_int_equal(clv_signal_session_answer(signal_session(1), peers[1].request,
						   CLV_SIGNAL_OK, false),
			 0);
	signal_run(CLV_SEC);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_STRAY), 1);

	/* The stream of one that has not answered yet ends. */
	signal_knock(0, 1, 5000);
	signal_run(CLV_SEC);
	clv_relay_session_signal_close(world->clients[1].session);
	peers[1].signal = NULL;
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_NOBODY], 2);
	assert_int_equal(signal_at_relay()->knocks.count, 0);
	signal_stop();
}

static void one_identity_at_two_streams_is_at_the_later(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 3, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	/* Client 2 comes again as client 1, from another address. */
	clv_relay_session_close(world->clients[2].session);
	signal_run(CLV_SEC);
	world->identity_tls[2] = world->identity_tls[1];
	assert_true(world_connect(world, 2));
	clv_signer_free(peers[2].signer);
	assert_int_equal(clv_signer_new(world_identity(1), &peers[2].signer), 0);
	signal_open(2);
	signal_run(CLV_SEC);
	signal_publish(2, 4002);
	signal_run(CLV_SEC);
	assert_int_equal(signal_at_relay()->records.count, 1);
	signal_knock(0, 1, 5000);
	signal_run(CLV_SEC);
	assert_int_equal(peers[1].knocks, 0);
	assert_int_equal(peers[2].knocks, 1);
	/* That the former ends takes nothing from the latter. */
	clv_relay_session_signal_close(world->clients[1].session);
	peers[1].signal = NULL;
	signal_run(CLV_SEC);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found_port, 4002);
	signal_stop();
}

static void a_relay_that_does_not_offer_it_says_so(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1, .signal = { .records_max = 1 } }, 1, 0);
	assert_int_equal(peers[0].closed, 1);
	assert_int_equal(peers[0].status, 501);
	signal_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_peers_find_each_other_and_knock),
		cmocka_unit_test(a_record_lives_as_long_as_its_stream_and_is_signed_anew),
		cmocka_unit_test(a_record_that_is_not_signed_anew_expires),
		cmocka_unit_test(a_client_is_told_its_new_address_when_it_moves),
		cmocka_unit_test(without_an_identity_there_is_nothing_to_say),
		cmocka_unit_test(nobody_speaks_for_an_identity_that_tls_has_not_proven),
		cmocka_unit_test(bad_records_are_refused_and_counted),
		cmocka_unit_test(a_replayed_knock_is_not_heard_twice),
		cmocka_unit_test(a_knock_that_nobody_answers_comes_back),
		cmocka_unit_test(one_identity_at_two_streams_is_at_the_later),
		cmocka_unit_test(a_relay_that_does_not_offer_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
