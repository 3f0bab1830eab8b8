/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/admin/text.h"

static const struct {
	const char *text, *label, *clean;
} rows[] = {
	{ "eth0", "eth0", "eth0" },
	{ "", "", "" },
	{ "q\"uo\\te", "q\\\"uo\\\\te", "q\"uo\\te" },
	{ "two\nlines", "two\\nlines", "two\nlines" },
	{ "we}ird{a=b,c", "we}ird{a=b,c", "we}ird{a=b,c" },
	{ "\xc3\xbcn\xc3\xaf-eth", "\xc3\xbcn\xc3\xaf-eth", "\xc3\xbcn\xc3\xaf-eth" },
	{ "latin-\xfc", "latin-?", "latin-?" },
	{ "cut-\xe2\x82", "cut-??", "cut-??" },
	{ "\xed\xa0\x80\xc0\xaf", "?????", "?????" }, /* a surrogate; a longer form than needed */
	{ "\xff\"", "?\\\"", "?\"" },
};

static void labels_are_escaped(void **state)
{
	char out[CLV_TEXT_LABEL_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(clv_text_label(rows[i].text, out), rows[i].label);
}

static void long_labels_are_cut_between_characters(void **state)
{
	char text[2 * CLV_TEXT_LABEL_MAX], out[CLV_TEXT_LABEL_MAX];

	(void)state;
	memset(text, '"', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	clv_text_label(text, out);
	/* An even number fits: half of an escape would take the mark behind the label. */
	assert_int_equal(strlen(out), CLV_TEXT_LABEL_MAX - 2);
	assert_string_equal(out + strlen(out) - 2, "\\\"");
}

static void strings_are_json_whatever_the_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *string = clv_text_json(rows[i].text);

		assert_non_null(string);
		assert_string_equal(json_string_value(string), rows[i].clean);
		json_decref(string);
	}
	assert_true(json_is_null(clv_text_json(NULL)));
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("labels have their marks, backslashes and line ends escaped",
		     labels_are_escaped),
		CASE("a long label is cut between two characters",
		     long_labels_are_cut_between_characters),
		CASE("a name of any bytes is a JSON string", strings_are_json_whatever_the_bytes),
	};

	return cmocka_run_group_tests_name("text", cases, NULL, NULL);
}
