/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * password - Argon2id password hashes.
 *
 *   $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH      base64 without padding
 *
 * A check takes about 20 to 50 ms of CPU time and 19 MiB by design.  It must run neither on a
 * worker nor in the control loop, and its caller must bound the number of pending checks.
 * Hashes made by other programs are accepted up to the memory of CLV_PASSWORD_KIB_MAX and the
 * work of CLV_PASSWORD_WORK_MAX.
 *
 * Spec: RFC 9106; the text form is that of the Argon2 reference implementation.
 * Threading: pure functions; any thread.  No threads are made, also for hashes with several lanes.
 */
#ifndef CLV_ADMISSION_PASSWORD_H
#define CLV_ADMISSION_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* The cost of new hashes: a recommendation of OWASP that suits small machines. */
	CLV_PASSWORD_KIB = 19456,
	CLV_PASSWORD_PASSES = 2,
	CLV_PASSWORD_LANES = 1,

	/* The highest cost that is accepted. */
	CLV_PASSWORD_KIB_MAX = 65536,
	CLV_PASSWORD_LANES_MAX = 4,
	CLV_PASSWORD_WORK_MAX = 262144, /* KiB times passes */

	CLV_PASSWORD_MAX = 256, /* bytes of a password */
	CLV_PASSWORD_SALT_LEN = 16,
	CLV_PASSWORD_TEXT_MAX = 224, /* a hash and its terminating zero */
};

/* A hash with the cost of new ones for which no password is known. */
extern const char clv_password_dummy[];

/*
 * Hash a password.  salt: fresh random bytes.
 * Returns 0, or, leaving out untouched: CLV_ERANGE (empty, or longer than CLV_PASSWORD_MAX),
 * -ENOMEM, or CLV_ETLS if libargon2 fails.
 */
int clv_password_hash(const char *password, size_t len,
		      const uint8_t salt[static CLV_PASSWORD_SALT_LEN],
		      char out[static CLV_PASSWORD_TEXT_MAX]);

/* Whether encoded[0..len) is a hash of an accepted cost. */
bool clv_password_is_hash(const char *encoded, size_t len);

/*
 * Check a password against a hash, zero-terminated.
 * Returns 0, or
 *   CLV_EDENIED  the password is wrong
 *   CLV_ESYNTAX  encoded is not a hash of an accepted cost
 *   -ENOMEM      nothing was checked
 *   CLV_ETLS     libargon2 failed; nothing was checked
 */
int clv_password_check(const char *encoded, const char *password, size_t len);

#endif
