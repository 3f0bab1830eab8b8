/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * fields - read structured field values of HTTP, as far as tunnels need them.
 *
 *   list = member *( "," member )     member = item *( ";" key [ "=" item ] )
 *
 * Inner lists are a syntax error: no field of ours has one.
 *
 * Spec: RFC 9651 section 4.2.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_HTTP_FIELDS_H
#define CLV_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum clv_item_type {
	CLV_ITEM_BOOLEAN = 1,
	CLV_ITEM_INTEGER,
	CLV_ITEM_DECIMAL, /* checked, its value is not kept */
	CLV_ITEM_STRING,
	CLV_ITEM_TOKEN,
	CLV_ITEM_BYTES,	  /* text holds the base64 between the colons, not decoded */
	CLV_ITEM_DATE,	  /* integer: seconds of Unix time */
	CLV_ITEM_DISPLAY, /* a Display String; text is UTF-8, still percent-encoded */
};

struct clv_item {
	enum clv_item_type type;
	bool boolean;
	int64_t integer;
	/* STRING (still with its backslashes), TOKEN, BYTES, DISPLAY; borrows the field value. */
	const char *text;
	size_t text_len;
};

/* A place in a field value; starts as { value, value + len, false }. */
struct clv_fields_cursor {
	const char *p;
	const char *end;
	bool begun; /* a member was read */
};

/*
 * The next member's item of a list; parameters of the one before that were not read are skipped.
 * Returns 1 and fills *out, 0 at the end of the value, CLV_ESYNTAX.
 */
int clv_fields_read_member(struct clv_fields_cursor *c, struct clv_item *out);

/*
 * The next parameter of the member just read.  A key without a value is Boolean true.
 * key: lends, borrows the field value.
 * Returns 1 and fills the outputs, 0 when the member has no more, CLV_ESYNTAX.
 */
int clv_fields_read_parameter(struct clv_fields_cursor *c, const char **key, size_t *key_len,
			      struct clv_item *out);

/*
 * Copy a STRING or TOKEN without its escapes, cut to what fits.  Returns the bytes written, without
 * the closing zero.
 */
size_t clv_fields_copy_text(const struct clv_item *item, char *buf, size_t len);

/*
 * Write text as a String, quotes included; bytes a String cannot hold become '?'.
 * Returns the bytes written, or CLV_ERANGE when it does not fit; nothing is zero-terminated.
 */
int clv_fields_write_string(const char *text, char *buf, size_t len);

/*
 * Whether a field is the Boolean item true.  Any other type, a list or broken syntax count as if
 * the field were absent; unknown parameters are ignored.
 */
bool clv_fields_is_true(const char *value, size_t len);

#endif
