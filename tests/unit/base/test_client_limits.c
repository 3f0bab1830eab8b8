/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/client_limits.h"
#include "datapath/base/err.h"
#include "datapath/base/secret.h"

#define NONE CLV_UNLIMITED

/* of: conns, tunnels, ports, packets, mbit, bytes. */
static const struct {
	const char *text;
	int err;
	uint64_t of[CLV_LIMIT_MAX];
	const char *again; /* how it is written; NULL: as it was read */
} texts[] = {
	{ "", 0, { NONE, NONE, NONE, NONE, NONE, NONE }, NULL },
	{ " \t ", 0, { NONE, NONE, NONE, NONE, NONE, NONE }, "" },
	{ "mbit=20 packets=5000 tunnels=8 conns=4 ports=2 bytes=10G",
	  0,
	  { 4, 8, 2, 5000, 20, UINT64_C(10000000000) },
	  NULL },
	{ "bytes=1\tmbit=0", 0, { NONE, NONE, NONE, NONE, 0, 1 }, "mbit=0 bytes=1" },
	{ "ports=0", 0, { NONE, NONE, 0, NONE, NONE, NONE }, NULL },
	{ "bytes=0", 0, { NONE, NONE, NONE, NONE, NONE, 0 }, NULL },
	{ "bytes=1Ki", 0, { NONE, NONE, NONE, NONE, NONE, 1024 }, NULL },
	{ "bytes=3Ti", 0, { NONE, NONE, NONE, NONE, NONE, UINT64_C(3) << 40 }, NULL },
	{ "bytes=1500M", 0, { NONE, NONE, NONE, NONE, NONE, UINT64_C(1500000000) }, NULL },
	{ "bytes=2000K", 0, { NONE, NONE, NONE, NONE, NONE, 2000000 }, "bytes=2M" },
	{ "bytes=4096Gi", 0, { NONE, NONE, NONE, NONE, NONE, UINT64_C(1) << 42 }, "bytes=4Ti" },
	{ "bytes=4611686018427387904",
	  0,
	  { NONE, NONE, NONE, NONE, NONE, UINT64_C(1) << 62 },
	  "bytes=4194304Ti" },
	{ "mbit=unlimited tunnels=007", 0, { NONE, 7, NONE, NONE, NONE, NONE }, "tunnels=7" },
	{ "conns=16777216", 0, { 1 << 24, NONE, NONE, NONE, NONE, NONE }, NULL },

	{ "bytes=4611686018427387905", CLV_ERANGE, { 0 }, NULL },
	{ "bytes=4194305Ti", CLV_ERANGE, { 0 }, NULL },
	{ "bytes=9999999999999999999", CLV_ERANGE, { 0 }, NULL },
	{ "bytes=99999999999999999999999999", CLV_ERANGE, { 0 }, NULL },
	{ "conns=16777217", CLV_ERANGE, { 0 }, NULL },
	{ "packets=1000000001", CLV_ERANGE, { 0 }, NULL },
	{ "mbit=1000001", CLV_ERANGE, { 0 }, NULL },
	{ "mbit=18446744073709551615", CLV_ERANGE, { 0 }, NULL }, /* not "unlimited" */
	{ "mbit", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=-1", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=+1", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=1.5", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=1G", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=20x", CLV_ESYNTAX, { 0 }, NULL },
	{ "bytes=G", CLV_ESYNTAX, { 0 }, NULL },
	{ "bytes=1g", CLV_ESYNTAX, { 0 }, NULL },
	{ "bytes=1GiB", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=1 mbit=2", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=unlimited mbit=2", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbits=1", CLV_ESYNTAX, { 0 }, NULL },
	{ "MBIT=1", CLV_ESYNTAX, { 0 }, NULL },
	{ "=1", CLV_ESYNTAX, { 0 }, NULL },
	{ "mbit=1,tunnels=2", CLV_ESYNTAX, { 0 }, NULL },
};

static void texts_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		size_t len = strlen(texts[i].text);
		struct clv_client_limits l = { { 1, 2, 3, 4, 5, 6 } }, untouched = l;
		char buf[CLV_CLIENT_LIMITS_TEXT_MAX];
		const char *why = NULL;
		char *exact = malloc(len + 1);

		memcpy(exact, texts[i].text, len);
		CHECK_ROW(texts[i].text,
			  clv_client_limits_parse(exact, len, &l, &why) == texts[i].err);
		free(exact);
		if (texts[i].err) {
			CHECK_ROW(texts[i].text, why && !memcmp(&l, &untouched, sizeof(l)));
			continue;
		}
		CHECK_ROW(texts[i].text, memcmp(l.of, texts[i].of, sizeof(l.of)) == 0);
		CHECK_ROW(texts[i].text, clv_client_limits_valid(&l));
		CHECK_ROW(texts[i].text,
			  strcmp(clv_client_limits_format(&l, buf),
				 texts[i].again ? texts[i].again : texts[i].text) == 0);
	}
}

static void every_limit_at_its_greatest_fits_and_comes_back(void **state)
{
	struct clv_client_limits l = { { 1 << 24, 1 << 24, 1 << 24, 1000000000, 1000000,
					 (UINT64_C(1) << 62) - 1 } };
	struct clv_client_limits again;
	char buf[CLV_CLIENT_LIMITS_TEXT_MAX];

	(void)state;
	clv_client_limits_format(&l, buf);
	assert_int_equal(clv_client_limits_parse(buf, strlen(buf), &again, NULL), 0);
	assert_memory_equal(&l, &again, sizeof(l));
}

static void a_word_that_is_no_limit_is_told_from_a_wrong_one(void **state)
{
	struct clv_client_limits l;
	const char *why = NULL;
	unsigned seen = 0;

	(void)state;
	clv_client_limits_init(&l);
	assert_int_equal(clv_client_limits_read_word(&l, &seen, "key=x", 5, &why), -ENOENT);
	assert_int_equal(clv_client_limits_read_word(&l, &seen, "mbit=x", 6, &why), CLV_ESYNTAX);
	assert_int_equal(seen, 0);
	assert_int_equal(clv_client_limits_read_word(&l, &seen, "mbit=9", 6, &why), 0);
	assert_int_equal(clv_client_limits_read_word(&l, &seen, "mbit=9", 6, &why), CLV_ESYNTAX);
	assert_int_equal(l.of[CLV_LIMIT_MBIT], 9);
}

static void the_lower_of_two_limits_holds(void **state)
{
	struct clv_client_limits l = { { 1, 9, NONE, NONE, 5, 0 } };
	const struct clv_client_limits other = { { 2, 3, 4, NONE, NONE, 7 } };
	static const uint64_t want[] = { 1, 3, 4, NONE, 5, 0 };

	(void)state;
	clv_client_limits_narrow(&l, &other);
	assert_memory_equal(l.of, want, sizeof(want));
}

static void a_zeroed_struct_grants_nothing(void **state)
{
	struct clv_client_limits l = { { 0 } };
	char buf[CLV_CLIENT_LIMITS_TEXT_MAX];

	(void)state;
	assert_string_equal(clv_client_limits_format(&l, buf),
			    "mbit=0 packets=0 tunnels=0 conns=0 ports=0 bytes=0");
	assert_string_equal(clv_client_limits_name(CLV_LIMIT_PORTS), "ports");
}

static void secrets_are_equal_only_in_every_byte(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	memset(a, 0x5a, sizeof(a));
	memcpy(b, a, sizeof(b));
	assert_true(clv_secret_equal(a, b, sizeof(a)));
	assert_true(clv_secret_equal(a, b, 0));
	for (size_t i = 0; i < 8 * sizeof(a); i++) {
		b[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_false(clv_secret_equal(a, b, sizeof(a)));
		assert_true(clv_secret_equal(a, b, i / 8));
		b[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("texts are read and written", texts_are_read_and_written),
		CASE("every limit at its greatest fits and comes back",
		     every_limit_at_its_greatest_fits_and_comes_back),
		CASE("a word that is no limit is told from a wrong one",
		     a_word_that_is_no_limit_is_told_from_a_wrong_one),
		CASE("the lower of two limits holds", the_lower_of_two_limits_holds),
		CASE("a zeroed struct grants nothing", a_zeroed_struct_grants_nothing),
		CASE("secrets are equal only in every byte", secrets_are_equal_only_in_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
