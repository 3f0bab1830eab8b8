/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as the value of Authorization: what is read lies in the buffer, and a wipe empties it. */
#include <string.h>

#include "control/admission/authorization.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const struct clv_authorization *a, const char *text, size_t len)
{
	CHECK(text >= a->buf && text + len < a->buf + a->buf_len);
	CHECK(text[len] == '\0' && strlen(text) == len);
	for (size_t i = 0; i < len; i++)
		CHECK((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization a;

	memset(buf, 0x5a, sizeof(buf));
	clv_authorization_parse((const char *)data, size, buf, &a);
	CHECK(a.scheme != CLV_AUTHORIZATION_NONE);
	if (a.scheme == CLV_AUTHORIZATION_BASIC) {
		check_text(&a, a.name, a.name_len);
		check_text(&a, a.password, a.password_len);
		CHECK(a.name_len && !memchr(a.name, ':', a.name_len) && !a.token);
	} else if (a.scheme == CLV_AUTHORIZATION_BEARER) {
		check_text(&a, a.token, a.token_len);
		CHECK(a.token_len && !a.name && !a.password);
	} else {
		CHECK(!a.name && !a.password && !a.token);
	}
	clv_authorization_wipe(&a);
	for (size_t i = 0; i < sizeof(buf); i++)
		CHECK(buf[i] == 0);
	return 0;
}
