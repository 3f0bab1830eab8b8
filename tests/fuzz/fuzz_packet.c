/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any bytes as an Ethernet frame.  What the decoder accepts lies within the frame, and an answer
 * written from it is read back as the same conversation.
 */
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/io/packet.h"
#include "tests/fuzz/fuzz.h"

static void answer(const struct clv_rx *rx)
{
	static uint8_t buf[CLV_PACKET_HEADERS_MAX + CLV_PACKET_PAYLOAD_MAX];
	struct clv_flow flow = { .local = rx->local, .remote = rx->remote, .hop.l2 = rx->l2 };
	uint8_t *payload = buf + CLV_PACKET_HEADERS_MAX;
	struct clv_rx back = { 0 };
	size_t headers;

	memcpy(payload, rx->payload, rx->payload_len);
	headers = clv_packet_encode(payload, rx->payload_len, &flow, rx->ecn);
	CHECK(headers > 0);
	CHECK(clv_packet_decode(payload - headers, headers + rx->payload_len, &back) == 0);
	CHECK(clv_packet_checksum_ok(&back));
	CHECK(clv_endpoint_equal(&back.local, &rx->remote));
	CHECK(clv_endpoint_equal(&back.remote, &rx->local));
	CHECK(back.ecn == rx->ecn && back.payload_len == rx->payload_len);
	CHECK(memcmp(back.l2.vlan_id, rx->l2.vlan_id, sizeof(back.l2.vlan_id)) == 0);
	CHECK(memcmp(back.l2.dst_mac, rx->l2.src_mac, 6) == 0);
	CHECK(memcmp(back.l2.src_mac, rx->l2.dst_mac, 6) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_rx rx = { 0 };

	/* The decoder writes nothing; the batch it fills is for writers. */
	if (clv_packet_decode((uint8_t *)(uintptr_t)data, size, &rx))
		return 0;
	CHECK(rx.payload >= data + 42 && rx.payload + rx.payload_len <= data + size);
	clv_packet_checksum_ok(&rx);
	if (rx.payload_len <= CLV_PACKET_PAYLOAD_MAX)
		answer(&rx);
	return 0;
}
