/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a link: one that is read is written again and read as the same, or there is a reason. */
#include <string.h>

#include "control/admission/relay_link.h"
#include "datapath/base/err.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_relay_link link, again;
	char text[CLV_RELAY_LINK_MAX];
	const char *why = NULL;
	int err;

	memset(&link, 0, sizeof(link));
	memset(&again, 0, sizeof(again));
	err = clv_relay_link_parse((const char *)data, size, &link, &why);
	if (err) {
		CHECK((err == CLV_ESYNTAX || err == CLV_ERANGE) && why);
		return 0;
	}
	CHECK(*link.host && link.port);
	CHECK(clv_relay_link_format(&link, true, text, sizeof(text)) == 0);
	CHECK(clv_relay_link_is(text));
	CHECK(clv_relay_link_parse(text, strlen(text), &again, NULL) == 0);
	CHECK(memcmp(&link, &again, sizeof(link)) == 0);
	CHECK(clv_relay_link_format(&link, false, text, sizeof(text)) == 0);
	CHECK(!*link.token || !strstr(text, "token="));
	return 0;
}
