/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Floods and uncooperative peers: their memory in the relay has a ceiling, each is tolerated or closed
 * as the RFC requires, and the relay serves the next client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/quic/h3_code.h"
#include "datapath/worker/state.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	INTERNAL_ERROR = 0x01, /* how the QUIC library closes for a flood, and without memory */
	/* Heap that one peer may cost the process: 1 MiB of connection window in each direction, the
	 * backlogs of capsules, and what libraries keep. */
	CEILING = 4 << 20,
	QUIC_MEMORY = 4 << 20,
	PIECE = 1100, /* of a stream, in a packet */
};

struct flood {
	struct world *w;
	struct raw *r;
	size_t before;
};

static struct flood begin(const struct world_params *p)
{
	struct flood f = { .w = world_new(p) };

	hostile_assert_serves(f.w); /* a client whose tunnel must live through it */
	f.r = hostile_peer(f.w, 0);
	assert_true(raw_tunnel(f.r));
	raw_run(f.r, CLV_SEC);
	f.before = raw_memory();
	f.r->memory_peak = 0;
	return f;
}

static void end(struct flood *f)
{
	size_t peak = f->r->memory_peak - f->before;

	if (f->r->memory_peak > f->before && peak > CEILING)
		fail_msg("%zu bytes of memory, ceiling %d", peak, CEILING);
	assert_true(f->w->clients[0].is_up);
	hostile_assert_serves(f->w);
	assert_int_equal(world_count(f->w, CLV_COUNT_EVENT_NOMEM), 0);
	hostile_peer_free(f->r);
	/* the connection idles out: whatever the peer cost comes back */
	world_run(f->w, 70 * CLV_SEC, NULL);
	assert_int_equal(f->w->relay.workers[0]->cids.count, 0);
	if (raw_memory() > f->before + (64 << 10))
		fail_msg("%zu bytes are not freed", raw_memory() - f->before);
	world_free(f->w);
}

static void fill(struct raw_bytes *b, const char *hex, size_t room)
{
	struct raw_bytes one = { .len = 0 };

	put_hex(&one, hex);
	while (b->len + one.len <= room)
		put_bytes(b, one.bytes, one.len);
}

/* ---- floods of frames ---- */

static void flood_packets(struct flood *f, const char *hex, unsigned packets)
{
	struct raw_bytes b = { .len = 0 };

	fill(&b, hex, 1200);
	for (unsigned i = 0; i < packets && !f->r->is_closed; i++) {
		raw_send(f->r, b.bytes, b.len);
		if (i % 32 == 31)
			raw_run(f->r, CLV_MSEC);
	}
	raw_run(f->r, CLV_SEC);
}

static void test_pings(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	uint64_t before = f.r->packets;

	(void)state;
	flood_packets(&f, "01", 4000);
	assert_false(f.r->is_closed);
	assert_true(f.r->packets - before <=
		    4100); /* an answer for a packet at most, not a frame */
	end(&f);
}

static void test_path_challenges(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	uint64_t before = f.r->bytes;

	(void)state;
	flood_packets(&f, "1a 0001020304050607", 2000);
	assert_true(f.r->bytes - before < (uint64_t)2000 * 1200);
	end(&f);
}

static void test_crypto_frames(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	/* always the same bytes of a message that never gets whole */
	flood_packets(&f, "06 44ff 04 00000000", 2000);
	end(&f);
}

static void test_empty_stream_frames(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	flood_packets(&f, "0e 00 4064 00", 2000);
	end(&f);
}

static void test_blocked_frames(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	flood_packets(&f, "14 00 16 00 17 00 15 00 00", 2000);
	end(&f);
}

static void test_acknowledgements_of_nothing_new(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	flood_packets(&f, "02 00 00 00 00", 2000);
	end(&f);
}

/* Each retired ID is replaced: a new ID, and a map entry, for every frame. */
static void test_retired_connection_ids(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	struct raw *r = f.r;
	struct raw_bytes b = { .len = 0 };
	size_t most = 0;
	uint64_t next = 1; /* number 0 is the one our packets go to */

	(void)state;
	put_hex(&b, "19 01 19 02 19 03"); /* those came while the library still listened */
	for (int round = 0; round < 400 && !r->is_closed; round++) {
		size_t held = f.w->relay.workers[0]->cids.count;

		if (b.len)
			raw_send(r, b.bytes, b.len);
		raw_run(r, 11 * CLV_MSEC);
		most = held > most ? held : most;
		b.len = 0;
		for (unsigned i = 0; i < r->cids_len; i++) {
			put_varint(&b, 0x19);
			put_varint(&b, r->cids[i].seq);
			next = r->cids[i].seq + 1;
		}
		r->cids_len = 0;
	}
	assert_in_range(most, 8, 16); /* of two connections: the library keeps 8 for each */
	assert_true(next > 16);
	end(&f);
}

/* ---- streams ---- */

/* Open and reset as fast as limits allow: the flood known as rapid reset. */
static void test_rapid_reset(void **state)
{
	static const char *const get[] = { ":method: GET", ":scheme: https",
					   ":authority: relay.test", ":path: /" };
	struct flood f = begin(
		&(struct world_params){ .limits = { .stream_cancels_per_sec = 100 } });
	struct raw_bytes headers = { .len = 0 };
	struct raw *r = f.r;
	int64_t id = 4;

	(void)state;
	put_headers(&headers, get, 4);
	for (int round = 0; round < 400 && !r->is_closed; round++) {
		uint64_t may = r->max_streams_bidi ? r->max_streams_bidi : 256;

		for (int i = 0; i < 64 && (uint64_t)id / 4 < may; i++, id += 4) {
			struct raw_bytes b = { .len = 0 };

			put_varint(&b, 0x0a);
			put_varint(&b, (uint64_t)id);
			put_varint(&b, headers.len);
			put_bytes(&b, headers.bytes, headers.len);
			put_varint(&b, 0x04); /* RESET_STREAM and STOP_SENDING */
			put_varint(&b, (uint64_t)id);
			put_varint(&b, 0x010c);
			put_varint(&b, headers.len);
			put_varint(&b, 0x05);
			put_varint(&b, (uint64_t)id);
			put_varint(&b, 0x010c);
			raw_send(r, b.bytes, b.len);
		}
		raw_run(r, 11 * CLV_MSEC);
	}
	assert_true(r->is_closed && r->close_is_app);
	assert_int_equal(r->close_code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(world_count(f.w, CLV_COUNT_STREAM_FLOODS), 1);
	end(&f);
}

static void test_as_many_streams_as_allowed_and_not_one_request(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	for (int64_t id = 4; id < 4 * 256; id += 4)
		raw_stream(f.r, id, "\x01", 1, false); /* a frame begins, and never goes on */
	raw_run(f.r, 2 * CLV_SEC);
	assert_false(f.r->is_closed);
	end(&f);
}

static void test_windows_full_of_holes(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });

	(void)state;
	/* one byte of every second, so that each lies alone in the reorder buffer */
	for (uint64_t offset = 1; offset < 60000 && !f.r->is_closed;) {
		struct raw_bytes b = { .len = 0 };

		while (b.len < 1200) {
			put_varint(&b, 0x0e);
			put_varint(&b, 4);
			put_varint(&b, offset);
			put_hex(&b, "01 00");
			offset += 2;
		}
		raw_send(f.r, b.bytes, b.len);
		raw_run(f.r, CLV_MSEC);
	}
	raw_run(f.r, CLV_SEC);
	end(&f);
}

/* All of the connection's window but the first byte of each stream: none of it can be used. */
static void send_all_but_the_first(struct raw *r, const struct clv_heap *heap)
{
	static const uint8_t data[PIECE];

	for (int64_t id = 4; id < 4 * 16 && !r->is_closed; id += 4) {
		for (uint64_t offset = 1; offset + PIECE < 65536 && !r->is_closed;
		     offset += PIECE) {
			struct raw_bytes b = { .len = 0 };

			put_varint(&b, 0x0e);
			put_varint(&b, (uint64_t)id);
			put_varint(&b, offset);
			put_varint(&b, PIECE);
			put_bytes(&b, data, PIECE);
			raw_send(r, b.bytes, b.len);
			raw_run(r, CLV_MSEC);
			assert_true(heap->used <= heap->max);
		}
	}
}

static void test_what_the_quic_library_keeps_for_all_has_a_ceiling(void **state)
{
	enum { PEERS = 8 };
	struct world *w = world_new(
		&(struct world_params){ .limits = { .quic_memory = QUIC_MEMORY } });
	const struct clv_heap *heap = &w->relay.workers[0]->heap;
	struct raw *peers[PEERS];
	unsigned given_up = 0;
	uint64_t before;

	(void)state;
	assert_true(world_connect(w, 0));
	assert_int_equal(world_tunnel(w, 0, 0, "198.18.1.1", 7000), 0);
	world_run(w, CLV_SEC, NULL);
	before = heap->used;
	for (unsigned i = 0; i < PEERS; i++) {
		peers[i] = hostile_peer(w, i);
		assert_true(raw_tunnel(peers[i]));
		send_all_but_the_first(peers[i], heap);
		given_up += peers[i]->is_closed;
		if (peers[i]->is_closed)
			assert_int_equal(peers[i]->close_code, INTERNAL_ERROR);
	}
	assert_true(given_up > 0);
	assert_true(world_count(w, CLV_COUNT_QUIC_MEMORY_FULL) > 0);
	/* the one that keeps to the rules has lost nothing */
	assert_true(w->clients[0].is_up && !w->clients[0].is_down);
	for (uint32_t i = 0; i < 20; i++)
		world_app_send(w, 0, 0, 500, i);
	world_run(w, CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].received, 20);
	for (unsigned i = 0; i < PEERS; i++)
		hostile_peer_free(peers[i]);
	world_run(w, 200 * CLV_SEC, NULL); /* silent ones are forgotten */
	assert_true(heap->used <= 2 * before);
	world_free(w);
}

static void test_tunnels_opened_and_closed_rapidly(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	struct raw *r = f.r;
	unsigned opened = 0;
	int64_t id = 4;

	(void)state;
	for (int round = 0; round < 300 && !r->is_closed; round++) {
		uint64_t may = r->max_streams_bidi ? r->max_streams_bidi : 256;

		for (int i = 0; i < 16 && (uint64_t)id / 4 < may; i++, id += 4) {
			raw_connect_udp(r, id, "198.18.1.1", 7000);
			raw_datagram(r, id, 0, "hello", 5);
			raw_stream(r, id, NULL, 0, true); /* FIN: the tunnel ends */
			opened++;
		}
		raw_run(r, 11 * CLV_MSEC);
	}
	raw_run(r, 2 * CLV_SEC);
	assert_true(opened > 256); /* every stream has been used anew */
	assert_int_equal(f.w->relay.egress_held, r->is_closed ? 1 : 2);
	end(&f);
}

/* ---- peers that do not do their part ---- */

/* The target talks without end to a peer that acknowledges nothing. */
static void test_a_peer_that_never_acknowledges(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	struct world *w = f.w;

	(void)state;
	f.r->never_acks = true;
	for (int i = 0; i < 4000; i++) {
		raw_datagram(f.r, 0, 0, "hello, who is there", 19);
		if (i % 16 == 15)
			raw_run(f.r, CLV_MSEC);
	}
	raw_run(f.r, CLV_SEC);
	assert_true(world_count(w, CLV_COUNT_DROP_QUEUE_FULL) +
			    world_count(w, CLV_COUNT_DROP_SOJOURN) >
		    0);
	end(&f);
}

/* Capsules that the peer does not read: it gives no flow control credit. */
static void test_a_slow_reader_of_capsules(void **state)
{
	struct flood f = begin(&(struct world_params){ 0 });
	struct raw *slow = hostile_peer(f.w, 1);
	struct raw_bytes b = { .len = 0 };

	(void)state;
	/* without H3_DATAGRAM the tunnel speaks in capsules */
	assert_true(raw_connect(slow));
	put_hex(&b, "00 04 00");
	raw_stream(slow, 2, b.bytes, b.len, false);
	raw_connect_udp(slow, 0, "198.18.1.1", 7000);
	raw_run(slow, 200 * CLV_MSEC);
	assert_int_equal(raw_status(slow, 0), 200);
	b.len = 0;
	put_hex(&b, "00 44b4 00 44b1 00"); /* DATA, DATAGRAM capsule, Context ID */
	b.len += 1200;
	for (int i = 0; i < 3000; i++) {
		raw_stream(slow, 0, b.bytes, b.len, false);
		if (i % 16 == 15)
			raw_run(slow, 2 * CLV_MSEC);
	}
	raw_run(slow, 2 * CLV_SEC);
	assert_true(world_count(f.w, CLV_COUNT_DROP_CAPSULE_BACKLOG) > 0);
	f.r->memory_peak = slow->memory_peak;
	hostile_peer_free(slow);
	end(&f);
}

/* ---- unknown sources ---- */

static void test_noise_of_every_length(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw *r = hostile_peer(w, 0);
	uint8_t bytes[1472];
	size_t before;

	(void)state;
	hostile_assert_serves(w);
	before = raw_memory();
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		clv_rand_bytes(&r->rand, bytes, len);
		raw_send_bytes(r, bytes, len);
		if (len) { /* long headers, of our versions too */
			bytes[0] |= 0xc0;
			if (len >= 5)
				memcpy(bytes + 1, len & 1 ? "\0\0\0\1" : "\x6b\x33\x43\xcf", 4);
			raw_send_bytes(r, bytes, len);
		}
		raw_run(r, CLV_MSEC);
	}
	assert_true(r->bytes < (uint64_t)3 * 2 * 1473 * 1472 / 2);
	hostile_assert_serves(w);
	raw_run(r, 70 * CLV_SEC); /* the client has idled out as well */
	assert_in_range(raw_memory(), 0, before + (64 << 10));
	hostile_peer_free(r);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pings),
		cmocka_unit_test(test_path_challenges),
		cmocka_unit_test(test_crypto_frames),
		cmocka_unit_test(test_empty_stream_frames),
		cmocka_unit_test(test_blocked_frames),
		cmocka_unit_test(test_acknowledgements_of_nothing_new),
		cmocka_unit_test(test_retired_connection_ids),
		cmocka_unit_test(test_rapid_reset),
		cmocka_unit_test(test_as_many_streams_as_allowed_and_not_one_request),
		cmocka_unit_test(test_windows_full_of_holes),
		cmocka_unit_test(test_what_the_quic_library_keeps_for_all_has_a_ceiling),
		cmocka_unit_test(test_tunnels_opened_and_closed_rapidly),
		cmocka_unit_test(test_a_peer_that_never_acknowledges),
		cmocka_unit_test(test_a_slow_reader_of_capsules),
		cmocka_unit_test(test_noise_of_every_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
