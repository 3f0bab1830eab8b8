/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * utf8 - whether bytes are UTF-8, one byte at a time.
 *
 * Spec: RFC 3629 section 4.  Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_UTF8_H
#define CLV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is left of a UTF-8 sequence; all 0 between two characters. */
struct clv_utf8 {
	unsigned left;	   /* bytes that must follow */
	uint8_t low, high; /* bounds of the next one */
};

/* Returns whether byte may come next, and takes it then. */
static inline bool clv_utf8_take(struct clv_utf8 *u, uint8_t byte)
{
	if (u->left) {
		if (byte < u->low || byte > u->high)
			return false;
		*u = (struct clv_utf8){ u->left - 1, 0x80, 0xbf };
		return true;
	}
	if (byte < 0x80)
		return true;
	if (byte < 0xc2 || byte > 0xf4)
		return false;
	*u = (struct clv_utf8){ byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3, 0x80, 0xbf };
	if (byte == 0xe0)
		u->low = 0xa0;
	else if (byte == 0xed)
		u->high = 0x9f;
	else if (byte == 0xf0)
		u->low = 0x90;
	else if (byte == 0xf4)
		u->high = 0x8f;
	return true;
}

/* Returns the length of the character at text in bytes, or 0 if there is none: bad bytes, the end. */
static inline size_t clv_utf8_len(const char *text)
{
	struct clv_utf8 utf8 = { 0 };
	size_t i;

	for (i = 0; text[i] && clv_utf8_take(&utf8, (uint8_t)text[i]); i++)
		if (!utf8.left)
			return i + 1;
	return 0;
}

#endif
