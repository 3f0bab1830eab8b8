/* SPDX-License-Identifier: GPL-3.0-or-later */
/* clock - the only reader of the clock; everything below takes now_ns as a parameter. */
#ifndef CLV_BASE_CLOCK_H
#define CLV_BASE_CLOCK_H

#include <stdint.h>

#define CLV_MSEC UINT64_C(1000000)
#define CLV_SEC	 UINT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clv_clock_now_ns(void);

#endif
