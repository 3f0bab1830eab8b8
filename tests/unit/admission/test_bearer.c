/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/admission/base64.h"
#include "control/admission/bearer.h"
#include "control/admission/mac.h"
#include "datapath/base/err.h"

#define ISSUED	1700000000
#define EXPIRES 1800000000

/* Made with Python's hmac, hashlib and base64, with the key 00 01 02 ... 1f. */
static const char alice_text[] =
	"clvt1.AQVhbGljZQAAAABlU_EAAAAAAGtJ0gABAAAAAAAAAAgEAAAAAAAAABQFAAAAAlQL5AA."
	"BJBbZQikFi45bDstSifCfBfyXBuYceYcXriCAvHwY1s";
static const char default_text[] =
	"clvt1.AQdkZWZhdWx0AAAAAGVT8QAAAAAAAAAAAA.o6AmIkVt_MV0-prhybCO6OKEtq1EhRwOpgm9RX1vdW8";

static uint8_t key[CLV_BEARER_KEY_LEN];
static struct clv_bearer alice, everybody;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	memset(&alice, 0, sizeof(alice));
	strcpy(alice.name, "alice");
	alice.issued_sec = ISSUED;
	alice.expires_sec = EXPIRES;
	clv_client_limits_parse("tunnels=8 mbit=20 bytes=10G", 27, &alice.limits, NULL);
	memset(&everybody, 0, sizeof(everybody));
	strcpy(everybody.name, "default");
	everybody.issued_sec = ISSUED;
	clv_client_limits_init(&everybody.limits);
	return 0;
}

/* Verify a copy in a block of exactly its size, for a sanitizer. */
static enum clv_bearer_verdict verify(const char *text, size_t len, uint64_t wall_sec,
				      struct clv_bearer *out)
{
	char *exact = malloc(len ? len : 1);
	enum clv_bearer_verdict verdict;

	memcpy(exact, text, len);
	verdict = clv_bearer_verify(key, exact, len, wall_sec, out);
	free(exact);
	return verdict;
}

static void tokens_are_made_as_the_vectors(void **state)
{
	char text[CLV_BEARER_TEXT_MAX];

	(void)state;
	assert_int_equal(clv_bearer_make(key, &alice, text), 0);
	assert_string_equal(text, alice_text);
	assert_int_equal(clv_bearer_make(key, &everybody, text), 0);
	assert_string_equal(text, default_text);
}

static void a_token_carries_its_name_times_and_limits(void **state)
{
	struct clv_bearer out;

	(void)state;
	memset(&out, 0, sizeof(out));
	assert_int_equal(verify(alice_text, strlen(alice_text), ISSUED, &out), CLV_BEARER_VALID);
	assert_memory_equal(&out, &alice, sizeof(out));
	assert_int_equal(verify(default_text, strlen(default_text), UINT64_MAX, &out),
			 CLV_BEARER_VALID);
	assert_memory_equal(&out, &everybody, sizeof(out));
}

static void a_token_is_valid_from_a_minute_before_it_was_issued_until_it_expires(void **state)
{
	static const struct {
		uint64_t wall_sec;
		enum clv_bearer_verdict verdict;
	} times[] = {
		{ 0, CLV_BEARER_EARLY },
		{ ISSUED - CLV_BEARER_SKEW_SEC - 1, CLV_BEARER_EARLY },
		{ ISSUED - CLV_BEARER_SKEW_SEC, CLV_BEARER_VALID },
		{ ISSUED, CLV_BEARER_VALID },
		{ EXPIRES - 1, CLV_BEARER_VALID },
		{ EXPIRES, CLV_BEARER_EXPIRED },
		{ UINT64_MAX, CLV_BEARER_EXPIRED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(times); i++) {
		struct clv_bearer out = { .name = "" };

		assert_int_equal(verify(alice_text, strlen(alice_text), times[i].wall_sec, &out),
				 times[i].verdict);
		assert_string_equal(out.name, "alice"); /* the key made it, in time or not */
	}
}

static void a_token_that_differs_anywhere_is_refused(void **state)
{
	struct clv_bearer out = { .name = "untouched" };
	char changed[sizeof(alice_text)];

	(void)state;
	for (size_t i = 0; i < sizeof(alice_text) - 1; i++)
		for (int c = 0; c < 256; c++) {
			memcpy(changed, alice_text, sizeof(changed));
			changed[i] = (char)c;
			if (changed[i] != alice_text[i])
				assert_int_not_equal(
					verify(changed, strlen(alice_text), ISSUED, &out),
					CLV_BEARER_VALID);
		}
	assert_string_equal(out.name, "untouched");
}

static void a_token_of_any_other_length_is_refused(void **state)
{
	char longer[2 * CLV_BEARER_TEXT_MAX];
	struct clv_bearer out = { .name = "untouched" };

	(void)state;
	for (size_t len = 0; len < strlen(alice_text); len++)
		assert_int_not_equal(verify(alice_text, len, ISSUED, &out), CLV_BEARER_VALID);
	memset(longer, 'A', sizeof(longer));
	memcpy(longer, alice_text, strlen(alice_text));
	for (size_t len = strlen(alice_text) + 1; len <= sizeof(longer); len++)
		assert_int_not_equal(verify(longer, len, ISSUED, &out), CLV_BEARER_VALID);
	assert_string_equal(out.name, "untouched");
}

static void another_key_makes_no_valid_token(void **state)
{
	struct clv_bearer out;

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++) {
		key[i] ^= 0x80;
		assert_int_equal(verify(alice_text, strlen(alice_text), ISSUED, &out),
				 CLV_BEARER_FORGED);
		key[i] ^= 0x80;
	}
}

/* Payloads that the key signs, but that are none of this version. */
static const struct {
	const char *what;
	const char *hex;
} payloads[] = {
	{ "empty", "" },
	{ "version 0", "00 0161 0000000000000001 0000000000000000" },
	{ "version 2", "02 0161 0000000000000001 0000000000000000" },
	{ "no name", "01 00 0000000000000001 0000000000000000" },
	{ "name with a capital", "01 0141 0000000000000001 0000000000000000" },
	{ "name beyond the end", "01 40 61 0000000000000001 0000000000000000" },
	{ "expires missing", "01 0161 0000000000000001" },
	{ "expires cut", "01 0161 0000000000000001 00000000000000" },
	{ "expires before it is issued", "01 0161 0000000000000002 0000000000000001" },
	{ "limit cut", "01 0161 0000000000000001 0000000000000000 04 00000000000000" },
	{ "unknown limit", "01 0161 0000000000000001 0000000000000000 06 0000000000000001" },
	{ "limit too great", "01 0161 0000000000000001 0000000000000000 04 00000000000f4241" },
	{ "limit unlimited", "01 0161 0000000000000001 0000000000000000 04 ffffffffffffffff" },
	{ "limit twice",
	  "01 0161 0000000000000001 0000000000000000 04 0000000000000001 04 0000000000000001" },
	{ "limits out of order",
	  "01 0161 0000000000000001 0000000000000000 04 0000000000000001 01 0000000000000001" },
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (unsigned byte; *hex; hex += *hex == ' ' ? 1 : 2)
		if (*hex != ' ' && sscanf(hex, "%2x", &byte) == 1)
			out[n++] = (uint8_t)byte;
	return n;
}

static enum clv_bearer_verdict verify_payload(const char *hex)
{
	uint8_t payload[64], mac[CLV_MAC_LEN];
	char text[2 * CLV_BEARER_TEXT_MAX] = "clvt1.";
	size_t len = strlen(text);
	struct clv_bearer out;

	len += clv_base64_encode(CLV_BASE64_URL, payload, unhex(hex, payload), text + len);
	assert_int_equal(clv_mac(key, text, len, mac), 0);
	text[len++] = '.';
	len += clv_base64_encode(CLV_BASE64_URL, mac, sizeof(mac), text + len);
	return verify(text, len, 100, &out);
}

static void what_this_version_does_not_know_is_malformed_even_when_it_is_signed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(payloads); i++)
		CHECK_ROW(payloads[i].what,
			  verify_payload(payloads[i].hex) == CLV_BEARER_MALFORMED);
	assert_int_equal(verify_payload("01 0161 0000000000000001 0000000000000000 04 "
					"0000000000000001"),
			 CLV_BEARER_VALID);
}

static void the_longest_token_fits(void **state)
{
	struct clv_bearer longest = { .issued_sec = UINT64_MAX, .expires_sec = UINT64_MAX }, out;
	char text[CLV_BEARER_TEXT_MAX];

	(void)state;
	memset(&out, 0, sizeof(out));
	memset(longest.name, 'n', CLV_CLIENT_NAME_MAX);
	assert_int_equal(clv_bearer_make(key, &longest, text), 0);
	assert_int_equal(verify(text, strlen(text), UINT64_MAX - 1, &out), CLV_BEARER_VALID);
	assert_memory_equal(&out, &longest, sizeof(out));
}

static void what_no_token_can_carry_is_refused(void **state)
{
	char text[CLV_BEARER_TEXT_MAX];
	struct clv_bearer b;

	(void)state;
	b = alice;
	b.name[0] = 'A';
	assert_int_equal(clv_bearer_make(key, &b, text), CLV_ERANGE);
	b.name[0] = '\0';
	assert_int_equal(clv_bearer_make(key, &b, text), CLV_ERANGE);
	memset(b.name, 'n', sizeof(b.name)); /* without a closing zero */
	assert_int_equal(clv_bearer_make(key, &b, text), CLV_ERANGE);
	b = alice;
	b.expires_sec = b.issued_sec - 1;
	assert_int_equal(clv_bearer_make(key, &b, text), CLV_ERANGE);
	b = alice;
	b.limits.of[CLV_LIMIT_MBIT] = 1000001;
	assert_int_equal(clv_bearer_make(key, &b, text), CLV_ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("tokens are made as the vectors", tokens_are_made_as_the_vectors),
		CASE("a token carries its name, times and limits",
		     a_token_carries_its_name_times_and_limits),
		CASE("a token is valid from a minute before it was issued until it expires",
		     a_token_is_valid_from_a_minute_before_it_was_issued_until_it_expires),
		CASE("a token that differs anywhere is refused",
		     a_token_that_differs_anywhere_is_refused),
		CASE("a token of any other length is refused",
		     a_token_of_any_other_length_is_refused),
		CASE("another key makes no valid token", another_key_makes_no_valid_token),
		CASE("what this version does not know is malformed even when it is signed",
		     what_this_version_does_not_know_is_malformed_even_when_it_is_signed),
		CASE("the longest token fits", the_longest_token_fits),
		CASE("what no token can carry is refused", what_no_token_can_carry_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
