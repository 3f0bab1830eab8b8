/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/stun.h"

#include <string.h>

#include "datapath/base/bytes.h"
#include "datapath/base/err.h"

enum {
	RESPONSE_ERROR = 0x0111,
	ERROR_CODE = 0x0009,
	FAMILY_IP4 = 1,
	FAMILY_IP6 = 2,
	ATTRIBUTE_HEAD = 4,
};

size_t clv_stun_answer(const uint8_t *request, size_t len, const struct clv_endpoint *from,
		       uint8_t out[static CLV_STUN_ANSWER_MAX])
{
	const uint8_t *port = (const uint8_t *)&from->port;
	uint8_t copy[CLV_STUN_REQUEST_MAX] = { 0 };
	enum clv_stun_kind kind;

	if (len > sizeof(copy))
		return 0;
	memcpy(copy, request, len);
	kind = clv_stun_judge(copy, (uint32_t)len);
	if (kind == CLV_STUN_BAD || !clv_stun_may_answer(from->addr, port))
		return 0;
	return clv_stun_write_answer(out, copy, from->addr, port, kind == CLV_STUN_FINGERPRINTED);
}

void clv_stun_request(const uint8_t transaction[static CLV_STUN_TRANSACTION_LEN],
		      uint8_t out[static CLV_STUN_HEADER_LEN])
{
	clv_store_be16(out, CLV_STUN_REQUEST);
	clv_store_be16(out + 2, 0);
	clv_store_be32(out + CLV_STUN_ID_AT, CLV_STUN_COOKIE);
	memcpy(out + 8, transaction, CLV_STUN_TRANSACTION_LEN);
}

/* Attributes of RFC 8489 that a client may meet and need not read. */
static bool is_known(uint16_t type)
{
	static const uint16_t known[] = {
		0x0001,
		0x0006,
		0x0008,
		ERROR_CODE,
		0x000a,
		0x0014,
		0x0015,
		0x001c,
		0x001d,
		0x001e,
		CLV_STUN_XOR_MAPPED_ADDRESS,
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == type)
			return true;
	return type >= CLV_STUN_OPTIONAL;
}

/* value: of an XOR-MAPPED-ADDRESS.  id: cookie and transaction ID. */
static int read_address(const uint8_t *value, size_t len, const uint8_t *id,
			struct clv_endpoint *out)
{
	struct clv_endpoint seen = { 0 };
	uint8_t *port = (uint8_t *)&seen.port, *addr = seen.addr;
	size_t addr_len = 16;

	if (len < 4)
		return CLV_EPROTO;
	if (value[1] == FAMILY_IP4) {
		addr[10] = addr[11] = 0xff;
		addr += 12;
		addr_len = 4;
	} else if (value[1] != FAMILY_IP6) {
		return CLV_EPROTO;
	}
	if (len != 4 + addr_len)
		return CLV_EPROTO;
	port[0] = value[2] ^ id[0];
	port[1] = value[3] ^ id[1];
	for (size_t i = 0; i < addr_len; i++)
		addr[i] = value[4 + i] ^ id[i];
	if (!clv_stun_may_answer(seen.addr, port)) /* nobody can be seen there */
		return CLV_EPROTO;
	*out = seen;
	return 0;
}

static int read_error(const uint8_t *value, size_t len, unsigned *error)
{
	unsigned hundreds, rest;

	if (len < 4)
		return CLV_EPROTO;
	hundreds = value[2] & 7;
	rest = value[3];
	if (hundreds < 3 || hundreds > 6 || rest > 99)
		return CLV_EPROTO;
	*error = hundreds * 100 + rest;
	return 0;
}

/* m[0..at) is what the checksum covers. */
static bool is_fingerprint_good(const uint8_t *m, size_t at, const uint8_t *value, size_t value_len,
				size_t len)
{
	return value_len == 4 && at + CLV_STUN_FINGERPRINT_LEN == len &&
	       clv_load_be32(value) == clv_stun_fingerprint(m, (uint32_t)at, (uint32_t)at);
}

/* Of several attributes of one kind the first counts (RFC 8489 section 14). */
static int read_attributes(const uint8_t *m, size_t len, struct clv_stun_response *r,
			   bool *has_address)
{
	size_t at = CLV_STUN_HEADER_LEN;

	while (at < len) {
		const uint8_t *value = m + at + ATTRIBUTE_HEAD;
		uint16_t type = clv_load_be16(m + at);
		size_t value_len = clv_load_be16(m + at + 2);
		int err = 0;

		if (value_len > len - at - ATTRIBUTE_HEAD)
			return CLV_ETRUNC;
		if (type == CLV_STUN_FINGERPRINT &&
		    !is_fingerprint_good(m, at, value, value_len, len))
			err = CLV_EPROTO;
		else if (type == CLV_STUN_XOR_MAPPED_ADDRESS && !*has_address) {
			err = read_address(value, value_len, m + CLV_STUN_ID_AT, &r->seen);
			*has_address = !err;
		} else if (type == ERROR_CODE && !r->error)
			err = read_error(value, value_len, &r->error);
		else if (!is_known(type))
			err = CLV_EPROTO;
		if (err)
			return err;
		at += ATTRIBUTE_HEAD + ((value_len + 3) & ~(size_t)3);
	}
	return at == len ? 0 : CLV_ETRUNC;
}

int clv_stun_response_read(const uint8_t *m, size_t len, struct clv_stun_response *out)
{
	struct clv_stun_response r = { 0 };
	bool has_address = false, is_error;
	int err;

	if (len < CLV_STUN_HEADER_LEN)
		return CLV_ETRUNC;
	if (!clv_stun_is(m))
		return CLV_EPROTO;
	is_error = clv_load_be16(m) == RESPONSE_ERROR;
	if (!is_error && clv_load_be16(m) != CLV_STUN_SUCCESS)
		return CLV_ERANGE;
	if (len % 4 || clv_load_be16(m + 2) + (size_t)CLV_STUN_HEADER_LEN != len)
		return CLV_ETRUNC;
	memcpy(r.transaction, m + 8, sizeof(r.transaction));
	err = read_attributes(m, len, &r, &has_address);
	if (err)
		return err;
	if (is_error ? !r.error : !has_address)
		return CLV_EPROTO;
	if (is_error)
		memset(&r.seen, 0, sizeof(r.seen));
	else
		r.error = 0;
	*out = r;
	return 0;
}
