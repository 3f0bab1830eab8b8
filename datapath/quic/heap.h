/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * heap - a limit on the memory that the QUIC library holds for connections.
 *
 * What a peer sends with gaps, and what it never acknowledges, is buffered inside the library.
 * Each connection has an allocator that counts toward its owner's sum.  Above three quarters of the
 * limit connections that hold much get no more, nor do those of a source that holds more than is
 * left, beyond what a connection needs; at the limit none does.  The library then fails the connection.
 *
 * Spec: none.   Threading: the connection's owner; it changes by leave and join.
 */
#ifndef CLV_QUIC_HEAP_H
#define CLV_QUIC_HEAP_H

#include <ngtcp2/ngtcp2.h>
#include <stdint.h>

#include "datapath/base/counted_heap.h"
#include "datapath/base/counters.h"

enum {
	CLV_HEAP_OWN_FREE = 256 * 1024, /* bytes that one connection may hold even near the limit */
	CLV_HEAP_NEED = 48 * 1024,	/* the same, if its source holds more than is left */
};

/* Of one owner: the sum of all its connections. */
struct clv_heap {
	uint64_t used; /* bytes; any thread may read it (relaxed) */
	uint64_t max;  /* bytes; 0: no ceiling */
	struct clv_worker_counters *counters;
};

/* What the connections of one source hold of an owner.  Zeroed: nothing. */
struct clv_heap_source {
	uint64_t used; /* bytes */
};

/* Of one connection.  Does not move: the library keeps the address of mem. */
struct clv_conn_heap {
	ngtcp2_mem mem;
	struct clv_counted_heap counted;
	struct clv_heap *of;		/* borrows; NULL between two owners, or for no ceiling */
	struct clv_heap_source *source; /* borrows; NULL: nobody's */
	uint64_t used;
};

/* of: borrows; NULL: no ceiling. */
void clv_heap_init(struct clv_conn_heap *heap, struct clv_heap *of);
/* Take what the connection holds out of its owner's sum. */
void clv_heap_leave(struct clv_conn_heap *heap);
/* Add it to another owner's sum, even beyond its limit.  of: borrows; NULL: no limit. */
void clv_heap_join(struct clv_conn_heap *heap, struct clv_heap *of);
/* Charge what the connection holds, now and later, to another source of the same owner. */
void clv_heap_charge(struct clv_conn_heap *heap, struct clv_heap_source *source);

#endif
