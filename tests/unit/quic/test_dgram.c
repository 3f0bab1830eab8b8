/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t len;
	int64_t stream_id;
	uint64_t context_id;
	size_t prefix_len;
	bool is_shortest; /* the prefix is what we would write */
} good[] = {
	{ "stream 44, context 0, hello", BYTES(0x0b, 0x00, 'h', 'e', 'l', 'l', 'o'), 44, 0, 2,
	  true },
	{ "empty UDP payload", BYTES(0x0b, 0x00), 44, 0, 2, true },
	{ "stream 0", BYTES(0x00, 0x00, 0xff), 0, 0, 2, true },
	{ "largest quarter stream ID",
	  BYTES(0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 'x'),
	  4 * ((INT64_C(1) << 60) - 1), 0, 9, true },
	{ "largest context ID", BYTES(0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'x'),
	  252, CLV_VARINT_MAX, 9, true },
	{ "two-byte quarter stream ID", BYTES(0x40, 0x40, 0x02), 256, 2, 3, true },
	{ "longest possible prefix",
	  BYTES(0xc0, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x40, 0x00,
		0x00, 0x01, 'x'),
	  INT64_C(1) << 32, (1 << 30) + 1, 16, true },
	{ "IDs longer than needed", BYTES(0x40, 0x11, 0x80, 0x00, 0x00, 0x03, 'x'), 0x44, 3, 6,
	  false },
};

static void decodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct clv_dgram d;

		CHECK_ROW(good[i].name, !clv_dgram_decode(good[i].bytes, good[i].len, &d));
		CHECK_ROW(good[i].name, d.stream_id == good[i].stream_id);
		CHECK_ROW(good[i].name, d.context_id == good[i].context_id);
		CHECK_ROW(good[i].name, d.payload == good[i].bytes + good[i].prefix_len);
		CHECK_ROW(good[i].name, d.payload_len == good[i].len - good[i].prefix_len);
	}
}

static void encodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t buf[CLV_DGRAM_PREFIX_MAX];
		size_t len = clv_dgram_encode_prefix(good[i].stream_id, good[i].context_id, buf);

		if (!good[i].is_shortest)
			continue;
		CHECK_ROW(good[i].name, len == good[i].prefix_len);
		CHECK_ROW(good[i].name, !memcmp(buf, good[i].bytes, len));
	}
}

static void refuses(void **state)
{
	const struct {
		const char *name;
		const uint8_t *bytes;
		size_t len;
		int err;
	} rows[] = {
		{ "nothing", (const uint8_t *)"", 0, CLV_EPROTO },
		{ "quarter stream ID cut", BYTES(0x40), CLV_EPROTO },
		{ "quarter stream ID of eight bytes cut", BYTES(0xc0, 0, 0, 0, 0, 0, 0),
		  CLV_EPROTO },
		{ "first illegal quarter stream ID", BYTES(0xd0, 0, 0, 0, 0, 0, 0, 0, 0),
		  CLV_EPROTO },
		{ "largest integer as quarter stream ID",
		  BYTES(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0), CLV_EPROTO },
		{ "context ID missing", BYTES(0x0b), CLV_ETRUNC },
		{ "context ID cut", BYTES(0x0b, 0x80, 0x00, 0x00), CLV_ETRUNC },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct clv_dgram d, before;

		memset(&d, 0x5a, sizeof(d));
		before = d;
		CHECK_ROW(rows[i].name,
			  clv_dgram_decode(rows[i].bytes, rows[i].len, &d) == rows[i].err);
		CHECK_ROW(rows[i].name, !memcmp(&d, &before, sizeof(d)));
	}
}

static void round_trips(void **state)
{
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 4);
	for (int i = 0; i < 10000; i++) {
		uint64_t x = clv_rand_u64(&r), y = clv_rand_u64(&r);
		int64_t stream_id = (int64_t)(x >> (4 + x % 58)) * 4;
		uint64_t context_id = y >> (2 + y % 60);
		uint8_t buf[CLV_DGRAM_PREFIX_MAX];
		size_t len = clv_dgram_encode_prefix(stream_id, context_id, buf);
		struct clv_dgram d;

		assert_in_range(len, 2, CLV_DGRAM_PREFIX_MAX);
		assert_int_equal(clv_dgram_decode(buf, len, &d), 0);
		assert_true(d.stream_id == stream_id && d.context_id == context_id);
		assert_int_equal(d.payload_len, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("stream, context and payload are found", decodes),
		CASE("the shortest prefix is written", encodes),
		CASE("what closes the connection differs from what is dropped", refuses),
		CASE("every pair of IDs survives the way there and back", round_trips),
	};

	return cmocka_run_group_tests_name("dgram", cases, NULL, NULL);
}
