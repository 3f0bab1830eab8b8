/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * culvert - the XDP entry: one frame in, one verdict and one counter out.
 *
 * What is not plainly the relay's own UDP passes untouched: the kernel judges it.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.bpf.h"
#include "parse.bpf.h"
#include "steer.bpf.h"

char clv_license[] SEC("license") = "Dual BSD/GPL";

static __always_inline void count(__u32 counter, __u32 frame_bytes)
{
	struct clv_count *slot = bpf_map_lookup_elem(&counters, &counter);

	if (!slot)
		return;
	slot->packets++; /* this CPU's copy, and XDP does not interrupt itself */
	slot->bytes += frame_bytes;
}

/* What the kernel does with a frame that left by this counter. */
static __always_inline int action_of(enum clv_xdp_counter exit)
{
	switch (exit) {
	case CLV_XDP_STEER_CONN:
	case CLV_XDP_STEER_CONTEXT:
	case CLV_XDP_STEER_UNCOMPRESSED:
		return XDP_REDIRECT;
	case CLV_XDP_DROP_UNKNOWN_REMOTE:
	case CLV_XDP_DROP_DENIED:
	case CLV_XDP_DROP_ZERO_CHECKSUM6:
	case CLV_XDP_DROP_GUARD:
	case CLV_XDP_DROP_NO_SOCKET:
	case CLV_XDP_DROP_NO_META:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
}

SEC("xdp")
int clv_ingress(struct xdp_md *ctx)
{
	const struct clv_cursor frame = {
		.pos = (const void *)(long)ctx->data,
		.end = (const void *)(long)ctx->data_end,
	};
	const __u32 frame_bytes = frame.end - frame.pos;
	struct clv_meta meta = { 0 };
	struct clv_udp_view udp = { 0 };
	enum clv_xdp_counter exit;

	meta.magic = CLV_META_MAGIC; /* in the initialiser it would become a map of constants */
	count(CLV_XDP_SEEN, frame_bytes);

	exit = clv_parse_udp(frame, &udp);
	if (exit == CLV_PARSED)
		exit = clv_steer(&udp, frame.end, ctx->rx_queue_index, &meta);
	if (meta.kind != CLV_KIND_UNKNOWN)
		exit = clv_hand_over(ctx, &meta, exit);

	count(exit, frame_bytes);
	return action_of(exit);
}
