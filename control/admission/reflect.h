/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reflect - tell who asks by STUN at which address the relay sees them, where XDP does not.
 *
 * Threading: control.
 */
#ifndef CLV_ADMISSION_REFLECT_H
#define CLV_ADMISSION_REFLECT_H

#include <stddef.h>
#include <stdint.h>

#include "control/admission/guard.h"
#include "datapath/base/counters.h"
#include "datapath/base/stun.h"
#include "datapath/io/port.h"

/*
 * Answer a packet of no connection that clv_stun_matches.  guard: charges its source.
 * Returns the length of the answer, or 0 when there is none; either is counted.
 */
size_t clv_reflect_stun(struct clv_guard *guard, const struct clv_rx *rx, uint64_t now_ns,
			struct clv_counters *counters, uint8_t answer[static CLV_STUN_ANSWER_MAX]);

#endif
