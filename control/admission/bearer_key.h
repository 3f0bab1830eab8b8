/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bearer_key - the file with the key that signs and verifies bearer tokens.
 *
 *   32 random bytes as 64 lower-case hexadecimal digits and a line feed; mode 0600
 *
 * Whoever can read the key can make tokens for any name, and a new key invalidates every token.
 * Therefore a damaged file is an error and is never overwritten, and a file that other users can
 * access is an error as well.
 *
 * Threading: start-up and tools; blocks on disk I/O.
 */
#ifndef CLV_ADMISSION_BEARER_KEY_H
#define CLV_ADMISSION_BEARER_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "control/admission/bearer.h"

/*
 * Read the key, or make and store one if there is no file.  Processes that do so at the same time
 * get the same key.  error: one line that begins with the path.
 *
 * Returns 0, or, leaving key untouched:
 *   CLV_ESYNTAX  the file is damaged
 *   -EPERM       the group can write the file, or others can read or write it
 *   -errno       it cannot be read or created
 */
int clv_bearer_key_load(const char *path, uint8_t key[static CLV_BEARER_KEY_LEN], char *error,
			size_t error_len);

#endif
