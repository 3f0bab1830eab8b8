/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * hand_over - point a steered frame at the socket of its receive queue, with metadata for the worker.
 *
 *   clv_meta | frame      the first part as XDP metadata, or, where the driver has no place for that
 *                         (ena, gve, sfc, mvneta, ...), in the headroom as part of the frame
 *
 * A frame that cannot be handed over is left to the kernel, whose sockets the worker reads as well.
 */
#ifndef CLV_HAND_OVER_BPF_H
#define CLV_HAND_OVER_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.bpf.h"

/* Set before the program is loaded, by tests: do as on a driver without metadata. */
const volatile bool clv_has_no_metadata = false;

/* Bytes of metadata in front of the frame; where the driver has none, a negative number. */
static __always_inline int meta_bytes(const struct xdp_md *ctx)
{
	return (const void *)(long)ctx->data - (const void *)(long)ctx->data_meta;
}

/* Replaces what a driver or an earlier program left in front of the frame. */
static __always_inline struct clv_meta *claim_metadata(struct xdp_md *ctx)
{
	struct clv_meta *front;

	if (clv_has_no_metadata || bpf_xdp_adjust_meta(ctx, meta_bytes(ctx) - (int)sizeof(*front)))
		return NULL;
	front = (void *)(long)ctx->data_meta;
	return (void *)(front + 1) > (void *)(long)ctx->data ? NULL : front;
}

static __always_inline struct clv_meta *claim_head(struct xdp_md *ctx)
{
	struct clv_meta *front;

	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*front)))
		return NULL;
	front = (void *)(long)ctx->data;
	return (void *)(front + 1) > (void *)(long)ctx->data_end ? NULL : front;
}

/* Undo the claim: the kernel gets the frame as it came. */
static __always_inline void release_claim(struct xdp_md *ctx)
{
	if (meta_bytes(ctx) == (int)sizeof(struct clv_meta))
		bpf_xdp_adjust_meta(ctx, sizeof(struct clv_meta));
	else
		bpf_xdp_adjust_head(ctx, sizeof(struct clv_meta));
}

/*
 * Note what an interface could not hand over: control looks once a second, and does something about
 * it.  Not inlined, because it is far from the usual way.
 */
static __noinline int note_fault(__u32 ifindex, bool is_meta)
{
	const struct clv_faults none = { 0 };
	struct clv_faults *noted = bpf_map_lookup_elem(&faults, &ifindex);

	if (!noted) {
		bpf_map_update_elem(&faults, &ifindex, &none, BPF_NOEXIST);
		noted = bpf_map_lookup_elem(&faults, &ifindex);
	}
	if (noted)
		__sync_fetch_and_add(is_meta ? &noted->no_meta : &noted->no_socket, 1);
	return 0;
}

/*
 * The kernel has other ways to the worker: the reuseport program of the listeners for connections,
 * held.bpf.c for tunnels.
 */
static __always_inline enum clv_xdp_counter without_socket(__u32 ifindex)
{
	note_fault(ifindex, false);
	return CLV_XDP_PASS_NO_SOCKET;
}

static __always_inline enum clv_xdp_counter without_meta(__u32 ifindex)
{
	note_fault(ifindex, true);
	return CLV_XDP_PASS_NO_META;
}

/*
 * Put *meta in front of the frame and point it at the socket of its receive queue.  Afterwards no
 * pointer into the frame is valid.  frame_bytes: all of them, also those in fragments.  steered: what
 * to count when that succeeds.
 */
static __always_inline enum clv_xdp_counter clv_hand_over(struct xdp_md *ctx,
							  const struct clv_meta *meta,
							  __u32 frame_bytes,
							  enum clv_xdp_counter steered)
{
	const __u32 ifindex = ctx->ingress_ifindex, queue = ctx->rx_queue_index;
	const struct clv_link *link = bpf_map_lookup_elem(&links, &ifindex);
	struct clv_meta *front;

	if (frame_bytes > CLV_FRAME_BYTES_MAX)
		return CLV_XDP_PASS_LARGE;
	if (!link || queue >= CLV_QUEUES_MAX)
		return without_socket(ifindex);
	front = claim_metadata(ctx);
	if (!front)
		front = claim_head(ctx);
	if (!front)
		return without_meta(ifindex);
	*front = *meta;
	if (bpf_redirect_map(&xsks, link->xsk_base + queue, XDP_DROP) == XDP_REDIRECT)
		return steered;
	release_claim(ctx);
	return without_socket(ifindex);
}

#endif
