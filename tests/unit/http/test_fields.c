/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/http/fields.h"
#include "datapath/base/err.h"

static const struct {
	const char *value;
	bool is_true;
} booleans[] = {
	{ "?1", true },
	{ " ?1 ", true },
	{ "?1;a", true },
	{ "?1;a=1;b=\"x\";c=?0", true },
	{ "?1; a", true },
	{ "?1;a=@1", true },
	{ "?1;a=%\"%c3%bc\"", true },
	{ "?1;a=@1.5", false },
	{ "?0", false },
	{ "", false },
	{ " ", false },
	{ "1", false },
	{ "?", false },
	{ "?2", false },
	{ "?11", false },
	{ "?1 x", false },
	{ "?1, ?1", false },
	{ "?1,", false },
	{ "?T", false },
	{ "true", false },
	{ "\"?1\"", false },
	{ "?1;A", false },
	{ "?1;", false },
	{ "?1;a=", false },
	{ "(?1)", false },
	{ "\t?1", false },
};

static void test_a_boolean_field_is_true_only_as_a_lone_boolean_item(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++) {
		if (clv_fields_is_true(booleans[i].value, strlen(booleans[i].value)) !=
		    booleans[i].is_true)
			fail_msg("\"%s\"", booleans[i].value);
	}
}

/* The value as the reader sees it: "type:text{key=type:text}", members with "|" between. */
static int render(const char *value, char *out)
{
	struct clv_fields_cursor c = { value, value + strlen(value), false };
	static const char letters[] = "?biDSTB@U";
	struct clv_item item;
	char *const start = out;
	const char *key;
	size_t key_len;
	int r, p;

	*out = '\0';
	while ((r = clv_fields_read_member(&c, &item)) > 0) {
		if (out > start)
			*out++ = '|';
		out += sprintf(out, "%c:%d%lld%.*s", letters[item.type], item.boolean,
			       (long long)item.integer, (int)item.text_len,
			       item.text ? item.text : "");
		while ((p = clv_fields_read_parameter(&c, &key, &key_len, &item)) > 0)
			out += sprintf(out, "{%.*s=%c:%d%lld%.*s}", (int)key_len, key,
				       letters[item.type], item.boolean, (long long)item.integer,
				       (int)item.text_len, item.text ? item.text : "");
		if (p < 0)
			return p;
	}
	return r;
}

static const struct {
	const char *value;
	int err;
	const char *rendered;
} lists[] = {
	{ "", 0, "" },
	{ "a", 0, "T:00a" },
	{ "a,b", 0, "T:00a|T:00b" },
	{ "a \t,\t b  ", 0, "T:00a|T:00b" },
	{ "*a:/x!#$%&'+-.^_`|~9", 0, "T:00*a:/x!#$%&'+-.^_`|~9" },
	{ "a;b;c=d; e=\"f;,g\";h=?0, \"x\"", 0,
	  "T:00a{b=b:10}{c=T:00d}{e=S:00f;,g}{h=b:00}|S:00x" },
	{ "42, -7, 999999999999999", 0, "i:042|i:0-7|i:0999999999999999" },
	{ "1.5, -0.125, 123456789012.1", 0, "D:00|D:00|D:00" },
	{ ":aGVsbG8=:;x=::", 0, "B:00aGVsbG8={x=B:00}" },
	{ "\"\\\"\\\\\"", 0, "S:00\\\"\\\\" },
	{ "\"\"", 0, "S:00" },
	{ "a,", CLV_ESYNTAX, 0 },
	{ ",a", CLV_ESYNTAX, 0 },
	{ "a b", CLV_ESYNTAX, 0 },
	{ "a ;b", CLV_ESYNTAX, 0 },
	{ "(a b)", CLV_ESYNTAX, 0 },
	{ "1000000000000000", CLV_ESYNTAX, 0 },
	{ "1234567890123.1", CLV_ESYNTAX, 0 },
	{ "1.", CLV_ESYNTAX, 0 },
	{ "1.2345", CLV_ESYNTAX, 0 },
	{ "-", CLV_ESYNTAX, 0 },
	{ "--1", CLV_ESYNTAX, 0 },
	{ "\"", CLV_ESYNTAX, 0 },
	{ "\"a", CLV_ESYNTAX, 0 },
	{ "\"\\", CLV_ESYNTAX, 0 },
	{ "\"\\\"", CLV_ESYNTAX, 0 },
	{ "\"\\a\"", CLV_ESYNTAX, 0 },
	{ "\"\x7f\"", CLV_ESYNTAX, 0 },
	{ "\"\xc3\"", CLV_ESYNTAX, 0 },
	{ ":a", CLV_ESYNTAX, 0 },
	{ ":a b:", CLV_ESYNTAX, 0 },
	{ "a;=1", CLV_ESYNTAX, 0 },
	{ "a;b=", CLV_ESYNTAX, 0 },
	{ "a;b=,", CLV_ESYNTAX, 0 },
	{ "a;1", CLV_ESYNTAX, 0 },
	/* RFC 9651: Dates and Display Strings */
	{ "@1659578233, @-1;x=@0", 0, "@:01659578233|@:0-1{x=@:00}" },
	{ "a;d=%\"This is intended for display to %c3%bcsers.\"", 0,
	  "T:00a{d=U:00This is intended for display to %c3%bcsers.}" },
	{ "%\"\", %\"f%f0%9f%98%80\\%22\"", 0, "U:00|U:00f%f0%9f%98%80\\%22" },
	{ "@", CLV_ESYNTAX, 0 },
	{ "@-", CLV_ESYNTAX, 0 },
	{ "@x", CLV_ESYNTAX, 0 },
	{ "@@1", CLV_ESYNTAX, 0 },
	{ "@1.5", CLV_ESYNTAX, 0 },
	{ "@1000000000000000", CLV_ESYNTAX, 0 },
	{ "%", CLV_ESYNTAX, 0 },
	{ "%x", CLV_ESYNTAX, 0 },
	{ "%\"", CLV_ESYNTAX, 0 },
	{ "%\"a", CLV_ESYNTAX, 0 },
	{ "%\"%\"", CLV_ESYNTAX, 0 },
	{ "%\"%c\"", CLV_ESYNTAX, 0 },
	{ "%\"%C3%BC\"", CLV_ESYNTAX, 0 }, /* hexadecimal in upper case */
	{ "%\"%c3\"", CLV_ESYNTAX, 0 },	   /* UTF-8 cut short, overlong, a surrogate, too large */
	{ "%\"%c3a\"", CLV_ESYNTAX, 0 },
	{ "%\"%c0%80\"", CLV_ESYNTAX, 0 },
	{ "%\"%e0%80%80\"", CLV_ESYNTAX, 0 },
	{ "%\"%ed%a0%80\"", CLV_ESYNTAX, 0 },
	{ "%\"%f4%90%80%80\"", CLV_ESYNTAX, 0 },
	{ "%\"%bc\"", CLV_ESYNTAX, 0 },
	{ "%\"\xc3\xbc\"", CLV_ESYNTAX, 0 },
};

static void test_lists_are_read_member_by_member(void **state)
{
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		int err = render(lists[i].value, text);

		if (err != lists[i].err)
			fail_msg("\"%s\": %d", lists[i].value, err);
		if (err == 0)
			assert_string_equal(text, lists[i].rendered);
	}
}

static void test_parameters_not_asked_for_are_skipped_and_checked(void **state)
{
	static const char good[] = "a;b=1;c, d", bad[] = "a;b=, d";
	struct clv_fields_cursor c = { good, good + strlen(good), false };
	struct clv_item item;

	(void)state;
	assert_int_equal(clv_fields_read_member(&c, &item), 1);
	assert_int_equal(clv_fields_read_member(&c, &item), 1);
	assert_memory_equal(item.text, "d", 1);
	assert_int_equal(clv_fields_read_member(&c, &item), 0);
	c = (struct clv_fields_cursor){ bad, bad + strlen(bad), false };
	assert_int_equal(clv_fields_read_member(&c, &item), 1);
	assert_int_equal(clv_fields_read_member(&c, &item), CLV_ESYNTAX);
}

static void test_text_is_copied_without_escapes_and_cut_to_fit(void **state)
{
	struct clv_item item = { .type = CLV_ITEM_STRING, .text = "a\\\"b\\\\c", .text_len = 7 };
	char buf[8], small[3];

	(void)state;
	assert_int_equal(clv_fields_copy_text(&item, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "a\"b\\c");
	assert_int_equal(clv_fields_copy_text(&item, small, sizeof(small)), 2);
	assert_string_equal(small, "a\"");
	assert_int_equal(clv_fields_copy_text(&item, small, 0), 0);
}

static void test_strings_are_written_with_escapes_or_not_at_all(void **state)
{
	char buf[32];

	(void)state;
	assert_int_equal(clv_fields_write_string("a\"b\\c\n\xc3", buf, sizeof(buf)), 11);
	assert_memory_equal(buf, "\"a\\\"b\\\\c\?\?\"", 11);
	assert_int_equal(clv_fields_write_string("", buf, 2), 2);
	assert_int_equal(clv_fields_write_string("", buf, 1), CLV_ERANGE);
	assert_int_equal(clv_fields_write_string("ab", buf, 3), CLV_ERANGE);
	assert_int_equal(clv_fields_write_string("abcd", buf, 5), CLV_ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_boolean_field_is_true_only_as_a_lone_boolean_item),
		cmocka_unit_test(test_lists_are_read_member_by_member),
		cmocka_unit_test(test_parameters_not_asked_for_are_skipped_and_checked),
		cmocka_unit_test(test_text_is_copied_without_escapes_and_cut_to_fit),
		cmocka_unit_test(test_strings_are_written_with_escapes_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
