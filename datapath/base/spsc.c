/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/spsc.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
	LEN_MIN = 4096,
	LINE = 64,
	HEADER = 8,
};

/* In place of a record's length: the next record starts at the beginning of the ring. */
#define WRAP UINT32_MAX

struct header {
	uint32_t len;
	uint32_t type;
};

/*
 * Positions count bytes since the start and never wrap.  Each side keeps the last position it saw
 * of the other one, so that it reads the shared line only when that is not enough.
 */
struct clv_spsc {
	size_t len; /* bytes of the ring, a power of two */

	_Alignas(LINE) _Atomic(uint64_t) head; /* end of what is published */
	_Alignas(LINE) _Atomic(uint64_t) tail; /* end of what is released */

	/* Of the producer. */
	_Alignas(LINE) uint64_t reserved; /* end of the reserved record, 0 none */
	uint64_t seen_tail;

	/* Of the consumer. */
	_Alignas(LINE) uint64_t peeked; /* end of the record lent, 0 none */
	uint64_t seen_head;

	_Alignas(LINE) uint8_t ring[];
};

static struct header *header_at(struct clv_spsc *ring, uint64_t pos)
{
	return (struct header *)(ring->ring + (pos & (ring->len - 1)));
}

static size_t padded(size_t body_len)
{
	return HEADER + ((body_len + 7) & ~(size_t)7);
}

struct clv_spsc *clv_spsc_new(size_t len_bytes)
{
	struct clv_spsc *ring;
	size_t len = LEN_MIN;

	while (len < len_bytes && len <= SIZE_MAX / 4)
		len *= 2;
	/* Lengths are 32 bits wide; half of that leaves WRAP free. */
	if (len < len_bytes || len > (size_t)1 << 31)
		return NULL;
	ring = aligned_alloc(LINE, sizeof(*ring) + len);
	if (!ring)
		return NULL;
	*ring = (struct clv_spsc){ .len = len };
	return ring;
}

void clv_spsc_free(struct clv_spsc *ring)
{
	free(ring);
}

size_t clv_spsc_body_max(const struct clv_spsc *ring)
{
	return ring->len / 4;
}

void *clv_spsc_reserve(struct clv_spsc *ring, uint32_t type, size_t body_len)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t to_end = ring->len - (size_t)(head & (ring->len - 1));
	size_t need = padded(body_len);
	bool wraps = need > to_end;
	uint64_t end = head + need + (wraps ? to_end : 0);

	assert(body_len <= clv_spsc_body_max(ring));
	if (end - ring->seen_tail > ring->len) {
		/* Acquire: the consumer is done reading the bytes we are about to write. */
		ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
		if (end - ring->seen_tail > ring->len)
			return NULL;
	}
	if (wraps) {
		header_at(ring, head)->len = WRAP;
		head += to_end;
	}
	*header_at(ring, head) = (struct header){ (uint32_t)body_len, type };
	ring->reserved = end;
	return header_at(ring, head) + 1;
}

void clv_spsc_commit(struct clv_spsc *ring)
{
	assert(ring->reserved);
	atomic_store_explicit(&ring->head, ring->reserved, memory_order_release);
	ring->reserved = 0;
}

bool clv_spsc_peek(struct clv_spsc *ring, struct clv_record *out)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	const struct header *h;

	if (tail == ring->seen_head) {
		/* Acquire: pairs with commit, the whole record is there. */
		ring->seen_head = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail == ring->seen_head)
			return false;
	}
	h = header_at(ring, tail);
	if (h->len == WRAP) { /* never published without a record after it */
		tail += ring->len - (tail & (ring->len - 1));
		h = header_at(ring, tail);
	}
	*out = (struct clv_record){ .type = h->type, .len = h->len, .body = h + 1 };
	ring->peeked = tail + padded(h->len);
	return true;
}

void clv_spsc_release(struct clv_spsc *ring)
{
	assert(ring->peeked);
	atomic_store_explicit(&ring->tail, ring->peeked, memory_order_release);
	ring->peeked = 0;
}

bool clv_spsc_is_empty(const struct clv_spsc *ring)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	return atomic_load_explicit(&ring->head, memory_order_acquire) == tail;
}
