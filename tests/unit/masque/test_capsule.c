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
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "tests/unit/hex.h"

enum {
	WIRE_MAX = 256,
};

/* What the parser reported, as text: "D:hex " for a datagram, "S<len>:hex " for a skipped one. */
struct report {
	char text[1024];
	size_t used;
	int answer; /* what callbacks return */
};

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

static int on_context(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len)
{
	struct report *r = user;

	r->used += (size_t)sprintf(r->text + r->used, "C%02x:", (unsigned)type);
	write_hex(r, value, len);
	return r->answer;
}

static const struct clv_capsule_ops plain_ops = {
	.on_datagram = on_datagram,
	.on_skipped = on_skipped,
};
static const struct clv_capsule_ops ops = {
	.on_datagram = on_datagram,
	.on_skipped = on_skipped,
	.on_context = on_context,
};

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
	{ "an unknown type", "4017 03 aabbcc 00020041", "D:0041 ", 0 },
	{ "an ASSIGN", "11020200", "C11:0200 ", 0 },
	{ "an ASSIGN by a longer type", "4011 02 0200 00020041", "C11:0200 D:0041 ", 0 },
	{ "ACK and CLOSE", "120102 130102", "C12:02 C13:02 ", 0 },
	{ "the longest ASSIGN", "111b c000000000000006 06 20010db8000000000000000000001234 d431",
	  "C11:c0000000000000060620010db8000000000000000000001234d431 ", 0 },
	{ "an ACK without a value", "1200 00020041", "C12: D:0041 ", 0 },
	{ "capsules of older drafts", "9c0fe323 02 0200 9c0fe324 01 02 00020041", "D:0041 ", 0 },
	{ "types next to ours", "10020200 14020200", "", 0 },
	{ "ends in an ASSIGN", "110202", "", CLV_EPROTO },
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

static void test_a_context_capsule_longer_than_any_is_malformed(void **state)
{
	static const uint8_t wire[] = { 0x11, 0x1c, 2, 0 };
	struct clv_capsule_parser p;
	struct report r = { .answer = 0 };

	(void)state;
	clv_capsule_parser_init(&p, 1024);
	assert_int_equal(clv_capsule_parser_feed(&p, wire, sizeof(wire), &ops, &r), CLV_EPROTO);
	assert_null(p.value);
	clv_capsule_parser_fini(&p);
}

static void test_a_request_without_contexts_skips_their_capsules(void **state)
{
	static const uint8_t wire[] = { 0x11, 0x02, 2, 0, 0x12, 1, 2, 0x13, 0x1d, 1, 2, 3 };
	struct clv_capsule_parser p;
	struct report r = { .answer = 0 };

	(void)state;
	clv_capsule_parser_init(&p, 1024);
	assert_int_equal(clv_capsule_parser_feed(&p, wire, sizeof(wire), &plain_ops, &r), 0);
	assert_string_equal(r.text, "");
	clv_capsule_parser_fini(&p);
}

/* The digest's vectors, both ways. */
static const struct {
	uint64_t context_id;
	const char *remote; /* NULL: uncompressed */
	const char *wire;
} assigns[] = {
	{ 2, NULL, "11020200" },
	{ 4, "203.0.113.11:60000", "11080404 cb00710b ea60" },
	{ 6, "[2001:db8::1234]:54321", "11140606 20010db8000000000000000000001234 d431" },
	{ 1, "192.0.2.42:50000", "11080104 c000022a c350" },
	{ 64, "192.0.2.42:50000", "1109404004 c000022a c350" },
	{ CLV_VARINT_MAX, "[2001:db8::1234]:54321",
	  "111b ffffffffffffffff 06 20010db8000000000000000000001234 d431" },
};

static void test_an_assign_is_encoded_and_decoded(void **state)
{
	uint8_t buf[CLV_CAPSULE_CONTEXT_MAX], want[WIRE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(assigns) / sizeof(assigns[0]); i++) {
		struct clv_endpoint remote = { 0 };
		struct clv_capsule_assign a;
		size_t want_len = unhex(assigns[i].wire, want);

		if (assigns[i].remote)
			assert_int_equal(clv_endpoint_parse(assigns[i].remote, &remote), 0);
		assert_int_equal(clv_capsule_encode_assign(assigns[i].context_id,
							   assigns[i].remote ? &remote : NULL, buf),
				 want_len);
		assert_memory_equal(buf, want, want_len);
		assert_int_equal(clv_capsule_decode_assign(want + 2, want_len - 2, &a), 0);
		assert_int_equal(a.context_id, assigns[i].context_id);
		assert_int_equal(a.ip_version, want[2 + clv_varint_len(a.context_id)]);
		assert_memory_equal(&a.remote, &remote, sizeof(remote));
	}
	assert_int_equal(clv_capsule_encode_context_id(CLV_CAPSULE_COMPRESSION_ACK, 2, buf), 3);
	assert_memory_equal(buf, "\x12\x01\x02", 3);
	assert_int_equal(clv_capsule_encode_context_id(CLV_CAPSULE_COMPRESSION_CLOSE, 2, buf), 3);
	assert_memory_equal(buf, "\x13\x01\x02", 3);
}

static void test_values_that_break_the_form_are_malformed(void **state)
{
	static const char *const values[] = {
		"",
		"02",
		"0000",		      /* Context ID 0 */
		"0405 00000000 0050", /* IP version 5 */
		"020000",	      /* a byte too many */
		"0404 cb0071",
		"0404 cb00710b ea",
		"0404 cb00710b ea60 00",
		"0406 20010db8000000000000000000001234 d4",
		"0406 20010db8000000000000000000001234 d43100",
		"40",
	};
	uint8_t value[WIRE_MAX];
	struct clv_capsule_assign a;
	uint64_t id;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (clv_capsule_decode_assign(value, unhex(values[i], value), &a) != CLV_EPROTO)
			fail_msg("%s is not malformed", values[i]);
	assert_int_equal(clv_capsule_decode_context_id((const uint8_t *)"", 0, &id), CLV_EPROTO);
	assert_int_equal(clv_capsule_decode_context_id((const uint8_t *)"\0", 1, &id), CLV_EPROTO);
	assert_int_equal(clv_capsule_decode_context_id((const uint8_t *)"\2\2", 2, &id),
			 CLV_EPROTO);
	assert_int_equal(clv_capsule_decode_context_id((const uint8_t *)"\x40", 1, &id),
			 CLV_EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capsules_parse_alike_wherever_chunks_end),
		cmocka_unit_test(test_a_callback_stops_the_parse_with_its_own_error),
		cmocka_unit_test(test_a_new_bound_counts_from_the_next_capsule),
		cmocka_unit_test(test_nothing_is_stored_of_capsules_nobody_wants),
		cmocka_unit_test(test_a_datagram_capsule_head_is_encoded_as_short_as_possible),
		cmocka_unit_test(test_a_context_capsule_longer_than_any_is_malformed),
		cmocka_unit_test(test_a_request_without_contexts_skips_their_capsules),
		cmocka_unit_test(test_an_assign_is_encoded_and_decoded),
		cmocka_unit_test(test_values_that_break_the_form_are_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
