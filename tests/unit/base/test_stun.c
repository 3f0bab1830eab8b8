/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/stun.h"

#define HEADER(high, type, len)                                                                    \
	high, type, 0, len, 0x21, 0x12, 0xa4, 0x42, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i',   \
		'j', 'k', 'l'
/* 192.0.2.1:32853, as RFC 5769 section 2.2 has it */
#define SEEN4 0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43

/* RFC 5769 section 2.2 */
static const uint8_t sample4[] = {
	0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
	0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
	0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01,
	0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00, 0x14, 0x2b, 0x91, 0xf5, 0x99,
	0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b,
	0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
};

/* RFC 5769 section 2.3 */
static const uint8_t sample6[] = {
	0x01, 0x01, 0x00, 0x48, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
	0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74,
	0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, 0x20, 0x00, 0x20, 0x00, 0x14, 0x00, 0x02,
	0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5,
	0xbe, 0xd2, 0xb9, 0xd9, 0x00, 0x08, 0x00, 0x14, 0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6,
	0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, 0x82, 0x92, 0xc2, 0x75, 0xbf, 0xe3, 0xed, 0x41,
	0x80, 0x28, 0x00, 0x04, 0xc8, 0xfb, 0x0b, 0x4c,
};

static const char *seen_of(const struct clv_stun_response *r)
{
	static char text[CLV_ADDR_TEXT_MAX];

	return clv_endpoint_format(&r->seen, text, sizeof(text));
}

static void reads_the_samples_of_rfc_5769(void **state)
{
	struct clv_stun_response r;

	(void)state;
	assert_int_equal(clv_stun_response_read(sample4, sizeof(sample4), &r), 0);
	assert_string_equal(seen_of(&r), "192.0.2.1:32853");
	assert_memory_equal(r.transaction, sample4 + 8, sizeof(r.transaction));
	assert_int_equal(clv_stun_response_read(sample6, sizeof(sample6), &r), 0);
	assert_string_equal(seen_of(&r), "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
	assert_int_equal(r.error, 0);
}

static void a_changed_or_cut_response_is_refused(void **state)
{
	struct clv_stun_response r, before;
	uint8_t m[sizeof(sample4)];

	(void)state;
	memset(&r, 0x5a, sizeof(r));
	before = r;
	for (size_t len = 0; len < sizeof(sample4); len++)
		assert_true(clv_stun_response_read(sample4, len, &r) < 0);
	/* Up to the end of the address; what follows might be changed to hide the FINGERPRINT. */
	for (size_t i = 0; i < 8 * 48; i++) {
		memcpy(m, sample4, sizeof(m));
		m[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_true(clv_stun_response_read(m, sizeof(m), &r) < 0);
	}
	assert_memory_equal(&r, &before, sizeof(r));
}

static void tells_what_is_wrong(void **state)
{
	static const struct {
		const char *what;
		size_t len;
		int err;
		uint8_t m[64];
	} cases[] = {
		{ "good", 32, 0, { HEADER(1, 1, 12), SEEN4 } },
		{ "a request", 20, CLV_ERANGE, { HEADER(0, 1, 0) } },
		{ "another method", 32, CLV_ERANGE, { HEADER(1, 3, 12), SEEN4 } },
		{ "no address", 20, CLV_EPROTO, { HEADER(1, 1, 0) } },
		{ "not QUIC's bits", 32, CLV_EPROTO, { HEADER(0x41, 1, 12), SEEN4 } },
		{ "longer than it says", 36, CLV_ETRUNC, { HEADER(1, 1, 12), SEEN4 } },
		{ "attribute beyond the end",
		  28,
		  CLV_ETRUNC,
		  { HEADER(1, 1, 8), 0x80, 0x22, 0, 9 } },
		{ "family 3", 32, CLV_EPROTO, { HEADER(1, 1, 12), 0, 0x20, 0, 8, 0, 3, 1, 1, 1 } },
		{ "IPv6 in 8 bytes", 32, CLV_EPROTO, { HEADER(1, 1, 12), 0, 0x20, 0, 8, 0, 2, 1 } },
		{ "must be understood", 36, CLV_EPROTO, { HEADER(1, 1, 16), SEEN4, 0x70, 0, 0, 0 } },
		{ "may be ignored", 36, 0, { HEADER(1, 1, 16), SEEN4, 0xf0, 0, 0, 0 } },
		{ "port 0",
		  32,
		  CLV_EPROTO,
		  { HEADER(1, 1, 12), 0, 0x20, 0, 8, 0, 1, 0x21, 0x12, 0xe1, 0x12, 0xa6, 0x43 } },
		{ "error 420", 28, 0, { HEADER(1, 0x11, 8), 0, 9, 0, 4, 0, 0, 4, 20 } },
		{ "error 999", 28, CLV_EPROTO, { HEADER(1, 0x11, 8), 0, 9, 0, 4, 0, 0, 1, 99 } },
		{ "error without a number", 20, CLV_EPROTO, { HEADER(1, 0x11, 0) } },
	};
	struct clv_stun_response r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (clv_stun_response_read(cases[i].m, cases[i].len, &r) != cases[i].err)
			fail_msg("%s", cases[i].what);
	assert_int_equal(clv_stun_response_read(cases[12].m, cases[12].len, &r), 0);
	assert_int_equal(r.error, 420);
	assert_int_equal(r.seen.port, 0);
}

static void what_a_server_writes_a_client_reads(void **state)
{
	static const char *const from[] = { "192.0.2.7:1", "255.1.2.3:65535", "33.18.164.66:8466",
					    "[2001:db8::1]:443", "[2112:a442::]:4000" };
	static const uint8_t id[CLV_STUN_TRANSACTION_LEN] = "transaction";
	uint8_t request[CLV_STUN_HEADER_LEN], answer[CLV_STUN_ANSWER_MAX];
	struct clv_stun_response r;
	struct clv_endpoint ep;

	(void)state;
	clv_stun_request(id, request);
	assert_true(clv_stun_matches(request, sizeof(request)));
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		size_t len;

		assert_int_equal(clv_endpoint_parse(from[i], &ep), 0);
		len = clv_stun_answer(request, sizeof(request), &ep, answer);
		if (i == 1) { /* a broadcast's */
			assert_int_equal(len, 0);
			continue;
		}
		assert_true(len > 0 && 10 * len <= 22 * sizeof(request));
		assert_int_equal(clv_stun_response_read(answer, len, &r), 0);
		assert_memory_equal(&r.seen, &ep, sizeof(ep));
		assert_memory_equal(r.transaction, id, sizeof(id));
	}
}

/* No length makes the server read beyond what there is (the sanitizers watch). */
static void a_request_may_end_anywhere(void **state)
{
	uint8_t answer[CLV_STUN_ANSWER_MAX];
	struct clv_endpoint ep;

	(void)state;
	assert_int_equal(clv_endpoint_parse("192.0.2.7:4000", &ep), 0);
	for (size_t len = 20; len < 300; len++) {
		uint8_t *m = calloc(1, len);
		bool is_whole;

		assert_non_null(m);
		memcpy(m, (const uint8_t[]){ HEADER(0, 1, 0), 0x80, 0x22, 0, 4 },
		       len < 24 ? len : 24);
		m[2] = (uint8_t)((len - 20) >> 8);
		m[3] = (uint8_t)(len - 20);
		if (len > 28)
			m[28] = 0x80; /* an attribute of type 0x8000 and length 0, and then 0x0000 */
		is_whole = len == 20 || len == 28 || len == 32;
		assert_int_equal(clv_stun_answer(m, len, &ep, answer), is_whole ? 32 : 0);
		free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_samples_of_rfc_5769),
		cmocka_unit_test(a_changed_or_cut_response_is_refused),
		cmocka_unit_test(tells_what_is_wrong),
		cmocka_unit_test(what_a_server_writes_a_client_reads),
		cmocka_unit_test(a_request_may_end_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
