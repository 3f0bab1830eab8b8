/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp_floor - the least XDP can do with a frame: drop it, redirect it, make IPv6 of IPv4 first. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

enum {
	GROWTH = sizeof(struct ipv6hdr) - sizeof(struct iphdr),
};

const volatile __u32 out_ifindex = 0;
const volatile __u8 next_mac[ETH_ALEN] = { 0 };
const volatile __u8 net6[12] = { 0 }; /* the first bytes of both addresses; IPv4 is the rest */

__u64 packets = 0; /* on one CPU at a time */

static __always_inline int is_udp4(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	return (void *)(ip + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP) && ip->ihl == 5 &&
	       ip->protocol == IPPROTO_UDP;
}

SEC("xdp")
int floor_drop(struct xdp_md *ctx)
{
	if (!is_udp4(ctx))
		return XDP_PASS;
	packets++;
	return XDP_DROP;
}

SEC("xdp")
int floor_redirect(struct xdp_md *ctx)
{
	if (!is_udp4(ctx))
		return XDP_PASS;
	packets++;
	return bpf_redirect(out_ifindex, 0);
}

/* The sum of the pseudo header changes by what the prefixes add; IPv4's addresses stay in it. */
static __always_inline __u16 grown_sum(__u16 check)
{
	__u32 sum = (__u16)~check, word;

	for (int i = 0; i < 12; i += 2) {
		word = (__u32)net6[i] | (__u32)net6[i + 1] << 8;
		sum += 2 * word; /* in both addresses */
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	check = (__u16)~sum;
	return check ? check : 0xffff;
}

SEC("xdp")
int floor_rewrite(struct xdp_md *ctx)
{
	struct ipv6hdr ip6 = { .version = 6, .nexthdr = IPPROTO_UDP, .hop_limit = 64 };
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
	void *end;

	if (!is_udp4(ctx))
		return XDP_PASS;
	end = (void *)(long)ctx->data_end;
	eth = (void *)(long)ctx->data;
	ip = (void *)(eth + 1);
	udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > end)
		return XDP_PASS;
	for (int i = 0; i < 12; i++)
		ip6.saddr.s6_addr[i] = ip6.daddr.s6_addr[i] = net6[i];
	ip6.saddr.s6_addr32[3] = ip->saddr;
	ip6.daddr.s6_addr32[3] = ip->daddr;
	ip6.payload_len = udp->len;
	udp->check = grown_sum(udp->check);
	if (bpf_xdp_adjust_head(ctx, -(int)GROWTH))
		return XDP_DROP;
	end = (void *)(long)ctx->data_end;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) + sizeof(ip6) > end)
		return XDP_DROP;
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_source[i] = next_mac[i];
		eth->h_dest[i] = next_mac[i];
	}
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	__builtin_memcpy(eth + 1, &ip6, sizeof(ip6));
	packets++;
	return bpf_redirect(out_ifindex, 0);
}
