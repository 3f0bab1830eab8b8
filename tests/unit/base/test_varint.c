/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

static const struct {
	const char *name;
	uint8_t bytes[8];
	size_t len;
	uint64_t value;
	bool is_shortest;
} rows[] = {
	{ "zero", { 0x00 }, 1, 0, true },
	{ "37 (RFC 9000 A.1)", { 0x25 }, 1, 37, true },
	{ "37 in two bytes (RFC 9000 A.1)", { 0x40, 0x25 }, 2, 37, false },
	{ "0x11 in two bytes", { 0x40, 0x11 }, 2, 0x11, false },
	{ "zero in eight bytes", { 0xc0 }, 8, 0, false },
	{ "15293 (RFC 9000 A.1)", { 0x7b, 0xbd }, 2, 15293, true },
	{ "494878333 (RFC 9000 A.1)", { 0x9d, 0x7f, 0x3e, 0x7d }, 4, 494878333, true },
	{ "151288809941952652 (RFC 9000 A.1)",
	  { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c },
	  8,
	  151288809941952652,
	  true },
	{ "largest of one byte", { 0x3f }, 1, 63, true },
	{ "smallest of two bytes", { 0x40, 0x40 }, 2, 64, true },
	{ "largest of two bytes", { 0x7f, 0xff }, 2, 16383, true },
	{ "smallest of four bytes", { 0x80, 0x00, 0x40, 0x00 }, 4, 16384, true },
	{ "largest of four bytes", { 0xbf, 0xff, 0xff, 0xff }, 4, (1 << 30) - 1, true },
	{ "smallest of eight bytes", { 0xc0, 0, 0, 0, 0x40, 0, 0, 0 }, 8, 1 << 30, true },
	{ "largest of all",
	  { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	  8,
	  CLV_VARINT_MAX,
	  true },
};

static void reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const uint8_t *p = rows[i].bytes;
		uint64_t value = 1;

		CHECK_ROW(rows[i].name, !clv_varint_read(&p, rows[i].bytes + rows[i].len, &value));
		CHECK_ROW(rows[i].name, value == rows[i].value);
		CHECK_ROW(rows[i].name, p == rows[i].bytes + rows[i].len);
	}
}

static void refuses_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t len = 0; len < rows[i].len; len++) {
			const uint8_t *p = rows[i].bytes;
			uint64_t value = 77;

			CHECK_ROW(rows[i].name, clv_varint_read(&p, p + len, &value) == CLV_ETRUNC);
			CHECK_ROW(rows[i].name, value == 77 && p == rows[i].bytes);
		}
	}
}

static void writes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t buf[8] = { 0 }, *p = buf;

		if (!rows[i].is_shortest)
			continue;
		CHECK_ROW(rows[i].name, clv_varint_len(rows[i].value) == rows[i].len);
		CHECK_ROW(rows[i].name,
			  clv_varint_write(&p, buf + rows[i].len - 1, rows[i].value) == CLV_ETRUNC);
		CHECK_ROW(rows[i].name, p == buf);
		CHECK_ROW(rows[i].name, !clv_varint_write(&p, buf + rows[i].len, rows[i].value));
		CHECK_ROW(rows[i].name, p == buf + rows[i].len);
		CHECK_ROW(rows[i].name, !memcmp(buf, rows[i].bytes, rows[i].len));
	}
}

static void refuses_large(void **state)
{
	uint8_t buf[8], *p = buf;

	(void)state;
	assert_int_equal(clv_varint_len(CLV_VARINT_MAX + 1), 0);
	assert_int_equal(clv_varint_write(&p, buf + 8, CLV_VARINT_MAX + 1), CLV_ERANGE);
	assert_int_equal(clv_varint_write(&p, buf + 8, UINT64_MAX), CLV_ERANGE);
	assert_ptr_equal(p, buf);
}

static void loads_and_stores(void **state)
{
	uint8_t b[9] = { 0xaa, 1, 2, 3, 4, 5, 6, 7, 8 }, out[9] = { 0xaa };

	(void)state;
	assert_int_equal(clv_load_be16(b + 1), 0x0102);
	assert_int_equal(clv_load_be32(b + 1), 0x01020304);
	assert_int_equal(clv_load_be64(b + 1), 0x0102030405060708);
	clv_store_be64(out + 1, 0x0102030405060708);
	assert_memory_equal(out, b, sizeof(b));
	clv_store_be32(out + 1, 0x01020304);
	clv_store_be16(out + 5, 0x0506);
	assert_memory_equal(out, b, sizeof(b));
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("integers of every length are read, longer than needed too", reads),
		CASE("a cut integer is refused and nothing moves", refuses_cut),
		CASE("the shortest encoding is written, never past the end", writes),
		CASE("what does not fit 62 bits is refused", refuses_large),
		CASE("big-endian loads and stores work at odd addresses", loads_and_stores),
	};

	return cmocka_run_group_tests_name("varint", cases, NULL, NULL);
}
