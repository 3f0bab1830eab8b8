/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * spsc - a bounded ring of variable-size records between one producer and one consumer thread.
 *
 *   record = length(32) type(32) body, padded to 8 bytes
 *
 * Threading: one thread calls the producer half, one the consumer half.  Wait-free, no locks.
 * Order: producer 1. reserve  2. fill the body  3. commit.   consumer 1. peek  2. use  3. release.
 */
#ifndef CLV_BASE_SPSC_H
#define CLV_BASE_SPSC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_spsc;

/*
 * Make a ring of at least len_bytes (rounded up to a power of two, at least 4096).
 * Returns NULL when out of memory, or for more than 2 GiB.
 */
struct clv_spsc *clv_spsc_new(size_t len_bytes);
void clv_spsc_free(struct clv_spsc *ring);

/* Largest body a record of this ring may have, in bytes: a quarter of the ring. */
size_t clv_spsc_body_max(const struct clv_spsc *ring);

/*
 * Room for one record of at most clv_spsc_body_max() bytes, 8-byte aligned; NULL when the ring is
 * full, a normal result the caller counts.  Without commit, the next reserve takes its place.
 */
void *clv_spsc_reserve(struct clv_spsc *ring, uint32_t type, size_t body_len);
/* Publish the reserved record; a release store, so the consumer sees the whole body. */
void clv_spsc_commit(struct clv_spsc *ring);

struct clv_record {
	uint32_t type;
	uint32_t len;	  /* bytes of body */
	const void *body; /* 8-byte aligned; lends until release */
};

/* The oldest record, or false when the ring is empty.  The same one again until release. */
bool clv_spsc_peek(struct clv_spsc *ring, struct clv_record *out);
/* Give back what peek lent. */
void clv_spsc_release(struct clv_spsc *ring);
/* Whether peek would return true; either side may ask. */
bool clv_spsc_is_empty(const struct clv_spsc *ring);

#endif
