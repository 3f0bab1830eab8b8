/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * counted_heap - malloc and its kin for a library that takes allocators, with a limit and a count.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_COUNTED_HEAP_H
#define CLV_BASE_COUNTED_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_counted_heap {
	/* Whether so many more bytes may be had now. */
	bool (*may_have)(struct clv_counted_heap *heap, uint64_t bytes);
	/* So many were had, and given back. */
	void (*took)(struct clv_counted_heap *heap, uint64_t bytes);
	void (*gave)(struct clv_counted_heap *heap, uint64_t bytes);
};

/* As the library calls them; heap: the struct clv_counted_heap. */
void *clv_counted_malloc(size_t size, void *heap);
void *clv_counted_calloc(size_t n, size_t size, void *heap);
void *clv_counted_realloc(void *p, size_t size, void *heap);
void clv_counted_free(void *p, void *heap);

#endif
