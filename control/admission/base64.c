/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/base64.h"

#include "datapath/base/err.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

enum {
	NO_DIGIT = -1,
};

static char digit_text(enum clv_base64_form form, unsigned value)
{
	if (value < sizeof(letters) - 1)
		return letters[value];
	if (form == CLV_BASE64_URL)
		return value == 62 ? '-' : '_';
	return value == 62 ? '+' : '/';
}

static int digit_value(enum clv_base64_form form, char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == digit_text(form, 62))
		return 62;
	return c == digit_text(form, 63) ? 63 : NO_DIGIT;
}

size_t clv_base64_encode(enum clv_base64_form form, const uint8_t *in, size_t len, char *out)
{
	size_t n = 0, i = 0;

	for (; i < len; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < len)
			group |= in[i + 2];
		out[n++] = digit_text(form, group >> 18);
		out[n++] = digit_text(form, group >> 12 & 63);
		if (i + 1 < len)
			out[n++] = digit_text(form, group >> 6 & 63);
		if (i + 2 < len)
			out[n++] = digit_text(form, group & 63);
	}
	while (form == CLV_BASE64_PADDED && n % 4)
		out[n++] = '=';
	out[n] = '\0';
	return n;
}

int clv_base64_decode(enum clv_base64_form form, const char *text, size_t len, uint8_t *out,
		      size_t out_max, size_t *out_len)
{
	uint32_t bits = 0;
	unsigned pending = 0; /* of bits, not written yet */
	size_t n = 0;

	if (form == CLV_BASE64_PADDED) {
		if (len % 4)
			return CLV_ESYNTAX;
		for (int i = 0; i < 2 && len && text[len - 1] == '='; i++)
			len--;
	}
	if (len % 4 == 1)
		return CLV_ESYNTAX;
	for (size_t i = 0; i < len; i++) {
		int value = digit_value(form, text[i]);

		if (value == NO_DIGIT)
			return CLV_ESYNTAX;
		bits = (bits << 6 | (uint32_t)value) & 0xfff;
		pending += 6;
		if (pending < 8)
			continue;
		if (n == out_max)
			return CLV_ERANGE;
		pending -= 8;
		out[n++] = (uint8_t)(bits >> pending);
	}
	if (bits & ((1u << pending) - 1))
		return CLV_ESYNTAX;
	*out_len = n;
	return 0;
}
