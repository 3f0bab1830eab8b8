/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/bearer.h"

#include "control/admission/base64.h"
#include "control/admission/mac.h"
#include "datapath/base/bytes.h"
#include "datapath/base/err.h"
#include "datapath/base/secret.h"

#include <string.h>

#define PREFIX "clvt1."

enum {
	VERSION = 1,
	PREFIX_LEN = sizeof(PREFIX) - 1,
	LIMIT_LEN = 1 + 8,
	PAYLOAD_MAX = 2 + CLV_CLIENT_NAME_MAX + 8 + 8 + CLV_LIMIT_MAX * LIMIT_LEN,
	MAC_TEXT_LEN = CLV_BASE64_LEN(CLV_MAC_LEN),
	TEXT_MAX = PREFIX_LEN + CLV_BASE64_LEN(PAYLOAD_MAX) + 1 + MAC_TEXT_LEN,
};

_Static_assert((int)CLV_BEARER_KEY_LEN == (int)CLV_MAC_KEY_LEN, "one key, one length");
_Static_assert((int)TEXT_MAX < (int)CLV_BEARER_TEXT_MAX, "the longest token fits");

static size_t write_payload(const struct clv_bearer *b, size_t name_len,
			    uint8_t payload[static PAYLOAD_MAX])
{
	uint8_t *p = payload;

	*p++ = VERSION;
	*p++ = (uint8_t)name_len;
	memcpy(p, b->name, name_len);
	p += name_len;
	clv_store_be64(p, b->issued_sec);
	clv_store_be64(p + 8, b->expires_sec);
	p += 16;
	for (int i = 0; i < CLV_LIMIT_MAX; i++) {
		if (b->limits.of[i] == CLV_UNLIMITED)
			continue;
		*p++ = (uint8_t)i;
		clv_store_be64(p, b->limits.of[i]);
		p += 8;
	}
	return (size_t)(p - payload);
}

static int read_limits(const uint8_t *p, const uint8_t *end, struct clv_client_limits *limits)
{
	int last = -1;

	clv_client_limits_init(limits);
	for (; p < end; p += LIMIT_LEN) {
		if (end - p < LIMIT_LEN || *p >= CLV_LIMIT_MAX || *p <= last)
			return CLV_ESYNTAX;
		last = *p;
		limits->of[last] = clv_load_be64(p + 1);
		if (limits->of[last] == CLV_UNLIMITED)
			return CLV_ESYNTAX;
	}
	return clv_client_limits_valid(limits) ? 0 : CLV_ESYNTAX;
}

static int read_payload(const uint8_t *p, size_t len, struct clv_bearer *out)
{
	const uint8_t *end = p + len;
	struct clv_bearer b = { 0 };
	size_t name_len;

	if (len < 2 || p[0] != VERSION)
		return CLV_ESYNTAX;
	name_len = p[1];
	p += 2;
	if ((size_t)(end - p) < name_len + 16 || !clv_client_name_valid((const char *)p, name_len))
		return CLV_ESYNTAX;
	memcpy(b.name, p, name_len);
	p += name_len;
	b.issued_sec = clv_load_be64(p);
	b.expires_sec = clv_load_be64(p + 8);
	if (b.expires_sec && b.expires_sec < b.issued_sec)
		return CLV_ESYNTAX;
	if (read_limits(p + 16, end, &b.limits) < 0)
		return CLV_ESYNTAX;
	*out = b;
	return 0;
}

int clv_bearer_make(const uint8_t key[static CLV_BEARER_KEY_LEN], const struct clv_bearer *b,
		    char out[static CLV_BEARER_TEXT_MAX])
{
	size_t name_len = strnlen(b->name, sizeof(b->name)), len = PREFIX_LEN;
	uint8_t payload[PAYLOAD_MAX], mac[CLV_MAC_LEN];

	if (!clv_client_name_valid(b->name, name_len) || !clv_client_limits_valid(&b->limits) ||
	    (b->expires_sec && b->expires_sec < b->issued_sec))
		return CLV_ERANGE;
	memcpy(out, PREFIX, PREFIX_LEN);
	len += clv_base64_encode(CLV_BASE64_URL, payload, write_payload(b, name_len, payload),
				 out + len);
	if (clv_mac(key, out, len, mac) < 0)
		return CLV_ETLS;
	out[len++] = '.';
	clv_base64_encode(CLV_BASE64_URL, mac, sizeof(mac), out + len);
	explicit_bzero(mac, sizeof(mac));
	return 0;
}

enum clv_bearer_verdict clv_bearer_verify(const uint8_t key[static CLV_BEARER_KEY_LEN],
					  const char *text, size_t len, uint64_t wall_sec,
					  struct clv_bearer *out)
{
	uint8_t payload[PAYLOAD_MAX], mac[CLV_MAC_LEN], wanted[CLV_MAC_LEN];
	size_t payload_len, mac_len, signed_len;
	struct clv_bearer b;
	bool is_ours;

	if (len > TEXT_MAX || len < PREFIX_LEN + 1 + MAC_TEXT_LEN ||
	    memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return CLV_BEARER_MALFORMED;
	signed_len = len - MAC_TEXT_LEN - 1;
	if (text[signed_len] != '.' ||
	    clv_base64_decode(CLV_BASE64_URL, text + signed_len + 1, MAC_TEXT_LEN, mac, sizeof(mac),
			      &mac_len) < 0 ||
	    clv_base64_decode(CLV_BASE64_URL, text + PREFIX_LEN, signed_len - PREFIX_LEN, payload,
			      sizeof(payload), &payload_len) < 0)
		return CLV_BEARER_MALFORMED;

	/* The payload is parsed only after its signature was verified. */
	is_ours = clv_mac(key, text, signed_len, wanted) == 0 &&
		  clv_secret_equal(mac, wanted, sizeof(mac));
	explicit_bzero(wanted, sizeof(wanted));
	if (!is_ours)
		return CLV_BEARER_FORGED;
	if (read_payload(payload, payload_len, &b) < 0)
		return CLV_BEARER_MALFORMED;

	*out = b;
	if (b.expires_sec && wall_sec >= b.expires_sec)
		return CLV_BEARER_EXPIRED;
	if (b.issued_sec > wall_sec && b.issued_sec - wall_sec > CLV_BEARER_SKEW_SEC)
		return CLV_BEARER_EARLY;
	return CLV_BEARER_VALID;
}
