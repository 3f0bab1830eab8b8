/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guard - how many packets of no connection each source may have looked at: bpf/guard.h in user
 * space, for packets that no XDP program saw.
 *
 * A table of fixed size.  Where it is crowded the bucket that is nearest to full makes room: who
 * sent much stays remembered.
 *
 * Threading: control.
 */
#ifndef CLV_ADMISSION_GUARD_H
#define CLV_ADMISSION_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "bpf/guard.h"

struct clv_guard_entry {
	struct clv_guard_key key;
	__u64 full_ns; /* 0: free */
};

struct clv_guard {
	struct clv_guard_limits limits;
	struct clv_guard_entry *entries;
	size_t entries_len; /* a power of two */
	uint64_t seed[2];
};

/*
 * limits: copies.  entries: at least so many.  seed: copies, 16 random bytes.
 * Returns 0 or -ENOMEM.  Without limits no memory is taken.
 */
int clv_guard_init(struct clv_guard *g, const struct clv_guard_limits *limits, size_t entries,
		   const uint64_t seed[static 2]);
void clv_guard_fini(struct clv_guard *g);

/* Whether a packet of that kind from addr may be looked at; takes from its buckets. */
bool clv_guard_take(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns);
/* Undo a successful clv_guard_take for the same addr and kind. */
void clv_guard_give(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns);

enum {
	CLV_GUARD_TEXT_MAX = 64,
};

/* The prefix of a bucket as "192.0.2.0/24".  Returns buf. */
const char *clv_guard_source(const struct clv_guard_key *key, char buf[static CLV_GUARD_TEXT_MAX]);
const char *clv_guard_kind_name(enum clv_guard_kind kind);

#endif
