/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * parse - from a frame to one UDP datagram: who sends it to whom, and where its payload lies.
 *
 *   Ethernet | up to two VLAN tags | IPv4 of 20 bytes, or IPv6 | UDP | payload | link padding
 *
 * A cursor walks over the frame; each step takes one header, or returns the counter of the reason
 * why the frame is left to the kernel.  CLV_PARSED: no reason yet.
 *
 * Spec: RFC 791, RFC 8200, RFC 768, IEEE 802.1Q.
 */
#ifndef CLV_PARSE_BPF_H
#define CLV_PARSE_BPF_H

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

/* SEEN is no verdict, so it can stand for "none yet". */
#define CLV_PARSED CLV_XDP_SEEN

enum {
	CLV_VLAN_DEPTH = 2,	   /* 802.1ad around 802.1Q */
	CLV_IP4_FRAGMENT = 0x3fff, /* More Fragments and the offset, host order */
	CLV_IP4_WORDS_PLAIN = 5,   /* header length without options, in 32-bit words */
};

/* The unread rest of a frame. */
struct clv_cursor {
	const void *pos;
	const void *end; /* of what can be read */
	__u32 left;	 /* bytes of the frame from pos on, also what lies in fragments */
};

/* One UDP datagram. */
struct clv_udp_view {
	struct clv_tuple tuple; /* local: its destination, remote: its source */
	const void *payload;
	__u32 payload_len;  /* from the UDP header; checked to lie within the frame */
	bool is_unchecked6; /* over IPv6, without the checksum that RFC 8200 section 8.1 demands */
};

/* Take one header off the cursor.  NULL: the frame ends before it. */
#define CLV_TAKE(cursor, type) ((const type *)clv_cursor_take(cursor, sizeof(type)))

static __always_inline const void *clv_cursor_take(struct clv_cursor *at, __u32 len)
{
	const void *header = at->pos;

	if (header + len > at->end)
		return NULL;
	at->pos = header + len;
	at->left -= len;
	return header;
}

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* Ethernet and its tags.  Sets *ethertype to what follows them. */
static __always_inline enum clv_xdp_counter parse_link(struct clv_cursor *at, __be16 *ethertype)
{
	struct vlan_tag {
		__be16 control;
		__be16 ethertype;
	};
	const struct ethhdr *eth = CLV_TAKE(at, struct ethhdr);

	if (!eth)
		return CLV_XDP_PASS_MALFORMED;
	*ethertype = eth->h_proto;

#pragma unroll
	for (int i = 0; i < CLV_VLAN_DEPTH; i++) {
		const struct vlan_tag *tag;

		if (!is_vlan(*ethertype))
			break;
		tag = CLV_TAKE(at, struct vlan_tag);
		if (!tag)
			return CLV_XDP_PASS_MALFORMED;
		*ethertype = tag->ethertype;
	}
	return CLV_PARSED;
}

static __always_inline void map_address4(__u8 mapped[16], const __be32 *addr)
{
	mapped[10] = 0xff;
	mapped[11] = 0xff;
	__builtin_memcpy(mapped + 12, addr, sizeof(*addr));
}

static __always_inline bool is_mapped4(const __u8 addr[16])
{
	const __u32 *words = (const void *)addr; /* keys of a map lie aligned */

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

/* Sets *ip_payload_len to what the header announces, checked to lie within the frame. */
static __always_inline enum clv_xdp_counter parse_ip4(struct clv_cursor *at, __u32 *ip_payload_len,
						      struct clv_udp_view *udp)
{
	const __u32 left = at->left;
	const struct iphdr *ip = CLV_TAKE(at, struct iphdr);
	__u32 total_len;

	if (!ip || ip->version != 4 || ip->ihl < CLV_IP4_WORDS_PLAIN)
		return CLV_XDP_PASS_MALFORMED;
	total_len = bpf_ntohs(ip->tot_len);
	if (total_len < ip->ihl * 4u || total_len > left)
		return CLV_XDP_PASS_MALFORMED;
	if (ip->ihl > CLV_IP4_WORDS_PLAIN)
		return CLV_XDP_PASS_OPTIONS;
	if (ip->frag_off & bpf_htons(CLV_IP4_FRAGMENT))
		return CLV_XDP_PASS_FRAGMENT;
	if (ip->protocol != IPPROTO_UDP)
		return CLV_XDP_PASS_NOT_UDP;

	*ip_payload_len = total_len - sizeof(*ip);
	map_address4(udp->tuple.local.addr, &ip->daddr);
	map_address4(udp->tuple.remote.addr, &ip->saddr);
	return CLV_PARSED;
}

/* Why a next header other than UDP is not ours. */
static __always_inline enum clv_xdp_counter judge_next_header(__u8 next_header)
{
	switch (next_header) {
	case IPPROTO_FRAGMENT:
		return CLV_XDP_PASS_FRAGMENT;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case IPPROTO_AH:
	case IPPROTO_MH:
		return CLV_XDP_PASS_OPTIONS;
	default:
		return CLV_XDP_PASS_NOT_UDP;
	}
}

/* As parse_ip4. */
static __always_inline enum clv_xdp_counter parse_ip6(struct clv_cursor *at, __u32 *ip_payload_len,
						      struct clv_udp_view *udp)
{
	const struct ipv6hdr *ip = CLV_TAKE(at, struct ipv6hdr);
	__u32 payload_len;

	if (!ip || ip->version != 6)
		return CLV_XDP_PASS_MALFORMED;
	payload_len = bpf_ntohs(ip->payload_len);
	if (payload_len > at->left)
		return CLV_XDP_PASS_MALFORMED;
	if (ip->nexthdr != IPPROTO_UDP)
		return judge_next_header(ip->nexthdr);

	*ip_payload_len = payload_len;
	__builtin_memcpy(udp->tuple.local.addr, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(udp->tuple.remote.addr, &ip->saddr, sizeof(ip->saddr));
	return CLV_PARSED;
}

/* A UDP length below the IP one is legal: what follows is not payload. */
static __always_inline enum clv_xdp_counter parse_ports(struct clv_cursor *at, __u32 ip_payload_len,
							bool is_ip6, struct clv_udp_view *udp)
{
	const struct udphdr *header = CLV_TAKE(at, struct udphdr);
	__u32 udp_len;

	if (!header)
		return CLV_XDP_PASS_MALFORMED;
	udp_len = bpf_ntohs(header->len);
	if (udp_len < sizeof(*header) || udp_len > ip_payload_len)
		return CLV_XDP_PASS_MALFORMED;

	udp->tuple.local.port = header->dest;
	udp->tuple.remote.port = header->source;
	udp->payload = at->pos;
	udp->payload_len = udp_len - sizeof(*header);
	udp->is_unchecked6 = is_ip6 && !header->check;
	return CLV_PARSED;
}

/*
 * Read a whole frame.  *udp must be zero: its tuple becomes a map key, padding and all.
 * Returns CLV_PARSED and fills *udp, or the counter of the reason why the kernel gets the frame.
 */
static __always_inline enum clv_xdp_counter clv_parse_udp(struct clv_cursor at,
							  struct clv_udp_view *udp)
{
	enum clv_xdp_counter why;
	__u32 ip_payload_len;
	__be16 ethertype;
	bool is_ip6;

	why = parse_link(&at, &ethertype);
	if (why != CLV_PARSED)
		return why;

	is_ip6 = ethertype == bpf_htons(ETH_P_IPV6);
	if (is_ip6)
		why = parse_ip6(&at, &ip_payload_len, udp);
	else if (ethertype == bpf_htons(ETH_P_IP))
		why = parse_ip4(&at, &ip_payload_len, udp);
	else
		why = CLV_XDP_PASS_NOT_IP;
	if (why != CLV_PARSED)
		return why;

	return parse_ports(&at, ip_payload_len, is_ip6, udp);
}

#endif
