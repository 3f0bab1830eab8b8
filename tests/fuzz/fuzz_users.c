/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any text as a users file: users of which each is found, or an error with the file and the line. */
#include <string.h>

#include "control/admission/password.h"
#include "control/admission/users.h"
#include "tests/fuzz/fuzz.h"

static void check_user(const struct clv_users *users, const struct clv_user *user)
{
	CHECK(clv_users_find(users, user->name, strlen(user->name)) == user);
	CHECK(!user->has_key || clv_users_find_key(users, &user->key) == user);
	CHECK(!user->has_ca || clv_users_find_ca(users, &user->ca) == user);
	CHECK(!user->password || clv_password_is_hash(user->password, strlen(user->password)));
	CHECK(clv_client_limits_valid(&user->limits));
	CHECK(!clv_user_is_tombstone(user) || user->revoked_sec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t seed[2] = { 1, 2 };
	const struct clv_user *all;
	struct clv_users *users;
	char error[300] = "";
	size_t len;

	if (clv_users_parse("file", (const char *)data, size, seed, &users, error, sizeof(error))) {
		CHECK(strncmp(error, "file:", 5) == 0);
		return 0;
	}
	len = clv_users_all(users, &all);
	for (size_t i = 0; i < len; i++) {
		CHECK(i == 0 || all[i].line > all[i - 1].line);
		check_user(users, &all[i]);
	}
	CHECK(clv_users_any_password(users, size));
	clv_users_free(users);
	return 0;
}
