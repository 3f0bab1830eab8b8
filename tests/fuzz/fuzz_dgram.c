/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz_dgram - what peers put into DATAGRAM frames. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/base/varint.h"
#include "datapath/session/dgram.h"

static void require(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX];
	struct clv_dgram d, again;
	size_t len;
	int err = clv_dgram_decode(data, size, &d);

	require(err == 0 || err == CLV_EPROTO || err == CLV_ETRUNC);
	if (err)
		return 0;
	require(d.stream_id >= 0 && d.stream_id % 4 == 0 && d.context_id <= CLV_VARINT_MAX);
	require(d.payload >= data + 2 && d.payload + d.payload_len == data + size);

	/* Our own prefix is no longer than the one that came, and means the same. */
	len = clv_dgram_encode_prefix(d.stream_id, d.context_id, prefix);
	require(len <= (size_t)(d.payload - data));
	require(clv_dgram_decode(prefix, len, &again) == 0);
	require(again.stream_id == d.stream_id && again.context_id == d.context_id);
	require(again.payload_len == 0);
	return 0;
}
