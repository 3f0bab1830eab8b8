/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peer that breaks the rules of HTTP Datagrams and capsules: each breach ends in the connection or
 * stream error that the RFC names, or in a counted drop, and the relay serves the next client.
 */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"
#include "datapath/quic/h3_code.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum { TUNNEL = 0, REQUEST = 4 };

/* ---- HTTP Datagrams ---- */

static const struct datagram_case {
	const char *name;
	const char *frames; /* hexadecimal */
	uint64_t code;	    /* of the connection; 0: it lives on and the counter moves by one */
	enum clv_counter counter;
	const char *section;
} datagram_cases[] = {
	{ "no Quarter Stream ID", "31 00", CLV_H3_DATAGRAM_ERROR, 0, "RFC 9297 2.1" },
	{ "a Quarter Stream ID cut short", "31 01 40", CLV_H3_DATAGRAM_ERROR, 0, "RFC 9297 2.1" },
	{ "a Quarter Stream ID above 2^60-1", "30 d000000000000000 00", CLV_H3_DATAGRAM_ERROR, 0,
	  "RFC 9297 2.1" },
	{ "a stream that stream limits forbid", "30 80100000 00 ff", CLV_H3_ID_ERROR, 0,
	  "RFC 9297 2.1" },
	{ "a stream not yet opened", "30 05 00 ff", 0, CLV_COUNT_DROP_EARLY_EXPIRED,
	  "RFC 9297 2.1" },
	{ "no Context ID", "31 01 00", 0, CLV_COUNT_DROP_DGRAM_MALFORMED, "RFC 9298 5" },
	{ "a Context ID cut short", "31 02 00 40", 0, CLV_COUNT_DROP_DGRAM_MALFORMED,
	  "RFC 9298 5" },
	{ "an unknown Context ID", "30 00 04 ff", 0, CLV_COUNT_DROP_UNKNOWN_CONTEXT, "RFC 9298 5" },
	{ "a Context ID written long", "30 00 c000000000000000 ff", 0, CLV_COUNT_TX_TARGET,
	  "RFC 9297 1.1" },
};

static bool run_datagram_case(struct world *w, const struct datagram_case *c)
{
	struct raw *r = hostile_peer(w, 0);
	struct raw_bytes b = { .len = 0 };
	uint64_t before;
	bool ok;

	assert_true(raw_tunnel(r));
	before = world_count(w, c->counter);
	put_hex(&b, c->frames);
	raw_send(r, b.bytes, b.len);
	raw_run(r, CLV_SEC);
	if (c->code)
		ok = r->is_closed && r->close_is_app && r->close_code == c->code;
	else
		ok = !r->is_closed && world_count(w, c->counter) == before + 1;
	if (!ok)
		hostile_report(c->name, c->section, r, TUNNEL, c->code);
	hostile_peer_free(r);
	return ok;
}

static void test_malformed_datagrams(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	unsigned failed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(datagram_cases) / sizeof(datagram_cases[0]); i++)
		failed += !run_datagram_case(w, &datagram_cases[i]);
	assert_int_equal(failed, 0);
	hostile_assert_serves(w);
	world_free(w);
}

static void test_a_datagram_for_a_request_without_any_aborts_it(void **state)
{
	static const char *const post[] = { ":method: POST", ":scheme: https",
					    ":authority: relay.test", ":path: /" };
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	struct raw_bytes b = { .len = 0 };

	(void)state;
	assert_true(raw_tunnel(r));
	put_headers(&b, post, 4);
	raw_datagram(r, REQUEST, 0, "hello", 5);
	raw_stream(r, REQUEST, b.bytes, b.len, false);
	raw_datagram(r, REQUEST, 0, "hello", 5);
	r->never_acks = true; /* else the answer is through before, and there is nothing to abort */
	raw_run(r, CLV_SEC);
	assert_false(r->is_closed);
	assert_true(raw_stream_of(r, REQUEST)->was_reset);
	assert_int_equal(raw_stream_of(r, REQUEST)->reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_EARLY_EXPIRED), 2);
	hostile_peer_free(r);
	world_free(w);
}

static void test_nothing_is_sent_or_taken_once_a_half_is_closed(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	uint64_t received;

	(void)state;
	assert_true(raw_tunnel(r));
	raw_datagram(r, TUNNEL, 0, "hello", 5);
	raw_run(r, 100 * CLV_MSEC);
	received = w->target_received;
	raw_stream(r, TUNNEL, NULL, 0, true);
	raw_run(r, 100 * CLV_MSEC);
	assert_true(raw_stream_of(r, TUNNEL)->fin);
	raw_datagram(r, TUNNEL, 0, "hello", 5); /* RFC 9297 section 2.1: dropped silently */
	raw_run(r, CLV_SEC);
	assert_false(r->is_closed);
	assert_int_equal(w->target_received, received);
	assert_int_equal(world_count(w, CLV_COUNT_DROP_UNKNOWN_STREAM), 1);
	hostile_peer_free(r);
	world_free(w);
}

/* ---- capsules ---- */

static const struct capsule_case {
	const char *name;
	const char *bytes; /* of the stream, in one DATA frame */
	bool fin;
	uint64_t code; /* of the stream; 0: it lives on and the counter moves by one */
	enum clv_counter counter;
	const char *section;
} capsule_cases[] = {
	{ "DATAGRAM without a Context ID", "00 00", false, CLV_H3_MESSAGE_ERROR, 0,
	  "RFC 9297 3.3" },
	{ "DATAGRAM with its Context ID cut", "00 01 40", false, CLV_H3_MESSAGE_ERROR, 0,
	  "RFC 9297 3.3" },
	{ "DATAGRAM cut by the stream's end", "00 05 00", true, CLV_H3_MESSAGE_ERROR, 0,
	  "RFC 9297 3.3" },
	{ "a type cut by the stream's end", "40", true, CLV_H3_MESSAGE_ERROR, 0, "RFC 9297 3.3" },
	{ "a length cut by the stream's end", "3f 40", true, CLV_H3_MESSAGE_ERROR, 0,
	  "RFC 9297 3.3" },
	{ "an unknown capsule cut by the stream's end", "3f 05 00", true, CLV_H3_MESSAGE_ERROR, 0,
	  "RFC 9297 3.3" },
	{ "a payload above 65527 bytes", "00 8000fff9 00 000000000000000000", false,
	  CLV_H3_DATAGRAM_ERROR, 0, "RFC 9298 5" },
	{ "a payload too large for the path to the target", "00 4f00 00 000000000000000000", false,
	  0, CLV_COUNT_DROP_TOO_BIG_TARGET, "RFC 9298 5" },
	{ "an unknown Context ID", "00 03 04 aabb", false, 0, CLV_COUNT_DROP_UNKNOWN_CONTEXT,
	  "RFC 9298 5" },
	{ "an unknown capsule ahead of a good one", "3f 03 aabbcc 00 03 00 6869", false, 0,
	  CLV_COUNT_TX_TARGET, "RFC 9297 3.2" },
	{ "type and length written long", "c000000000000000 c000000000000003 00 6869", false, 0,
	  CLV_COUNT_TX_TARGET, "RFC 9297 1.1" },
};

static bool run_capsule_case(struct raw *r, int64_t id, const struct capsule_case *c)
{
	const struct raw_stream *s = raw_stream_of(r, id);
	struct raw_bytes b = { .len = 0 }, frame = { .len = 0 };
	uint64_t before;
	bool ok;

	raw_connect_udp(r, id, "198.18.1.1", 7000);
	raw_run(r, 50 * CLV_MSEC);
	assert_int_equal(raw_status(r, id), 200);
	before = world_count(r->w, c->counter);
	put_hex(&b, c->bytes);
	put_varint(&frame, 0x00);
	put_varint(&frame, b.len);
	put_bytes(&frame, b.bytes, b.len);
	raw_stream(r, id, frame.bytes, frame.len, c->fin);
	raw_run(r, 100 * CLV_MSEC);
	if (c->code)
		ok = s->was_reset && s->reset_code == c->code;
	else
		ok = !s->was_reset && !s->fin && world_count(r->w, c->counter) == before + 1;
	ok = ok && !r->is_closed;
	if (!ok)
		hostile_report(c->name, c->section, r, id, c->code);
	return ok;
}

static void test_malformed_capsules(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	unsigned failed = 0, alive = 1;

	(void)state;
	assert_true(raw_tunnel(r));
	for (size_t i = 0; i < sizeof(capsule_cases) / sizeof(capsule_cases[0]); i++) {
		failed += !run_capsule_case(r, 4 + 4 * (int64_t)i, &capsule_cases[i]);
		alive += !capsule_cases[i].code;
	}
	assert_int_equal(failed, 0);
	assert_int_equal(w->relay.egress_held, alive); /* an aborted tunnel is gone whole */
	hostile_peer_free(r);
	hostile_assert_serves(w);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed_datagrams),
		cmocka_unit_test(test_a_datagram_for_a_request_without_any_aborts_it),
		cmocka_unit_test(test_nothing_is_sent_or_taken_once_a_half_is_closed),
		cmocka_unit_test(test_malformed_capsules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
