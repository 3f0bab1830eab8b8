/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * umem - the packet memory of one AF_XDP socket, and the pool of its free frames.
 *
 * A frame is named by its address: the offset of its first byte.  It is in one place: the pool, a
 * socket's fill ring (until it is received), the batch that the worker holds, or a transmit ring
 * (until it completes).  Debug builds (NDEBUG not defined) keep the place beside the frame and
 * assert it.
 *
 * Threading: made by any thread, then its worker's.
 */
#ifndef CLV_IO_UMEM_H
#define CLV_IO_UMEM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	/* Not less: what 2048 leaves after headroom some drivers round down to 1 KiB. */
	CLV_UMEM_FRAME_BYTES = CLV_CHUNK_BYTES,
};

#define CLV_UMEM_NO_FRAME UINT64_MAX

enum clv_umem_place {
	CLV_UMEM_POOL = 0,
	CLV_UMEM_FILL,
	CLV_UMEM_HELD,
	CLV_UMEM_TX,
};

struct clv_umem {
	uint8_t *area;
	size_t len_bytes;
	uint32_t frames;
	uint32_t free_count;
	uint64_t *free; /* a stack: the frame given last is still in the cache */
#ifndef NDEBUG
	uint8_t *place; /* enum clv_umem_place of each frame */
#endif
	void *map; /* what the kernel gave; area is aligned within */
	size_t map_bytes;
	bool is_huge; /* explicit huge pages */
};

/*
 * Reserve memory for frames frames, near NUMA node numa_node (-1: anywhere), in huge pages when the
 * system has free ones, and put all frames into the pool.
 *
 * Returns 0 and fills *out, -EINVAL for no frames, or -ENOMEM.
 */
int clv_umem_open(struct clv_umem *out, uint32_t frames, int numa_node);
/* After all sockets on it are closed.  Accepts a zeroed struct. */
void clv_umem_close(struct clv_umem *u);

static inline uint8_t *clv_umem_data(const struct clv_umem *u, uint64_t addr)
{
	return u->area + addr;
}

/* First byte of the frame that any address within it belongs to. */
static inline uint64_t clv_umem_frame_of(uint64_t addr)
{
	return addr & ~(uint64_t)(CLV_UMEM_FRAME_BYTES - 1);
}

/* Record that a frame moved; one that is not in `from` is a bug of ours. */
static inline void clv_umem_move(struct clv_umem *u, uint64_t frame, enum clv_umem_place from,
				 enum clv_umem_place to)
{
#ifndef NDEBUG
	uint64_t i = frame / CLV_UMEM_FRAME_BYTES;

	assert(i < u->frames && frame % CLV_UMEM_FRAME_BYTES == 0);
	assert(u->place[i] == from);
	u->place[i] = (uint8_t)to;
#else
	(void)u, (void)frame, (void)from, (void)to;
#endif
}

/* A frame from the pool, or CLV_UMEM_NO_FRAME. */
static inline uint64_t clv_umem_take(struct clv_umem *u, enum clv_umem_place to)
{
	uint64_t frame;

	if (!u->free_count)
		return CLV_UMEM_NO_FRAME;
	frame = u->free[--u->free_count];
	clv_umem_move(u, frame, CLV_UMEM_POOL, to);
	return frame;
}

static inline void clv_umem_give(struct clv_umem *u, uint64_t frame, enum clv_umem_place from)
{
	clv_umem_move(u, frame, from, CLV_UMEM_POOL);
	u->free[u->free_count++] = frame;
}

#endif
