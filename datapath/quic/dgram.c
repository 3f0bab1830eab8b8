/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/dgram.h"

#include <assert.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/varint.h"

#define QUARTER_STREAM_ID_MAX ((UINT64_C(1) << 60) - 1)

int clv_dgram_decode(const uint8_t *buf, size_t len, struct clv_dgram *out)
{
	const uint8_t *p = buf, *end;
	uint64_t quarter, context;

	if (!len) /* buf may be NULL: an empty DATAGRAM frame has no data */
		return CLV_EPROTO;
	end = buf + len;
	if (clv_varint_read(&p, end, &quarter) < 0 || quarter > QUARTER_STREAM_ID_MAX)
		return CLV_EPROTO;
	if (clv_varint_read(&p, end, &context) < 0)
		return CLV_ETRUNC;

	*out = (struct clv_dgram){
		.stream_id = (int64_t)(quarter * 4),
		.context_id = context,
		.payload = p,
		.payload_len = (size_t)(end - p),
	};
	return 0;
}

enum {
	V4 = 4, /* IP Version */
	V6 = 6,
	V4_LEN = 1 + 4 + 2,
	V6_LEN = 1 + 16 + 2,
};

size_t clv_dgram_decode_remote(const uint8_t *buf, size_t len, struct clv_endpoint *remote)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct clv_endpoint ep = { 0 };
	size_t used;

	if (len >= V4_LEN && buf[0] == V4) {
		memcpy(ep.addr, mapped, sizeof(mapped));
		memcpy(ep.addr + 12, buf + 1, 4);
		used = V4_LEN;
	} else if (len >= V6_LEN && buf[0] == V6) {
		memcpy(ep.addr, buf + 1, 16);
		/* IPv4 written as IPv6 has our form of IPv4 already. */
		if (clv_addr_is_any(ep.addr))
			return 0;
		used = V6_LEN;
	} else {
		return 0;
	}
	memcpy(&ep.port, buf + used - 2, 2);
	if (!ep.port)
		return 0;
	*remote = ep;
	return used;
}

size_t clv_dgram_encode_remote(const struct clv_endpoint *remote,
			       uint8_t buf[static CLV_DGRAM_REMOTE_MAX])
{
	bool is_v4 = clv_addr_is_v4(remote->addr);
	size_t addr_len = is_v4 ? 4 : 16;

	buf[0] = is_v4 ? V4 : V6;
	memcpy(buf + 1, remote->addr + 16 - addr_len, addr_len);
	memcpy(buf + 1 + addr_len, &remote->port, 2);
	return 1 + addr_len + 2;
}

size_t clv_dgram_encode_prefix(int64_t stream_id, uint64_t context_id,
			       uint8_t buf[static CLV_DGRAM_PREFIX_MAX])
{
	/* cppcheck-suppress ctuPointerArith ; one past the end is where end belongs */
	const uint8_t *const end = buf + CLV_DGRAM_PREFIX_MAX;
	uint8_t *p = buf;
	int err;

	assert(stream_id >= 0 && stream_id % 4 == 0 && context_id <= CLV_VARINT_MAX);
	err = clv_varint_write(&p, end, (uint64_t)stream_id / 4);
	if (!err)
		err = clv_varint_write(&p, end, context_id);
	assert(!err);
	(void)err;
	return (size_t)(p - buf);
}
