/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/identity.h"

#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>

#include <string.h>

#define PREFIX "clv1"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

enum {
	PREFIX_LEN = sizeof(PREFIX) - 1,
};

int clv_identity_of(const uint8_t *spki, size_t len, struct clv_identity *out)
{
	struct clv_identity id;

	if (len > UINT32_MAX || wc_Sha256Hash(spki, (word32)len, id.bytes) != 0)
		return CLV_ETLS;
	*out = id;
	return 0;
}

static int digit_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

int clv_identity_parse(const char *text, size_t len, struct clv_identity *out)
{
	struct clv_identity id;
	unsigned bits = 0, pending = 0; /* pending: of bits, not written yet */
	size_t n = 0;

	if (len != CLV_IDENTITY_TEXT_LEN || memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return CLV_ESYNTAX;
	for (size_t i = PREFIX_LEN; i < len; i++) {
		int value = digit_value(text[i]);

		if (value < 0)
			return CLV_ESYNTAX;
		bits = (bits << 5 | (unsigned)value) & 0xfff;
		pending += 5;
		if (pending >= 8) {
			pending -= 8;
			id.bytes[n++] = (uint8_t)(bits >> pending);
		}
	}
	/* 52 characters carry four bits more than the hash has. */
	if (bits & ((1u << pending) - 1))
		return CLV_ESYNTAX;
	*out = id;
	return 0;
}

const char *clv_identity_format(const struct clv_identity *id,
				char buf[static CLV_IDENTITY_TEXT_LEN + 1])
{
	unsigned bits = 0, pending = 0;
	size_t n = PREFIX_LEN;

	memcpy(buf, PREFIX, PREFIX_LEN);
	for (size_t i = 0; i < CLV_IDENTITY_LEN; i++) {
		bits = (bits << 8 | id->bytes[i]) & 0xfff;
		for (pending += 8; pending >= 5; pending -= 5)
			buf[n++] = alphabet[bits >> (pending - 5) & 31];
	}
	buf[n++] = alphabet[bits << (5 - pending) & 31];
	buf[n] = '\0';
	return buf;
}
