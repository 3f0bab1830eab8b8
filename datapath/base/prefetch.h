/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * prefetch - start to load memory into the cache while something else is done.
 *
 * What a NIC, or another core on its behalf, has just written is far from this core; waiting for
 * each packet when it is opened costs as much as opening it.  Nothing is read: any address is
 * valid.
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

/* Prefetch p[0..len) into the nearest cache: it is used next. */
static inline void clv_prefetch(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += CLV_CACHE_LINE)
		__builtin_prefetch(p + i, 0, 3);
}

#endif
