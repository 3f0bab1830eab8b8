/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as a token, and as a payload that the key has signed.  No guess is valid, and a payload
 * that is taken is the one that making the token again writes.
 */
#include <string.h>

#include "control/admission/base64.h"
#include "control/admission/bearer.h"
#include "control/admission/mac.h"
#include "tests/fuzz/fuzz.h"

enum {
	PAYLOAD_MAX = 256, /* more than the longest */
};

/* Not in the corpus: what the fuzzer finds was not made with it. */
static const uint8_t key[CLV_BEARER_KEY_LEN] = { 0x13, 0x37 };

static void check_payload(const uint8_t *payload, size_t size)
{
	char text[64 + 4 * ((PAYLOAD_MAX + 2) / 3 + 1)] = "clvt1.", again[CLV_BEARER_TEXT_MAX];
	size_t len = strlen(text);
	uint8_t mac[CLV_MAC_LEN];
	struct clv_bearer out;

	len += clv_base64_encode(CLV_BASE64_URL, payload, size, text + len);
	CHECK(clv_mac(key, text, len, mac) == 0);
	text[len++] = '.';
	len += clv_base64_encode(CLV_BASE64_URL, mac, sizeof(mac), text + len);
	switch (clv_bearer_verify(key, text, len, 1700000000, &out)) {
	case CLV_BEARER_VALID:
	case CLV_BEARER_EXPIRED:
	case CLV_BEARER_EARLY:
		CHECK(clv_bearer_make(key, &out, again) == 0);
		CHECK(strcmp(text, again) == 0);
		break;
	case CLV_BEARER_MALFORMED:
		break;
	default:
		CHECK(!"our own signature");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum clv_bearer_verdict verdict;
	struct clv_bearer out;

	verdict = clv_bearer_verify(key, (const char *)data, size, 1700000000, &out);
	CHECK(verdict == CLV_BEARER_MALFORMED || verdict == CLV_BEARER_FORGED);
	if (size <= PAYLOAD_MAX)
		check_payload(data, size);
	return 0;
}
