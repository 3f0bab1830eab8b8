/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as an ICMP error; the first one chooses the family.  What is believed stays in bounds. */
#include <string.h>

#include "control/host/icmp.h"
#include "datapath/io/packet.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_icmp_error e = { 0 };
	uint8_t *message;
	uint16_t check = 0;
	bool is_v6;

	if (size < 1 || !(message = malloc(size)))
		return 0;
	is_v6 = data[0] & 1;
	size--;
	memcpy(message, data + 1, size);
	if (!is_v6 && size >= 4) { /* a checksum no fuzzer finds */
		memcpy(message + 2, &check, sizeof(check));
		check = (uint16_t)~clv_packet_fold(clv_packet_sum(message, size, 0));
		memcpy(message + 2, &check, sizeof(check));
	}
	if (clv_icmp_decode(is_v6, message, size, &e) == 0) {
		CHECK(!e.mtu || e.mtu >= (is_v6 ? CLV_ICMP_MTU_MIN6 : CLV_ICMP_MTU_MIN4));
		CHECK(e.mtu <= UINT16_MAX);
		CHECK(is_v6 || clv_addr_is_v4(e.tuple.remote.addr));
	}
	free(message);
	return 0;
}
