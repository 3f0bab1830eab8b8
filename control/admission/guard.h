/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guard - rate limits, per source, of packets of no known connection: bpf/guard.h in user space,
 * for packets that did not pass the XDP program.
 *
 * The table has a fixed size.  When it is crowded the bucket nearest to full is replaced, so that
 * sources which sent much are not forgotten.
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
 * limits: copies.  entries: minimum size of the table.  seed: copies, 16 random bytes.
 * Returns 0 or -ENOMEM.  Allocates nothing when there are no limits.
 */
int clv_guard_init(struct clv_guard *g, const struct clv_guard_limits *limits, size_t entries,
		   const uint64_t seed[static 2]);
void clv_guard_fini(struct clv_guard *g);

/* Whether a packet of that kind from addr is within the limits; takes a token from its buckets. */
bool clv_guard_take(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns);
/* Undo a successful clv_guard_take for the same addr and kind, other than CLV_GUARD_STUN. */
void clv_guard_give(struct clv_guard *g, const uint8_t addr[static 16], enum clv_guard_kind kind,
		    uint64_t now_ns);

enum {
	CLV_GUARD_TEXT_MAX = 64,
};

/* Format the prefix of a bucket, as "192.0.2.0/24".  Returns buf. */
const char *clv_guard_source(const struct clv_guard_key *key, char buf[static CLV_GUARD_TEXT_MAX]);
const char *clv_guard_kind_name(enum clv_guard_kind kind);

#endif
