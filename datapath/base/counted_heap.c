/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/counted_heap.h"

#include <malloc.h>
#include <stdlib.h>

static void *counted(struct clv_counted_heap *heap, void *p)
{
	if (p)
		heap->took(heap, malloc_usable_size(p));
	return p;
}

void *clv_counted_malloc(size_t size, void *user)
{
	struct clv_counted_heap *heap = user;

	return heap->may_have(heap, size) ? counted(heap, malloc(size)) : NULL;
}

void *clv_counted_calloc(size_t n, size_t size, void *user)
{
	struct clv_counted_heap *heap = user;
	uint64_t all;

	if (__builtin_mul_overflow(n, size, &all) || !heap->may_have(heap, all))
		return NULL;
	return counted(heap, calloc(n, size));
}

void *clv_counted_realloc(void *p, size_t size, void *user)
{
	struct clv_counted_heap *heap = user;
	size_t before = malloc_usable_size(p); /* 0 of NULL */
	void *q;

	if (!heap->may_have(heap, size > before ? size - before : 0))
		return NULL;
	q = realloc(p, size);
	if (!q && size)
		return NULL;
	heap->gave(heap, before);
	return counted(heap, q);
}

void clv_counted_free(void *p, void *user)
{
	struct clv_counted_heap *heap = user;

	if (!p)
		return;
	heap->gave(heap, malloc_usable_size(p));
	free(p);
}
