/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guard - how many packets of unvalidated sources one prefix may send to the control plane.
 *
 * Two CPUs that take from one bucket at the same time may count one packet for two: the limit is
 * against floods, and exact enough for that.
 */
#ifndef CLV_GUARD_BPF_H
#define CLV_GUARD_BPF_H

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "guard.h"
#include "maps.bpf.h"
#include "parse.bpf.h"

/* The start of a long header packet (RFC 8999 section 5.1). */
struct clv_quic_long {
	__u8 first;
	__be32 version;
} __attribute__((packed));

static __always_inline enum clv_guard_kind guard_kind(const struct clv_udp_view *udp,
						      const void *end)
{
	const struct clv_quic_long *packet = udp->payload;

	if (udp->payload_len < sizeof(*packet) || (const void *)(packet + 1) > end)
		return CLV_GUARD_UNKNOWN;
	return clv_guard_kind_of(packet->first, bpf_ntohl(packet->version));
}

static __always_inline bool guard_take(const __u8 addr[16], enum clv_guard_kind kind,
				       enum clv_guard_width width, const struct clv_rate *rate,
				       __u64 now_ns)
{
	struct clv_guard_key key;
	__u64 *full_ns, first_ns;

	if (!rate->interval_ns)
		return true;
	clv_guard_key_of(&key, addr, kind, width);
	full_ns = bpf_map_lookup_elem(&guard, &key);
	if (full_ns)
		return clv_rate_take(rate, full_ns, now_ns);
	first_ns = now_ns + rate->interval_ns;
	bpf_map_update_elem(&guard, &key, &first_ns, BPF_ANY);
	return true;
}

/* Whether a packet of no connection, to a listener, may be passed to control. */
static __always_inline bool clv_guard_admits(const struct clv_udp_view *udp, const void *end)
{
	const __u32 zero = 0;
	const struct clv_guard_limits *limits = bpf_map_lookup_elem(&guard_limits, &zero);
	enum clv_guard_kind kind;
	__u64 now_ns;

	if (!limits || !(limits->host.interval_ns | limits->net.interval_ns))
		return true;
	kind = guard_kind(udp, end);
	now_ns = bpf_ktime_get_ns();
	return guard_take(udp->tuple.remote.addr, kind, CLV_GUARD_HOST, &limits->host, now_ns) &&
	       guard_take(udp->tuple.remote.addr, kind, CLV_GUARD_NET, &limits->net, now_ns);
}

/* Whether a STUN Binding request of this source may be answered. */
static __always_inline bool clv_guard_admits_stun(const struct clv_endpoint *remote)
{
	const __u32 zero = 0;
	const struct clv_guard_limits *limits = bpf_map_lookup_elem(&guard_limits, &zero);

	return !limits || guard_take(remote->addr, CLV_GUARD_STUN, CLV_GUARD_HOST, &limits->stun,
				     bpf_ktime_get_ns());
}

#endif
