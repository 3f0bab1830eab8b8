/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/admission/password.h"
#include "control/admission/users.h"
#include "datapath/base/err.h"

#define ALICE "clv14oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbkq"
#define BOB   "clv1ripdoydsxsqhvqsmufzduijk55gbmdanrwsuuftssxci6wxoh26q"
#define HASH  "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define HASH2 "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"

static const uint64_t seed[2] = { 7, 11 };

/* Parse a copy in a block of exactly its size, which is freed before users are looked at. */
static int parse(const char *text, size_t len, struct clv_users **users, char error[static 300])
{
	char *exact = malloc(len ? len : 1);
	int err;

	memcpy(exact, text, len);
	*error = '\0';
	err = clv_users_parse("file", exact, len, seed, users, error, 300);
	memset(exact, 0xee, len);
	free(exact);
	return err;
}

static const struct clv_user *find(const struct clv_users *users, const char *name)
{
	return clv_users_find(users, name, strlen(name));
}

static const char file[] = "# who may come in\n"
			   "\n"
			   "alice\tpassword=" HASH " key=" ALICE "  mbit=20 tunnels=8 # the first\n"
			   "bob.2-x_ ca=" BOB " expires=2027-01-31\n"
			   "   carol revoked=1700000000   \n"
			   "\t # password=none\n"
			   "dave\n"
			   "fred revoked=1700000000 mbit=unlimited\n"
			   "eve revoked=1700000000 bytes=10G password=" HASH2;

static void a_file_is_read_and_its_users_are_found(void **state)
{
	const struct clv_user *alice, *bob, *carol, *dave, *eve, *fred, *all;
	struct clv_identity id;
	struct clv_users *users;
	char error[300];

	(void)state;
	assert_int_equal(parse(file, sizeof(file) - 1, &users, error), 0);
	assert_int_equal(clv_users_all(users, &all), 6);
	alice = find(users, "alice");
	bob = find(users, "bob.2-x_");
	carol = find(users, "carol");
	dave = find(users, "dave");
	eve = find(users, "eve");
	fred = find(users, "fred");

	assert_ptr_equal(alice, all);
	assert_string_equal(alice->name, "alice");
	assert_string_equal(alice->password, HASH);
	assert_true(alice->has_key && !alice->has_ca);
	assert_int_equal(alice->expires_sec, 0);
	assert_int_equal(alice->line, 3);
	assert_int_equal(alice->limits.of[CLV_LIMIT_MBIT], 20);
	assert_int_equal(alice->limits.of[CLV_LIMIT_TUNNELS], 8);
	assert_true(alice->limits.of[CLV_LIMIT_CONNS] == CLV_UNLIMITED);

	assert_null(bob->password);
	assert_true(!bob->has_key && bob->has_ca);
	assert_int_equal(bob->expires_sec, 1801353600);
	assert_int_equal(carol->revoked_sec, 1700000000);
	assert_true(clv_user_is_tombstone(carol));
	assert_false(clv_user_is_tombstone(dave));
	assert_false(clv_user_is_tombstone(eve));
	assert_false(clv_user_is_tombstone(fred));
	assert_int_equal(dave->line, 7);
	assert_string_equal(eve->password, HASH2);
	assert_true(eve->limits.of[CLV_LIMIT_BYTES] == UINT64_C(10000000000));

	assert_int_equal(clv_identity_parse(ALICE, strlen(ALICE), &id), 0);
	assert_ptr_equal(clv_users_find_key(users, &id), alice);
	assert_null(clv_users_find_ca(users, &id));
	assert_int_equal(clv_identity_parse(BOB, strlen(BOB), &id), 0);
	assert_ptr_equal(clv_users_find_ca(users, &id), bob);
	assert_null(clv_users_find_key(users, &id));

	assert_null(find(users, "Alice"));
	assert_null(find(users, "alic"));
	assert_null(find(users, "alice2"));
	assert_null(find(users, ""));
	assert_null(clv_users_find(users, "alice", 500)); /* longer than any name: not read */
	clv_users_free(users);
}

static void no_file_has_no_users(void **state)
{
	const struct clv_user *all;
	struct clv_users *users;
	struct clv_identity id;
	char error[300];

	(void)state;
	memset(&id, 0, sizeof(id));
	assert_null(find(NULL, "alice"));
	assert_null(clv_users_find_key(NULL, &id));
	assert_null(clv_users_find_ca(NULL, &id));
	assert_int_equal(clv_users_all(NULL, &all), 0);
	assert_ptr_equal(clv_users_any_password(NULL, 5), clv_password_dummy);
	clv_users_free(NULL);
	assert_int_equal(parse("", 0, &users, error), 0);
	assert_int_equal(clv_users_all(users, &all), 0);
	assert_null(find(users, "alice"));
	assert_ptr_equal(clv_users_any_password(users, 5), clv_password_dummy);
	clv_users_free(users);
}

static void an_unknown_name_gets_a_hash_of_the_file(void **state)
{
	unsigned first = 0, second = 0;
	struct clv_users *users;
	char error[300];

	(void)state;
	assert_int_equal(parse(file, sizeof(file) - 1, &users, error), 0);
	for (uint64_t choice = 0; choice < 100; choice++) {
		const char *hash = clv_users_any_password(users, choice * choice + UINT64_MAX / 3);

		first += !strcmp(hash, HASH);
		second += !strcmp(hash, HASH2);
	}
	assert_true(first && second);
	assert_int_equal(first + second, 100);
	clv_users_free(users);
}

#define L64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *text;
	const char *error; /* its beginning */
} bad[] = {
	{ "Alice", "file:1: the name" },
	{ "-a", "file:1: the name" },
	{ L64 "a", "file:1: the name" },
	{ "a:b", "file:1: the name" },
	{ "mbit=20", "file:1: the name" },
	{ "\n\na SECRET", "file:3: a word after" },
	{ "a SECRET=x", "file:1: unknown word" },
	{ "a =x", "file:1: unknown word" },
	{ "a Password=" HASH, "file:1: unknown word" },
	{ "a mbit=1 mbit=2", "file:1: a limit is given twice" },
	{ "a mbit=x", "file:1: a limit is not" },
	{ "a mbit=99999999", "file:1: a limit is too large" },
	{ "a password=SECRET", "file:1: the password" },
	{ "a password=", "file:1: the password" },
	{ "a password=" HASH " password=" HASH, "file:1: a word is given twice" },
	{ "a key=" BOB " key=" ALICE, "file:1: a word is given twice" },
	{ "a ca=" BOB " ca=" ALICE, "file:1: a word is given twice" },
	{ "a revoked=1 revoked=2", "file:1: a word is given twice" },
	{ "a expires=2027-01-31 expires=2027-01-31", "file:1: a word is given twice" },
	{ "a key=clv1", "file:1: the key" },
	{ "a ca=SECRET", "file:1: the CA" },
	{ "a expires=SECRET", "file:1: the date" },
	{ "a expires=1970-01-01", "file:1: the date" },
	{ "a revoked=", "file:1: revoked" },
	{ "a revoked=0", "file:1: revoked" },
	{ "a revoked=-1", "file:1: revoked" },
	{ "a revoked=1234567890123", "file:1: revoked" },
	{ "a\n#\na", "file:3: duplicate name, also on line 1" },
	{ "a key=" BOB "\nb key=" BOB, "file:2: duplicate key, also on line 1" },
	{ "a ca=" BOB "\nb ca=" BOB, "file:2: duplicate CA, also on line 1" },
	{ "a\r\n", "file:1: a character" },
	{ "a m\xc3\xa4 ", "file:1: a character" },
	{ "a\x01", "file:1: a character" },
	{ "a\x7f", "file:1: a character" },
};

static void errors_name_the_line_and_quote_nothing(void **state)
{
	struct clv_users *const untouched = (struct clv_users *)&bad, *users;
	char error[300];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		users = untouched;
		CHECK_ROW(bad[i].text,
			  parse(bad[i].text, strlen(bad[i].text), &users, error) == CLV_ESYNTAX);
		CHECK_ROW(bad[i].text, strstr(error, bad[i].error) == error);
		CHECK_ROW(bad[i].text, !strstr(error, "SECRET") && !strchr(error, '\n'));
		CHECK_ROW(bad[i].text, users == untouched);
	}
	assert_int_equal(parse("a\0b\n", 4, &users, error), CLV_ESYNTAX);
	assert_string_equal(error, "file:1: a character is not printable ASCII");
}

static void comments_may_have_any_text(void **state)
{
	static const char text[] = "# \xc3\xa4 \x01 password=x\r\na # b=\xff c\na2#b=x\n";
	struct clv_users *users;
	char error[300];

	(void)state;
	assert_int_equal(parse(text, sizeof(text) - 1, &users, error), CLV_ESYNTAX);
	assert_ptr_equal(strstr(error, "file:3: the name"), error); /* '#' within a word */
	assert_int_equal(parse(text, sizeof(text) - 1 - strlen("a2#b=x\n"), &users, error), 0);
	assert_non_null(find(users, "a"));
	clv_users_free(users);
}

static void a_file_that_is_cut_short_is_read_or_an_error(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(file); len++) {
		struct clv_users *users;
		char error[300];
		int err = parse(file, len, &users, error);

		if (!err) {
			assert_string_equal(error, "");
			clv_users_free(users);
		} else {
			assert_int_equal(err, CLV_ESYNTAX);
			assert_ptr_equal(strstr(error, "file:"), error);
		}
	}
}

static void lines_users_and_files_have_ceilings(void **state)
{
	char line[CLV_USERS_LINE_MAX + 2], error[300];
	struct clv_users *users;
	const struct clv_user *all;
	size_t len = 0, room = (CLV_USERS_MAX + 1) * 8;
	char *text = malloc(room + 1);

	(void)state;
	memset(line, ' ', sizeof(line));
	line[0] = 'a';
	assert_int_equal(parse(line, CLV_USERS_LINE_MAX, &users, error), 0);
	clv_users_free(users);
	assert_int_equal(parse(line, CLV_USERS_LINE_MAX + 1, &users, error), CLV_EFULL);
	assert_string_equal(error, "file:1: the line is too long");

	for (int i = 0; i <= CLV_USERS_MAX; i++)
		len += (size_t)snprintf(text + len, room + 1 - len, "u%06d\n", i);
	assert_int_equal(parse(text, len - 8, &users, error), 0);
	assert_int_equal(clv_users_all(users, &all), CLV_USERS_MAX);
	for (int i = 0; i < CLV_USERS_MAX; i += 101) {
		char name[16];

		snprintf(name, sizeof(name), "u%06d", i);
		assert_int_equal(find(users, name)->line, i + 1);
	}
	clv_users_free(users);
	assert_int_equal(parse(text, len, &users, error), CLV_EFULL);
	assert_string_equal(error, "file:65537: too many users");
	free(text);

	text = calloc(1, CLV_USERS_BYTES_MAX + 1);
	memset(text, '\n', CLV_USERS_BYTES_MAX + 1);
	assert_int_equal(parse(text, CLV_USERS_BYTES_MAX, &users, error), 0);
	clv_users_free(users);
	assert_int_equal(parse(text, CLV_USERS_BYTES_MAX + 1, &users, error), CLV_EFULL);
	assert_non_null(strstr(error, "longer than"));
	free(text);
}

static void a_file_is_loaded_from_the_disk(void **state)
{
	char path[] = "/tmp/clv-test-users-XXXXXX", error[300] = "";
	struct clv_users *users;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, sizeof(file) - 1), (ssize_t)sizeof(file) - 1);
	assert_int_equal(clv_users_load(path, seed, &users, error, sizeof(error)), 0);
	assert_non_null(find(users, "eve"));
	clv_users_free(users);
	assert_int_equal(write(fd, "\nx x", 4), 4);
	assert_int_equal(clv_users_load(path, seed, &users, error, sizeof(error)), CLV_ESYNTAX);
	assert_ptr_equal(strstr(error, path), error);
	close(fd);
	unlink(path);
	assert_int_equal(clv_users_load(path, seed, &users, error, sizeof(error)), -ENOENT);
	assert_ptr_equal(strstr(error, path), error);
	assert_int_equal(clv_users_load("/tmp", seed, &users, error, sizeof(error)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a file is read and its users are found",
		     a_file_is_read_and_its_users_are_found),
		CASE("no file has no users", no_file_has_no_users),
		CASE("an unknown name gets a hash of the file",
		     an_unknown_name_gets_a_hash_of_the_file),
		CASE("errors name the line and quote nothing",
		     errors_name_the_line_and_quote_nothing),
		CASE("comments may have any text", comments_may_have_any_text),
		CASE("a file that is cut short is read or an error",
		     a_file_that_is_cut_short_is_read_or_an_error),
		CASE("lines, users and files have ceilings", lines_users_and_files_have_ceilings),
		CASE("a file is loaded from the disk", a_file_is_loaded_from_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
