/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * shared - a struct of statistics that one thread writes and others read at any time.
 *
 * Each member is read whole, but members may be of different moments.  Sizes are multiples of eight
 * bytes.
 *
 * Threading: clear: the writer; read: any thread.
 */
#ifndef CLV_BASE_SHARED_H
#define CLV_BASE_SHARED_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t __attribute__((may_alias)) clv_shared_word;

/* Copy src[0..len) to dst. */
static inline void clv_shared_read(void *dst, const void *src, size_t len)
{
	const clv_shared_word *from = src;
	clv_shared_word *to = dst;

	for (size_t i = 0; i < len / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/* Set figures[0..len) to zero. */
static inline void clv_shared_clear(void *figures, size_t len)
{
	clv_shared_word *to = figures;

	for (size_t i = 0; i < len / sizeof(*to); i++)
		__atomic_store_n(&to[i], 0, __ATOMIC_RELAXED);
}

#endif
