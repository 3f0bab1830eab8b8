/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hex - bytes that a test writes in hexadecimal. */
#ifndef CLV_TEST_HEX_H
#define CLV_TEST_HEX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* Blanks between bytes are for the reader.  Returns the length; out has room for it. */
static inline size_t unhex(const char *hex, uint8_t *out)
{
	size_t len = 0;
	unsigned byte;

	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		out[len++] = (uint8_t)byte;
		hex += 2;
	}
	return len;
}

#endif
