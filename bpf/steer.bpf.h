/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer - classify a datagram: of a connection, of a tunnel, for the control plane, or foreign.
 *
 * Each function returns the verdict.  For the STEER ones it has filled kind and ref of *meta, and
 * the frame waits for clv_hand_over (hand_over.bpf.h).
 */
#ifndef CLV_STEER_BPF_H
#define CLV_STEER_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "conns.bpf.h"
#include "guard.bpf.h"
#include "maps.bpf.h"
#include "parse.bpf.h"
#include "stun.bpf.h"
#include "targets.bpf.h"

/* The control plane is about to see this flow: record the queue it arrives on. */
static __always_inline void record_rx_queue(const struct clv_tuple *flow, __u32 queue)
{
	const __u32 *noted = bpf_map_lookup_elem(&rxq_of_flow, flow);

	/* The update takes a lock; a lookup is enough to keep the entry young. */
	if (!noted || *noted != queue)
		bpf_map_update_elem(&rxq_of_flow, flow, &queue, BPF_ANY);
}

/* Pass to the control plane, unless the source is no client or has sent too much of its kind. */
static __always_inline enum clv_xdp_counter pass_to_control(const struct clv_udp_view *udp,
							    const void *end, __u32 queue,
							    enum clv_xdp_counter passed)
{
	if (has_deny(&clients, &udp->tuple.remote))
		return CLV_XDP_DROP_CLIENT_ADDRESS;
	if (!clv_guard_admits(udp, end))
		return CLV_XDP_DROP_GUARD;
	record_rx_queue(&udp->tuple, queue);
	return passed;
}

/*
 * To a listener: packets of known connections go to their worker, all others to control.  Of STUN
 * the last word has clv_stun_answer.
 */
static __always_inline enum clv_xdp_counter steer_quic(const struct clv_udp_view *udp,
						       const void *end, __u32 queue,
						       const struct clv_listener *listener,
						       struct clv_meta *meta)
{
	const struct clv_quic_short *packet = udp->payload;
	const __u8 *first = udp->payload;
	const struct clv_ref *ref = NULL;

	if (udp->is_unchecked6)
		return CLV_XDP_DROP_ZERO_CHECKSUM6;
	if (!udp->payload_len || (const void *)(first + 1) > end || *first & CLV_QUIC_LONG_HEADER)
		return pass_to_control(udp, end, queue, CLV_XDP_PASS_LONG_HEADER);
	if (udp->payload_len >= sizeof(*packet) && (const void *)(packet + 1) <= end)
		ref = clv_conns_find(packet);
	if (!ref && listener->flags & CLV_LISTENER_STUN && clv_stun_matches(udp, end))
		return CLV_XDP_ANSWER_STUN;
	if (!ref)
		return pass_to_control(udp, end, queue, CLV_XDP_PASS_UNKNOWN_CID);
	meta->kind = CLV_KIND_CONN;
	meta->ref = *ref;
	return CLV_XDP_STEER_CONN;
}

/*
 * To a port of a tunnel, or foreign.  Whom no tunnel asked for is left to the kernel: the host may
 * masquerade others' flows with the same port, and only its connection tracking knows.  What is
 * nobody's ends at the socket that holds the port; held.bpf.c counts it there.
 */
static __always_inline enum clv_xdp_counter steer_target(const struct clv_udp_view *udp,
							 struct clv_meta *meta)
{
	enum clv_claim claim = clv_claim_of(&udp->tuple, &meta->ref);

	switch (claim) {
	case CLV_CLAIM_NONE:
		return CLV_XDP_PASS_FOREIGN;
	case CLV_CLAIM_STRANGER:
		return CLV_XDP_PASS_UNKNOWN_REMOTE;
	case CLV_CLAIM_OPEN_DENIED:
		return CLV_XDP_PASS_DENIED;
	case CLV_CLAIM_CONTEXT_DENIED:
		return CLV_XDP_DROP_DENIED;
	default:
		break;
	}
	if (udp->is_unchecked6)
		return CLV_XDP_DROP_ZERO_CHECKSUM6;
	if (claim == CLV_CLAIM_OPEN) {
		meta->kind = CLV_KIND_UNCOMPRESSED;
		return CLV_XDP_STEER_UNCOMPRESSED;
	}
	meta->kind = CLV_KIND_CONTEXT;
	return CLV_XDP_STEER_CONTEXT;
}

/* end: of the frame.  queue: the receive queue it came in by. */
static __always_inline enum clv_xdp_counter clv_steer(const struct clv_udp_view *udp,
						      const void *end, __u32 queue,
						      struct clv_meta *meta)
{
	const struct clv_listener *listener = bpf_map_lookup_elem(&listeners, &udp->tuple.local);

	if (listener)
		return steer_quic(udp, end, queue, listener, meta);
	return steer_target(udp, meta);
}

#endif
