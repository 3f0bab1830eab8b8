/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pattern - what the load programs send and check.
 *
 *   intended time of sending, ns 8 | tunnel 4 | zero 4 | bytes of the pattern
 *
 * All in host order: both ends are on one machine.  A time of 0 is no time.  Of a payload below 16
 * bytes there is as much as fits.
 */
#ifndef CLV_BENCH_LOAD_PATTERN_H
#define CLV_BENCH_LOAD_PATTERN_H

#include <stddef.h>
#include <stdint.h>

enum {
	BENCH_STAMP_BYTES = 16,
};

static inline void bench_pattern(uint8_t *payload, size_t len)
{
	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
}

#endif
