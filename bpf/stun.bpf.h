/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stun - STUN Binding requests answered where they arrive: the frame goes back by the link it came
 * by, its addresses turned round.
 *
 *   Ethernet and tags as they came | IPv4 of 20 bytes, or IPv6 | UDP | answer
 *
 * The answer has another length than the request.  The frame grows and shrinks at its head: veth
 * leaves no room behind a small frame, and every driver leaves some in front.  What the driver loses
 * after that is counted as answered: no program hears of it.
 *
 * The functions that are not static are verified by themselves, once, and called for nothing else:
 * they cost other packets nothing, and the loops of one do not multiply the paths of another.  A chain
 * of calls has 512 bytes of stack: judging and answering lie side by side, and what one leaves to the
 * other is in the scratch.
 */
#ifndef CLV_STUN_BPF_H
#define CLV_STUN_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "guard.bpf.h"
#include "maps.bpf.h"
#include "parse.bpf.h"
#include "stun.h"
#include "targets.bpf.h"

enum {
	STUN_L2_MAX = 24, /* Ethernet and two tags, rounded up so that what follows is aligned */
	STUN_ROOM = STUN_L2_MAX + 40 + 8 + CLV_STUN_ANSWER_MAX,
};

/* One request and its answer: too much for the stack.  Ethernet ends at frame[STUN_L2_MAX]. */
struct stun_scratch {
	struct clv_tuple tuple; /* of the request */
	__u32 was;		/* bytes of its frame */
	__u32 l2;		/* of them Ethernet and tags */
	__u32 has_fingerprint;
	__u8 request[CLV_STUN_REQUEST_MAX + 4];
	__u8 frame[STUN_ROOM + 12]; /* more than is used, as the verifier sees it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stun_scratch);
} stun_scratch SEC(".maps");

/* Whether a packet to a listener, of no connection, is STUN.  end: of the frame. */
static __always_inline bool clv_stun_matches(const struct clv_udp_view *udp, const void *end)
{
	const __u8 *header = udp->payload;

	return udp->payload_len >= CLV_STUN_HEADER_LEN &&
	       (const void *)(header + CLV_STUN_HEADER_LEN) <= end && clv_stun_is(header);
}

static __always_inline __u16 stun_fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff) + (sum >> 48);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Sum of len bytes, a multiple of 4 and at most STUN_ROOM, as the machine reads them. */
static __always_inline __u64 stun_sum(const __u8 *p, __u32 len)
{
	__u64 sum = 0;

	for (__u32 i = 0; i < STUN_ROOM && i < len; i += 4)
		sum += *(const __u32 *)(p + i);
	return sum;
}

/* Turn the two addresses of Ethernet round. */
static __always_inline void stun_turn(__u8 *l2)
{
	__u8 mac[6];

	__builtin_memcpy(mac, l2, 6);
	__builtin_memcpy(l2, l2 + 6, 6);
	__builtin_memcpy(l2 + 6, mac, 6);
}

/* IP, UDP and the answer.  Returns how many bytes they have. */
static __always_inline __u32 stun_write(struct stun_scratch *s)
{
	const struct clv_endpoint *to = &s->tuple.remote, *from = &s->tuple.local;
	const bool is_v4 = clv_guard_is_v4(to->addr);
	__u8 *ip = s->frame + STUN_L2_MAX, *header = ip + (is_v4 ? 20 : 40);
	const __u32 len = sizeof(struct udphdr) +
			  clv_stun_write_answer(header + sizeof(struct udphdr), s->request,
						to->addr, (const __u8 *)&to->port,
						s->has_fingerprint);
	__u64 sum;
	__u16 check;

	if (is_v4) {
		struct iphdr *ip4 = (void *)ip;

		*(__be32 *)ip = bpf_htonl(0x45000000 | (20 + len));
		*(__be32 *)&ip4->id = bpf_htonl(0x4000); /* Don't Fragment */
		ip4->ttl = 64;
		ip4->protocol = IPPROTO_UDP;
		ip4->check = 0;
		__builtin_memcpy(&ip4->saddr, from->addr + 12, 4);
		__builtin_memcpy(&ip4->daddr, to->addr + 12, 4);
		sum = stun_sum((const __u8 *)&ip4->saddr, 8);
		ip4->check = stun_fold(stun_sum(ip, 20));
	} else {
		struct ipv6hdr *ip6 = (void *)ip;

		*(__be32 *)ip = bpf_htonl(6u << 28);
		ip6->payload_len = bpf_htons(len);
		ip6->nexthdr = IPPROTO_UDP;
		ip6->hop_limit = 64;
		__builtin_memcpy(&ip6->saddr, from->addr, 16);
		__builtin_memcpy(&ip6->daddr, to->addr, 16);
		sum = stun_sum((const __u8 *)&ip6->saddr, 32);
	}
	*(__be16 *)header = from->port;
	*(__be16 *)(header + 2) = to->port;
	*(__be32 *)(header + 4) = bpf_htonl(len << 16);
	sum += bpf_htons(IPPROTO_UDP) + bpf_htons(len) + stun_sum(header, len);
	check = stun_fold(sum);
	*(__be16 *)(header + 6) = check ? check : 0xffff;
	return (is_v4 ? 20 : 40) + len;
}

/*
 * The payload into the scratch.  Here and below word by word: the helpers that copy between a frame
 * and memory came with Linux 5.18.  Returns whether all was there.
 */
static __always_inline bool stun_read(struct stun_scratch *s, const __u8 *payload, const void *end,
				      __u32 len)
{
	for (__u32 at = 0; at < CLV_STUN_REQUEST_MAX && at < len; at += 4) {
		if ((const void *)(payload + at + 4) > end)
			return false;
		*(__u32 *)(s->request + at) = *(const __u32 *)(payload + at);
	}
	return true;
}

/* The frame's first l2 bytes. */
static __always_inline bool stun_read_l2(const struct xdp_md *ctx, __u8 *to, __u64 l2)
{
	const __u8 *data = (const void *)(long)ctx->data;

	if ((const void *)(data + STUN_L2_MAX) > (const void *)(long)ctx->data_end)
		return false;
	for (__u64 at = 0; at < STUN_L2_MAX - 2 && at < l2; at += 2)
		*(__u16 *)(to + at) = *(const __u16 *)(data + at);
	return true;
}

/* Fill the frame; len is 2 and a multiple of 4. */
static __always_inline bool stun_fill(const struct xdp_md *ctx, const __u8 *from, __u64 len)
{
	__u8 *data = (void *)(long)ctx->data;
	const void *end = (const void *)(long)ctx->data_end;

	if ((const void *)(data + 2) > end)
		return false;
	*(__u16 *)data = *(const __u16 *)from;
	for (__u64 at = 2; at < STUN_ROOM && at < len; at += 4) {
		if ((const void *)(data + at + 4) > end)
			return false;
		*(__u32 *)(data + at) = *(const __u32 *)(from + at);
	}
	return true;
}

/* Replace the frame of `was` bytes by its first l2 and the l3 that were written. */
static __always_inline enum clv_xdp_counter stun_send(struct xdp_md *ctx, struct stun_scratch *s,
						      __u64 was, __u64 l2, __u64 l3)
{
	__u64 gap = STUN_L2_MAX - l2, len;
	__u8 *frame;

	barrier_var(gap); /* the compiler knows both bounds, the verifier not */
	barrier_var(l3);
	if (gap > STUN_L2_MAX - sizeof(struct ethhdr) || l3 > STUN_ROOM - STUN_L2_MAX)
		return CLV_XDP_PASS_STUN;
	frame = s->frame + gap;
	l2 = STUN_L2_MAX - gap;
	len = l2 + l3;
	if (!stun_read_l2(ctx, frame, l2))
		return CLV_XDP_PASS_STUN;
	stun_turn(frame);
	if (bpf_xdp_adjust_head(ctx, (int)was - (int)len))
		return CLV_XDP_PASS_STUN;
	/* The whole frame is there, so this does not fail; what it left would be no answer. */
	if (!stun_fill(ctx, frame, len))
		return CLV_XDP_DROP_STUN_MALFORMED;
	return CLV_XDP_ANSWER_STUN;
}

/* Whether XDP itself may answer by this link, a frame with these tags to this address. */
static __always_inline bool stun_may_send(const struct xdp_md *ctx,
					  const struct clv_listener *listener, __u32 l2)
{
	const __u32 ifindex = ctx->ingress_ifindex;
	const struct clv_link *link = bpf_map_lookup_elem(&links, &ifindex);

	if (!link || !(link->flags & CLV_LINK_ANSWERS))
		return false;
	/* A network card may have taken the tag of the address's VLAN away. */
	return l2 > sizeof(struct ethhdr) || !(listener->flags & CLV_LISTENER_TAGGED);
}

/* What the request of len bytes in this CPU's scratch is: enum clv_stun_kind. */
__noinline int stun_judge_scratch(__u32 len)
{
	const __u32 zero = 0;
	const struct stun_scratch *s = bpf_map_lookup_elem(&stun_scratch, &zero);

	return s ? clv_stun_judge(s->request, len) : CLV_STUN_BAD;
}

/*
 * Judge the request in the frame, and leave the scratch as stun_reply wants it.  Returns what to
 * count; ANSWER_STUN: it is to be answered here.
 */
__noinline int stun_admit(struct xdp_md *ctx)
{
	struct clv_cursor at = {
		.pos = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
	};
	const __u8 *mac = at.pos;
	const __u32 zero = 0;
	struct stun_scratch *s = bpf_map_lookup_elem(&stun_scratch, &zero);
	const struct clv_listener *listener;
	struct clv_udp_view udp = { 0 };
	enum clv_stun_kind kind;
	__be16 ethertype;
	__u32 len;

	at.left = (__u32)(at.end - at.pos);
	if (!s)
		return CLV_XDP_PASS_STUN;
	s->was = at.left;
	/* It was parsed before, so this does not fail. */
	if (clv_parse_udp(at, &udp) != CLV_PARSED)
		return CLV_XDP_PASS_STUN;
	listener = bpf_map_lookup_elem(&listeners, &udp.tuple.local);
	len = udp.payload_len;
	if (!listener || parse_link(&at, &ethertype) != CLV_PARSED)
		return CLV_XDP_PASS_STUN;
	s->l2 = at.pos - (const void *)mac;
	s->tuple = udp.tuple;

	/* An IPv4 address in IPv6 would be answered as IPv4, by a frame that says it is IPv6. */
	if (clv_guard_is_v4(s->tuple.remote.addr) != (ethertype == bpf_htons(ETH_P_IP)))
		return CLV_XDP_DROP_STUN_MALFORMED;
	if (has_deny(&clients, &s->tuple.remote))
		return CLV_XDP_DROP_CLIENT_ADDRESS;
	if (len < CLV_STUN_HEADER_LEN || len > CLV_STUN_REQUEST_MAX ||
	    !stun_read(s, udp.payload, at.end, len))
		return CLV_XDP_DROP_STUN_MALFORMED;
	kind = stun_judge_scratch(len);
	if (kind == CLV_STUN_BAD ||
	    !clv_stun_may_answer(s->tuple.remote.addr, (const __u8 *)&s->tuple.remote.port))
		return CLV_XDP_DROP_STUN_MALFORMED;
	if (!clv_guard_admits_stun(&s->tuple.remote))
		return CLV_XDP_DROP_STUN_LIMIT;
	s->has_fingerprint = kind == CLV_STUN_FINGERPRINTED;
	/* From or to many hosts, as the kernel may find out. */
	if (mac[0] & 1 || mac[6] & 1 || !stun_may_send(ctx, listener, s->l2))
		return CLV_XDP_PASS_STUN;
	return CLV_XDP_ANSWER_STUN;
}

/* Make the frame the answer to what stun_admit left in the scratch.  Returns what to count. */
__noinline int stun_reply(struct xdp_md *ctx)
{
	const __u32 zero = 0;
	struct stun_scratch *s = bpf_map_lookup_elem(&stun_scratch, &zero);

	return s ? stun_send(ctx, s, s->was, s->l2, stun_write(s)) : CLV_XDP_PASS_STUN;
}

/*
 * A packet for which clv_stun_matches holds, in a frame that is all in one place.  Returns what to
 * count: it is answered, dropped, or passed to control, which answers.
 */
static __always_inline enum clv_xdp_counter clv_stun_answer(struct xdp_md *ctx)
{
	const enum clv_xdp_counter judged = stun_admit(ctx);

	return judged == CLV_XDP_ANSWER_STUN ? stun_reply(ctx) : judged;
}

#endif
