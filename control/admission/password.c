/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/password.h"

#include "control/admission/base64.h"
#include "datapath/base/err.h"
#include "datapath/base/secret.h"

#include <argon2.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "$argon2id$v=19$"

enum {
	PREFIX_LEN = sizeof(PREFIX) - 1,
	HASH_LEN = 32, /* of new hashes */
	HASH_MIN = 16,
	HASH_MAX = 64,
	SALT_MIN = 8,
	SALT_MAX = 48,
	KIB_MIN_PER_LANE = 8, /* RFC 9106 section 3.1 */
	NUMBER_DIGITS = 6,    /* enough for every accepted cost */
};

/* Salt and hash are readable text, not the result of hashing a password. */
const char clv_password_dummy[] = "$argon2id$v=19$m=19456,t=2,p=1$Y3VsdmVydCBub2JvZHkgIQ$"
				  "bm8gcGFzc3dvcmQgaGFzaGVzIHRvIHRoaXMgdGV4dC4";

struct hash {
	uint32_t kib, passes, lanes;
	uint8_t salt[SALT_MAX];
	size_t salt_len;
	uint8_t hash[HASH_MAX];
	size_t hash_len;
};

/* Consume a number such as "m=19456" at *at and the character last, which must follow it. */
static bool take_number(const char **at, const char *end, char name, char last, uint32_t *value)
{
	const char *p = *at;
	uint32_t number = 0;
	int digits = 0;

	if (end - p < 2 || p[0] != name || p[1] != '=')
		return false;
	for (p += 2; p < end && *p >= '0' && *p <= '9'; p++) {
		if (++digits > NUMBER_DIGITS)
			return false;
		number = number * 10 + (uint32_t)(*p - '0');
	}
	/* Each number has one text: without leading zeros. */
	if (!number || p[-digits] == '0' || p == end || *p != last)
		return false;
	*at = p + 1;
	*value = number;
	return true;
}

static int parse(const char *text, size_t len, struct hash *h)
{
	const char *at = text + PREFIX_LEN, *end = text + len, *dollar;

	if (len < PREFIX_LEN || memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return CLV_ESYNTAX;
	if (!take_number(&at, end, 'm', ',', &h->kib) ||
	    !take_number(&at, end, 't', ',', &h->passes) ||
	    !take_number(&at, end, 'p', '$', &h->lanes))
		return CLV_ESYNTAX;
	if (h->lanes > CLV_PASSWORD_LANES_MAX || h->kib < KIB_MIN_PER_LANE * h->lanes ||
	    h->kib > CLV_PASSWORD_KIB_MAX || h->passes > CLV_PASSWORD_WORK_MAX / h->kib)
		return CLV_ESYNTAX;
	dollar = memchr(at, '$', (size_t)(end - at));
	if (!dollar ||
	    clv_base64_decode(CLV_BASE64_UNPADDED, at, (size_t)(dollar - at), h->salt,
			      sizeof(h->salt), &h->salt_len) < 0 ||
	    clv_base64_decode(CLV_BASE64_UNPADDED, dollar + 1, (size_t)(end - dollar - 1), h->hash,
			      sizeof(h->hash), &h->hash_len) < 0)
		return CLV_ESYNTAX;
	return h->salt_len >= SALT_MIN && h->hash_len >= HASH_MIN ? 0 : CLV_ESYNTAX;
}

/* Compute h->hash_len bytes of hash, the lanes one after the other. */
static int compute(const struct hash *h, const char *password, size_t len,
		   uint8_t out[static HASH_MAX])
{
	struct hash copy = *h; /* libargon2 takes its inputs by pointers to non-const */
	argon2_context context = {
		.out = out,
		.outlen = (uint32_t)h->hash_len,
		.pwd = (uint8_t *)password,
		.pwdlen = (uint32_t)len,
		.salt = copy.salt,
		.saltlen = (uint32_t)h->salt_len,
		.t_cost = h->passes,
		.m_cost = h->kib,
		.lanes = h->lanes,
		.threads = 1,
		.version = ARGON2_VERSION_13,
		.flags = ARGON2_DEFAULT_FLAGS,
	};

	switch (argon2_ctx(&context, Argon2_id)) {
	case ARGON2_OK:
		return 0;
	case ARGON2_MEMORY_ALLOCATION_ERROR:
		return -ENOMEM;
	default:
		return CLV_ETLS;
	}
}

int clv_password_hash(const char *password, size_t len,
		      const uint8_t salt[static CLV_PASSWORD_SALT_LEN],
		      char out[static CLV_PASSWORD_TEXT_MAX])
{
	struct hash h = {
		.kib = CLV_PASSWORD_KIB,
		.passes = CLV_PASSWORD_PASSES,
		.lanes = CLV_PASSWORD_LANES,
		.salt_len = CLV_PASSWORD_SALT_LEN,
		.hash_len = HASH_LEN,
	};
	size_t at;
	int err;

	if (!len || len > CLV_PASSWORD_MAX)
		return CLV_ERANGE;
	memcpy(h.salt, salt, CLV_PASSWORD_SALT_LEN);
	err = compute(&h, password, len, h.hash);
	if (err)
		return err;
	at = (size_t)snprintf(out, CLV_PASSWORD_TEXT_MAX, PREFIX "m=%u,t=%u,p=%u$", h.kib, h.passes,
			      h.lanes);
	at += clv_base64_encode(CLV_BASE64_UNPADDED, h.salt, h.salt_len, out + at);
	out[at++] = '$';
	clv_base64_encode(CLV_BASE64_UNPADDED, h.hash, h.hash_len, out + at);
	return 0;
}

bool clv_password_is_hash(const char *encoded, size_t len)
{
	struct hash h;

	return len < CLV_PASSWORD_TEXT_MAX && parse(encoded, len, &h) == 0;
}

int clv_password_check(const char *encoded, const char *password, size_t len)
{
	uint8_t hash[HASH_MAX];
	struct hash h;
	bool is_equal;
	int err = parse(encoded, strlen(encoded), &h);

	if (!err)
		err = compute(&h, password, len, hash);
	if (err)
		return err;
	is_equal = clv_secret_equal(hash, h.hash, h.hash_len);
	explicit_bzero(hash, sizeof(hash));
	return is_equal ? 0 : CLV_EDENIED;
}
