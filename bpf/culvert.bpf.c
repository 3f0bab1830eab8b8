/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * culvert - the XDP entry: one frame in, one verdict and one counter out.
 *
 * What is not plainly the relay's own UDP is left untouched to the kernel.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#ifdef CLV_ASKS_CONNTRACK
#include "conntrack.bpf.h"
#endif
#include "count.bpf.h"
#include "hand_over.bpf.h"
#include "maps.bpf.h"
#include "parse.bpf.h"
#include "steer.bpf.h"
#include "stun.bpf.h"

char clv_license[] SEC("license") = "Dual BSD/GPL";

#ifndef CLV_ASKS_CONNTRACK
static __always_inline bool clv_is_reply(struct xdp_md *ctx, const struct clv_tuple *tuple)
{
	(void)ctx;
	(void)tuple;
	return false;
}
#endif

/* What the kernel does with a frame that left by this counter. */
static __always_inline int action_of(enum clv_xdp_counter exit)
{
#define X(symbol, action, name, help) | (__u64)(XDP_##action == XDP_REDIRECT) << CLV_XDP_##symbol
	const __u64 redirects = 0 CLV_XDP_VERDICTS(X);
#undef X
#define X(symbol, action, name, help) | (__u64)(XDP_##action == XDP_PASS) << CLV_XDP_##symbol
	const __u64 passes = 0 CLV_XDP_VERDICTS(X);
#undef X
#define X(symbol, action, name, help)                                                              \
	_Static_assert(XDP_##action == XDP_PASS || XDP_##action == XDP_DROP ||                     \
			       XDP_##action == XDP_REDIRECT || XDP_##action == XDP_TX,             \
		       #symbol ": action_of does not know this action");
	CLV_XDP_VERDICTS(X)
#undef X
#define X(symbol, action, name, help) | (__u64)(XDP_##action == XDP_TX) << CLV_XDP_##symbol
	const __u64 answers = 0 CLV_XDP_VERDICTS(X);
#undef X
	const __u64 bit = 1ull << exit;

	if (bit & redirects)
		return XDP_REDIRECT;
	return bit & passes ? XDP_PASS : bit & answers ? XDP_TX : XDP_DROP;
}

/* has_fragments: a frame may continue in pages of its own (interfaces of a large MTU). */
static __always_inline int ingress(struct xdp_md *ctx, const bool has_fragments)
{
	struct clv_cursor frame = {
		.pos = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
	};
	const __u32 frame_bytes = has_fragments ? bpf_xdp_get_buff_len(ctx) : frame.end - frame.pos;
	struct clv_meta meta = { 0 };
	struct clv_udp_view udp = { 0 };
	enum clv_xdp_counter exit;

	frame.left = frame_bytes;
	meta.magic = CLV_META_MAGIC; /* in the initialiser it would become a map of constants */
	count(CLV_XDP_SEEN, 1, frame_bytes);

	exit = clv_parse_udp(frame, &udp);
	if (exit == CLV_PARSED)
		exit = clv_steer(&udp, frame.end, ctx->rx_queue_index, &meta);
	/* A remote with a context is the tunnel's; any other only unless it answers somebody else. */
	if (meta.kind == CLV_KIND_UNCOMPRESSED && clv_is_reply(ctx, &udp.tuple)) {
		meta.kind = CLV_KIND_UNKNOWN;
		exit = CLV_XDP_PASS_REPLY;
	}
	if (meta.kind != CLV_KIND_UNKNOWN)
		exit = clv_hand_over(ctx, &meta, frame_bytes, exit);
	else if (exit == CLV_XDP_ANSWER_STUN)
		exit = frame.end - frame.pos == frame_bytes ? clv_stun_answer(ctx)
							    : CLV_XDP_PASS_STUN;

	count(exit, 1, frame_bytes);
	return action_of(exit);
}

SEC("xdp")
int clv_ingress(struct xdp_md *ctx)
{
	return ingress(ctx, false);
}

/* Kernels before 5.18 refuse to load it, and drivers with one page for each frame to attach it. */
SEC("xdp.frags")
int clv_ingress_frags(struct xdp_md *ctx)
{
	return ingress(ctx, true);
}
