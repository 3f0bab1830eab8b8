/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * conntrack - ask the kernel's connection tracking about a datagram.
 *
 * Linux 5.18 lets XDP ask, where connection tracking is built in or was loaded before this program;
 * elsewhere the answer is no.  A kernel without BTF of its own does not load it at all, which is why
 * only culvert_tracked.bpf.c has it.
 */
#ifndef CLV_CONNTRACK_BPF_H
#define CLV_CONNTRACK_BPF_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.bpf.h"
#include "parse.bpf.h"

/* Never looked into; the types of an imported function must be complete. */
struct nf_conn {
	unsigned long status;
};

/* As the kernel has it; later ones have more, and take this too. */
struct clv_conntrack_options {
	__s32 netns_id; /* BPF_F_CURRENT_NETNS */
	__s32 error;
	__u8 protocol;
	__u8 direction; /* of the packet in its flow; the kernel fills it */
	__u8 reserved[2];
};

enum {
	CLV_CONNTRACK_REPLY = 1, /* IP_CT_DIR_REPLY */
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple,
					 __u32 tuple__sz, struct clv_conntrack_options *options,
					 __u32 options__sz) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *flow) __ksym __weak;

static __always_inline bool does_host_forward(void)
{
	const __u32 zero = 0;
	const struct clv_host_facts *facts = bpf_map_lookup_elem(&host, &zero);

	return facts && facts->forwards;
}

/*
 * Whether a datagram to a port of ours answers a flow that began here: of somebody for whom the host
 * masquerades, since what the relay sends by AF_XDP is not tracked.  Not inlined: the longest chain
 * of calls, an answer to STUN, would have less stack by what it needs.
 */
static __noinline bool clv_is_reply(struct xdp_md *ctx, const struct clv_tuple *tuple)
{
	struct clv_conntrack_options options = { .netns_id = BPF_F_CURRENT_NETNS };
	struct bpf_sock_tuple flow = { 0 };
	struct nf_conn *found;

	if (!bpf_ksym_exists(bpf_xdp_ct_lookup) || !bpf_ksym_exists(bpf_ct_release) ||
	    !does_host_forward())
		return false;
	options.protocol = IPPROTO_UDP;
	if (is_mapped4(tuple->local.addr)) {
		__builtin_memcpy(&flow.ipv4.saddr, tuple->remote.addr + 12, 4);
		__builtin_memcpy(&flow.ipv4.daddr, tuple->local.addr + 12, 4);
		flow.ipv4.sport = tuple->remote.port;
		flow.ipv4.dport = tuple->local.port;
		found = bpf_xdp_ct_lookup(ctx, &flow, sizeof(flow.ipv4), &options, sizeof(options));
	} else {
		__builtin_memcpy(flow.ipv6.saddr, tuple->remote.addr, 16);
		__builtin_memcpy(flow.ipv6.daddr, tuple->local.addr, 16);
		flow.ipv6.sport = tuple->remote.port;
		flow.ipv6.dport = tuple->local.port;
		found = bpf_xdp_ct_lookup(ctx, &flow, sizeof(flow.ipv6), &options, sizeof(options));
	}
	if (!found)
		return false;
	bpf_ct_release(found);
	return options.direction == CLV_CONNTRACK_REPLY;
}

#endif
