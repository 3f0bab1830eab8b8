/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * far - the far end of a link: UDP is dropped, sent back or handed to an AF_XDP socket where it
 * arrives, and counted, so that no network stack is billed to whoever sent it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

/* Host order; 0: none. */
const volatile __u16 drop_port = 0, echo_port = 0, xsk_first = 0, xsk_last = 0;

struct far_count {
	__u64 packets, bytes; /* dropped or sent back; bytes of UDP payload */
	__u64 handed;	      /* packets for the AF_XDP socket */
	__u64 frame_bytes;    /* of all that came */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct far_count);
} taken SEC(".maps");

/* Of the load program, which finds it by its name. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} far_xsks SEC(".maps");

static __always_inline void count_frame(const struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct far_count *c = bpf_map_lookup_elem(&taken, &zero);

	if (c)
		c->frame_bytes += ctx->data_end - ctx->data;
}

static __always_inline void count(const struct udphdr *udp, int is_handed)
{
	__u32 zero = 0;
	struct far_count *c = bpf_map_lookup_elem(&taken, &zero);

	if (!c)
		return;
	if (is_handed) {
		c->handed += 1;
		return;
	}
	c->packets += 1;
	c->bytes += bpf_ntohs(udp->len) - sizeof(*udp);
}

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, mac, ETH_ALEN);
}

/* Exchanging both ends changes no checksum. */
static __always_inline void swap_ends(struct iphdr *ip4, struct ipv6hdr *ip6, struct udphdr *udp,
				      const void *end)
{
	__be16 port = udp->dest;

	udp->dest = udp->source;
	udp->source = port;
	if (ip4) {
		__be32 addr = ip4->daddr;

		ip4->daddr = ip4->saddr;
		ip4->saddr = addr;
	} else if ((const void *)(ip6 + 1) <= end) { /* known, but not to the verifier any more */
		struct in6_addr addr = ip6->daddr;

		ip6->daddr = ip6->saddr;
		ip6->saddr = addr;
	}
}

SEC("xdp")
int far_end(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip4 = (void *)(eth + 1);
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct udphdr *udp;
	__u16 port;

	count_frame(ctx);
	if ((void *)(ip4 + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && ip4->ihl == 5 && ip4->protocol == IPPROTO_UDP) {
		udp = (void *)(ip4 + 1);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6) && (void *)(ip6 + 1) <= end &&
		   ip6->nexthdr == IPPROTO_UDP) {
		udp = (void *)(ip6 + 1);
		ip4 = 0;
	} else {
		return XDP_PASS;
	}
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	port = bpf_ntohs(udp->dest);
	if (port == drop_port) {
		count(udp, 0);
		return XDP_DROP;
	}
	if (port == echo_port) {
		count(udp, 0);
		swap_macs(eth);
		swap_ends(ip4, ip6, udp, end);
		/* veth leaves what XDP_TX sends lying about where its other end has no XDP program. */
		return bpf_redirect(ctx->ingress_ifindex, 0);
	}
	if (!xsk_first || port < xsk_first || port > xsk_last)
		return XDP_PASS;
	count(udp, 1);
	return bpf_redirect_map(&far_xsks, ctx->rx_queue_index, XDP_DROP);
}
