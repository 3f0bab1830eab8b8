/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "control/admission/password.h"
#include "datapath/base/err.h"

/* Of the reference implementation's own tests: the password is "password". */
static const char *const known[] = {
	"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
};

static void the_vectors_are_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		CHECK_ROW(known[i], clv_password_is_hash(known[i], strlen(known[i])));
		CHECK_ROW(known[i], clv_password_check(known[i], "password", 8) == 0);
		CHECK_ROW(known[i], clv_password_check(known[i], "Password", 8) == CLV_EDENIED);
		CHECK_ROW(known[i], clv_password_check(known[i], "password", 7) == CLV_EDENIED);
		CHECK_ROW(known[i], clv_password_check(known[i], "", 0) == CLV_EDENIED);
	}
}

static void a_new_hash_takes_its_password_and_no_other(void **state)
{
	uint8_t salt[CLV_PASSWORD_SALT_LEN];
	char hash[CLV_PASSWORD_TEXT_MAX], other[CLV_PASSWORD_TEXT_MAX],
		longest[CLV_PASSWORD_MAX + 1];

	(void)state;
	memset(salt, 0xa5, sizeof(salt));
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(clv_password_hash("p\xc3\xa4ss: word", 11, salt, hash), 0);
	assert_ptr_equal(strstr(hash, "$argon2id$v=19$m=19456,t=2,p=1$"), hash);
	assert_true(clv_password_is_hash(hash, strlen(hash)));
	assert_int_equal(clv_password_check(hash, "p\xc3\xa4ss: word", 11), 0);
	assert_int_equal(clv_password_check(hash, "pass: word", 10), CLV_EDENIED);

	salt[0] ^= 1;
	assert_int_equal(clv_password_hash("p\xc3\xa4ss: word", 11, salt, other), 0);
	assert_string_not_equal(hash, other);
	assert_int_equal(clv_password_hash(longest, CLV_PASSWORD_MAX, salt, hash), 0);
	assert_int_equal(clv_password_check(hash, longest, CLV_PASSWORD_MAX), 0);
	assert_int_equal(clv_password_hash(longest, CLV_PASSWORD_MAX + 1, salt, hash), CLV_ERANGE);
	assert_int_equal(clv_password_hash("", 0, salt, hash), CLV_ERANGE);
}

static void the_dummy_costs_what_a_new_hash_costs(void **state)
{
	uint8_t salt[CLV_PASSWORD_SALT_LEN] = { 0 };
	char hash[CLV_PASSWORD_TEXT_MAX];

	(void)state;
	assert_int_equal(clv_password_hash("x", 1, salt, hash), 0);
	assert_int_equal(strlen(hash), strlen(clv_password_dummy));
	assert_memory_equal(hash, clv_password_dummy, strlen("$argon2id$v=19$m=19456,t=2,p=1$"));
	assert_int_equal(clv_password_check(clv_password_dummy, "x", 1), CLV_EDENIED);
}

#define SALT "c29tZXNhbHQ"
#define HASH "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

static const struct {
	const char *text;
	bool is_hash;
} hashes[] = {
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "$" HASH, true },
	{ "$argon2id$v=19$m=65536,t=4,p=4$" SALT "$" HASH, true },
	{ "$argon2id$v=19$m=65536,t=5,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=65537,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=32768,p=1$" SALT "$" HASH, true },
	{ "$argon2id$v=19$m=8,t=32769,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=999999,t=999999,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=4294967304,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=64,t=1,p=5$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=15,t=1,p=2$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=7,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=0,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=0,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1,p=0$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=08,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1,p=1,x=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$t=1,m=8,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1$" SALT "$" HASH, false },
	{ "$argon2id$v=16$m=8,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$m=8,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2i$v=19$m=8,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2d$v=19$m=8,t=1,p=1$" SALT "$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1,p=1$c29tZXM$" HASH, false }, /* salts have 8 bytes */
	{ "$argon2id$v=19$m=8,t=1,p=1$$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "=$" HASH, false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "$", false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT, false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "$c29tZXNhbHQ", false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "$" HASH "$", false },
	{ "$argon2id$v=19$m=8,t=1,p=1$" SALT "$" HASH HASH HASH, false },
	{ "$2y$10$abcdefghijklmnopqrstuv", false },
	{ "", false },
};

static void only_hashes_of_a_bearable_cost_are_taken(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(hashes); i++) {
		size_t len = strlen(hashes[i].text);
		char *exact = malloc(len + 1);

		memcpy(exact, hashes[i].text, len);
		CHECK_ROW(hashes[i].text, clv_password_is_hash(exact, len) == hashes[i].is_hash);
		free(exact);
		if (!hashes[i].is_hash)
			CHECK_ROW(hashes[i].text,
				  clv_password_check(hashes[i].text, "x", 1) == CLV_ESYNTAX);
	}
}

static void a_hash_that_is_cut_short_is_none_or_another(void **state)
{
	const char *text = known[1];

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		char *cut = malloc(len + 1);

		memcpy(cut, text, len);
		cut[len] = '\0';
		assert_int_not_equal(clv_password_check(cut, "password", 8), 0);
		free(cut);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("the vectors are checked", the_vectors_are_checked),
		CASE("a new hash takes its password and no other",
		     a_new_hash_takes_its_password_and_no_other),
		CASE("the dummy costs what a new hash costs",
		     the_dummy_costs_what_a_new_hash_costs),
		CASE("only hashes of a bearable cost are taken",
		     only_hashes_of_a_bearable_cost_are_taken),
		CASE("a hash that is cut short is none, or another",
		     a_hash_that_is_cut_short_is_none_or_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
