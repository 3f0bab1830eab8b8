/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/admission/base64.h"
#include "datapath/base/err.h"

static const struct {
	const char *bytes, *padded, *unpadded, *url;
} vectors[] = {
	/* RFC 4648 section 10. */
	{ "", "", "", "" },
	{ "f", "Zg==", "Zg", "Zg" },
	{ "fo", "Zm8=", "Zm8", "Zm8" },
	{ "foo", "Zm9v", "Zm9v", "Zm9v" },
	{ "foob", "Zm9vYg==", "Zm9vYg", "Zm9vYg" },
	{ "fooba", "Zm9vYmE=", "Zm9vYmE", "Zm9vYmE" },
	{ "foobar", "Zm9vYmFy", "Zm9vYmFy", "Zm9vYmFy" },
	/* The two characters in which the alphabets differ. */
	{ "\xfb\xef\xff", "++//", "++//", "--__" },
};

static void check_form(enum clv_base64_form form, const char *bytes, const char *text)
{
	uint8_t out[16];
	char again[24];
	size_t len = 99;

	CHECK_ROW(text, clv_base64_encode(form, (const uint8_t *)bytes, strlen(bytes), again) ==
				strlen(text));
	CHECK_ROW(text, strcmp(again, text) == 0);
	CHECK_ROW(text, clv_base64_decode(form, text, strlen(text), out, strlen(bytes), &len) == 0);
	CHECK_ROW(text, len == strlen(bytes) && memcmp(out, bytes, len) == 0);
}

static void the_vectors_are_written_and_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		check_form(CLV_BASE64_PADDED, vectors[i].bytes, vectors[i].padded);
		check_form(CLV_BASE64_UNPADDED, vectors[i].bytes, vectors[i].unpadded);
		check_form(CLV_BASE64_URL, vectors[i].bytes, vectors[i].url);
		assert_int_equal(strlen(vectors[i].url), CLV_BASE64_LEN(strlen(vectors[i].bytes)));
	}
}

static const struct {
	enum clv_base64_form form;
	const char *text;
} bad[] = {
	{ CLV_BASE64_PADDED, "Zg" },	   { CLV_BASE64_PADDED, "Zg=" },
	{ CLV_BASE64_PADDED, "Zg===" },	   { CLV_BASE64_PADDED, "Zm8" },
	{ CLV_BASE64_PADDED, "=" },	   { CLV_BASE64_PADDED, "====" },
	{ CLV_BASE64_PADDED, "Z===" },	   { CLV_BASE64_PADDED, "Zm9v====" },
	{ CLV_BASE64_PADDED, "Zg==Zg==" }, { CLV_BASE64_PADDED, "Z=g=" },
	{ CLV_BASE64_PADDED, "Zm9v\n" },   { CLV_BASE64_PADDED, " Zm9" },
	{ CLV_BASE64_PADDED, "--__" },	   { CLV_BASE64_PADDED, "Zh==" },
	{ CLV_BASE64_PADDED, "Zm9=" },	   { CLV_BASE64_UNPADDED, "Zg==" },
	{ CLV_BASE64_UNPADDED, "Z" },	   { CLV_BASE64_UNPADDED, "Zm9vY" },
	{ CLV_BASE64_UNPADDED, "--__" },   { CLV_BASE64_UNPADDED, "Zh" },
	{ CLV_BASE64_URL, "++//" },	   { CLV_BASE64_URL, "Zg==" },
	{ CLV_BASE64_URL, "Zm9" },	   { CLV_BASE64_URL, "Zm\xc3\xa4" },
};

static void one_string_of_bytes_has_one_text(void **state)
{
	uint8_t out[16];
	size_t len = 99;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK_ROW(bad[i].text,
			  clv_base64_decode(bad[i].form, bad[i].text, strlen(bad[i].text), out,
					    sizeof(out), &len) == CLV_ESYNTAX &&
				  len == 99);
	/* A zero is no character of the alphabet. */
	assert_int_equal(clv_base64_decode(CLV_BASE64_URL, "Zm9\0", 4, out, sizeof(out), &len),
			 CLV_ESYNTAX);
}

static void nothing_is_written_behind_the_room(void **state)
{
	uint8_t out[6];
	size_t len = 99;

	(void)state;
	for (size_t room = 0; room < sizeof(out); room++) {
		memset(out, 0xee, sizeof(out));
		assert_int_equal(clv_base64_decode(CLV_BASE64_URL, "Zm9vYmFy", 8, out, room, &len),
				 CLV_ERANGE);
		for (size_t i = room; i < sizeof(out); i++)
			assert_int_equal(out[i], 0xee);
	}
	assert_int_equal(clv_base64_decode(CLV_BASE64_URL, "Zm9vYmFy", 8, out, 6, &len), 0);
	assert_int_equal(len, 6);
}

static void all_lengths_of_bytes_come_back(void **state)
{
	uint8_t bytes[256], out[256];
	char text[4 * ((256 + 2) / 3) + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t n = 0; n <= sizeof(bytes); n++)
		for (int form = CLV_BASE64_PADDED; form <= CLV_BASE64_URL; form++) {
			enum clv_base64_form f = (enum clv_base64_form)form;
			size_t len = clv_base64_encode(f, bytes, n, text), back = 0;

			assert_int_equal(strlen(text), len);
			assert_int_equal(clv_base64_decode(f, text, len, out, n, &back), 0);
			assert_int_equal(back, n);
			assert_memory_equal(out, bytes, n);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("the vectors are written and read", the_vectors_are_written_and_read),
		CASE("one string of bytes has one text", one_string_of_bytes_has_one_text),
		CASE("nothing is written behind the room", nothing_is_written_behind_the_room),
		CASE("all lengths of bytes come back", all_lengths_of_bytes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
