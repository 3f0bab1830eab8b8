/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hostile capsules on signal streams, and for each limit a hog and a bystander. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/hostile.h"
#include "tests/loop/signal_fixture.h"

/* ---- hostile capsules ---- */

static void raw_signal(struct raw *r, int64_t id, const char *path)
{
	struct raw_bytes b = { .len = 0 };
	char line[128];
	const char *fields[] = { ":method: CONNECT",
				 ":protocol: culvert-signal",
				 ":scheme: https",
				 ":authority: relay.test",
				 line,
				 "capsule-protocol: ?1" };

	snprintf(line, sizeof(line), ":path: %s", path);
	put_headers(&b, fields, sizeof(fields) / sizeof(fields[0]));
	raw_stream(r, id, b.bytes, b.len, false);
}

#define HELLO                                                                                      \
	"9c766c00 24 010101 0000000000000000000000000000000000000000000000000000000000000000 00"
#define ID16 "00000000000000000000000000000000"

static void hostile_capsules_end_their_stream_alone(void **state)
{
	static const struct {
		const char *name, *hex;
		bool survives;
	} rows[] = {
		{ "a hello", HELLO, true },
		{ "two hellos", HELLO HELLO, false },
		{ "a hello of somebody else",
		  "9c766c00 24 010101 0100000000000000000000000000000000000000000000000000000000000000 "
		  "00",
		  false },
		{ "a hello cut short", "9c766c00 02 0101", false },
		{ "a look-up before hello", "9c766c02 32 " ID16 " 04 " ID16 ID16 " 00", false },
		{ "a look-up", HELLO "9c766c02 32 " ID16 " 04 " ID16 ID16 " 00", true },
		{ "a look-up with a path that is too long",
		  HELLO "9c766c02 32 " ID16 " 04 " ID16 ID16 " ff", false },
		{ "a publish of nothing", HELLO "9c766c01 10 " ID16, true },
		{ "a publish without a request", HELLO "9c766c01 00", false },
		{ "a publish longer than any", HELLO "9c766c01 8000ffff", false },
		{ "an answer to nothing", HELLO "9c766c03 11 " ID16 " 00", true },
		{ "a knock of nobody", HELLO "9c766c04 32 " ID16 " 04 " ID16 ID16 " 00", true },
		{ "what a relay says", HELLO "9c766c08 02 0005", true },
		{ "unknown capsules", HELLO "9c766c14 02 0005 00 03 616263 9c766c05 00", true },
	};
	struct raw *r;

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	r = hostile_peer(world, 1);
	assert_true(raw_connect(r));
	raw_h3_start(r);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t id = (int64_t)i * 4;
		struct raw_stream *s;

		raw_signal(r, id, CLV_SIGNAL_PATH);
		raw_run(r, CLV_SEC / 5);
		if (raw_status(r, id) != 200)
			fail_msg("%s: status %u", rows[i].name, raw_status(r, id));
		raw_capsules(r, id, rows[i].hex);
		raw_run(r, CLV_SEC / 5);
		s = raw_stream_of(r, id);
		if (r->is_closed || s->was_reset == rows[i].survives)
			fail_msg("%s: reset %d, closed %d", rows[i].name, s->was_reset,
				 r->is_closed);
		/* One that lives on is ended, so that the next may be opened. */
		if (rows[i].survives)
			raw_stream(r, id, "", 0, true);
		raw_run(r, CLV_SEC / 5);
	}
	hostile_peer_free(r);
	signal_look_up(0, 1);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 1);
	signal_stop();
}

static void a_version_that_nobody_speaks_is_told_ours(void **state)
{
	struct raw *r;
	uint8_t body[256];

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 1, 0);
	r = hostile_peer(world, 1);
	assert_true(raw_connect(r));
	raw_h3_start(r);
	raw_signal(r, 0, CLV_SIGNAL_PATH);
	raw_run(r, CLV_SEC);
	raw_capsules(r, 0,
		     "9c766c00 24 ffff01 "
		     "0000000000000000000000000000000000000000000000000000000000000000 00");
	raw_run(r, CLV_SEC);
	assert_true(raw_body(r, 0, body, sizeof(body)) > 40);
	assert_int_equal(body[5], 1); /* version, behind type and length */
	assert_true(raw_stream_of(r, 0)->fin);
	/* Another path is not a signal stream's, and there is one on a connection. */
	raw_signal(r, 4, "/.well-known/culvert/other/");
	raw_signal(r, 8, CLV_SIGNAL_PATH);
	raw_signal(r, 12, CLV_SIGNAL_PATH);
	raw_run(r, CLV_SEC);
	assert_int_equal(raw_status(r, 4), 404);
	assert_int_equal(raw_status(r, 8), 200);
	assert_int_equal(raw_status(r, 12), 429);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_SECOND), 1);
	hostile_peer_free(r);
	signal_stop();
}

static void a_stream_that_ends_inside_a_capsule_is_malformed(void **state)
{
	struct raw *r;

	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 1, 0);
	r = hostile_peer(world, 1);
	assert_true(raw_connect(r));
	raw_h3_start(r);
	raw_signal(r, 0, CLV_SIGNAL_PATH);
	raw_run(r, CLV_SEC / 5);
	raw_capsules(r, 0, HELLO "9c766c02 32 00");
	raw_run(r, CLV_SEC / 5);
	assert_int_equal(signal_at_relay()->streams, 2);
	raw_stream(r, 0, "", 0, true);
	raw_run(r, CLV_SEC / 5);
	assert_true(raw_stream_of(r, 0)->was_reset);
	assert_int_equal(signal_at_relay()->streams, 1);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_ABORTED), 1);
	hostile_peer_free(r);
	signal_stop();
}

/* ---- limits ---- */

static void look_ups_beyond_the_rate_are_a_hogs_alone(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 3, 0);
	signal_publish(2, 4001);
	signal_run(CLV_SEC);
	for (unsigned i = 0; i < 30; i++)
		signal_look_up(0, 2);
	signal_look_up(1, 2);
	signal_run(CLV_SEC / 10);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 5);
	assert_int_equal(peers[0].found[CLV_SIGNAL_LATER], 25);
	assert_int_equal(peers[1].found[CLV_SIGNAL_DONE], 1);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_LOOKUPS_BUSY), 25);
	signal_run(CLV_SEC);
	signal_look_up(0, 2);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 6);
	signal_stop();
}

static void knocks_beyond_the_rate_are_a_hogs_alone(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 3, 0);
	signal_publish(2, 4001);
	signal_run(CLV_SEC);
	for (unsigned i = 0; i < 10; i++)
		signal_knock(0, 2, 5000);
	signal_knock(1, 2, 5001);
	signal_run(CLV_SEC / 10);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_DONE], 2);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_LATER], 8);
	assert_int_equal(peers[1].knocked[CLV_SIGNAL_DONE], 1);
	assert_int_equal(peers[2].knocks, 3);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_KNOCKS_BUSY), 8);
	signal_stop();
}

static void a_record_each_ten_seconds_is_what_a_hog_gets(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1 }, 2, 0);
	for (unsigned i = 0; i < 8; i++)
		signal_publish(0, (uint16_t)(4000 + i));
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	assert_int_equal(peers[0].published[CLV_SIGNAL_DONE], 5);
	assert_int_equal(peers[0].published[CLV_SIGNAL_LATER], 3);
	assert_int_equal(peers[1].published[CLV_SIGNAL_DONE], 1);
	/* What was not taken is published again. */
	signal_run(15 * CLV_SEC);
	assert_int_equal(peers[0].published[CLV_SIGNAL_DONE], 6);
	signal_look_up(1, 0);
	signal_run(CLV_SEC);
	assert_int_equal(peers[1].found_port, 4007);
	signal_stop();
}

static const struct clv_signal_settings small = {
	.is_offered = true,
	.records_max = 1,
	.knocks_max = 1,
	.knock_ns = 10 * CLV_SEC,
	.knocks_to_per_sec = 2,
	.bytes_per_sec = 4096,
	.backlog = 16384,
};

static void a_full_table_is_busy_until_somebody_leaves(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1, .signal = small }, 3, 0);
	signal_publish(0, 4000);
	signal_run(CLV_SEC);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	assert_int_equal(peers[1].published[CLV_SIGNAL_LATER], 1);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_FULL), 1);
	/* One knock waits; another finds no place until it is answered. */
	peers[0].is_silent = true;
	signal_knock(1, 0, 5000);
	signal_run(2 * CLV_SEC);
	signal_knock(2, 0, 5001);
	signal_run(CLV_SEC);
	assert_int_equal(peers[2].knocked[CLV_SIGNAL_LATER], 1);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_FULL), 2);
	clv_relay_session_signal_close(world->clients[0].session);
	peers[0].signal = NULL;
	signal_run(15 * CLV_SEC);
	assert_int_equal(peers[1].published[CLV_SIGNAL_DONE], 1);
	signal_stop();
}

static void a_peer_is_not_buried_under_knocks(void **state)
{
	struct clv_signal_settings s = small;

	(void)state;
	s.knocks_max = 64;
	s.bytes_per_sec = 0;
	signal_start((struct world_params){ .workers = 1, .signal = s }, 3, 0);
	signal_publish(2, 4000);
	signal_run(CLV_SEC);
	for (unsigned i = 0; i < 6; i++)
		signal_knock(i & 1, 2, 5000);
	signal_run(CLV_SEC / 10);
	assert_int_equal(peers[2].knocks, 2);
	assert_int_equal(world_count(world, CLV_COUNT_SIGNAL_KNOCKS_TO_BUSY), 4);
	assert_int_equal(peers[0].knocked[CLV_SIGNAL_LATER] + peers[1].knocked[CLV_SIGNAL_LATER],
			 4);
	signal_stop();
}

static void bytes_beyond_the_rate_are_a_hogs_alone(void **state)
{
	(void)state;
	signal_start((struct world_params){ .workers = 1, .signal = small }, 3, 0);
	signal_publish(2, 4000); /* 5.4 kB of a burst of 8 */
	signal_run(3 * CLV_SEC);
	assert_int_equal(peers[2].published[CLV_SIGNAL_DONE], 1);
	for (unsigned i = 0; i < 8; i++)
		signal_knock(0, 2, 5000);
	signal_look_up(1, 2);
	signal_run(CLV_SEC);
	assert_true(peers[0].knocked[CLV_SIGNAL_LATER] >= 6);
	assert_true(world_count(world, CLV_COUNT_SIGNAL_KNOCKS_BUSY) >= 6);
	assert_int_equal(peers[1].found[CLV_SIGNAL_DONE], 1);
	signal_stop();
}

static void a_client_that_does_not_read_loses_its_own_answers(void **state)
{
	struct clv_signal s = { .type = CLV_SIGNAL_LOOKUP, .hops = 4 };
	struct clv_signal_settings settings = small;
	struct raw *r;

	(void)state;
	settings.bytes_per_sec = 0;
	signal_start((struct world_params){ .workers = 1, .signal = settings }, 2, 0);
	signal_publish(1, 4001);
	signal_run(CLV_SEC);
	r = hostile_peer(world, 1);
	assert_true(raw_connect(r));
	raw_h3_start(r);
	raw_signal(r, 0, CLV_SIGNAL_PATH);
	raw_run(r, CLV_SEC / 5);
	raw_capsules(r, 0, HELLO);
	raw_run(r, CLV_SEC / 5);
	r->never_acks = true;
	s.id = peers[1].id;
	for (unsigned i = 0; i < 10; i++) {
		uint8_t capsule[CLV_SIGNAL_MAX - CLV_OBJECT_MAX];
		struct raw_bytes frame = { .len = 0 };
		size_t len = clv_signal_write(&s, capsule);

		put_varint(&frame, 0x00);
		put_varint(&frame, len);
		put_bytes(&frame, capsule, len);
		raw_stream(r, 0, frame.bytes, frame.len, false);
		raw_run(r, CLV_SEC / 100);
	}
	assert_int_equal(world_count(world, CLV_COUNT_LOOKUPS_HIT), 10);
	assert_in_range(world_count(world, CLV_COUNT_SIGNAL_BACKLOG), 6, 8); /* two or three fit */
	signal_look_up(0, 1);
	raw_run(r, CLV_SEC / 5);
	assert_int_equal(peers[0].found[CLV_SIGNAL_DONE], 1);
	hostile_peer_free(r);
	signal_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_capsules_end_their_stream_alone),
		cmocka_unit_test(a_version_that_nobody_speaks_is_told_ours),
		cmocka_unit_test(a_stream_that_ends_inside_a_capsule_is_malformed),
		cmocka_unit_test(look_ups_beyond_the_rate_are_a_hogs_alone),
		cmocka_unit_test(knocks_beyond_the_rate_are_a_hogs_alone),
		cmocka_unit_test(a_record_each_ten_seconds_is_what_a_hog_gets),
		cmocka_unit_test(a_full_table_is_busy_until_somebody_leaves),
		cmocka_unit_test(a_peer_is_not_buried_under_knocks),
		cmocka_unit_test(bytes_beyond_the_rate_are_a_hogs_alone),
		cmocka_unit_test(a_client_that_does_not_read_loses_its_own_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
