/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/admission/client_name.h"
#include "control/admission/identity.h"
#include "control/admission/utc_date.h"
#include "datapath/base/err.h"

/* Made with Python's hashlib and base64. */
static const struct {
	const char *bytes;
	size_t len;
	const char *text;
} vectors[] = {
	{ "", 0, "clv14oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbkq" },
	{ "culvert", 7, "clv1ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26q" },
};

static void a_key_has_the_text_of_its_hash(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		char text[CLV_IDENTITY_TEXT_LEN + 1];
		struct clv_identity id, again;

		assert_int_equal(
			clv_identity_of((const uint8_t *)vectors[i].bytes, vectors[i].len, &id), 0);
		assert_string_equal(clv_identity_format(&id, text), vectors[i].text);
		assert_int_equal(clv_identity_parse(text, strlen(text), &again), 0);
		assert_memory_equal(&id, &again, sizeof(id));
	}
}

static void the_ends_of_the_range_are_written_and_read(void **state)
{
	static const char zeros[] = "clv1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char ones[] = "clv1777777777777777777777777777777777777777777777777777q";
	char text[CLV_IDENTITY_TEXT_LEN + 1];
	struct clv_identity id, again;

	(void)state;
	memset(&id, 0, sizeof(id));
	assert_string_equal(clv_identity_format(&id, text), zeros);
	assert_int_equal(clv_identity_parse(text, strlen(text), &again), 0);
	assert_memory_equal(&id, &again, sizeof(id));
	memset(&id, 0xff, sizeof(id));
	assert_string_equal(clv_identity_format(&id, text), ones);
	assert_int_equal(clv_identity_parse(text, strlen(text), &again), 0);
	assert_memory_equal(&id, &again, sizeof(id));
}

static void a_text_that_differs_anywhere_is_another_key_or_none(void **state)
{
	struct clv_identity id, other;
	const char *text = vectors[1].text;

	(void)state;
	assert_int_equal(clv_identity_parse(text, CLV_IDENTITY_TEXT_LEN, &id), 0);
	for (size_t i = 0; i < CLV_IDENTITY_TEXT_LEN; i++)
		for (int c = 0; c < 256; c++) {
			char changed[CLV_IDENTITY_TEXT_LEN + 1];

			memcpy(changed, text, sizeof(changed));
			changed[i] = (char)c;
			other = id;
			if (changed[i] == text[i])
				continue;
			if (clv_identity_parse(changed, CLV_IDENTITY_TEXT_LEN, &other) == 0)
				assert_memory_not_equal(&id, &other, sizeof(id));
			else
				assert_memory_equal(&id, &other, sizeof(id));
		}
}

static void a_text_of_another_length_is_none(void **state)
{
	struct clv_identity id;
	char text[CLV_IDENTITY_TEXT_LEN + 2];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "clv1", 4);
	for (size_t len = 0; len <= sizeof(text); len++)
		assert_int_equal(clv_identity_parse(text, len, &id),
				 len == CLV_IDENTITY_TEXT_LEN ? 0 : CLV_ESYNTAX);
	/* The last character carries one bit: 'a' and 'q' only. */
	text[CLV_IDENTITY_TEXT_LEN - 1] = 'b';
	assert_int_equal(clv_identity_parse(text, CLV_IDENTITY_TEXT_LEN, &id), CLV_ESYNTAX);
	text[CLV_IDENTITY_TEXT_LEN - 1] = 'q';
	assert_int_equal(clv_identity_parse(text, CLV_IDENTITY_TEXT_LEN, &id), 0);
}

static const struct {
	const char *text;
	uint64_t sec; /* 0 with is_bad */
	bool is_bad;
	const char *again;
} dates[] = {
	{ "1970-01-01", 0, false, "1970-01-01" },
	{ "1970-01-01T00:00:01Z", 1, false, "1970-01-01T00:00:01Z" },
	{ "2027-01-31", 1801353600, false, "2027-01-31" },
	{ "2027-01-31T00:00:00Z", 1801353600, false, "2027-01-31" },
	{ "2027-01-31T12:34:56Z", 1801398896, false, "2027-01-31T12:34:56Z" },
	{ "2028-02-29", 1835395200, false, "2028-02-29" },
	{ "9999-12-31T23:59:59Z", UINT64_C(253402300799), false, "9999-12-31T23:59:59Z" },
	{ "1969-12-31", 0, true, NULL },
	{ "2027-02-29", 0, true, NULL },
	{ "2100-02-29", 0, true, NULL },
	{ "2027-13-01", 0, true, NULL },
	{ "2027-00-01", 0, true, NULL },
	{ "2027-01-00", 0, true, NULL },
	{ "2027-01-32", 0, true, NULL },
	{ "2027-01-31T24:00:00Z", 0, true, NULL },
	{ "2027-01-31T23:60:00Z", 0, true, NULL },
	{ "2027-01-31T23:59:60Z", 0, true, NULL },
	{ "2027-01-31T12:00:00", 0, true, NULL },
	{ "2027-01-31T12:00:00+01:00", 0, true, NULL },
	{ "2027-01-31T12:00:00.5Z", 0, true, NULL },
	{ "2027-01-31 12:00:00Z", 0, true, NULL },
	{ "2027-1-31", 0, true, NULL },
	{ "20270131", 0, true, NULL },
	{ "+027-01-31", 0, true, NULL },
	{ "2027-01-31 ", 0, true, NULL },
	{ "", 0, true, NULL },
};

static void dates_are_read_and_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(dates); i++) {
		char text[CLV_UTC_DATE_TEXT_MAX];
		uint64_t sec = 42;
		int err = clv_utc_date_parse(dates[i].text, strlen(dates[i].text), &sec);

		CHECK_ROW(dates[i].text, err == (dates[i].is_bad ? CLV_ESYNTAX : 0));
		CHECK_ROW(dates[i].text, sec == (dates[i].is_bad ? 42 : dates[i].sec));
		if (!err)
			CHECK_ROW(dates[i].text,
				  strcmp(clv_utc_date_format(sec, text), dates[i].again) == 0);
	}
}

static void names_are_words_of_few_characters(void **state)
{
	char longest[CLV_CLIENT_NAME_MAX + 1];

	(void)state;
	memset(longest, 'z', sizeof(longest));
	assert_true(clv_client_name_valid(longest, CLV_CLIENT_NAME_MAX));
	assert_false(clv_client_name_valid(longest, CLV_CLIENT_NAME_MAX + 1));
	assert_false(clv_client_name_valid("", 0));
	for (int c = 0; c < 256; c++) {
		char name[2] = { 'a', (char)c };
		bool is_first = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		assert_int_equal(clv_client_name_valid(name + 1, 1), is_first);
		assert_int_equal(clv_client_name_valid(name, 2),
				 is_first || c == '.' || c == '_' || c == '-');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a key has the text of its hash", a_key_has_the_text_of_its_hash),
		CASE("the ends of the range are written and read",
		     the_ends_of_the_range_are_written_and_read),
		CASE("a text that differs anywhere is another key or none",
		     a_text_that_differs_anywhere_is_another_key_or_none),
		CASE("a text of another length is none", a_text_of_another_length_is_none),
		CASE("dates are read and written", dates_are_read_and_written),
		CASE("names are words of few characters", names_are_words_of_few_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
