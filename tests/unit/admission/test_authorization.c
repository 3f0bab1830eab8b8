/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/admission/authorization.h"
#include "control/admission/base64.h"

/* Parse a copy in a block of exactly its size, which is freed before the result is looked at. */
static void parse(const char *value, size_t len, char buf[static CLV_AUTHORIZATION_MAX],
		  struct clv_authorization *out)
{
	char *exact = malloc(len ? len : 1);

	memcpy(exact, value, len);
	memset(buf, 0x5a, CLV_AUTHORIZATION_MAX);
	clv_authorization_parse(exact, len, buf, out);
	memset(exact, 0xee, len);
	free(exact);
}

static const struct {
	const char *value;
	enum clv_authorization_scheme scheme;
	const char *first, *second; /* name and password, or token */
} values[] = {
	/* RFC 7617 sections 2 and 2.1. */
	{ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", CLV_AUTHORIZATION_BASIC, "Aladdin", "open sesame" },
	{ "Basic dGVzdDoxMjPCow==", CLV_AUTHORIZATION_BASIC, "test", "123\xc2\xa3" },
	{ "basic dGVzdDoxMjPCow==", CLV_AUTHORIZATION_BASIC, "test", "123\xc2\xa3" },
	{ "BASIC   dGVzdDoxMjPCow==", CLV_AUTHORIZATION_BASIC, "test", "123\xc2\xa3" },
	{ " \tBasic dGVzdDoxMjPCow==\t ", CLV_AUTHORIZATION_BASIC, "test", "123\xc2\xa3" },
	{ "Basic YTo=", CLV_AUTHORIZATION_BASIC, "a", "" },
	{ "Basic YTpiOmM=", CLV_AUTHORIZATION_BASIC, "a", "b:c" },
	/* RFC 6750 section 2.1. */
	{ "Bearer mF_9.B5f-4.1JqM", CLV_AUTHORIZATION_BEARER, "mF_9.B5f-4.1JqM", NULL },
	{ "bEARER a~+/==", CLV_AUTHORIZATION_BEARER, "a~+/==", NULL },
	{ "Bearer x", CLV_AUTHORIZATION_BEARER, "x", NULL },

	{ "Digest username=\"Mufasa\", realm=\"x\"", CLV_AUTHORIZATION_OTHER, NULL, NULL },
	{ "Negotiate YII=", CLV_AUTHORIZATION_OTHER, NULL, NULL },
	{ "Basics YTo=", CLV_AUTHORIZATION_OTHER, NULL, NULL },
	{ "Bear er", CLV_AUTHORIZATION_OTHER, NULL, NULL },
	{ "Token", CLV_AUTHORIZATION_OTHER, NULL, NULL },

	{ "", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "   ", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic ", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic\tYTo=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic=YTo=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic YTo", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* no padding */
	{ "Basic YTp=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* bits left over */
	{ "Basic YTo= YTo=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL }, /* two */
	{ "Basic YT\no=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* a line feed */
	{ "Basic YWJj", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* no colon */
	{ "Basic OmI=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* no name */
	{ "Basic YQA6Yg==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* a zero in the name */
	{ "Basic YTpiAA==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* and the password */
	{ "Basic YTpiCg==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* a line feed there */
	{ "Basic YTp/", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* DEL */
	{ "Basic YTrChQ==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* U+0085 */
	{ "Basic YTrDKA==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* no UTF-8 */
	{ "Basic YTrAgA==", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* overlong */
	{ "Basic YTrtoIA=", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* a surrogate */
	{ "Basic YTr0kICA", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },	/* above U+10FFFF */
	{ "Basic YTri\x82", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Basic YTriggo=", CLV_AUTHORIZATION_MALFORMED, NULL,
	  NULL }, /* cut short by a line feed */
	{ "Bearer", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Bearer =", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Bearer a=b", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Bearer a b", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Bearer a,", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "Bearer \xc3\xa4", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ ":Bearer x", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
	{ "\"Bearer\" x", CLV_AUTHORIZATION_MALFORMED, NULL, NULL },
};

static bool is_wiped(const char buf[static CLV_AUTHORIZATION_MAX])
{
	for (size_t i = 0; i < CLV_AUTHORIZATION_MAX; i++)
		if (buf[i])
			return false;
	return true;
}

static void values_are_read(void **state)
{
	char buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization a;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++) {
		const char *value = values[i].value, *first = values[i].first;

		parse(value, strlen(value), buf, &a);
		CHECK_ROW(value, a.scheme == values[i].scheme);
		if (a.scheme == CLV_AUTHORIZATION_BASIC) {
			CHECK_ROW(value, !strcmp(a.name, first) && a.name_len == strlen(first));
			CHECK_ROW(value, !strcmp(a.password, values[i].second));
			CHECK_ROW(value, a.password_len == strlen(values[i].second));
			CHECK_ROW(value, !a.token && a.name == buf);
		} else if (a.scheme == CLV_AUTHORIZATION_BEARER) {
			CHECK_ROW(value, !strcmp(a.token, first) && a.token_len == strlen(first));
			CHECK_ROW(value, !a.name && !a.password && a.token == buf);
		} else {
			CHECK_ROW(value, !a.name && !a.password && !a.token && is_wiped(buf));
		}
		clv_authorization_wipe(&a);
		CHECK_ROW(value, a.scheme == CLV_AUTHORIZATION_NONE && !a.name && !a.token);
	}
}

static void a_wipe_leaves_no_secret(void **state)
{
	char buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization a;

	(void)state;
	parse("Bearer secret", 13, buf, &a);
	assert_non_null(memmem(buf, sizeof(buf), "secret", 6));
	clv_authorization_wipe(&a);
	assert_true(is_wiped(buf));
	clv_authorization_wipe(&a);
}

static void a_value_that_is_cut_short_is_read_without_its_rest(void **state)
{
	char buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization a;

	(void)state;
	for (size_t i = 0; i < COUNT(values); i++)
		for (size_t len = 0; len < strlen(values[i].value); len++) {
			parse(values[i].value, len, buf, &a);
			assert_int_not_equal(a.scheme, CLV_AUTHORIZATION_NONE);
			if (a.scheme == CLV_AUTHORIZATION_BASIC)
				assert_true(a.name_len + a.password_len < len);
		}
}

static void the_longest_value_is_read_and_no_longer_one(void **state)
{
	char value[2 * CLV_AUTHORIZATION_MAX], buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization a;

	(void)state;
	memset(value, 'x', sizeof(value));
	memcpy(value, "Bearer ", 7);
	parse(value, CLV_AUTHORIZATION_MAX - 1, buf, &a);
	assert_int_equal(a.scheme, CLV_AUTHORIZATION_BEARER);
	assert_int_equal(a.token_len, CLV_AUTHORIZATION_MAX - 8);
	parse(value, CLV_AUTHORIZATION_MAX, buf, &a);
	assert_int_equal(a.scheme, CLV_AUTHORIZATION_MALFORMED);
	parse(value, sizeof(value), buf, &a);
	assert_int_equal(a.scheme, CLV_AUTHORIZATION_MALFORMED);
	memset(value, ' ', sizeof(value));
	memcpy(value + CLV_AUTHORIZATION_MAX, "Bearer x", 8);
	parse(value, sizeof(value), buf, &a);
	assert_int_equal(a.scheme, CLV_AUTHORIZATION_BEARER);
}

static void every_character_of_utf8_is_taken_in_a_password_but_controls(void **state)
{
	char buf[CLV_AUTHORIZATION_MAX], value[64];
	struct clv_authorization a;

	(void)state;
	for (uint32_t c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 257) {
		uint8_t text[8] = "u:";
		size_t n = 2;
		bool is_control = c < 0x20 || (c >= 0x7f && c < 0xa0);

		if (c < 0x80) {
			text[n++] = (uint8_t)c;
		} else if (c < 0x800) {
			text[n++] = (uint8_t)(0xc0 | c >> 6);
			text[n++] = (uint8_t)(0x80 | (c & 63));
		} else if (c < 0x10000) {
			text[n++] = (uint8_t)(0xe0 | c >> 12);
			text[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
			text[n++] = (uint8_t)(0x80 | (c & 63));
		} else {
			text[n++] = (uint8_t)(0xf0 | c >> 18);
			text[n++] = (uint8_t)(0x80 | (c >> 12 & 63));
			text[n++] = (uint8_t)(0x80 | (c >> 6 & 63));
			text[n++] = (uint8_t)(0x80 | (c & 63));
		}
		memcpy(value, "Basic ", 6);
		parse(value, 6 + clv_base64_encode(CLV_BASE64_PADDED, text, n, value + 6), buf, &a);
		assert_int_equal(a.scheme, is_control || (c >= 0xd800 && c < 0xe000)
						   ? CLV_AUTHORIZATION_MALFORMED
						   : CLV_AUTHORIZATION_BASIC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("values are read", values_are_read),
		CASE("a wipe leaves no secret", a_wipe_leaves_no_secret),
		CASE("a value that is cut short is read without its rest",
		     a_value_that_is_cut_short_is_read_without_its_rest),
		CASE("the longest value is read, and no longer one",
		     the_longest_value_is_read_and_no_longer_one),
		CASE("every character of UTF-8 is taken in a password, but controls",
		     every_character_of_utf8_is_taken_in_a_password_but_controls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
