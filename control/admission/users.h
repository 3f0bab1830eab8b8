/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * users - the users file: one line for each client that the operator has named.
 *
 *   NAME [password=$argon2id$...] [key=clv1...] [ca=clv1...] [expires=DATE] [revoked=SECONDS]
 *        [LIMIT...]
 *
 *   password  authenticates the client by this name and a password
 *   key       ... by a TLS certificate of this key
 *   ca        ... by a TLS certificate whose verified chain ends in this key
 *   expires   no credential of this user is accepted from this date on (RFC 3339, UTC)
 *   revoked   tokens of this name issued up to this time (seconds since 1970) are not accepted
 *   LIMIT     see client_limits.h; where a token has a limit too, the lower one applies
 *
 * Tokens are verified without the file, so a name need not be in it to have valid ones;
 * `revoked` is the way to end them.  A line with nothing but a name and `revoked` is the
 * tombstone of a user that was removed.
 *
 * Words are separated by blanks and consist of printable ASCII.  A word that begins with '#'
 * starts a comment.  Names, keys and CAs are unique.
 *
 * Threading: immutable once read; control.
 */
#ifndef CLV_ADMISSION_USERS_H
#define CLV_ADMISSION_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/client_name.h"
#include "control/admission/identity.h"
#include "datapath/base/client_limits.h"

enum {
	CLV_USERS_MAX = 65536,
	CLV_USERS_LINE_MAX = 1024,	/* bytes, without the line feed */
	CLV_USERS_BYTES_MAX = 16 << 20, /* of the file */
};

struct clv_user {
	char name[CLV_CLIENT_NAME_MAX + 1];
	bool has_key, has_ca, is_tombstone;
	const char *password; /* the hash; NULL: none; lives as long as the users */
	struct clv_identity key, ca;
	uint64_t expires_sec; /* 0: never */
	uint64_t revoked_sec; /* 0: no token is revoked */
	struct clv_client_limits limits;
	unsigned line; /* in the file, from 1 */
};

struct clv_users;

/*
 * Read the text of a users file.  file: its name in messages.  seed: copies; 16 random bytes.
 * error: one line "FILE:LINE: reason" that quotes nothing of the file.
 *
 * Returns 0 and fills *out, or, leaving *out untouched:
 *   CLV_ESYNTAX  a line is invalid
 *   CLV_EFULL    too many users, or too long
 *   -ENOMEM
 */
int clv_users_parse(const char *file, const char *text, size_t len, const uint64_t seed[static 2],
		    struct clv_users **out, char *error, size_t error_len);

/* Read a file.  Returns as clv_users_parse, or -errno; error is filled in each case. */
int clv_users_load(const char *path, const uint64_t seed[static 2], struct clv_users **out,
		   char *error, size_t error_len);

/* users: may be NULL. */
void clv_users_free(struct clv_users *users);

/* Look up a user.  users: may be NULL.  Returns NULL or a user that lives as long as users. */
const struct clv_user *clv_users_find(const struct clv_users *users, const char *name, size_t len);
const struct clv_user *clv_users_find_key(const struct clv_users *users,
					  const struct clv_identity *key);
const struct clv_user *clv_users_find_ca(const struct clv_users *users,
					 const struct clv_identity *ca);

/*
 * A hash to check the password of an unknown name against, so that it costs as much as for a known
 * one: that of a user selected by choice, or clv_password_dummy if there is none.  users: may be
 * NULL.
 */
const char *clv_users_any_password(const struct clv_users *users, uint64_t choice);

/* Whether the user was removed: its line has only a name and `revoked` (no "mbit=unlimited"). */
bool clv_user_is_tombstone(const struct clv_user *user);

/* All users in the order of their lines; lends.  users: may be NULL.  Returns their number. */
size_t clv_users_all(const struct clv_users *users, const struct clv_user **out);

#endif
