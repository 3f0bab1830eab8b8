/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/heap.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

static bool is_refused(const struct clv_conn_heap *heap, uint64_t more)
{
	const struct clv_heap *of = heap->of;
	uint64_t used;

	if (!of || !of->max || !more)
		return false;
	used = of->used + more;
	return used > of->max ||
	       (used > of->max - of->max / 4 && heap->used + more > CLV_HEAP_OWN_FREE);
}

static void add(struct clv_conn_heap *heap, uint64_t bytes)
{
	heap->used += bytes;
	if (heap->of)
		heap->of->used += bytes;
}

static void subtract(struct clv_conn_heap *heap, uint64_t bytes)
{
	heap->used -= bytes;
	if (heap->of)
		heap->of->used -= bytes;
}

/* Whether so much more may be had; a refusal is counted. */
static bool may_have(struct clv_conn_heap *heap, uint64_t more)
{
	if (!is_refused(heap, more))
		return true;
	clv_count(heap->of->counters, CLV_COUNT_QUIC_MEMORY_FULL);
	return false;
}

static void *counted(struct clv_conn_heap *heap, void *p)
{
	add(heap, malloc_usable_size(p)); /* 0 of NULL */
	return p;
}

static void *heap_malloc(size_t size, void *user)
{
	return may_have(user, size) ? counted(user, malloc(size)) : NULL;
}

static void *heap_calloc(size_t n, size_t size, void *user)
{
	uint64_t all;

	if (__builtin_mul_overflow(n, size, &all) || !may_have(user, all))
		return NULL;
	return counted(user, calloc(n, size));
}

static void heap_free(void *p, void *user)
{
	subtract(user, malloc_usable_size(p));
	free(p);
}

static void *heap_realloc(void *p, size_t size, void *user)
{
	struct clv_conn_heap *heap = user;
	size_t before = malloc_usable_size(p);
	void *q;

	if (!may_have(heap, size > before ? size - before : 0))
		return NULL;
	q = realloc(p, size);
	if (!q && size)
		return NULL;
	subtract(heap, before);
	return counted(heap, q);
}

void clv_heap_init(struct clv_conn_heap *heap, struct clv_heap *of)
{
	*heap = (struct clv_conn_heap){
		.mem = {
			.user_data = heap,
			.malloc = heap_malloc,
			.free = heap_free,
			.calloc = heap_calloc,
			.realloc = heap_realloc,
		},
		.of = of,
	};
}

void clv_heap_leave(struct clv_conn_heap *heap)
{
	if (heap->of)
		heap->of->used -= heap->used;
	heap->of = NULL;
}

void clv_heap_join(struct clv_conn_heap *heap, struct clv_heap *of)
{
	clv_heap_leave(heap);
	heap->of = of;
	if (of)
		of->used += heap->used;
}
