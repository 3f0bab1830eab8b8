/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heap - memory that the QUIC library holds for connections, and its ceiling.
 *
 * What a peer sends with gaps, and what it never acknowledges, waits inside the library.  Each
 * connection has an allocator that draws on its owner's sum.  Near the ceiling those that hold much
 * get no more, and at it nobody; the library then gives the connection up.
 *
 * Spec: none.   Threading: the connection's owner; it changes by leave and join.
 */
#ifndef CLV_QUIC_HEAP_H
#define CLV_QUIC_HEAP_H

#include <ngtcp2/ngtcp2.h>
#include <stdint.h>

#include "datapath/base/counters.h"

enum {
	CLV_HEAP_OWN_FREE = 256 * 1024, /* bytes of one connection that are nobody's worry */
};

/* Of one owner: the sum of all its connections. */
struct clv_heap {
	uint64_t used, max; /* bytes; max 0: no ceiling */
	struct clv_worker_counters *counters;
};

/* Of one connection.  Does not move: the library keeps the address of mem. */
struct clv_conn_heap {
	ngtcp2_mem mem;
	struct clv_heap *of; /* borrows; NULL between two owners, or for no ceiling */
	uint64_t used;
};

/* of: borrows; NULL: no ceiling. */
void clv_heap_init(struct clv_conn_heap *heap, struct clv_heap *of);
/* What the connection holds is no longer its owner's. */
void clv_heap_leave(struct clv_conn_heap *heap);
/* It is another's, which may go beyond its ceiling by it.  of: borrows; NULL: no ceiling. */
void clv_heap_join(struct clv_conn_heap *heap, struct clv_heap *of);

#endif
