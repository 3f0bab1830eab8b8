/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * held - datagrams to ports of tunnels that come through the kernel.
 *
 * XDP leaves to the kernel what it does not read itself (fragments, IP options, extension headers)
 * and what it does not know (remotes of no tunnel); interfaces without XDP leave it all.  Where the
 * kernel is to deliver such a datagram to a port that is held for tunnels, clv_find_worker chooses
 * by the same rule as XDP: the worker of its tunnel, or else nobody.  Then it ends at the socket that
 * only holds the port, at clv_drop, which counts it; no worker wakes up for it.
 *
 *   clv_find_worker  sk_lookup, of the network namespace
 *   clv_drop         socket filter, on each socket that holds a port
 *   clv_limit        socket filter, on each worker's socket for these datagrams
 *
 * The kernel may look a socket up twice for one datagram (for UDP_GRO), so that only the filters
 * count.  A filter sees the UDP header first, checked by the kernel, and a datagram in one piece.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bucket.h"
#include "count.bpf.h"
#include "parse.bpf.h"
#include "targets.bpf.h"

char clv_license[] SEC("license") = "Dual BSD/GPL";

enum {
	FAMILY_IP4 = 2, /* AF_INET */
	FAMILY_IP6 = 10,
	FILTER_DROP = 0,
	FILTER_ACCEPT = -1, /* whole */
};

/* The workers' sockets for these datagrams. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, CLV_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} workers SEC(".maps");

/* Token buckets of tunnels: when each will be full again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CLV_HELD_RATES);
	__type(key, struct clv_ref);
	__type(value, __u64);
} held_rates SEC(".maps");

/* Their rate.  All zero: no limit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__type(key, __u32);
	__type(value, struct clv_rate);
} held_limit SEC(".maps");

static __always_inline void copy_address6(__u8 to[16], __u32 a, __u32 b, __u32 c, __u32 d)
{
	const __u32 words[4] = { a, b, c, d };

	__builtin_memcpy(to, words, sizeof(words));
}

SEC("sk_lookup")
int clv_find_worker(struct bpf_sk_lookup *ctx)
{
	struct clv_tuple tuple = { 0 };
	struct clv_ref ref = { 0 };
	enum clv_claim claim;
	struct bpf_sock *sock;
	__u32 worker;

	if (ctx->protocol != IPPROTO_UDP)
		return SK_PASS;
	if (ctx->family == FAMILY_IP4) {
		const __be32 local = ctx->local_ip4, remote = ctx->remote_ip4;

		map_address4(tuple.local.addr, &local);
		map_address4(tuple.remote.addr, &remote);
	} else {
		copy_address6(tuple.local.addr, ctx->local_ip6[0], ctx->local_ip6[1],
			      ctx->local_ip6[2], ctx->local_ip6[3]);
		copy_address6(tuple.remote.addr, ctx->remote_ip6[0], ctx->remote_ip6[1],
			      ctx->remote_ip6[2], ctx->remote_ip6[3]);
	}
	tuple.local.port = bpf_htons((__u16)ctx->local_port);
	tuple.remote.port = (__be16)ctx->remote_port;

	/* Most are the host's own: one question is enough for them. */
	if (!bpf_map_lookup_elem(&bindings, &tuple.local))
		return SK_PASS;
	claim = clv_claim_of(&tuple, &ref);
	if (claim != CLV_CLAIM_CONTEXT && claim != CLV_CLAIM_OPEN)
		return SK_PASS;
	worker = ref.worker;
	sock = bpf_map_lookup_elem(&workers, &worker);
	if (!sock)
		return SK_PASS;
	bpf_sk_assign(ctx, sock, 0);
	bpf_sk_release(sock);
	return SK_PASS;
}

/* *tuple must be zero.  Returns false when there is no such header. */
static __always_inline bool read_tuple(struct __sk_buff *skb, struct clv_tuple *tuple)
{
	struct udphdr udp;

	if (bpf_skb_load_bytes(skb, 0, &udp, sizeof(udp)))
		return false;
	tuple->local.port = udp.dest;
	tuple->remote.port = udp.source;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET))
			return false;
		map_address4(tuple->local.addr, &ip.daddr);
		map_address4(tuple->remote.addr, &ip.saddr);
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET))
			return false;
		__builtin_memcpy(tuple->local.addr, &ip.daddr, sizeof(ip.daddr));
		__builtin_memcpy(tuple->remote.addr, &ip.saddr, sizeof(ip.saddr));
	}
	return true;
}

/* Datagrams that the kernel has put into this one packet. */
static __always_inline __u32 datagrams_of(const struct __sk_buff *skb)
{
	return skb->gso_segs ? skb->gso_segs : 1;
}

SEC("socket")
int clv_drop(struct __sk_buff *skb)
{
	enum clv_xdp_counter why = CLV_XDP_HELD_UNKNOWN_REMOTE;
	struct clv_tuple tuple = { 0 };
	struct clv_ref ref;

	if (read_tuple(skb, &tuple)) {
		switch (clv_claim_of(&tuple, &ref)) {
		case CLV_CLAIM_CONTEXT:
		case CLV_CLAIM_OPEN:
			why = CLV_XDP_HELD_UNREAD;
			break;
		case CLV_CLAIM_CONTEXT_DENIED:
		case CLV_CLAIM_OPEN_DENIED:
			why = CLV_XDP_HELD_DENIED;
			break;
		default:
			break;
		}
	}
	count(why, datagrams_of(skb), skb->len);
	return FILTER_DROP;
}

/*
 * Whether a packet of so many datagrams is; one with more than a full bucket takes all of it.  Two CPUs
 * that take from one bucket at the same time may count one packet for two.
 */
static __always_inline bool is_within_rate(const struct clv_ref *tunnel, __u32 datagrams)
{
	const __u32 zero = 0;
	const struct clv_rate *rate = bpf_map_lookup_elem(&held_limit, &zero);
	__u64 *full_ns, first_ns, now_ns;
	struct clv_rate packets;

	if (!rate || !rate->interval_ns)
		return true;
	packets = *rate;
	packets.interval_ns *= datagrams;
	if (packets.interval_ns > packets.burst_ns)
		packets.interval_ns = packets.burst_ns;
	now_ns = bpf_ktime_get_ns();
	full_ns = bpf_map_lookup_elem(&held_rates, tunnel);
	if (full_ns)
		return clv_rate_take(&packets, full_ns, now_ns);
	first_ns = now_ns + packets.interval_ns;
	bpf_map_update_elem(&held_rates, tunnel, &first_ns, BPF_ANY);
	return true;
}

/* What is no tunnel's any more is the worker's to drop. */
SEC("socket")
int clv_limit(struct __sk_buff *skb)
{
	struct clv_tuple tuple = { 0 };
	struct clv_ref ref = { 0 };
	enum clv_claim claim;

	if (!read_tuple(skb, &tuple))
		return FILTER_ACCEPT;
	claim = clv_claim_of(&tuple, &ref);
	if ((claim != CLV_CLAIM_CONTEXT && claim != CLV_CLAIM_OPEN) ||
	    is_within_rate(&ref, datagrams_of(skb)))
		return FILTER_ACCEPT;
	count(CLV_XDP_HELD_RATE, datagrams_of(skb), skb->len);
	return FILTER_DROP;
}
