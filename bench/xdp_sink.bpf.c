/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* xdp_sink - drop and count UDP to one port where it arrives, so that no stack is billed for it. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

const volatile __u16 sink_port = 0; /* host order */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

SEC("xdp")
int drop_udp(struct xdp_md *ctx)
{
	const void *end = (const void *)(long)ctx->data_end;
	const struct ethhdr *eth = (const void *)(long)ctx->data;
	const struct iphdr *ip4 = (const void *)(eth + 1);
	const struct ipv6hdr *ip6 = (const void *)(eth + 1);
	const struct udphdr *udp;
	__u32 zero = 0;
	__u64 *count;

	if ((const void *)(ip4 + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP) && ip4->ihl == 5 && ip4->protocol == IPPROTO_UDP)
		udp = (const void *)(ip4 + 1);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6) && (const void *)(ip6 + 1) <= end &&
		 ip6->nexthdr == IPPROTO_UDP)
		udp = (const void *)(ip6 + 1);
	else
		return XDP_PASS;
	if ((const void *)(udp + 1) > end || udp->dest != bpf_htons(sink_port))
		return XDP_PASS;
	count = bpf_map_lookup_elem(&dropped, &zero);
	if (count)
		*count += 1;
	return XDP_DROP;
}
