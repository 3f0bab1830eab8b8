/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A datagram of no known connection: the first byte of the input selects its source and how strict we
 * are, the rest is the payload.  Time and secret stand still, so that the corpus may hold good
 * tokens.
 */
#include <string.h>

#include "control/admission/admit.h"
#include "datapath/base/clock.h"
#include "tests/fuzz/fuzz.h"

enum {
	FLAG_MUST_PROVE = 1,
	FLAG_IPV6 = 2,
	PAYLOAD_MAX = 2048,
};

static void check_result(const struct clv_rx *rx, const struct clv_admit_result *r,
			 const struct clv_counters *counters)
{
	uint64_t counted = 0;

	for (int i = 0; i < CLV_COUNTER_MAX; i++)
		counted += i == CLV_COUNT_TOKENS_TAKEN ? 0 : counters->slot[i];
	CHECK(counted == (r->verdict != CLV_ADMIT_ACCEPT));
	switch (r->verdict) {
	case CLV_ADMIT_RESPOND:
		CHECK(r->response_len > 0 && r->response_len <= 1500);
		/* never more than what came (we could send three times that) */
		CHECK(r->response_len <= rx->payload_len);
		CHECK((rx->payload[0] & 0x80) || r->response_len < rx->payload_len);
		break;
	case CLV_ADMIT_ACCEPT:
		CHECK(rx->payload_len >= 1200);
		CHECK(r->token_is_retry || r->dcid.datalen >= 8);
		CHECK(!r->token_len || (r->token >= rx->payload &&
					r->token + r->token_len <= rx->payload + rx->payload_len));
		break;
	case CLV_ADMIT_DROP:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t secret[32] = { 'f', 'u', 'z', 'z' };
	static const struct clv_endpoint ends[2] = {
		{ .addr = { [10] = 0xff, 0xff, 192, 0, 2, 1 }, .port = 0x1234 },
		{ .addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, .port = 0x1234 },
	};
	static const struct clv_admit_limits limits = { 1, 1, 1, 1 };
	struct clv_counters counters = { 0 };
	struct clv_admit_result result;
	struct clv_admit admit;
	struct clv_rand rand;
	uint8_t *payload, answer[1500];
	struct clv_rx rx = { 0 };

	if (len < 1 || len > PAYLOAD_MAX)
		return 0;
	/* a copy of the exact size, so that a read past its end is found */
	payload = malloc(len > 1 ? len - 1 : 1);
	if (!payload)
		return 0;
	memcpy(payload, data + 1, len - 1);
	rx.remote = ends[!!(data[0] & FLAG_IPV6)];
	rx.payload = payload;
	rx.payload_len = (uint32_t)(len - 1);
	clv_rand_init(&rand, 1);
	clv_admit_init(&admit, secret, &limits, NULL, &rand, &counters);
	clv_admit_classify(&admit, &rx, data[0] & FLAG_MUST_PROVE, CLV_SEC, 1800000000, answer,
			   &result);
	check_result(&rx, &result, &counters);
	free(payload);
	return 0;
}
