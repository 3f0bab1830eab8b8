/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/capsule.h"
#include "datapath/base/err.h"

enum {
	WIRE_MAX = 256,
};

/* What the parser reported, as text: "D:hex " for a datagram, "S<len>:hex " for a skipped one. */
struct report {
	char text[1024];
	size_t used;
	int answer; /* what callbacks return */
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned byte;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
		hex++;
	}
	return n;
}

static void write_hex(struct report *r, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		r->used += (size_t)sprintf(r->text + r->used, "%02x", data[i]);
	r->used += (size_t)sprintf(r->text + r->used, " ");
}

static int on_datagram(void *user, const uint8_t *value, size_t len)
{
	struct report *r = user;

	r->used += (size_t)sprintf(r->text + r->used, "D:");
	write_hex(r, value, len);
	return r->answer;
}

static int on_skipped(void *user, uint64_t len, const uint8_t *head, size_t head_len)
{
	struct report *r = user;

	r->used += (size_t)sprintf(r->text + r->used, "S%llu:", (unsigned long long)len);
	write_hex(r, head, head_len);
	return r->answer;
}

static const struct clv_capsule_ops ops = { on_datagram, on_skipped };

static const struct {
	const char *name;
	const char *wire;
	const char *report;
	int end;
} cases[] = {
	{ "nothing", "", "", 0 },
	{ "the digest's vector", "000600 68656c6c6f", "D:0068656c6c6f ", 0 },
	{ "an empty payload", "000100", "D:00 ", 0 },
	{ "an empty value", "0000", "D: ", 0 },
	{ "two in a row", "00020041 00020042", "D:0041 D:0042 ", 0 },
	{ "long varints", "4000 8000000200 41", "D:0041 ", 0 },
	{ "the longest varints", "c000000000000000 c000000000000002 0041", "D:0041 ", 0 },
	{ "an unknown type", "4011 03 aabbcc 00020041", "D:0041 ", 0 },
	{ "an unknown type without a value", "1700 00020041", "D:0041 ", 0 },
	{ "as long as the bound", "0010 00112233445566778899aabbccddeeff",
	  "D:00112233445566778899aabbccddeeff ", 0 },
	{ "one longer than the bound", "0011 00112233445566778899aabbccddeeff00 00020041",
	  "S17:0011223344556677 D:0041 ", 0 },
	{ "an absurd length", "00 ffffffffffffffff 0011223344556677",
	  "S4611686018427387903:0011223344556677 ", CLV_EPROTO },
	{ "ends in a type", "40", "", CLV_EPROTO },
	{ "ends before a length", "00", "", CLV_EPROTO },
	{ "ends in a value", "000641", "", CLV_EPROTO },
	{ "ends in a skipped value", "170641", "", CLV_EPROTO },
};

static void parse_pieces(const uint8_t *wire, size_t len, size_t first, size_t rest,
			 struct report *r, int *end)
{
	struct clv_capsule_parser p;
	size_t at = 0;

	clv_capsule_parser_init(&p, 16);
	while (at < len) {
		size_t piece = at == 0 && first > 0 ? first : rest;

		if (piece > len - at)
			piece = len - at;
		/* A copy of its own, so that reading past its end is seen. */
		uint8_t *copy = malloc(piece);

		memcpy(copy, wire + at, piece);
		assert_int_equal(clv_capsule_parser_feed(&p, copy, piece, &ops, r), 0);
		free(copy);
		at += piece;
	}
	*end = clv_capsule_parser_end(&p);
	clv_capsule_parser_fini(&p);
}

static void test_capsules_parse_alike_wherever_chunks_end(void **state)
{
	uint8_t wire[WIRE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = unhex(cases[i].wire, wire);

		for (size_t first = 0; first <= len; first++) {
			for (size_t rest = 1; rest <= len + 1; rest++) {
				struct report r = { .answer = 0 };
				int end;

				parse_pieces(wire, len, first, rest, &r, &end);
				if (strcmp(r.text, cases[i].report) != 0 || end != cases[i].end)
					fail_msg("%s, split %zu/%zu: \"%s\", end %d", cases[i].name,
						 first, rest, r.text, end);
			}
		}
	}
}

static void test_a_callback_stops_the_parse_with_its_own_error(void **state)
{
	static const uint8_t two[] = { 0, 2, 0, 0x41, 0, 2, 0, 0x42 };
	static const uint8_t long_one[] = { 0, 0x14, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct clv_capsule_parser p;
	struct report r = { .answer = CLV_ERANGE };

	(void)state;
	clv_capsule_parser_init(&p, 16);
	assert_int_equal(clv_capsule_parser_feed(&p, two, sizeof(two), &ops, &r), CLV_ERANGE);
	assert_string_equal(r.text, "D:0041 ");
	clv_capsule_parser_fini(&p);

	r = (struct report){ .answer = CLV_ERANGE };
	clv_capsule_parser_init(&p, 16);
	assert_int_equal(clv_capsule_parser_feed(&p, long_one, sizeof(long_one), &ops, &r),
			 CLV_ERANGE);
	assert_string_equal(r.text, "S20:0102030405060708 ");
	clv_capsule_parser_fini(&p);
}

static void test_a_new_bound_counts_from_the_next_capsule(void **state)
{
	static const uint8_t begin[] = { 0, 4, 0x41 }, rest[] = { 0x42, 0x43, 0x44 };
	static const uint8_t next[] = { 0, 3, 1, 2, 3, 0, 1, 9 };
	struct clv_capsule_parser p;
	struct report r = { .answer = 0 };

	(void)state;
	clv_capsule_parser_init(&p, 16);
	assert_int_equal(clv_capsule_parser_feed(&p, begin, sizeof(begin), &ops, &r), 0);
	clv_capsule_parser_set_bound(&p, 2);
	assert_int_equal(clv_capsule_parser_feed(&p, rest, sizeof(rest), &ops, &r), 0);
	assert_int_equal(clv_capsule_parser_feed(&p, next, sizeof(next), &ops, &r), 0);
	assert_string_equal(r.text, "D:41424344 S3:010203 D:09 ");
	clv_capsule_parser_fini(&p);
}

static void test_nothing_is_stored_of_capsules_nobody_wants(void **state)
{
	static const uint8_t unknown[] = { 0x17, 0xbf, 0xff, 0xff, 0xff, 1, 2, 3 };
	static const uint8_t too_long[] = { 0, 0xbf, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct clv_capsule_parser p;
	struct report r = { .answer = 0 };

	(void)state;
	clv_capsule_parser_init(&p, 1024);
	assert_int_equal(clv_capsule_parser_feed(&p, unknown, sizeof(unknown), &ops, &r), 0);
	assert_null(p.value);
	clv_capsule_parser_fini(&p);
	clv_capsule_parser_init(&p, 1024);
	assert_int_equal(clv_capsule_parser_feed(&p, too_long, sizeof(too_long), &ops, &r), 0);
	assert_null(p.value);
	clv_capsule_parser_fini(&p);
}

static void test_a_datagram_capsule_head_is_encoded_as_short_as_possible(void **state)
{
	static const struct {
		size_t value_len;
		const char *wire;
	} heads[] = {
		{ 0, "0000" },	  { 6, "0006" },	   { 63, "003f" },
		{ 64, "004040" }, { 16384, "0080004000" },
	};
	uint8_t buf[CLV_CAPSULE_HEAD_MAX], want[CLV_CAPSULE_HEAD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t len = clv_capsule_encode_datagram_head(heads[i].value_len, buf);

		assert_int_equal(len, unhex(heads[i].wire, want));
		assert_memory_equal(buf, want, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capsules_parse_alike_wherever_chunks_end),
		cmocka_unit_test(test_a_callback_stops_the_parse_with_its_own_error),
		cmocka_unit_test(test_a_new_bound_counts_from_the_next_capsule),
		cmocka_unit_test(test_nothing_is_stored_of_capsules_nobody_wants),
		cmocka_unit_test(test_a_datagram_capsule_head_is_encoded_as_short_as_possible),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
