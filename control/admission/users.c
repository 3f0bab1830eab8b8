/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/users.h"

#include "control/admission/atomic_file.h"
#include "control/admission/password.h"
#include "control/admission/utc_date.h"
#include "datapath/base/err.h"
#include "datapath/base/table.h"
#include "datapath/base/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECONDS_DIGITS_MAX = 12,
};

struct clv_users {
	struct clv_user *users;
	size_t len;
	uint32_t *with_password; /* places in users */
	size_t with_password_len;
	char *passwords; /* the hashes, each with its closing zero */
	size_t passwords_len;
	struct clv_table by_name, by_key, by_ca; /* to a place in users */
};

/* Words that a line has had so far. */
enum seen {
	SEEN_PASSWORD = 1 << 0,
	SEEN_KEY = 1 << 1,
	SEEN_CA = 1 << 2,
	SEEN_EXPIRES = 1 << 3,
	SEEN_REVOKED = 1 << 4,
};

struct line {
	const char *text;
	size_t len;
};

/* Take the next line from text[*at..len), without its line feed. */
static bool next_line(const char *text, size_t len, size_t *at, struct line *line)
{
	const char *end;

	if (*at >= len)
		return false;
	line->text = text + *at;
	end = memchr(line->text, '\n', len - *at);
	line->len = end ? (size_t)(end - line->text) : len - *at;
	*at += line->len + (end ? 1 : 0);
	return true;
}

/* Cut off the comment.  Returns whether the line still has a word. */
static bool has_user(struct line *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (line->text[i] == '#' && (i == 0 || clv_words_is_blank(line->text[i - 1])))
			line->len = i;
	for (size_t i = 0; i < line->len; i++)
		if (!clv_words_is_blank(line->text[i]))
			return true;
	return false;
}

static bool is_key(const char *word, size_t key_len, const char *key)
{
	return strlen(key) == key_len && memcmp(word, key, key_len) == 0;
}

static bool read_seconds(const char *text, size_t len, uint64_t *sec)
{
	uint64_t value = 0;

	if (!len || len > SECONDS_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*sec = value;
	return value > 0;
}

/* Copy the hash of a password.  Returns NULL, or what is wrong with it. */
static const char *take_password(struct clv_users *users, struct clv_user *user, const char *value,
				 size_t len)
{
	char *kept = users->passwords + users->passwords_len;

	if (!clv_password_is_hash(value, len))
		return "the password is not an Argon2id hash of acceptable cost";
	memcpy(kept, value, len);
	kept[len] = '\0';
	users->passwords_len += len + 1;
	user->password = kept;
	return NULL;
}

/* Read one word after a name.  Returns NULL, or what is wrong with it. */
static const char *read_word(struct clv_users *users, struct clv_user *user, unsigned *seen,
			     unsigned *seen_limits, const char *word, size_t len)
{
	const char *equals = memchr(word, '=', len), *value, *why = NULL;
	unsigned had = *seen;
	size_t key_len, value_len;

	if (!equals)
		return "a word after the name is not KEY=VALUE";
	key_len = (size_t)(equals - word);
	value = equals + 1;
	value_len = len - key_len - 1;

	if (is_key(word, key_len, "password")) {
		*seen |= SEEN_PASSWORD;
		if (!(had & SEEN_PASSWORD))
			why = take_password(users, user, value, value_len);
	} else if (is_key(word, key_len, "key")) {
		*seen |= SEEN_KEY;
		user->has_key = true;
		if (clv_identity_parse(value, value_len, &user->key) < 0)
			why = "the key is not an identity, clv1 and 52 characters";
	} else if (is_key(word, key_len, "ca")) {
		*seen |= SEEN_CA;
		user->has_ca = true;
		if (clv_identity_parse(value, value_len, &user->ca) < 0)
			why = "the CA is not an identity, clv1 and 52 characters";
	} else if (is_key(word, key_len, "expires")) {
		*seen |= SEEN_EXPIRES;
		if (clv_utc_date_parse(value, value_len, &user->expires_sec) < 0 ||
		    !user->expires_sec)
			why = "the date is neither like 2027-01-31 nor like 2027-01-31T12:00:00Z";
	} else if (is_key(word, key_len, "revoked")) {
		*seen |= SEEN_REVOKED;
		if (!read_seconds(value, value_len, &user->revoked_sec))
			why = "revoked is not a number of seconds since 1970";
	} else {
		if (clv_client_limits_read_word(&user->limits, seen_limits, word, len, &why) ==
		    -ENOENT)
			why = "unknown word";
		return why;
	}
	return *seen == had ? "a word is given twice" : why;
}

/* Read a line's user.  Returns NULL, or what is wrong with it. */
static const char *read_user(struct clv_users *users, const struct line *line,
			     struct clv_user *user)
{
	struct clv_words words = { line->text, line->text + line->len };
	unsigned seen = 0, seen_limits = 0;
	const char *word, *why = NULL;
	size_t len;

	*user = (struct clv_user){ .line = user->line };
	clv_client_limits_init(&user->limits);
	for (size_t i = 0; i < line->len; i++)
		if (line->text[i] != '\t' && (line->text[i] < ' ' || line->text[i] > '~'))
			return "a character is not printable ASCII";
	if (!clv_words_next(&words, &word, &len) || !clv_client_name_valid(word, len))
		return "the name is not 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter "
		       "or digit";
	memcpy(user->name, word, len);
	while (!why && clv_words_next(&words, &word, &len))
		why = read_word(users, user, &seen, &seen_limits, word, len);
	user->is_tombstone = seen == SEEN_REVOKED && !seen_limits;
	return why;
}

/* The key of a name in the table. */
static void name_key(const char *name, size_t len, char key[static CLV_CLIENT_NAME_MAX])
{
	memset(key, 0, CLV_CLIENT_NAME_MAX);
	memcpy(key, name, len);
}

/* Index the user to be added.  Returns false when the key is taken, with its user in *other. */
static bool enter(struct clv_users *users, struct clv_table *table, const void *key,
		  uint64_t *other)
{
	if (clv_table_find(table, key, other))
		return false;
	clv_table_insert(table, key, users->len); /* there is room for every user */
	return true;
}

/* Add the user that was read at the end of users.  Returns NULL, or what is wrong with it. */
static const char *add_user(struct clv_users *users, uint64_t *other)
{
	const struct clv_user *user = &users->users[users->len];
	char key[CLV_CLIENT_NAME_MAX];

	name_key(user->name, strlen(user->name), key);
	if (!enter(users, &users->by_name, key, other))
		return "name";
	if (user->has_key && !enter(users, &users->by_key, user->key.bytes, other))
		return "key";
	if (user->has_ca && !enter(users, &users->by_ca, user->ca.bytes, other))
		return "CA";
	if (user->password)
		users->with_password[users->with_password_len++] = (uint32_t)users->len;
	users->len++;
	return NULL;
}

/* Allocate room for all users of the text.  Returns 0 or -ENOMEM. */
static int reserve(struct clv_users *users, size_t count, size_t text_len, const uint64_t seed[2])
{
	users->users = calloc(count + 1, sizeof(*users->users));
	users->with_password = calloc(count + 1, sizeof(*users->with_password));
	users->passwords = malloc(text_len + 1);
	if (!users->users || !users->with_password || !users->passwords ||
	    clv_table_init(&users->by_name, CLV_CLIENT_NAME_MAX, count + 1, seed) ||
	    clv_table_init(&users->by_key, CLV_IDENTITY_LEN, count + 1, seed) ||
	    clv_table_init(&users->by_ca, CLV_IDENTITY_LEN, count + 1, seed))
		return -ENOMEM;
	return 0;
}

/* Count the users.  Returns 0 or CLV_EFULL, with *number at the line. */
static int count_users(const char *text, size_t len, size_t *count, unsigned *number,
		       const char **why)
{
	struct line line;
	size_t at = 0;

	*why = NULL;
	for (*number = 1, *count = 0; next_line(text, len, &at, &line); ++*number) {
		if (line.len > CLV_USERS_LINE_MAX)
			*why = "the line is too long";
		else if (has_user(&line) && ++*count > CLV_USERS_MAX)
			*why = "too many users";
		if (*why)
			return CLV_EFULL;
	}
	return 0;
}

/* Read all lines into users, which has room.  Returns 0 or CLV_ESYNTAX with one line in error. */
static int read_users(const char *file, const char *text, size_t len, struct clv_users *users,
		      char *error, size_t error_len)
{
	unsigned number = 1;
	struct line line;
	size_t at = 0;

	for (; next_line(text, len, &at, &line); number++) {
		const char *why;
		uint64_t other;

		if (!has_user(&line))
			continue;
		users->users[users->len].line = number;
		why = read_user(users, &line, &users->users[users->len]);
		if (why) {
			snprintf(error, error_len, "%s:%u: %s", file, number, why);
			return CLV_ESYNTAX;
		}
		why = add_user(users, &other);
		if (why) {
			snprintf(error, error_len, "%s:%u: duplicate %s, also on line %u", file,
				 number, why, users->users[other].line);
			return CLV_ESYNTAX;
		}
	}
	return 0;
}

int clv_users_parse(const char *file, const char *text, size_t len, const uint64_t seed[static 2],
		    struct clv_users **out, char *error, size_t error_len)
{
	struct clv_users *users;
	const char *why;
	unsigned number;
	size_t count;
	int err;

	if (len > CLV_USERS_BYTES_MAX) {
		snprintf(error, error_len, "%s: longer than %d bytes", file, CLV_USERS_BYTES_MAX);
		return CLV_EFULL;
	}
	err = count_users(text, len, &count, &number, &why);
	if (err) {
		snprintf(error, error_len, "%s:%u: %s", file, number, why);
		return err;
	}
	users = calloc(1, sizeof(*users));
	err = users ? reserve(users, count, len, seed) : -ENOMEM;
	if (err)
		snprintf(error, error_len, "%s: %s", file, clv_strerror(err));
	else
		err = read_users(file, text, len, users, error, error_len);
	if (err) {
		clv_users_free(users);
		return err;
	}
	*out = users;
	return 0;
}

int clv_users_load(const char *path, const uint64_t seed[static 2], struct clv_users **out,
		   char *error, size_t error_len)
{
	char *text;
	size_t len;
	int err = clv_atomic_file_read(path, CLV_USERS_BYTES_MAX, &text, &len, NULL);

	if (err) {
		snprintf(error, error_len, "%s: %s", path, clv_strerror(err));
		return err;
	}
	err = clv_users_parse(path, text, len, seed, out, error, error_len);
	explicit_bzero(text, len);
	free(text);
	return err;
}

void clv_users_free(struct clv_users *users)
{
	if (!users)
		return;
	if (users->passwords)
		explicit_bzero(users->passwords, users->passwords_len);
	free(users->passwords);
	free(users->with_password);
	free(users->users);
	clv_table_fini(&users->by_name);
	clv_table_fini(&users->by_key);
	clv_table_fini(&users->by_ca);
	free(users);
}

static const struct clv_user *find_in(const struct clv_users *users, const struct clv_table *table,
				      const void *key)
{
	uint64_t at;

	return clv_table_find(table, key, &at) ? &users->users[at] : NULL;
}

const struct clv_user *clv_users_find(const struct clv_users *users, const char *name, size_t len)
{
	char key[CLV_CLIENT_NAME_MAX];

	if (!users || !clv_client_name_valid(name, len))
		return NULL;
	name_key(name, len, key);
	return find_in(users, &users->by_name, key);
}

const struct clv_user *clv_users_find_key(const struct clv_users *users,
					  const struct clv_identity *key)
{
	return users ? find_in(users, &users->by_key, key->bytes) : NULL;
}

const struct clv_user *clv_users_find_ca(const struct clv_users *users,
					 const struct clv_identity *ca)
{
	return users ? find_in(users, &users->by_ca, ca->bytes) : NULL;
}

const char *clv_users_any_password(const struct clv_users *users, uint64_t choice)
{
	if (!users || !users->with_password_len)
		return clv_password_dummy;
	return users->users[users->with_password[choice % users->with_password_len]].password;
}

bool clv_user_is_tombstone(const struct clv_user *user)
{
	return user->is_tombstone;
}

size_t clv_users_all(const struct clv_users *users, const struct clv_user **out)
{
	*out = users ? users->users : NULL;
	return users ? users->len : 0;
}
