/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/session/dgram.h"

#include <assert.h>

#include "datapath/base/err.h"
#include "datapath/base/varint.h"

#define QUARTER_STREAM_ID_MAX ((UINT64_C(1) << 60) - 1)

int clv_dgram_decode(const uint8_t *buf, size_t len, struct clv_dgram *out)
{
	const uint8_t *p = buf, *const end = buf + len;
	uint64_t quarter, context;

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
