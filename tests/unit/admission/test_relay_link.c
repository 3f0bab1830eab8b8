/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/admission/relay_link.h"
#include "datapath/base/err.h"

#define HEX   "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define LOWER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PIN   "pin=sha256:" HEX
#define L63   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG  L63 "." L63 "." L63 "." L61

static const struct {
	const char *text;
	const char *host;
	uint16_t port;
	bool has_pin;
	const char *token;
} links[] = {
	{ "culvert://relay.example:443?" PIN "&token=clvt1.AQ-_.xyz", "relay.example", 443, true,
	  "clvt1.AQ-_.xyz" },
	{ "culvert://relay.example", "relay.example", 443, false, "" },
	{ "culvert://relay.example/", "relay.example", 443, false, "" },
	{ "culvert://relay.example?", "relay.example", 443, false, "" },
	{ "culvert://relay.example/?token=t", "relay.example", 443, false, "t" },
	{ "culvert://relay.example.:1", "relay.example.", 1, false, "" },
	{ "CulVert://Relay:65535", "Relay", 65535, false, "" },
	{ "culvert://_x-1:00443", "_x-1", 443, false, "" },
	{ "culvert://192.0.2.1:8443?" PIN, "192.0.2.1", 8443, true, "" },
	{ "culvert://[2001:db8::1]:443?token=t", "2001:db8::1", 443, false, "t" },
	{ "culvert://[2001:db8::1]", "2001:db8::1", 443, false, "" },
	{ "culvert://[%3a%3A1]/?token=t", "::1", 443, false, "t" },
	{ "culvert://%72elay%2eexample:1", "relay.example", 1, false, "" },
	{ "culvert://r?%74oken=%74%6F&p%69n=sha256%3A" HEX, "r", 443, true, "to" },
	{ "culvert://r?token=a%2Bb%2F%3D%3D", "r", 443, false, "a+b/==" },
	{ "culvert://r?token=a+b/==", "r", 443, false, "a+b/==" },
	{ "culvert://r?&&x&y=1&token=t&y=2&=3&Token=no&pins=4&longer-than-any=5&", "r", 443, false,
	  "t" },
	{ "culvert://" LONG ":443", LONG, 443, false, "" },
};

static int parse(const char *text, size_t len, struct clv_relay_link *link, const char **why)
{
	char *exact = malloc(len ? len : 1);
	int err;

	memcpy(exact, text, len);
	err = clv_relay_link_parse(exact, len, link, why);
	free(exact);
	return err;
}

static void links_are_read_and_come_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(links); i++) {
		const char *text = links[i].text;
		char again[CLV_RELAY_LINK_MAX];
		struct clv_relay_link link, second;

		memset(&link, 0, sizeof(link));
		memset(&second, 0, sizeof(second));
		CHECK_ROW(text, parse(text, strlen(text), &link, NULL) == 0);
		CHECK_ROW(text, clv_relay_link_is(text));
		CHECK_ROW(text, strcmp(link.host, links[i].host) == 0);
		CHECK_ROW(text, link.port == links[i].port);
		CHECK_ROW(text, link.has_pin == links[i].has_pin);
		CHECK_ROW(text, !link.has_pin || (link.pin[1] == 0x11 && link.pin[31] == 0xff));
		CHECK_ROW(text, strcmp(link.token, links[i].token) == 0);

		CHECK_ROW(text, clv_relay_link_format(&link, true, again, sizeof(again)) == 0);
		CHECK_ROW(text, parse(again, strlen(again), &second, NULL) == 0);
		CHECK_ROW(text, memcmp(&link, &second, sizeof(link)) == 0);
		CHECK_ROW(text, clv_relay_link_format(&link, false, again, sizeof(again)) == 0);
		CHECK_ROW(text, !strstr(again, "token"));
	}
}

static const struct {
	const char *text;
	int err;
	const char *why; /* a part of it */
} bad[] = {
	{ "", CLV_ESYNTAX, "culvert://" },
	{ "relay.example:443", CLV_ESYNTAX, "culvert://" },
	{ "https://relay.example", CLV_ESYNTAX, "culvert://" },
	{ "culvert:relay.example", CLV_ESYNTAX, "culvert://" },
	{ " culvert://relay.example", CLV_ESYNTAX, "culvert://" },
	{ "culvert1:clv1aaaa", CLV_ESYNTAX, "culvert://" },
	{ "culvert://", CLV_ESYNTAX, "host" },
	{ "culvert://?token=SECRET", CLV_ESYNTAX, "host" },
	{ "culvert://:443", CLV_ESYNTAX, "host" },
	{ "culvert://.", CLV_ESYNTAX, "host" },
	{ "culvert://a..b", CLV_ESYNTAX, "host" },
	{ "culvert://a!b", CLV_ESYNTAX, "host" },
	{ "culvert://a%00b", CLV_ESYNTAX, "host" },
	{ "culvert://a%2", CLV_ESYNTAX, "host" },
	{ "culvert://a%zz", CLV_ESYNTAX, "host" },
	{ "culvert://" L63 "a", CLV_ESYNTAX, "host" },
	{ "culvert://" LONG "a", CLV_ERANGE, "host" },
	{ "culvert://2001:db8::1", CLV_ESYNTAX, "port" },
	{ "culvert://[2001:db8::1", CLV_ESYNTAX, "bracket" },
	{ "culvert://[2001:db8::1]443", CLV_ESYNTAX, "bracket" },
	{ "culvert://[fe80::1%25eth0]:443", CLV_ESYNTAX, "host" },
	{ "culvert://[192.0.2.1]:443", CLV_ESYNTAX, "host" },
	{ "culvert://[relay]:443", CLV_ESYNTAX, "host" },
	{ "culvert://[]:443", CLV_ESYNTAX, "host" },
	{ "culvert://SECRET@relay:443", CLV_ESYNTAX, "user part" },
	{ "culvert://user:SECRET@relay:443", CLV_ESYNTAX, "user part" },
	{ "culvert://r:", CLV_ESYNTAX, "port" },
	{ "culvert://r:x", CLV_ESYNTAX, "port" },
	{ "culvert://r:-1", CLV_ESYNTAX, "port" },
	{ "culvert://r:0", CLV_ERANGE, "port" },
	{ "culvert://r:65536", CLV_ERANGE, "port" },
	{ "culvert://r:000443", CLV_ERANGE, "port" },
	{ "culvert://r:18446744073709551617", CLV_ERANGE, "port" },
	{ "culvert://r/x", CLV_ESYNTAX, "path" },
	{ "culvert://r//", CLV_ESYNTAX, "path" },
	{ "culvert://r?token=SECRET#x", CLV_ESYNTAX, "fragment" },
	{ "culvert://r?token=SECRET\n", CLV_ESYNTAX, "blank" },
	{ "culvert://r?token=SEC RET", CLV_ESYNTAX, "blank" },
	{ "culvert://r?token=SECR\xc3\x89T", CLV_ESYNTAX, "blank" },
	{ "culvert://r?token=SECRET&token=SECRET", CLV_ESYNTAX, "two tokens" },
	{ "culvert://r?profile=&token=SECRET", CLV_ESYNTAX, "neither pqc nor hybrid" },
	{ "culvert://r?profile=hybrids&token=SECRET", CLV_ESYNTAX, "neither pqc nor hybrid" },
	{ "culvert://r?profile=pqc&profile=hybrid", CLV_ESYNTAX, "two profiles" },
	{ "culvert://r?token=SECRET&t%6Fken=x", CLV_ESYNTAX, "two tokens" },
	{ "culvert://r?token=", CLV_ESYNTAX, "token" },
	{ "culvert://r?token", CLV_ESYNTAX, "token" },
	{ "culvert://r?token=SECRET%0A", CLV_ESYNTAX, "token" },
	{ "culvert://r?token=SECRET%00", CLV_ESYNTAX, "token" },
	{ "culvert://r?token=SECRET%20x", CLV_ESYNTAX, "token" },
	{ "culvert://r?token=a=SECRET", CLV_ESYNTAX, "token" },
	{ "culvert://r?token=SECRET%", CLV_ESYNTAX, "token" },
	{ "culvert://r?" PIN "&" PIN, CLV_ESYNTAX, "two pins" },
	{ "culvert://r?pin=" HEX, CLV_ESYNTAX, "pin" },
	{ "culvert://r?pin=sha1:" HEX, CLV_ESYNTAX, "pin" },
	{ "culvert://r?pin=SHA256:" HEX, CLV_ESYNTAX, "pin" },
	{ "culvert://r?" PIN "0", CLV_ESYNTAX, "pin" },
	{ "culvert://r?pin=sha256:" L63 "g", CLV_ESYNTAX, "pin" },
	{ "culvert://r?pin=sha256:", CLV_ESYNTAX, "pin" },
	{ "culvert://r?pin=", CLV_ESYNTAX, "pin" },
	{ "culvert://r?%=1", CLV_ESYNTAX, "percent" },
};

static void what_is_no_link_is_refused_without_its_secret(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct clv_relay_link link, untouched;
		const char *why = NULL;

		memset(&link, 0x5a, sizeof(link));
		untouched = link;
		CHECK_ROW(bad[i].text,
			  parse(bad[i].text, strlen(bad[i].text), &link, &why) == bad[i].err);
		CHECK_ROW(bad[i].text, why && strstr(why, bad[i].why));
		CHECK_ROW(bad[i].text, !strstr(why, "SECR"));
		CHECK_ROW(bad[i].text, memcmp(&link, &untouched, sizeof(link)) == 0);
	}
}

static void a_link_that_is_cut_short_has_no_whole_pin_or_is_none(void **state)
{
	struct clv_relay_link link;
	const char *text = links[0].text;

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		const char *why = NULL;

		if (parse(text, len, &link, &why) != 0)
			assert_non_null(why);
		else if (link.has_pin)
			assert_true(len >= strlen("culvert://relay.example:443?" PIN));
	}
}

static void lengths_have_ceilings(void **state)
{
	static const char head[] = "culvert://r?token=", unknown[] = "culvert://r?x=";
	char text[CLV_RELAY_LINK_MAX + 2];
	struct clv_relay_link link;
	const char *why = NULL;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, head, strlen(head));
	assert_int_equal(parse(text, strlen(head) + CLV_RELAY_LINK_TOKEN_MAX, &link, &why), 0);
	assert_int_equal(strlen(link.token), CLV_RELAY_LINK_TOKEN_MAX);
	assert_int_equal(parse(text, strlen(head) + CLV_RELAY_LINK_TOKEN_MAX + 1, &link, &why),
			 CLV_ERANGE);
	assert_non_null(strstr(why, "token"));
	memset(text, 'a', sizeof(text));
	memcpy(text, unknown, strlen(unknown));
	assert_int_equal(parse(text, CLV_RELAY_LINK_MAX, &link, &why), 0);
	assert_int_equal(parse(text, CLV_RELAY_LINK_MAX + 1, &link, &why), CLV_ERANGE);
	assert_non_null(strstr(why, "too long"));
	memcpy(text, "culvert://r\0:1", 14);
	assert_int_equal(parse(text, 14, &link, &why), CLV_ESYNTAX);
}

static void links_are_written_in_one_form(void **state)
{
	struct clv_relay_link link = { .host = "2001:db8::1", .port = 4433, .has_pin = true };
	char text[CLV_RELAY_LINK_MAX];

	(void)state;
	for (int i = 0; i < 32; i++)
		link.pin[i] = (uint8_t)(i % 16 * 0x11);
	strcpy(link.token, "a-._~+/=");
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), 0);
	assert_string_equal(text, "culvert://[2001:db8::1]:4433?pin=sha256:" LOWER
				  "&token=a-._~%2B%2F%3D");
	assert_int_equal(clv_relay_link_format(&link, false, text, sizeof(text)), 0);
	assert_string_equal(text, "culvert://[2001:db8::1]:4433?pin=sha256:" LOWER);
	link.has_pin = false;
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), 0);
	assert_string_equal(text, "culvert://[2001:db8::1]:4433?token=a-._~%2B%2F%3D");
}

static void nothing_is_written_behind_the_room(void **state)
{
	struct clv_relay_link link = { .host = LONG, .port = 65535, .has_pin = true };
	char text[CLV_RELAY_LINK_MAX];
	size_t len;

	(void)state;
	memset(link.token, '+', CLV_RELAY_LINK_TOKEN_MAX);
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), 0);
	len = strlen(text);
	for (size_t room = 0; room <= len; room++) {
		char *exact = malloc(room ? room : 1);

		assert_int_equal(clv_relay_link_format(&link, true, exact, room), CLV_ERANGE);
		free(exact);
	}
	assert_int_equal(clv_relay_link_format(&link, true, text, len + 1), 0);
}

static void what_no_link_can_have_is_not_written(void **state)
{
	struct clv_relay_link link = { .host = "r", .port = 1 };
	char text[CLV_RELAY_LINK_MAX];

	(void)state;
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), 0);
	link.port = 0;
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), CLV_ESYNTAX);
	link.port = 1;
	strcpy(link.host, "a/b");
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), CLV_ESYNTAX);
	strcpy(link.host, "");
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), CLV_ESYNTAX);
	strcpy(link.host, "::1%eth0");
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), CLV_ESYNTAX);
	strcpy(link.host, "r");
	strcpy(link.token, "two words");
	assert_int_equal(clv_relay_link_format(&link, true, text, sizeof(text)), CLV_ESYNTAX);
	clv_relay_link_wipe(&link);
	assert_string_equal(link.token, "");
}

static void a_link_is_told_from_an_address(void **state)
{
	(void)state;
	assert_true(clv_relay_link_is("culvert://r"));
	assert_true(clv_relay_link_is("CULVERT:"));
	assert_false(clv_relay_link_is("culvert.example:443"));
	assert_false(clv_relay_link_is("culvert1:clv1"));
	assert_false(clv_relay_link_is(""));
}

static void a_link_names_the_profile_of_a_hybrid_listener(void **state)
{
	struct clv_relay_link link = { .host = "r", .port = 1, .token = "t" }, read;
	char text[CLV_RELAY_LINK_MAX];
	const char *why;

	(void)state;
	for (int hybrid = 0; hybrid < 2; hybrid++)
		for (int pin = 0; pin < 2; pin++)
			for (int with_token = 0; with_token < 2; with_token++) {
				link.has_profile = link.is_hybrid = hybrid;
				link.has_pin = pin;
				assert_int_equal(clv_relay_link_format(&link, with_token, text,
								       sizeof(text)),
						 0);
				assert_int_equal(!!strstr(text, "profile=hybrid"), hybrid);
				assert_int_equal(
					clv_relay_link_parse(text, strlen(text), &read, &why), 0);
				assert_int_equal(read.is_hybrid, hybrid);
				assert_int_equal(read.has_pin, pin);
				assert_string_equal(read.token, with_token ? "t" : "");
			}
	assert_int_equal(clv_relay_link_parse("culvert://r?p%72ofile=h%79brid", 30, &read, &why),
			 0);
	assert_true(read.is_hybrid);
	assert_int_equal(clv_relay_link_parse("culvert://r?profile=pqc", 23, &read, &why), 0);
	assert_false(read.is_hybrid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_names_the_profile_of_a_hybrid_listener),
		CASE("links are read and come back", links_are_read_and_come_back),
		CASE("what is no link is refused without its secret",
		     what_is_no_link_is_refused_without_its_secret),
		CASE("a link that is cut short has no whole pin or is none",
		     a_link_that_is_cut_short_has_no_whole_pin_or_is_none),
		CASE("lengths have ceilings", lengths_have_ceilings),
		CASE("links are written in one form", links_are_written_in_one_form),
		CASE("nothing is written behind the room", nothing_is_written_behind_the_room),
		CASE("what no link can have is not written", what_no_link_can_have_is_not_written),
		CASE("a link is told from an address", a_link_is_told_from_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
