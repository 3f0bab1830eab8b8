/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/fields.h"

#include <string.h>

#include "datapath/base/ascii.h"
#include "datapath/base/err.h"
#include "datapath/base/utf8.h"

enum {
	INTEGER_DIGITS_MAX = 15, /* RFC 9651 section 3.3.1 */
	DECIMAL_WHOLE_MAX = 12,	 /* section 3.3.2 */
	DECIMAL_FRACTION_MAX = 3,
};

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool is_token_char(char c)
{
	return clv_is_alnum(c) || is_one_of(c, "!#$%&'*+-.^_`|~:/");
}

static void skip(struct clv_fields_cursor *c, const char *set)
{
	while (c->p < c->end && is_one_of(*c->p, set))
		c->p++;
}

static int read_number(struct clv_fields_cursor *c, struct clv_item *out)
{
	const char *p = c->p;
	bool negative = *p == '-';
	int64_t value = 0;
	int whole = 0, fraction = 0;

	if (negative)
		p++;
	for (; p < c->end && clv_is_digit(*p) && whole <= INTEGER_DIGITS_MAX; p++, whole++)
		value = value * 10 + (*p - '0');
	if (whole == 0 || whole > INTEGER_DIGITS_MAX)
		return CLV_ESYNTAX;
	if (p == c->end || *p != '.') {
		*out = (struct clv_item){ .type = CLV_ITEM_INTEGER,
					  .integer = negative ? -value : value };
		c->p = p;
		return 0;
	}
	for (p++; p < c->end && clv_is_digit(*p) && fraction <= DECIMAL_FRACTION_MAX; p++)
		fraction++;
	if (whole > DECIMAL_WHOLE_MAX || fraction == 0 || fraction > DECIMAL_FRACTION_MAX)
		return CLV_ESYNTAX;
	*out = (struct clv_item){ .type = CLV_ITEM_DECIMAL };
	c->p = p;
	return 0;
}

static int read_string(struct clv_fields_cursor *c, struct clv_item *out)
{
	const char *begin = c->p + 1, *p = begin;

	for (; p < c->end && *p != '"'; p++) {
		if (*p < 0x20 || *p > 0x7e)
			return CLV_ESYNTAX;
		if (*p == '\\' && (++p == c->end || !is_one_of(*p, "\"\\")))
			return CLV_ESYNTAX;
	}
	if (p >= c->end)
		return CLV_ESYNTAX;
	*out = (struct clv_item){ .type = CLV_ITEM_STRING,
				  .text = begin,
				  .text_len = (size_t)(p - begin) };
	c->p = p + 1;
	return 0;
}

static int read_bytes(struct clv_fields_cursor *c, struct clv_item *out)
{
	const char *begin = c->p + 1, *p = begin;

	while (p < c->end && (clv_is_alnum(*p) || is_one_of(*p, "+/=")))
		p++;
	if (p == c->end || *p != ':')
		return CLV_ESYNTAX;
	*out = (struct clv_item){ .type = CLV_ITEM_BYTES,
				  .text = begin,
				  .text_len = (size_t)(p - begin) };
	c->p = p + 1;
	return 0;
}

static int read_boolean(struct clv_fields_cursor *c, struct clv_item *out)
{
	if (c->end - c->p < 2 || !is_one_of(c->p[1], "01"))
		return CLV_ESYNTAX;
	*out = (struct clv_item){ .type = CLV_ITEM_BOOLEAN, .boolean = c->p[1] == '1' };
	c->p += 2;
	return 0;
}

static int read_token(struct clv_fields_cursor *c, struct clv_item *out)
{
	const char *p = c->p;

	while (p < c->end && is_token_char(*p))
		p++;
	*out = (struct clv_item){ .type = CLV_ITEM_TOKEN,
				  .text = c->p,
				  .text_len = (size_t)(p - c->p) };
	c->p = p;
	return 0;
}

/* RFC 9651 section 4.2.9: an Integer, and no Decimal. */
static int read_date(struct clv_fields_cursor *c, struct clv_item *out)
{
	struct clv_fields_cursor at = *c;
	struct clv_item number;

	at.p++;
	if (at.p == at.end || !(clv_is_digit(*at.p) || *at.p == '-') || read_number(&at, &number) ||
	    number.type != CLV_ITEM_INTEGER)
		return CLV_ESYNTAX;
	*c = at;
	*out = (struct clv_item){ .type = CLV_ITEM_DATE, .integer = number.integer };
	return 0;
}

/* %"..." with percent-encoded UTF-8: RFC 9651 section 4.2.10. */
static int read_display(struct clv_fields_cursor *c, struct clv_item *out)
{
	const char *begin = c->p + 2, *p = begin;
	struct clv_utf8 utf8 = { 0 };

	if (c->end - c->p < 2 || c->p[1] != '"')
		return CLV_ESYNTAX;
	for (; p < c->end && *p != '"'; p++) {
		int byte = *p;

		if (byte < 0x20 || byte > 0x7e)
			return CLV_ESYNTAX;
		if (byte == '%') {
			if (c->end - p < 3 || clv_hex_value_lower(p[1]) < 0 ||
			    clv_hex_value_lower(p[2]) < 0)
				return CLV_ESYNTAX;
			byte = clv_hex_value_lower(p[1]) << 4 | clv_hex_value_lower(p[2]);
			p += 2;
		}
		if (!clv_utf8_take(&utf8, (uint8_t)byte))
			return CLV_ESYNTAX;
	}
	if (p >= c->end || utf8.left)
		return CLV_ESYNTAX;
	*out = (struct clv_item){ .type = CLV_ITEM_DISPLAY,
				  .text = begin,
				  .text_len = (size_t)(p - begin) };
	c->p = p + 1;
	return 0;
}

static int read_bare_item(struct clv_fields_cursor *c, struct clv_item *out)
{
	if (c->p == c->end)
		return CLV_ESYNTAX;
	if (clv_is_digit(*c->p) || *c->p == '-')
		return read_number(c, out);
	if (clv_is_alpha(*c->p) || *c->p == '*')
		return read_token(c, out);
	switch (*c->p) {
	case '"':
		return read_string(c, out);
	case ':':
		return read_bytes(c, out);
	case '?':
		return read_boolean(c, out);
	case '@':
		return read_date(c, out);
	case '%':
		return read_display(c, out);
	default:
		return CLV_ESYNTAX;
	}
}

int clv_fields_read_parameter(struct clv_fields_cursor *c, const char **key, size_t *key_len,
			      struct clv_item *out)
{
	struct clv_fields_cursor at = *c;
	struct clv_item item = { .type = CLV_ITEM_BOOLEAN, .boolean = true };
	const char *begin;
	size_t len;

	if (at.p == at.end || *at.p != ';')
		return 0;
	at.p++;
	skip(&at, " ");
	begin = at.p;
	if (at.p == at.end || !(clv_is_lower(*at.p) || *at.p == '*'))
		return CLV_ESYNTAX;
	while (at.p < at.end &&
	       (clv_is_lower(*at.p) || clv_is_digit(*at.p) || is_one_of(*at.p, "_-.*")))
		at.p++;
	len = (size_t)(at.p - begin);
	if (at.p < at.end && *at.p == '=') {
		at.p++;
		if (read_bare_item(&at, &item) < 0)
			return CLV_ESYNTAX;
	}
	*c = at;
	*key = begin;
	*key_len = len;
	*out = item;
	return 1;
}

static int skip_parameters(struct clv_fields_cursor *c)
{
	const char *key;
	size_t key_len;
	struct clv_item item;
	int r;

	do {
		r = clv_fields_read_parameter(c, &key, &key_len, &item);
	} while (r > 0);
	return r;
}

int clv_fields_read_member(struct clv_fields_cursor *c, struct clv_item *out)
{
	struct clv_fields_cursor at = *c;

	if (!at.begun) {
		skip(&at, " ");
		if (at.p == at.end)
			return 0;
	} else {
		if (skip_parameters(&at) < 0)
			return CLV_ESYNTAX;
		skip(&at, " \t");
		if (at.p == at.end)
			return 0;
		if (*at.p++ != ',')
			return CLV_ESYNTAX;
		skip(&at, " \t");
	}
	/* After a comma a member must follow: an empty rest fails here. */
	if (read_bare_item(&at, out) < 0)
		return CLV_ESYNTAX;
	at.begun = true;
	*c = at;
	return 1;
}

size_t clv_fields_copy_text(const struct clv_item *item, char *buf, size_t len)
{
	size_t n = 0;

	if (len == 0)
		return 0;
	for (size_t i = 0; i < item->text_len && n + 1 < len; i++) {
		if (item->type == CLV_ITEM_STRING && item->text[i] == '\\')
			i++; /* the reader checked that a byte follows */
		buf[n++] = item->text[i];
	}
	buf[n] = '\0';
	return n;
}

int clv_fields_write_string(const char *text, char *buf, size_t len)
{
	size_t n = 0;

	if (len < 2)
		return CLV_ERANGE;
	buf[n++] = '"';
	for (; *text; text++) {
		char c = *text < 0x20 || *text > 0x7e ? '?' : *text;

		bool escaped = is_one_of(c, "\"\\");

		if (n + 1 + escaped + 1 > len)
			return CLV_ERANGE;
		if (escaped)
			buf[n++] = '\\';
		buf[n++] = c;
	}
	buf[n++] = '"';
	return (int)n;
}

bool clv_fields_is_true(const char *value, size_t len)
{
	struct clv_fields_cursor c = { value, value + len, false };
	struct clv_item item, more;

	if (clv_fields_read_member(&c, &item) != 1 || item.type != CLV_ITEM_BOOLEAN)
		return false;
	/* More after it is a list or garbage, which an item field cannot be. */
	if (clv_fields_read_member(&c, &more) != 0)
		return false;
	return item.boolean;
}
