/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/tls_memory.h"

#include <malloc.h>
#include <stdlib.h>

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/memory.h>

/* Of all threads.  Nothing is allocated for a packet, so that the line is seldom contended. */
static uint64_t held_bytes;

static void add(uint64_t bytes)
{
	__atomic_fetch_add(&held_bytes, bytes, __ATOMIC_RELAXED);
}

static void *counted_malloc(size_t size)
{
	void *p = malloc(size);

	add(malloc_usable_size(p)); /* 0 of NULL */
	return p;
}

static void counted_free(void *p)
{
	add(-(uint64_t)malloc_usable_size(p));
	free(p);
}

static void *counted_realloc(void *p, size_t size)
{
	size_t before = malloc_usable_size(p);
	void *q = realloc(p, size);

	if (q)
		add(malloc_usable_size(q) - before);
	return q;
}

void clv_tls_memory_count(void)
{
	wolfSSL_SetAllocators(counted_malloc, counted_free, counted_realloc);
}

uint64_t clv_tls_memory_held(void)
{
	return __atomic_load_n(&held_bytes, __ATOMIC_RELAXED);
}
