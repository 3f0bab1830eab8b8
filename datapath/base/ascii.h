/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ascii - what a character is, whatever the locale says; only those of ASCII are letters.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_ASCII_H
#define CLV_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/err.h"

static inline bool clv_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool clv_is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static inline bool clv_is_alpha(char c)
{
	return clv_is_lower(c) || (c >= 'A' && c <= 'Z');
}

static inline bool clv_is_alnum(char c)
{
	return clv_is_alpha(c) || clv_is_digit(c);
}

/* The value of a hexadecimal digit whose letters are lower case, or -1. */
static inline int clv_hex_value_lower(char c)
{
	if (clv_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The same of either case. */
static inline int clv_hex_value(char c)
{
	return clv_hex_value_lower(c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c);
}

/*
 * Read len bytes from 2 * len hexadecimal digits of one case or both.
 * Returns 0, or CLV_ESYNTAX with some of out filled.
 */
static inline int clv_hex_decode(const char *text, int (*value)(char c), uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = value(text[2 * i]), low = high < 0 ? -1 : value(text[2 * i + 1]);

		if (low < 0)
			return CLV_ESYNTAX;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

#endif
