/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * client_name - the names that an operator gives to clients.
 *
 * 1 to 64 characters out of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit: safe as a
 * word of a file, in a URI, in a header field, as a metric's label and as a file name.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_ADMISSION_CLIENT_NAME_H
#define CLV_ADMISSION_CLIENT_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum {
	CLV_CLIENT_NAME_MAX = 64, /* bytes, without the terminating zero */
};

static inline bool clv_client_name_valid(const char *name, size_t len)
{
	if (!len || len > CLV_CLIENT_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			continue;
		if (i == 0 || (c != '.' && c != '_' && c != '-'))
			return false;
	}
	return true;
}

#endif
