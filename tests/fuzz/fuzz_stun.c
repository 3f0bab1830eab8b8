/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz_stun - STUN from anyone: a request to the relay, or a response to a client. */
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/stun.h"
#include "tests/fuzz/fuzz.h"

static void ask(const uint8_t *data, size_t size, const char *text)
{
	uint8_t answer[CLV_STUN_ANSWER_MAX];
	struct clv_stun_response r;
	struct clv_endpoint from;
	size_t len;

	CHECK(clv_endpoint_parse(text, &from) == 0);
	len = clv_stun_answer(data, size, &from, answer);
	if (!len)
		return;
	CHECK(size >= CLV_STUN_HEADER_LEN && 10 * len <= 22 * size);
	CHECK(clv_stun_response_read(answer, len, &r) == 0);
	CHECK(clv_endpoint_equal(&r.seen, &from) && !r.error);
	CHECK(memcmp(r.transaction, data + 8, sizeof(r.transaction)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_stun_response r;
	int err;

	if (clv_stun_matches(data, size)) {
		ask(data, size, "192.0.2.7:40000");
		ask(data, size, "[2001:db8::7]:40000");
	}
	err = clv_stun_response_read(data, size, &r);
	CHECK(err == 0 || err == CLV_EPROTO || err == CLV_ETRUNC || err == CLV_ERANGE);
	if (!err)
		CHECK(r.error ? r.error >= 300 && r.error < 700 && !r.seen.port : r.seen.port != 0);
	return 0;
}
