/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * count - the counters of all programs: one map, and the function that moves them.
 */
#ifndef CLV_COUNT_BPF_H
#define CLV_COUNT_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* Indexed by enum clv_xdp_counter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLV_XDP_COUNTER_MAX);
	__type(key, __u32);
	__type(value, struct clv_count);
} counters SEC(".maps");

static __always_inline void count(__u32 counter, __u32 packets, __u32 bytes)
{
	struct clv_count *slot = bpf_map_lookup_elem(&counters, &counter);

	if (!slot)
		return;
	slot->packets += packets; /* this CPU's copy, and the programs do not interrupt each other */
	slot->bytes += bytes;
}

#endif
