/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/reflect.h"

size_t clv_reflect_stun(struct clv_guard *guard, const struct clv_rx *rx, uint64_t now_ns,
			struct clv_counters *counters, uint8_t answer[static CLV_STUN_ANSWER_MAX])
{
	size_t len = clv_stun_answer(rx->payload, rx->payload_len, &rx->remote, answer);

	if (!len) {
		clv_count(counters, CLV_COUNT_DROP_STUN_MALFORMED);
		return 0;
	}
	if (!clv_guard_take(guard, rx->remote.addr, CLV_GUARD_STUN, now_ns)) {
		clv_count(counters, CLV_COUNT_DROP_STUN_LIMIT);
		return 0;
	}
	clv_count(counters, CLV_COUNT_STUN_ANSWERED);
	return len;
}
