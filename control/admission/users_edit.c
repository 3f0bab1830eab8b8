/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/users_edit.h"

#include "control/admission/atomic_file.h"
#include "control/admission/users.h"
#include "datapath/base/err.h"
#include "datapath/base/words.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	NEW_MODE = 0640,
	LOCK_MODE = 0600,
	WAIT_MSEC = 20, /* between two tries for the lock */
	WAITS_MAX = CLV_USERS_EDIT_WAIT_SEC * 1000 / WAIT_MSEC,
	/* Room for a new line, whose length the parser checks. */
	LINE_ROOM = 3 * CLV_USERS_LINE_MAX,
	REVOKED_ROOM = sizeof(" revoked=18446744073709551615"),
};

/* The hash tables need no secret seed: nobody but the operator chooses their keys. */
static const uint64_t seed[2] = { 1, 2 };

/* One edit, from the lock to the rename. */
struct edit {
	char path[PATH_MAX]; /* where symbolic links lead */
	int lock_fd;
	struct stat st;
	bool is_new;
	char *text;
	size_t len;
	struct clv_users *users;
	const struct clv_user *user; /* the one that is edited; NULL: not in the file */
	size_t at, line_len;	     /* its line in text, without the line feed */
	char *error;
	size_t error_len;
};

/* A new line under construction. */
struct draft {
	char text[LINE_ROOM];
	size_t len;
	bool is_cut; /* it did not fit */
};

__attribute__((format(printf, 3, 4))) static int fail(const struct edit *e, int err,
						      const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(e->error, e->error_len, fmt, args);
	va_end(args);
	return err;
}

static void append(struct draft *d, const char *text, size_t len)
{
	if (len > sizeof(d->text) - d->len) {
		d->is_cut = true;
		return;
	}
	memcpy(d->text + d->len, text, len);
	d->len += len;
}

static int lock(struct edit *e)
{
	struct timespec pause = { .tv_nsec = WAIT_MSEC * 1000000L };
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s.lock", e->path) >= (int)sizeof(path))
		return fail(e, -ENAMETOOLONG, "%s: the path is too long", e->path);
	/* The lock file is never removed: two processes could then lock different files of this name. */
	e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, LOCK_MODE);
	if (e->lock_fd < 0)
		return fail(e, -errno, "%s: %s", path, strerror(errno));
	for (int i = 0; i < WAITS_MAX; i++) {
		if (flock(e->lock_fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fail(e, -errno, "%s: %s", path, strerror(errno));
		nanosleep(&pause, NULL);
	}
	return fail(e, -EBUSY, "%s: another edit of the file is in progress", path);
}

/* Find the line of e->user in the text. */
static void find_line(struct edit *e)
{
	const char *end;

	e->at = 0;
	for (unsigned line = 1; line < e->user->line; line++)
		e->at = (size_t)((const char *)memchr(e->text + e->at, '\n', e->len - e->at) -
				 e->text) +
			1;
	end = memchr(e->text + e->at, '\n', e->len - e->at);
	e->line_len = (end ? (size_t)(end - e->text) : e->len) - e->at;
}

static void finish(struct edit *e)
{
	clv_users_free(e->users);
	if (e->text)
		explicit_bzero(e->text, e->len);
	free(e->text);
	if (e->lock_fd >= 0)
		close(e->lock_fd);
}

/* Lock and read the file and find the user.  After success the caller calls finish(). */
static int begin(struct edit *e, const char *path, const char *name, char *error, size_t error_len)
{
	int err;

	*e = (struct edit){ .lock_fd = -1, .error = error, .error_len = error_len };
	if (!clv_client_name_valid(name, strlen(name)))
		return fail(e, CLV_ESYNTAX,
			    "a name is 1 to %d of a-z, 0-9, '.', '_' and '-', the first a letter "
			    "or digit",
			    CLV_CLIENT_NAME_MAX);
	if (!realpath(path, e->path) &&
	    snprintf(e->path, sizeof(e->path), "%s", path) >= (int)sizeof(e->path))
		return fail(e, -ENAMETOOLONG, "%s: the path is too long", path);
	err = lock(e);
	if (err)
		goto finish;
	err = clv_atomic_file_read(e->path, CLV_USERS_BYTES_MAX, &e->text, &e->len, &e->st);
	if (err == -ENOENT) {
		e->is_new = true;
		return 0;
	}
	if (err) {
		fail(e, err, "%s: %s", path, clv_strerror(err));
		goto finish;
	}
	err = clv_users_parse(path, e->text, e->len, seed, &e->users, error, error_len);
	if (err)
		goto finish;
	e->user = clv_users_find(e->users, name, strlen(name));
	if (e->user)
		find_line(e);
	return 0;

finish:
	finish(e);
	return err;
}

/* The text with the user's line replaced, or with a line appended; NULL removes the user's line. */
static char *replace_line(const struct edit *e, const struct draft *line, size_t *len)
{
	size_t before = e->user ? e->at : e->len, after = before, line_len = line ? line->len : 0;
	char *text = malloc(e->len + line_len + 2), *p = text;

	if (!text)
		return NULL;
	if (e->user) {
		after += e->line_len;
		if (!line && after < e->len)
			after++; /* its line feed as well */
	}
	if (before) {
		memcpy(p, e->text, before);
		p += before;
		if (!e->user && p[-1] != '\n')
			*p++ = '\n';
	}
	if (line) {
		memcpy(p, line->text, line_len);
		p += line_len;
	}
	if (line && after == e->len)
		*p++ = '\n';
	if (after < e->len) {
		memcpy(p, e->text + after, e->len - after);
		p += e->len - after;
	}
	*len = (size_t)(p - text);
	return text;
}

/* Write the file with the new line, see replace_line(). */
static int commit(struct edit *e, const char *path, const struct draft *line)
{
	struct clv_users *users;
	size_t len;
	char *text;
	int err;

	if (line && line->is_cut)
		return fail(e, CLV_EFULL, "the line would become too long");
	text = replace_line(e, line, &len);
	if (!text)
		return fail(e, -ENOMEM, "%s: %s", path, strerror(ENOMEM));
	err = clv_users_parse(path, text, len, seed, &users, e->error, e->error_len);
	if (!err) {
		clv_users_free(users);
		err = clv_atomic_file_replace(e->path, text, len, e->is_new ? NULL : &e->st,
					      NEW_MODE);
		if (err)
			fail(e, err, "%s: %s", path, clv_strerror(err));
	}
	explicit_bzero(text, len);
	free(text);
	return err;
}

/* The length of a word's key with its '=', 0 if it has none. */
static size_t key_len_of(const char *word, size_t len)
{
	const char *equals = memchr(word, '=', len);

	return equals ? (size_t)(equals - word) + 1 : 0;
}

/* Find the word with the given key, which includes the '='.  Returns whether there is one. */
static bool find_word(const char *text, size_t text_len, const char *key, size_t key_len,
		      const char **word, size_t *len)
{
	struct clv_words words = { text, text + text_len };

	while (clv_words_next(&words, word, len) && **word != '#')
		if (key_len_of(*word, *len) == key_len && memcmp(*word, key, key_len) == 0)
			return true;
	return false;
}

/* Check a caller's words for mistakes that the parser of the file could not see. */
static int check_words(const struct edit *e, const char *text, bool is_new)
{
	struct clv_words words = { text, text + strlen(text) };
	const char *word, *other;
	size_t len, other_len;

	if (strpbrk(text, "\r\n"))
		return fail(e, CLV_ESYNTAX, "the words are more than one line");
	while (clv_words_next(&words, &word, &len)) {
		size_t key_len = key_len_of(word, len);

		if (*word == '#' || key_len < 2 || (is_new && key_len == len))
			return fail(e, CLV_ESYNTAX, "a word is not KEY=VALUE");
		if (find_word(words.at, (size_t)(words.end - words.at), word, key_len, &other,
			      &other_len))
			return fail(e, CLV_ESYNTAX, "a word is given twice");
	}
	return 0;
}

/* Append the changes that have a value and whose key is not in the line. */
static void append_new(struct draft *d, const char *line, size_t line_len, const char *changes)
{
	struct clv_words words = { changes, changes + strlen(changes) };
	const char *word, *old;
	size_t len, old_len;

	while (clv_words_next(&words, &word, &len)) {
		size_t key_len = key_len_of(word, len);

		if (key_len == len || find_word(line, line_len, word, key_len, &old, &old_len))
			continue;
		append(d, " ", 1);
		append(d, word, len);
	}
}

/* Write the user's line with changes; each word keeps its place and the blanks before it. */
static void change_line(const struct edit *e, const char *changes, struct draft *d)
{
	const char *line = e->text + e->at, *kept = line, *word, *change;
	struct clv_words words = { line, line + e->line_len };
	size_t len, change_len;

	while (clv_words_next(&words, &word, &len) && *word != '#') {
		size_t key_len = key_len_of(word, len);

		if (key_len &&
		    find_word(changes, strlen(changes), word, key_len, &change, &change_len)) {
			if (change_len > key_len) {
				append(d, kept, (size_t)(word - kept));
				append(d, change, change_len);
			}
		} else {
			append(d, kept, (size_t)(word + len - kept));
		}
		kept = word + len;
	}
	append_new(d, line, e->line_len, changes);
	append(d, kept, (size_t)(line + e->line_len - kept)); /* trailing blanks and comment */
}

int clv_users_add(const char *path, const char *name, const char *words, char *error,
		  size_t error_len)
{
	struct draft line = { .len = 0 };
	struct edit e;
	int err = begin(&e, path, name, error, error_len);

	if (err)
		return err;
	err = check_words(&e, words, true);
	if (err)
		goto finish;
	if (e.user && !clv_user_is_tombstone(e.user)) {
		err = fail(&e, -EEXIST, "%s:%u: the user exists already", path, e.user->line);
		goto finish;
	}
	if (e.user) {
		change_line(&e, words, &line);
	} else {
		append(&line, name, strlen(name));
		append_new(&line, "", 0, words);
	}
	err = commit(&e, path, &line);

finish:
	explicit_bzero(&line, sizeof(line));
	finish(&e);
	return err;
}

int clv_users_set(const char *path, const char *name, const char *words, char *error,
		  size_t error_len)
{
	struct draft line = { .len = 0 };
	struct edit e;
	int err = begin(&e, path, name, error, error_len);

	if (err)
		return err;
	err = check_words(&e, words, false);
	if (err)
		goto finish;
	if (!e.user) {
		err = fail(&e, -ENOENT, "%s: no such user", path);
		goto finish;
	}
	change_line(&e, words, &line);
	err = commit(&e, path, &line);

finish:
	explicit_bzero(&line, sizeof(line));
	finish(&e);
	return err;
}

int clv_users_remove(const char *path, const char *name, uint64_t revoked_sec, bool *was_there,
		     char *error, size_t error_len)
{
	char revoked[REVOKED_ROOM];
	struct draft line = { .len = 0 };
	struct edit e;
	int err = begin(&e, path, name, error, error_len);

	if (err)
		return err;
	/* An earlier revocation stays in force. */
	if (e.user && e.user->revoked_sec > revoked_sec)
		revoked_sec = e.user->revoked_sec;
	if (!e.user && !revoked_sec) {
		err = fail(&e, -ENOENT, "%s: no such user", path);
		goto finish;
	}
	append(&line, name, strlen(name));
	append(&line, revoked,
	       (size_t)snprintf(revoked, sizeof(revoked), " revoked=%" PRIu64, revoked_sec));
	err = commit(&e, path, revoked_sec ? &line : NULL);
	if (!err)
		*was_there = e.user && !clv_user_is_tombstone(e.user);

finish:
	finish(&e);
	return err;
}
