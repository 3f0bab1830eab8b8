/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/varint.h"

#include "datapath/base/bytes.h"
#include "datapath/base/err.h"

int clv_varint_read(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
	const uint8_t *b = *p;
	size_t len;

	if (b >= end)
		return CLV_ETRUNC;
	len = (size_t)1 << (b[0] >> 6);
	if ((size_t)(end - b) < len)
		return CLV_ETRUNC;

	switch (len) {
	case 1:
		*out = b[0];
		break;
	case 2:
		*out = clv_load_be16(b) & 0x3fff;
		break;
	case 4:
		*out = clv_load_be32(b) & 0x3fffffff;
		break;
	default:
		*out = clv_load_be64(b) & CLV_VARINT_MAX;
		break;
	}
	*p = b + len;
	return 0;
}

size_t clv_varint_len(uint64_t v)
{
	if (v < 1 << 6)
		return 1;
	if (v < 1 << 14)
		return 2;
	if (v < 1 << 30)
		return 4;
	return v <= CLV_VARINT_MAX ? 8 : 0;
}

int clv_varint_write(uint8_t **p, const uint8_t *end, uint64_t v)
{
	uint8_t *b = *p;
	size_t len = clv_varint_len(v);

	if (!len)
		return CLV_ERANGE;
	if (b > end || (size_t)(end - b) < len)
		return CLV_ETRUNC;

	switch (len) {
	case 1:
		b[0] = (uint8_t)v;
		break;
	case 2:
		clv_store_be16(b, (uint16_t)(0x4000 | v));
		break;
	case 4:
		clv_store_be32(b, (uint32_t)(0x80000000 | v));
		break;
	default:
		clv_store_be64(b, UINT64_C(0xc000000000000000) | v);
		break;
	}
	*p = b + len;
	return 0;
}
