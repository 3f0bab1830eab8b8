/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a ClientHello offers, read as it arrives. */
#include "tests/unit/check.h"

#include "control/tls/hello.h"

static const int ours[] = { 0x0201, 0x11ec };

enum {
	HELLO_MAX = 1024,
	HEAD_LEN = 4,
};

struct extension {
	uint16_t type;
	const char *data; /* zero-terminated list of bytes in hexadecimal digits */
};

static size_t put16(uint8_t *out, size_t at, size_t n)
{
	out[at] = (uint8_t)(n >> 8);
	out[at + 1] = (uint8_t)n;
	return at + 2;
}

static size_t put_hex(uint8_t *out, size_t at, const char *hex)
{
	for (; hex[0] && hex[1]; hex += 2) {
		unsigned byte;

		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[at++] = (uint8_t)byte;
	}
	return at;
}

/* Write a ClientHello.  Returns its length. */
static size_t write_hello(uint8_t out[HELLO_MAX], size_t session_len, const struct extension *list,
			  size_t list_len)
{
	size_t at = HEAD_LEN, extensions;

	memset(out, 0xaa, HELLO_MAX);
	out[0] = 1;
	at += 2 + 32;
	out[at++] = (uint8_t)session_len;
	at += session_len;
	at = put16(out, at, 4) + 4;
	out[at++] = 1;
	at++;
	extensions = at;
	at += 2;
	for (size_t i = 0; i < list_len; i++) {
		at = put16(out, at, list[i].type);
		at = put16(out, at, strlen(list[i].data) / 2);
		at = put_hex(out, at, list[i].data);
	}
	put16(out, extensions, at - extensions - 2);
	out[1] = 0;
	put16(out, 2, at - HEAD_LEN);
	return at;
}

/* The same in one piece, byte by byte, and in two pieces cut anywhere. */
static enum clv_hello_result read_hello(const uint8_t *data, size_t len)
{
	enum clv_hello_result whole;
	struct clv_hello h;

	clv_hello_init(&h, ours, COUNT(ours));
	whole = clv_hello_feed(&h, data, len);
	clv_hello_init(&h, ours, COUNT(ours));
	for (size_t i = 0; i < len; i++)
		clv_hello_feed(&h, data + i, 1);
	assert_int_equal(clv_hello_feed(&h, NULL, 0), whole);
	for (size_t cut = 0; cut <= len; cut++) {
		clv_hello_init(&h, ours, COUNT(ours));
		clv_hello_feed(&h, data, cut);
		assert_int_equal(clv_hello_feed(&h, data + cut, len - cut), whole);
	}
	return whole;
}

static void lists_are_found_and_searched(void **state)
{
	static const struct {
		const char *name;
		size_t session_len, list_len;
		struct extension list[3];
		enum clv_hello_result expected;
	} cases[] = {
		{ "ours alone", 0, 1, { { 10, "00020201" } }, CLV_HELLO_OFFERED },
		{ "ours last of many",
		  32,
		  1,
		  { { 10, "0008001d0017001811ec" } },
		  CLV_HELLO_OFFERED },
		{ "between others",
		  0,
		  3,
		  { { 0, "0000" }, { 10, "0004001d0201" }, { 43, "020304" } },
		  CLV_HELLO_OFFERED },
		{ "behind an empty one",
		  0,
		  2,
		  { { 23, "" }, { 10, "00020201" } },
		  CLV_HELLO_OFFERED },
		{ "before an empty one",
		  0,
		  2,
		  { { 10, "00020201" }, { 23, "" } },
		  CLV_HELLO_OFFERED },
		{ "classical ones",
		  0,
		  2,
		  { { 10, "0004001d0017" }, { 51, "0201" } },
		  CLV_HELLO_NOT_OFFERED },
		{ "our number across two groups",
		  0,
		  1,
		  { { 10, "000400020100" } },
		  CLV_HELLO_NOT_OFFERED },
		{ "our number as a session ID",
		  2,
		  1,
		  { { 10, "0002001d" } },
		  CLV_HELLO_NOT_OFFERED },
		{ "no list", 0, 1, { { 51, "00020201" } }, CLV_HELLO_NO_LIST },
		{ "no extension", 0, 0, { { 0 } }, CLV_HELLO_NO_LIST },
		{ "an empty list", 0, 1, { { 10, "0000" } }, CLV_HELLO_UNREADABLE },
		{ "no length", 0, 1, { { 10, "" } }, CLV_HELLO_UNREADABLE },
		{ "half a group", 0, 1, { { 10, "0003001d00" } }, CLV_HELLO_UNREADABLE },
		{ "a list shorter than its extension",
		  0,
		  1,
		  { { 10, "0002001d0201" } },
		  CLV_HELLO_UNREADABLE },
		{ "a list longer than its extension",
		  0,
		  1,
		  { { 10, "00060201001d" } },
		  CLV_HELLO_UNREADABLE },
		{ "two lists",
		  0,
		  2,
		  { { 10, "0002001d" }, { 10, "00020201" } },
		  CLV_HELLO_UNREADABLE },
	};
	uint8_t hello[HELLO_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = write_hello(hello, cases[i].session_len, cases[i].list,
					 cases[i].list_len);

		CHECK_ROW(cases[i].name, read_hello(hello, len) == cases[i].expected);
	}
}

static void lengths_that_disagree_are_left_to_the_library(void **state)
{
	static const struct extension list[] = { { 23, "" }, { 10, "0002001d" } };
	uint8_t hello[HELLO_MAX], broken[HELLO_MAX];
	size_t len = write_hello(hello, 0, list, 2);
	/* The low bytes of the lengths: of message, session ID, suites, methods, extensions. */
	static const size_t lengths[] = { 3, 38, 40, 45, 48 };

	(void)state;
	assert_int_equal(read_hello(hello, len), CLV_HELLO_NOT_OFFERED);
	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (int d = -1; d <= 1; d += 2) {
			memcpy(broken, hello, sizeof(broken));
			broken[lengths[i]] = (uint8_t)(broken[lengths[i]] + d);
			assert_int_not_equal(read_hello(broken, len), CLV_HELLO_NOT_OFFERED);
			assert_int_not_equal(read_hello(broken, len), CLV_HELLO_NO_LIST);
		}
	}
	memcpy(broken, hello, sizeof(broken));
	broken[0] = 2; /* a ServerHello */
	assert_int_equal(read_hello(broken, len), CLV_HELLO_UNREADABLE);
}

static void what_is_cut_short_is_waited_for(void **state)
{
	static const struct extension list[] = { { 10, "0002001d" } };
	uint8_t hello[HELLO_MAX];
	size_t len = write_hello(hello, 0, list, 1);

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(read_hello(hello, cut), CLV_HELLO_MORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_found_and_searched),
		cmocka_unit_test(lengths_that_disagree_are_left_to_the_library),
		cmocka_unit_test(what_is_cut_short_is_waited_for),
	};

	return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
