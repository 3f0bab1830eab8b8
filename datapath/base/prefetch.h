/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * prefetch - have memory come while something else is done.
 *
 * What a NIC, or another core for it, has just written is far from this core; to wait for each packet
 * when it is opened costs as much as to open it.  Nothing is read: an address may be any.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BASE_PREFETCH_H
#define CLV_BASE_PREFETCH_H

#include <stddef.h>
#include <stdint.h>

enum {
	CLV_CACHE_LINE = 64,
};

/* p[0..len), into the nearest cache: what is used next. */
static inline void clv_prefetch(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += CLV_CACHE_LINE)
		__builtin_prefetch(p + i, 0, 3);
}

#endif
