/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/heap.h"

#include <stddef.h>

static bool is_refused(const struct clv_conn_heap *heap, uint64_t more)
{
	const struct clv_heap *of = heap->of;
	uint64_t used;

	if (!of || !of->max || !more)
		return false;
	used = of->used + more;
	if (used <= of->max - of->max / 4)
		return false;
	if (used > of->max || heap->used + more > CLV_HEAP_OWN_FREE)
		return true;
	/* Its source may have as much as is left (base/share.h), so many small ones are no way round. */
	return heap->source && heap->source->used > of->max - of->used &&
	       heap->used + more > CLV_HEAP_NEED;
}

static struct clv_conn_heap *conn_heap_of(struct clv_counted_heap *counted)
{
	return (struct clv_conn_heap *)((char *)counted - offsetof(struct clv_conn_heap, counted));
}

/* Whether so much more may be had; a refusal is counted. */
static bool may_have(struct clv_counted_heap *counted, uint64_t more)
{
	struct clv_conn_heap *heap = conn_heap_of(counted);

	if (!is_refused(heap, more))
		return true;
	clv_count(heap->of->counters, CLV_COUNT_QUIC_MEMORY_FULL);
	return false;
}

/* The owner alone writes it, and others read it. */
static void set_used(struct clv_heap *of, uint64_t used)
{
	__atomic_store_n(&of->used, used, __ATOMIC_RELAXED);
}

static void took(struct clv_counted_heap *counted, uint64_t bytes)
{
	struct clv_conn_heap *heap = conn_heap_of(counted);

	heap->used += bytes;
	if (heap->source)
		heap->source->used += bytes;
	if (heap->of)
		set_used(heap->of, heap->of->used + bytes);
}

static void gave(struct clv_counted_heap *counted, uint64_t bytes)
{
	struct clv_conn_heap *heap = conn_heap_of(counted);

	heap->used -= bytes;
	if (heap->source)
		heap->source->used -= bytes;
	if (heap->of)
		set_used(heap->of, heap->of->used - bytes);
}

void clv_heap_init(struct clv_conn_heap *heap, struct clv_heap *of)
{
	*heap = (struct clv_conn_heap){
		.mem = {
			.user_data = &heap->counted,
			.malloc = clv_counted_malloc,
			.free = clv_counted_free,
			.calloc = clv_counted_calloc,
			.realloc = clv_counted_realloc,
		},
		.counted = { .may_have = may_have, .took = took, .gave = gave },
		.of = of,
	};
}

void clv_heap_leave(struct clv_conn_heap *heap)
{
	if (heap->of)
		set_used(heap->of, heap->of->used - heap->used);
	heap->of = NULL;
}

void clv_heap_join(struct clv_conn_heap *heap, struct clv_heap *of)
{
	clv_heap_leave(heap);
	heap->of = of;
	if (of)
		set_used(of, of->used + heap->used);
}

void clv_heap_charge(struct clv_conn_heap *heap, struct clv_heap_source *source)
{
	if (heap->source)
		heap->source->used -= heap->used;
	heap->source = source;
	source->used += heap->used;
}
