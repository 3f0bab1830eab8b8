/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a ClientHello, in pieces of any size: the pieces make no difference. */
#include "control/tls/hello.h"
#include "tests/fuzz/fuzz.h"

static const int groups[] = { 0x0201 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clv_hello whole, pieces;
	enum clv_hello_result result;
	size_t piece, at = 1;

	if (!size)
		return 0;
	piece = data[0] ? data[0] : 1;
	clv_hello_init(&whole, groups, 1);
	clv_hello_init(&pieces, groups, 1);
	result = clv_hello_feed(&whole, data + 1, size - 1);
	while (at < size) {
		const size_t n = size - at < piece ? size - at : piece;

		clv_hello_feed(&pieces, data + at, n);
		at += n;
	}
	CHECK(clv_hello_feed(&pieces, NULL, 0) == result);
	CHECK(result != CLV_HELLO_OFFERED || whole.is_offered);
	CHECK(result != CLV_HELLO_NOT_OFFERED || !whole.is_offered);
	CHECK(result == CLV_HELLO_MORE || result == CLV_HELLO_UNREADABLE ||
	      whole.has_list == (result != CLV_HELLO_NO_LIST));
	return 0;
}
