/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * abi - every byte that the BPF programs and user space both touch, and nothing else.
 *
 * Addresses are 16 bytes in wire order, IPv4 as ::ffff:a.b.c.d.  Ports are wire order.  All other
 * integers are host order.  Padding is explicit and zero: hash maps compare every byte of a key.
 */
#ifndef CLV_BPF_ABI_H
#define CLV_BPF_ABI_H

#include <linux/types.h>

#define CLV_ABI_VERSION                                                                            \
	9u /* bump on any change of layout or meaning; the loader refuses others,
			      and writes it to the one slot of map `abi` */

enum {
	CLV_CID_LEN = 8,     /* every connection ID we issue, so that XDP needs one exact lookup */
	CLV_QUEUES_MAX = 64, /* receive queues of one interface */
	CLV_LINKS_MAX = 16,  /* interfaces that carry the program */
	CLV_WORKERS_MAX = 64,
	CLV_XSKS_MAX = CLV_LINKS_MAX * CLV_QUEUES_MAX,
	CLV_FAULTS_MAX =
		4 * CLV_LINKS_MAX, /* interfaces: members of a bond have entries of their own */
	CLV_HELD_RATES = 16384,	   /* tunnels whose slow path has a bucket at a time */
	CLV_CHUNK_BYTES = 4096,	   /* of a worker's packet memory: one frame */
	CLV_CHUNK_HEADROOM = 256,  /* XDP_PACKET_HEADROOM: where the kernel puts the frame */
};

/* One end of a UDP conversation.  Key of `listeners` and `bindings`. */
struct clv_endpoint {
	__u8 addr[16];
	__be16 port;
	__u8 pad[2];
};

/* A UDP 4-tuple seen from the relay.  Key of `contexts` and `rxq_of_flow`. */
struct clv_tuple {
	struct clv_endpoint local;
	struct clv_endpoint remote;
};

/* A connection ID we issued.  Key of `conns`. */
struct clv_cid {
	__u8 id[CLV_CID_LEN];
};

/* Names one connection or one tunnel of one worker; a stale generation never matches a new tenant. */
struct clv_ref {
	__u32 slot;
	__u32 generation;
	__u16 worker;
	__u8 pad[2];
};

/* Value of `listeners`. */
struct clv_listener {
	__u32 id;
	__u32 flags; /* enum clv_listener_flag */
};

enum clv_listener_flag {
	CLV_LISTENER_STUN = 1u << 0,   /* STUN Binding requests are answered */
	CLV_LISTENER_TAGGED = 1u << 1, /* the address is of a VLAN device */
};

/*
 * Value of `bindings`: the bound tunnel that holds a local egress endpoint; all zero for one that
 * ordinary tunnels share.
 */
struct clv_binding {
	struct clv_ref tunnel;
	__u32 flags; /* enum clv_binding_flag */
};

enum clv_binding_flag {
	CLV_BINDING_UNCOMPRESSED = 1u << 0, /* remotes without a context of their own may come in */
};

/*
 * Value of `contexts`: the tunnel that one remote's datagrams belong to.  The Context ID is for
 * listings; the worker looks it up itself, since the map may lag behind it.
 */
struct clv_context {
	struct clv_ref tunnel;
	__u32 pad;
	__u64 context_id;
};

/* Key of `denied` and `clients`, longest-prefix-match tries; prefix_bits counts within the 16 bytes. */
struct clv_prefix {
	__u32 prefix_bits;
	__u8 addr[16];
};

/* Value of both: the longest prefix decides, so an allow inside a deny works. */
enum clv_verdict {
	CLV_VERDICT_ALLOW = 0,
	CLV_VERDICT_DENY = 1,
};

/* What a packet of no connection would have control do; each kind has buckets of its own. */
enum clv_guard_kind {
	CLV_GUARD_INITIAL = 0, /* would make a connection, or have a version negotiated */
	CLV_GUARD_UNKNOWN = 1, /* names a connection that XDP does not know */
	CLV_GUARD_STUN = 2,    /* asks at which address it is seen */
};

/* How much of a source address shares a bucket. */
enum clv_guard_width {
	CLV_GUARD_HOST = 0, /* IPv4 /32, IPv6 /64 */
	CLV_GUARD_NET = 1,  /* IPv4 /24, IPv6 /48 */
};

/* Key of `guard`; its value is the time (ns, CLOCK_MONOTONIC) at which the bucket is full again. */
struct clv_guard_key {
	__u8 addr[16];	  /* zeros after the prefix */
	__u8 prefix_bits; /* within the 16 bytes */
	__u8 kind;	  /* enum clv_guard_kind */
	__u8 pad[2];
};

/* The rate of a token bucket; interval_ns 0: no limit. */
struct clv_rate {
	__u64 interval_ns; /* a token comes in this time */
	__u64 burst_ns;	   /* an empty bucket is full in this time */
};

/* Value of `guard_limits`: one for each enum clv_guard_width, and one of CLV_GUARD_STUN alone. */
struct clv_guard_limits {
	struct clv_rate host;
	struct clv_rate net;
	struct clv_rate stun; /* of a CLV_GUARD_HOST */
};

/* Value of `links`, keyed by interface index: where that interface's sockets start in `xsks`. */
struct clv_link {
	__u32 xsk_base; /* socket of receive queue q is xsks[xsk_base + q] */
	__u32 flags;	/* enum clv_link_flag */
};

enum clv_link_flag {
	CLV_LINK_ANSWERS = 1u << 0, /* a frame that the program sends back (XDP_TX) arrives */
};

/* Value of `host`: what control says of the machine. */
struct clv_host_facts {
	__u32 forwards; /* it forwards others' packets, and may masquerade them */
};

/* What a frame is, decided where the bytes were readable. */
enum clv_kind {
	CLV_KIND_UNKNOWN = 0, /* not classified: the worker does it */
	CLV_KIND_CONN = 1,    /* short header with a known connection ID: ref is a connection */
	CLV_KIND_CONTEXT = 2, /* from a remote with a context: ref is a tunnel */
	CLV_KIND_UNCOMPRESSED = 3, /* to a binding open for any remote: ref is a tunnel */
};

/*
 * In front of every frame that XDP redirects (XDP metadata, 4-byte aligned, at most 32 bytes).  Where
 * the driver has no place for metadata it is the start of the frame itself, which is longer by it.
 */
struct clv_meta {
	__u32 magic; /* CLV_META_MAGIC */
	__u8 kind;   /* enum clv_kind */
	__u8 pad[3];
	struct clv_ref ref;
};
#define CLV_META_MAGIC (0xc1f70000u | CLV_ABI_VERSION)

/* The longest frame, from its Ethernet header on, that fits a worker's chunk in either form. */
#define CLV_FRAME_BYTES_MAX (CLV_CHUNK_BYTES - CLV_CHUNK_HEADROOM - sizeof(struct clv_meta))

/* Value of `faults`, keyed by interface index: steered frames that could not be handed to a worker. */
struct clv_faults {
	__u64 no_socket; /* no AF_XDP socket on their queue */
	__u64 no_meta;	 /* no room for metadata in any form */
};

/* Value of `counters`, one array slot for each reason, one copy for each CPU. */
struct clv_count {
	__u64 packets;
	__u64 bytes; /* whole frames, from the Ethernet header on */
};

/*
 * X(symbol, action, exported name, help): one entry for each way out of the XDP program.  action is
 * what the kernel then does with the frame, XDP_<action>; a reason without one does not compile.
 */
#define CLV_XDP_VERDICTS(X)                                                                        \
	X(PASS_NOT_IP, PASS, "xdp_pass_not_ip", "neither IPv4 nor IPv6, left to the kernel")       \
	X(PASS_OPTIONS, PASS, "xdp_pass_options",                                                  \
	  "IPv4 options or IPv6 extension headers, left to the kernel")                            \
	X(PASS_FRAGMENT, PASS, "xdp_pass_fragment", "fragments, left to the kernel")               \
	X(PASS_NOT_UDP, PASS, "xdp_pass_not_udp", "not UDP, left to the kernel")                   \
	X(PASS_MALFORMED, PASS, "xdp_pass_malformed",                                              \
	  "lengths and headers disagree, left to the kernel to judge")                             \
	X(PASS_FOREIGN, PASS, "xdp_pass_foreign", "UDP to endpoints that are not the relay's")     \
	X(PASS_LONG_HEADER, PASS, "xdp_pass_long_header",                                          \
	  "QUIC long headers, left to the control plane")                                          \
	X(PASS_UNKNOWN_CID, PASS, "xdp_pass_unknown_cid",                                          \
	  "short headers with no connection of ours, left to the control plane")                   \
	X(PASS_NO_SOCKET, PASS, "xdp_pass_no_socket",                                              \
	  "left to the kernel's sockets: no AF_XDP socket on the receive queue")                   \
	X(PASS_NO_META, PASS, "xdp_pass_no_meta",                                                  \
	  "left to the kernel's sockets: no room for metadata in front of the frame")              \
	X(PASS_LARGE, PASS, "xdp_pass_large",                                                      \
	  "larger than a frame of a worker's packet memory, left to the kernel's sockets")         \
	X(PASS_STUN, PASS, "xdp_pass_stun", "STUN Binding requests, left to the control plane")    \
	X(ANSWER_STUN, TX, "xdp_answer_stun", "STUN Binding requests answered")                    \
	X(STEER_CONN, REDIRECT, "xdp_steer_conn", "tunnel packets handed to a worker")             \
	X(STEER_CONTEXT, REDIRECT, "xdp_steer_context",                                            \
	  "datagrams of a known remote handed to a worker")                                        \
	X(STEER_UNCOMPRESSED, REDIRECT, "xdp_steer_uncompressed",                                  \
	  "datagrams of any remote to an open binding handed to a worker")                         \
	X(PASS_UNKNOWN_REMOTE, PASS, "xdp_pass_unknown_remote",                                    \
	  "to a relay port from a remote its tunnel did not ask for, left to the kernel to judge") \
	X(PASS_DENIED, PASS, "xdp_pass_denied",                                                    \
	  "to a relay port open to all, from an address the policy denies: likewise")              \
	X(PASS_REPLY, PASS, "xdp_pass_reply",                                                      \
	  "to a relay port open to all, but the answer to a flow that the host masquerades")       \
	X(DROP_DENIED, DROP, "xdp_drop_denied",                                                    \
	  "from a tunnel's own remote, which the policy denies")                                   \
	X(DROP_CLIENT_ADDRESS, DROP, "xdp_drop_client_address",                                    \
	  "of no connection, from an address that is not in the list of clients")                  \
	X(DROP_ZERO_CHECKSUM6, DROP, "xdp_drop_zero_checksum6",                                    \
	  "UDP over IPv6 without a checksum")                                                      \
	X(DROP_GUARD, DROP, "xdp_drop_guard",                                                      \
	  "of no connection, and its source sent too many of those: [guard] in the configuration") \
	X(DROP_STUN_LIMIT, DROP, "xdp_drop_stun_limit",                                            \
	  "STUN Binding requests of a source that sent too many")                                  \
	X(DROP_STUN_MALFORMED, DROP, "xdp_drop_stun_malformed",                                    \
	  "STUN other than a bare Binding request")

/*
 * What the sockets that hold the tunnels' ports do with datagrams that came through the kernel: those
 * that XDP passed to it, and all that come in by other interfaces.
 */
#define CLV_HELD_VERDICTS(X)                                                                       \
	X(HELD_UNKNOWN_REMOTE, DROP, "held_drop_unknown_remote",                                   \
	  "to a relay port from a remote its tunnel did not ask for")                              \
	X(HELD_DENIED, DROP, "held_drop_denied",                                                   \
	  "to a relay port from an address the policy denies")                                     \
	X(HELD_RATE, DROP, "held_drop_rate",                                                       \
	  "to a tunnel by way of the kernel, beyond slow-path-per-sec")                            \
	X(HELD_UNREAD, DROP, "held_drop_unread",                                                   \
	  "to a tunnel by way of the kernel, which could not find its worker")

/* SEEN counts every frame; the sum of the XDP verdicts equals it. */
#define CLV_XDP_COUNTERS(X)                                                                        \
	X(SEEN, ABORTED, "xdp_seen", "frames the program looked at")                               \
	CLV_XDP_VERDICTS(X)

enum clv_xdp_counter {
#define X(symbol, action, name, help) CLV_XDP_##symbol,
	CLV_XDP_COUNTERS(X) CLV_XDP_COUNTERS_END,
	CLV_XDP_COUNTERS_LAST = CLV_XDP_COUNTERS_END - 1, /* so that the others follow at once */
	CLV_HELD_VERDICTS(X)
#undef X
		CLV_XDP_COUNTER_MAX
};

#define CLV_ABI_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " is ABI")
CLV_ABI_SIZE(struct clv_endpoint, 20);
CLV_ABI_SIZE(struct clv_tuple, 40);
CLV_ABI_SIZE(struct clv_cid, 8);
CLV_ABI_SIZE(struct clv_ref, 12);
CLV_ABI_SIZE(struct clv_binding, 16);
CLV_ABI_SIZE(struct clv_context, 24);
CLV_ABI_SIZE(struct clv_prefix, 20);
CLV_ABI_SIZE(struct clv_guard_key, 20);
CLV_ABI_SIZE(struct clv_rate, 16);
CLV_ABI_SIZE(struct clv_guard_limits, 48);
CLV_ABI_SIZE(struct clv_listener, 8);
CLV_ABI_SIZE(struct clv_link, 8);
CLV_ABI_SIZE(struct clv_host_facts, 4);
CLV_ABI_SIZE(struct clv_meta, 20);
CLV_ABI_SIZE(struct clv_faults, 16);
CLV_ABI_SIZE(struct clv_count, 16);

#endif
