/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps - what the XDP program looks up, but for what it shares with other programs.  Keys and values are defined in abi.h.
 *
 * The sizes here are defaults: the loader sets the configured ones before it loads.
 * BPF_F_RDONLY_PROG marks what control alone writes.  Tables are preallocated, so that an insert
 * fails only when one is full; `contexts` is not, because room for a million would hold 134 MB from
 * the first second instead of 17, and a lookup costs the same.
 */
#ifndef CLV_MAPS_BPF_H
#define CLV_MAPS_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "conns.bpf.h"
#include "count.bpf.h"
#include "targets.bpf.h"

/* Where peers reach the relay. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, struct clv_endpoint);
	__type(value, struct clv_listener);
} listeners SEC(".maps");

/*
 * Whom control talks to that has no connection yet.  The rule for all addresses says what happens to
 * those without another; without any rule all are passed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct clv_prefix);
	__type(value, enum clv_verdict);
} clients SEC(".maps");

/* The receive queue of a flow that may become a connection; control picks the worker by it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct clv_tuple);
	__type(value, __u32);
} rxq_of_flow SEC(".maps");

/* Token buckets of unvalidated sources, by prefix: when each will be full again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct clv_guard_key);
	__type(value, __u64);
} guard SEC(".maps");

/* The rates of those buckets.  All zero, until control writes them: not limited. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct clv_guard_limits);
} guard_limits SEC(".maps");

/* The workers' sockets: see clv_link. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, CLV_XSKS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* Keyed by interface index. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CLV_LINKS_MAX);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct clv_link);
} links SEC(".maps");

/* Keyed by interface index; written where a frame is lost or takes the long way, never otherwise. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CLV_FAULTS_MAX);
	__type(key, __u32);
	__type(value, struct clv_faults);
} faults SEC(".maps");

/* One slot; control keeps it up to date. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct clv_host_facts);
} host SEC(".maps");

/*
 * The loader writes CLV_ABI_VERSION into its one slot; readers of the pinned maps check it first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, __u32);
} abi SEC(".maps");

#endif
