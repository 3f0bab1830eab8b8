/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/authorization.h"

#include "control/admission/base64.h"
#include "datapath/base/ascii.h"
#include "datapath/base/utf8.h"
#include "datapath/base/words.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* The characters of a scheme: RFC 9110 section 5.6.2, tchar. */
static bool is_token_char(char c)
{
	return clv_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Whether text is UTF-8 without control characters (C0, DEL and C1). */
static bool is_text(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text;
	struct clv_utf8 utf8 = { 0 };

	for (size_t i = 0; i < len; i++) {
		bool is_c1 = i && p[i - 1] == 0xc2 && p[i] < 0xa0;

		if (!clv_utf8_take(&utf8, p[i]) || p[i] < 0x20 || p[i] == 0x7f || is_c1)
			return false;
	}
	return !utf8.left;
}

static bool read_basic(const char *text, size_t len, struct clv_authorization *a)
{
	uint8_t *decoded = (uint8_t *)a->buf;
	size_t decoded_len;
	char *colon;

	/* Leave one byte for the terminating zero. */
	if (clv_base64_decode(CLV_BASE64_PADDED, text, len, decoded, a->buf_len - 1, &decoded_len) <
	    0)
		return false;
	colon = memchr(a->buf, ':', decoded_len);
	if (!colon || colon == a->buf)
		return false;
	*colon = '\0';
	a->buf[decoded_len] = '\0';
	a->name = a->buf;
	a->name_len = (size_t)(colon - a->buf);
	a->password = colon + 1;
	a->password_len = decoded_len - a->name_len - 1;
	return is_text(a->name, a->name_len) && is_text(a->password, a->password_len);
}

static bool read_bearer(const char *text, size_t len, struct clv_authorization *a)
{
	size_t i = 0;

	while (i < len && (clv_is_alnum(text[i]) || (text[i] && strchr("-._~+/", text[i]))))
		i++;
	if (!i)
		return false;
	while (i < len && text[i] == '=')
		i++;
	if (i < len)
		return false;
	memcpy(a->buf, text, len);
	a->buf[len] = '\0';
	a->token = a->buf;
	a->token_len = len;
	return true;
}

static enum clv_authorization_scheme read_value(const char *value, size_t len,
						struct clv_authorization *a)
{
	size_t scheme_len = 0, at;

	if (len >= CLV_AUTHORIZATION_MAX)
		return CLV_AUTHORIZATION_MALFORMED;
	while (scheme_len < len && is_token_char(value[scheme_len]))
		scheme_len++;
	for (at = scheme_len; at < len && value[at] == ' ';)
		at++;
	if (!scheme_len || (at == scheme_len && at < len))
		return CLV_AUTHORIZATION_MALFORMED;
	if (scheme_len == 5 && strncasecmp(value, "Basic", 5) == 0)
		return read_basic(value + at, len - at, a) ? CLV_AUTHORIZATION_BASIC
							   : CLV_AUTHORIZATION_MALFORMED;
	if (scheme_len == 6 && strncasecmp(value, "Bearer", 6) == 0)
		return read_bearer(value + at, len - at, a) ? CLV_AUTHORIZATION_BEARER
							    : CLV_AUTHORIZATION_MALFORMED;
	return CLV_AUTHORIZATION_OTHER;
}

void clv_authorization_parse(const char *value, size_t len, char buf[static CLV_AUTHORIZATION_MAX],
			     struct clv_authorization *out)
{
	struct clv_authorization a = { .buf = buf, .buf_len = CLV_AUTHORIZATION_MAX };
	enum clv_authorization_scheme scheme;

	while (len && clv_words_is_blank(value[len - 1]))
		len--;
	while (len && clv_words_is_blank(*value))
		value++, len--;
	scheme = read_value(value, len, &a);
	if (scheme == CLV_AUTHORIZATION_MALFORMED || scheme == CLV_AUTHORIZATION_OTHER) {
		/* Do not keep a partly decoded secret. */
		explicit_bzero(buf, CLV_AUTHORIZATION_MAX);
		a = (struct clv_authorization){ .scheme = scheme };
	}
	a.scheme = scheme;
	*out = a;
}

void clv_authorization_wipe(struct clv_authorization *a)
{
	if (a->buf)
		explicit_bzero(a->buf, a->buf_len);
	*a = (struct clv_authorization){ 0 };
}
