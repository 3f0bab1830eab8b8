/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* load_raw - every frame of a live test run leaves by one interface, to the next port of a list. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char clv_license[] SEC("license") = "Dual BSD/GPL";

enum {
	PORTS_MAX = 16384,
};

enum {
	HEADER_WORDS = 8, /* of 8 bytes: all headers, and a little more */
};

const volatile __u32 out_ifindex = 0, ports_len = 0; /* 0: the port that the frame has */
const volatile __u64 header[HEADER_WORDS] = { 0 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTS_MAX);
	__type(key, __u32);
	__type(value, __u16); /* wire order */
} ports SEC(".maps");

/* The program runs on one CPU at a time.  Of every burst + skip frames the first burst leave. */
__u32 burst = 64, skip = 0;
__u32 frame_number = 0, next_port = 0;
__u64 sent = 0;

/* RFC 1624. */
static __always_inline void set_port(struct udphdr *udp, __be16 port)
{
	__u32 sum;

	if (udp->check) {
		sum = (__u16)~udp->check + (__u32)(__u16)~udp->dest + port;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		udp->check = (__u16)~sum;
		if (!udp->check)
			udp->check = 0xffff;
	}
	udp->dest = port;
}

SEC("xdp")
int load_out(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u64 *word = (void *)(long)ctx->data;
	struct udphdr *udp;
	__u32 at = frame_number;
	__u16 *port;

	frame_number = at + 1 < burst + skip ? at + 1 : 0;
	if (at >= burst)
		return XDP_DROP;
	if ((void *)(word + HEADER_WORDS) > end)
		return XDP_DROP;
	/* The page of a frame is used again: it has what its last receiver wrote there. */
	for (int i = 0; i < HEADER_WORDS; i++)
		word[i] = header[i];
	sent++;
	if (!ports_len)
		return bpf_redirect(out_ifindex, 0);
	udp = eth->h_proto == bpf_htons(ETH_P_IP) ? (void *)(eth + 1) + sizeof(struct iphdr)
						  : (void *)(eth + 1) + sizeof(struct ipv6hdr);
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	at = next_port;
	next_port = at + 1 < ports_len ? at + 1 : 0;
	port = bpf_map_lookup_elem(&ports, &at);
	if (!port)
		return XDP_DROP;
	set_port(udp, *port);
	return bpf_redirect(out_ifindex, 0);
}
