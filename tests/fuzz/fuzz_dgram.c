/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz_dgram - what peers put into DATAGRAM frames. */
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/quic/dgram.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	struct clv_dgram d, again;
	size_t len;
	int err = clv_dgram_decode(data, size, &d);

	CHECK(err == 0 || err == CLV_EPROTO || err == CLV_ETRUNC);
	if (err)
		return 0;
	CHECK(d.stream_id >= 0 && d.stream_id % 4 == 0 && d.context_id <= CLV_VARINT_MAX);
	CHECK(d.payload >= data + 2 && d.payload + d.payload_len == data + size);

	/* Our own prefix is no longer than the one that came, and means the same. */
	len = clv_dgram_encode_prefix(d.stream_id, d.context_id, prefix);
	CHECK(len <= (size_t)(d.payload - data));
	CHECK(clv_dgram_decode(prefix, len, &again) == 0);
	CHECK(again.stream_id == d.stream_id && again.context_id == d.context_id);
	CHECK(again.payload_len == 0);
	return 0;
}
