/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/umem.h"

#include <errno.h>
#include <numa.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/base/log.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static size_t round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* Fills map, map_bytes, area and is_huge for u->len_bytes. */
static int map_memory(struct clv_umem *u)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uintptr_t start;

	u->map_bytes = round_up(u->len_bytes, HUGE_PAGE_BYTES);
	u->map = mmap(NULL, u->map_bytes, prot, flags | MAP_HUGETLB, -1, 0);
	u->is_huge = u->map != MAP_FAILED;
	if (u->is_huge) {
		u->area = u->map;
		return 0;
	}
	u->map_bytes += HUGE_PAGE_BYTES; /* so that a transparent huge page can start the area */
	u->map = mmap(NULL, u->map_bytes, prot, flags, -1, 0);
	if (u->map == MAP_FAILED)
		return -errno;
	start = round_up((uintptr_t)u->map, HUGE_PAGE_BYTES);
	u->area = (uint8_t *)start;
	madvise(u->area, u->len_bytes, MADV_HUGEPAGE); /* a wish; kernels without it refuse */
	return 0;
}

int clv_umem_open(struct clv_umem *out, uint32_t frames, int numa_node)
{
	struct clv_umem u = { .frames = frames };
	uint32_t i;
	int err;

	if (!frames)
		return -EINVAL;
	u.len_bytes = (size_t)frames * CLV_UMEM_FRAME_BYTES;
	err = map_memory(&u);
	if (err)
		return err;
	/* Before the first touch.  A preference: a node that ran full must not end in a SIGBUS. */
	if (numa_node >= 0 && numa_available() >= 0)
		numa_tonode_memory(u.area, u.len_bytes, numa_node);

	err = -ENOMEM;
	u.free = malloc(frames * sizeof(*u.free));
	if (!u.free)
		goto unmap;
#ifndef NDEBUG
	u.place = calloc(frames, 1);
	if (!u.place)
		goto free_stack;
#endif
	/* The lowest address on top: a pool that is used little stays in few pages. */
	for (i = 0; i < frames; i++)
		u.free[i] = (uint64_t)(frames - 1 - i) * CLV_UMEM_FRAME_BYTES;
	u.free_count = frames;
	clv_log(CLV_LOG_DEBUG, "umem", "frames=%u huge_pages=%d node=%d", frames, u.is_huge,
		numa_node);
	*out = u;
	return 0;

#ifndef NDEBUG
free_stack:
	free(u.free);
#endif
unmap:
	munmap(u.map, u.map_bytes);
	return err;
}

void clv_umem_close(struct clv_umem *u)
{
	if (!u->map)
		return;
#ifndef NDEBUG
	free(u->place);
#endif
	free(u->free);
	munmap(u->map, u->map_bytes);
	*u = (struct clv_umem){ 0 };
}
