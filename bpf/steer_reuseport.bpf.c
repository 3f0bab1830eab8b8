/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * steer_reuseport - which of the sockets on the listener's port gets a datagram.
 *
 * Where workers receive from kernel sockets, they share the port with control: a packet of a
 * connection we know goes to its worker, all else to control.  The same rule as in XDP.
 *
 * `conns` is the map of culvert.bpf.c: the loader calls bpf_map__reuse_fd before it loads.
 */
#include <linux/bpf.h>
#include <linux/udp.h>

#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "conns.bpf.h"

char clv_license[] SEC("license") = "Dual BSD/GPL";

enum {
	SOCK_CONTROL = 0,
	SOCK_WORKER_BASE = 1, /* worker w is socks[1 + w] */
};

/* All sockets are of one reuseport group.  A lookup from user space returns a socket's cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SOCK_WORKER_BASE + CLV_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} socks SEC(".maps");

/* ctx starts at the UDP header in both address families.  Too short a packet is control's. */
static __always_inline __u32 choose(struct sk_reuseport_md *ctx)
{
	struct clv_quic_short packet;
	const struct clv_ref *ref;

	/* A copy, because the payload may lie in pages that cannot be read directly. */
	if (bpf_skb_load_bytes(ctx, sizeof(struct udphdr), &packet, sizeof(packet)))
		return SOCK_CONTROL;
	if (packet.first & CLV_QUIC_LONG_HEADER)
		return SOCK_CONTROL;
	ref = clv_conns_find(&packet);
	return ref ? SOCK_WORKER_BASE + ref->worker : SOCK_CONTROL;
}

SEC("sk_reuseport")
int clv_select_socket(struct sk_reuseport_md *ctx)
{
	__u32 chosen = choose(ctx);

	if (!bpf_sk_select_reuseport(ctx, &socks, &chosen, 0))
		return SK_PASS;

	/* Without control's socket either, the kernel picks one of the group by its hash. */
	chosen = SOCK_CONTROL;
	bpf_sk_select_reuseport(ctx, &socks, &chosen, 0);
	return SK_PASS;
}
