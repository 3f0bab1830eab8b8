/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/peer/ticket.h"
#include "datapath/base/err.h"

#define ID  "clv1ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26q"
#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void a_ticket_is_written_as_it_was_read(void **state)
{
	static const char *const texts[] = {
		"culvert1:" ID "?r=relay.example:443",
		"culvert1:" ID "?r=192.0.2.1:4433,sha256:" HEX,
		"culvert1:" ID "?r=[2001:db8::1]:443,sha256:" HEX ",hybrid",
		"culvert1:" ID "?r=a.example:443,sha256:" HEX
		"&r=b.example:444,hybrid&r=c:1&r=d:65535",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		char text[CLV_TICKET_MAX];
		struct clv_ticket t;
		const char *why = NULL;

		CHECK_ROW(texts[i], clv_ticket_is(texts[i]));
		CHECK_ROW(texts[i], clv_ticket_parse(texts[i], strlen(texts[i]), &t, &why) == 0);
		CHECK_ROW(texts[i], clv_ticket_format(&t, text, sizeof(text)) == 0);
		assert_string_equal(text, texts[i]);
		assert_int_equal(clv_ticket_format(&t, text, strlen(texts[i])), CLV_ERANGE);
	}
}

static void the_parts_of_a_ticket_are_found(void **state)
{
	static const char text[] = "culvert1:" ID "?r=[2001:db8::1]:444,sha256:" HEX
				   "&r=b.example:445,hybrid";
	char id[CLV_IDENTITY_TEXT_LEN + 1];
	struct clv_ticket t;

	(void)state;
	assert_int_equal(clv_ticket_parse(text, strlen(text), &t, NULL), 0);
	assert_string_equal(clv_identity_format(&t.id, id), ID);
	assert_int_equal(t.relays_len, 2);
	assert_string_equal(t.relays[0].host, "2001:db8::1");
	assert_int_equal(t.relays[0].port, 444);
	assert_true(t.relays[0].has_pin);
	assert_int_equal(t.relays[0].pin[31], 0x1f);
	assert_false(t.relays[0].is_hybrid);
	assert_string_equal(t.relays[1].host, "b.example");
	assert_int_equal(t.relays[1].port, 445);
	assert_false(t.relays[1].has_pin);
	assert_true(t.relays[1].is_hybrid);
	assert_string_equal(t.relays[1].token, "");
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", "begins with" },
		{ "culvert://relay.example", "begins with" },
		{ ID, "begins with" },
		{ "culvert2:" ID "?r=a:1", "later version" },
		{ "culvert1:" ID, "names no relay" },
		{ "culvert1:" ID "?", "other than relays" },
		{ "culvert1:clv1ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26?r=a:1",
		  "identity is not" },
		{ "culvert1:clv1Ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26q?r=a:1",
		  "identity is not" },
		{ "culvert1:" ID "?r=relay.example", "has no port" },
		{ "culvert1:" ID "?r=[2001:db8::1]", "has no port" },
		{ "culvert1:" ID "?r=2001:db8::1:443", "HOST:PORT" },
		{ "culvert1:" ID "?r=:443", "HOST:PORT" },
		{ "culvert1:" ID "?r=a:0", "not 1 to 65535" },
		{ "culvert1:" ID "?r=a:65536", "not 1 to 65535" },
		{ "culvert1:" ID "?r=a:1,sha256:00", "64 hexadecimal digits" },
		{ "culvert1:" ID "?r=a:1,sha256:" HEX "00", "64 hexadecimal digits" },
		{ "culvert1:" ID "?r=a:1,sha256:" HEX ",sha256:" HEX, "two pins" },
		{ "culvert1:" ID "?r=a:1,pqc", "neither a pin nor" },
		{ "culvert1:" ID "?r=a:1,", "neither a pin nor" },
		{ "culvert1:" ID "?r=a:1&", "other than relays" },
		{ "culvert1:" ID "?r=a:1&token=x", "other than relays" },
		{ "culvert1:" ID "?r=a:1&r=a:2&r=a:3&r=a:4&r=a:5", "more than four" },
		{ "culvert1:" ID "?r=a%2e:1", "a character" },
		{ "culvert1:" ID "?r=a@b:1", "a character" },
		{ "culvert1:" ID "?r=a:1 ", "a character" },
		{ "culvert1:" ID "?r=a:1#", "a character" },
		{ "culvert1:" ID "?r=a:1?pin=b", "HOST:PORT" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct clv_ticket t;
		const char *why = NULL;
		int err = clv_ticket_parse(rows[i].text, strlen(rows[i].text), &t, &why);

		CHECK_ROW(rows[i].text, err == CLV_ESYNTAX || err == CLV_ERANGE);
		if (!why || !strstr(why, rows[i].why))
			fail_msg("%s: %s", rows[i].text, why ? why : "no reason");
	}
}

static void a_token_is_never_written(void **state)
{
	static const char text[] = "culvert1:" ID "?r=a.example:443";
	char again[CLV_TICKET_MAX];
	struct clv_ticket t;

	(void)state;
	assert_int_equal(clv_ticket_parse(text, strlen(text), &t, NULL), 0);
	strcpy(t.relays[0].token, "secret");
	assert_int_equal(clv_ticket_format(&t, again, sizeof(again)), 0);
	assert_string_equal(again, text);
}

static void a_ticket_that_nobody_could_read_is_not_written(void **state)
{
	static const char text[] = "culvert1:" ID "?r=a.example:443";
	char again[CLV_TICKET_MAX];
	struct clv_ticket t;

	(void)state;
	assert_int_equal(clv_ticket_parse(text, strlen(text), &t, NULL), 0);
	strcpy(t.relays[0].host, "a,b");
	assert_int_equal(clv_ticket_format(&t, again, sizeof(again)), CLV_ESYNTAX);
	t.relays_len = 0;
	assert_int_equal(clv_ticket_format(&t, again, sizeof(again)), CLV_ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a ticket is written as it was read", a_ticket_is_written_as_it_was_read),
		CASE("the parts of a ticket are found", the_parts_of_a_ticket_are_found),
		CASE("what is wrong is named", what_is_wrong_is_named),
		CASE("a token is never written", a_token_is_never_written),
		CASE("a ticket that nobody could read is not written",
		     a_ticket_that_nobody_could_read_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
