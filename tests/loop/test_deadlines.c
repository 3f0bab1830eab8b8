/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests that never become whole: their time limit, and how many a connection may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

/* The head of a HEADERS frame of 1000 bytes, and a field section that has begun. */
#define UNFINISHED "01 43e8 0000 27 00"

static void send_hex(struct raw *r, int64_t id, const char *hex)
{
	struct raw_bytes b = { .len = 0 };

	put_hex(&b, hex);
	raw_stream(r, id, b.bytes, b.len, false);
}

static void test_a_client_without_settings_is_closed_in_time(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_connect(r));
	raw_run(r, 8 * CLV_SEC);
	raw_connect_udp(r, 0, "198.18.1.1", 7000); /* does not prolong it */
	raw_run(r, 1 * CLV_SEC);
	assert_false(r->is_closed);
	raw_run(r, 1 * CLV_SEC);
	assert_true(r->is_closed && r->close_is_app);
	assert_int_equal(r->close_code, CLV_H3_MISSING_SETTINGS);
	assert_int_equal(world_count(w, CLV_COUNT_SETTINGS_LATE), 1);
	hostile_assert_serves(w);
	hostile_peer_free(r);
	world_free(w);
}

/* However slowly its bytes come, and whatever their beginning is. */
static void test_a_request_that_is_not_whole_in_time_is_reset(void **state)
{
	static const char *const begins[] = { "01", "01 43", UNFINISHED,
					      "01 43e8 0000 23 666f6f 7f8006" };
	enum { CASES = sizeof(begins) / sizeof(begins[0]) };
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_tunnel(r));
	for (int64_t i = 0; i < CASES; i++)
		send_hex(r, 4 + 4 * i, begins[i]);
	for (int second = 0; second < 9; second++) {
		raw_run(r, CLV_SEC);
		send_hex(r, 4 + 4 * (CASES - 1), "61");
	}
	for (int64_t i = 0; i < CASES; i++)
		assert_false(raw_stream_of(r, 4 + 4 * i)->was_reset);
	raw_run(r, 2 * CLV_SEC);
	for (int64_t i = 0; i < CASES; i++) {
		const struct raw_stream *s = raw_stream_of(r, 4 + 4 * i);

		assert_true(s->was_reset && s->was_stopped);
		assert_int_equal(s->reset_code, CLV_H3_REQUEST_INCOMPLETE);
		assert_int_equal(s->stop_code, CLV_H3_REQUEST_INCOMPLETE);
		send_hex(r, 4 + 4 * i, "00 00"); /* what still comes is not read */
	}
	raw_run(r, CLV_SEC);
	assert_int_equal(world_count(w, CLV_COUNT_REQUESTS_LATE), CASES);
	/* the tunnel beside them, and new requests, are as before */
	raw_datagram(r, 0, 0, "hello", 5);
	raw_connect_udp(r, 400, "198.18.1.1", 7000);
	raw_run(r, 100 * CLV_MSEC);
	assert_false(r->is_closed);
	assert_int_equal(r->datagrams, 1);
	assert_int_equal(raw_status(r, 400), 200);
	hostile_peer_free(r);
	world_free(w);
}

/* Its own half is reset as well, so that the stream ends and the client may open another. */
static void test_a_request_that_is_cancelled_before_it_is_whole_ends(void **state)
{
	enum { ROUNDS = 3, STREAMS = 16 };
	struct world *w = world_new(&(struct world_params){ .limits.tunnels_per_conn = STREAMS });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_tunnel(r));
	for (int64_t id = 4; id < 4 * ROUNDS * STREAMS; id += 4) {
		struct raw_bytes b = { .len = 0 };

		send_hex(r, id, UNFINISHED);
		put_varint(&b, 0x04); /* RESET_STREAM */
		put_varint(&b, (uint64_t)id);
		put_varint(&b, CLV_H3_REQUEST_CANCELLED);
		put_varint(&b, raw_stream_of(r, id)->sent);
		raw_send(r, b.bytes, b.len);
		raw_run(r, 20 * CLV_MSEC);
		assert_false(r->is_closed);
		assert_true(raw_stream_of(r, id)->was_reset);
	}
	assert_true(r->max_streams_bidi > ROUNDS * STREAMS);
	hostile_peer_free(r);
	world_free(w);
}

static void test_requests_that_are_not_whole_have_a_ceiling(void **state)
{
	enum { CEILING = 8 };
	struct world *w = world_new(&(struct world_params){ .proxy.unfinished_max = CEILING });
	struct raw *r = hostile_peer(w, 1);
	int64_t id;

	(void)state;
	assert_true(raw_tunnel(r));
	for (id = 4; id <= 4 * CEILING; id += 4)
		send_hex(r, id, UNFINISHED);
	raw_run(r, 50 * CLV_MSEC);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_UNFINISHED), 0);
	send_hex(r, id, UNFINISHED);
	raw_run(r, 50 * CLV_MSEC);
	assert_true(raw_stream_of(r, id)->was_reset);
	assert_int_equal(raw_stream_of(r, id)->reset_code, CLV_H3_REQUEST_REJECTED);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_UNFINISHED), 1);
	hostile_assert_serves(w);
	/* when they are gone, there is room again */
	raw_run(r, 11 * CLV_SEC);
	raw_connect_udp(r, id + 4, "198.18.1.1", 7000);
	raw_run(r, 100 * CLV_MSEC);
	assert_int_equal(raw_status(r, id + 4), 200);
	hostile_peer_free(r);
	world_free(w);
}

/* The rate of requests counts beginnings. */
static void test_requests_count_for_the_rate_from_their_first_byte(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .proxy = { .requests_per_sec = 1, .requests_burst = 4 } });
	struct raw *r = hostile_peer(w, 1);

	(void)state;
	assert_true(raw_tunnel(r));
	for (int64_t id = 4; id <= 12; id += 4)
		send_hex(r, id, UNFINISHED);
	raw_connect_udp(r, 16, "198.18.1.1", 7000);
	raw_run(r, 50 * CLV_MSEC);
	assert_int_equal(raw_status(r, 16), 429);
	assert_int_equal(world_count(w, CLV_COUNT_REFUSED_RATE), 1);
	hostile_peer_free(r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_without_settings_is_closed_in_time),
		cmocka_unit_test(test_a_request_that_is_not_whole_in_time_is_reset),
		cmocka_unit_test(test_a_request_that_is_cancelled_before_it_is_whole_ends),
		cmocka_unit_test(test_requests_that_are_not_whole_have_a_ceiling),
		cmocka_unit_test(test_requests_count_for_the_rate_from_their_first_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
