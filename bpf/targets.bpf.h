/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * targets - the ports of tunnels, and which datagrams to them are whose.
 *
 * One rule for XDP, which judges what it can read, and for the programs of held.bpf.c, which judge
 * what came through the kernel.  The loader gives both objects one set of maps (bpf_map__reuse_fd).
 */
#ifndef CLV_TARGETS_BPF_H
#define CLV_TARGETS_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"

/* The tunnel that a remote's datagrams belong to. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct clv_tuple);
	__type(value, struct clv_context);
} contexts SEC(".maps");

/* The ports held for tunnels. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, struct clv_endpoint);
	__type(value, struct clv_binding);
} bindings SEC(".maps");

/* Remotes that policy refuses, whatever a tunnel asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__type(key, struct clv_prefix);
	__type(value, enum clv_verdict);
} denied SEC(".maps");

/* rules: a map from prefixes to verdicts. */
static __always_inline bool has_deny(void *rules, const struct clv_endpoint *remote)
{
	struct clv_prefix prefix = { .prefix_bits = 8 * sizeof(prefix.addr) };
	const enum clv_verdict *verdict;

	__builtin_memcpy(prefix.addr, remote->addr, sizeof(prefix.addr));
	verdict = bpf_map_lookup_elem(rules, &prefix);
	return verdict && *verdict != CLV_VERDICT_ALLOW;
}

/* Whose a datagram is. */
enum clv_claim {
	CLV_CLAIM_NONE,		  /* to no port of a tunnel */
	CLV_CLAIM_CONTEXT,	  /* from a remote with a context */
	CLV_CLAIM_CONTEXT_DENIED, /* from one that policy refuses since */
	CLV_CLAIM_OPEN,		  /* to a port that anybody may send to */
	CLV_CLAIM_OPEN_DENIED,	  /* to one, from somebody that policy refuses */
	CLV_CLAIM_STRANGER,	  /* to a port that is held, from a remote no tunnel asked for */
};

/* Fills *ref, the tunnel, for CONTEXT and OPEN. */
static __always_inline enum clv_claim clv_claim_of(const struct clv_tuple *tuple,
						   struct clv_ref *ref)
{
	const struct clv_context *context = bpf_map_lookup_elem(&contexts, tuple);
	const struct clv_binding *binding;

	if (context) {
		*ref = context->tunnel;
		return has_deny(&denied, &tuple->remote) ? CLV_CLAIM_CONTEXT_DENIED
							 : CLV_CLAIM_CONTEXT;
	}
	binding = bpf_map_lookup_elem(&bindings, &tuple->local);
	if (!binding)
		return CLV_CLAIM_NONE;
	if (!(binding->flags & CLV_BINDING_UNCOMPRESSED))
		return CLV_CLAIM_STRANGER;
	*ref = binding->tunnel;
	return has_deny(&denied, &tuple->remote) ? CLV_CLAIM_OPEN_DENIED : CLV_CLAIM_OPEN;
}

#endif
