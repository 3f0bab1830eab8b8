/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * users_edit - edit one user of the users file and leave everything else in it as it is.
 *
 * An edit locks FILE.lock, reads the file, changes one line, parses the result and replaces the
 * file atomically.  Comments, blank lines, the order of lines and unchanged words are kept, and
 * so are the owner, group and mode; a new file has mode 0640.  A file with an error is not
 * edited.  If the path is a symbolic link, the file it leads to is replaced.
 *
 * Threading: tools; blocks on disk I/O, and up to CLV_USERS_EDIT_WAIT_SEC on another edit.
 */
#ifndef CLV_ADMISSION_USERS_EDIT_H
#define CLV_ADMISSION_USERS_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLV_USERS_EDIT_WAIT_SEC = 10,
};

/*
 * The functions return 0, or, with one line in error and an unchanged file:
 *   CLV_ESYNTAX  the name, a word or the file is invalid
 *   CLV_EFULL    the line or the file would become too long
 *   -EBUSY       another edit is in progress
 *   -errno       the file cannot be read or written
 * words: what follows the name in the file, "mbit=20 expires=2027-01-31", without a comment.
 * Messages quote none of them.
 */

/*
 * Add a user; creates the file if there is none.  A tombstone of the name keeps its `revoked`.
 * Also returns -EEXIST.
 */
int clv_users_add(const char *path, const char *name, const char *words, char *error,
		  size_t error_len);

/*
 * Replace or add words of a user; a word without a value ("mbit=") is removed.
 * Also returns -ENOENT if there is no such user.
 */
int clv_users_set(const char *path, const char *name, const char *words, char *error,
		  size_t error_len);

/*
 * Remove a user and leave a tombstone that revokes the name's tokens issued up to revoked_sec; with
 * revoked_sec 0 and no earlier revocation, leave nothing.  A name that is not in the file gets a
 * tombstone too, since it may have tokens.  *was_there: whether there was such a user.
 * Also returns -ENOENT if the name is not in the file and revoked_sec is 0.
 */
int clv_users_remove(const char *path, const char *name, uint64_t revoked_sec, bool *was_there,
		     char *error, size_t error_len);

#endif
