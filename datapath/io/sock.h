/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sock - the kernel UDP port: many sockets, batched calls, segmentation offload in both directions.
 *
 * Received: one recvmmsg for each readable socket; what the kernel coalesced (UDP_GRO) is returned
 * as single datagrams.  Sent: datagrams queue until flush; those of one flow and one size leave as
 * one system call argument (UDP_SEGMENT), order within a flow kept, and one sendmmsg for each
 * socket.  Everything goes out with DF set: too large is counted (DROP_MTU), never fragmented.
 *
 * Order: 1. open  2. add_socket, any number, any time  3. the port's operations  4. ops->close
 * Threading: clv_sock_open before the worker starts, then the worker's; the bind functions any.
 */
#ifndef CLV_IO_SOCK_H
#define CLV_IO_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/io/port.h"

enum {
	CLV_SOCK_FRAMES = 256,	     /* datagrams that can be taken or queued at the same time */
	CLV_SOCK_PAYLOAD_MAX = 4096, /* bytes of each; received ones may be larger */
};

struct clv_sock_params {
	struct clv_worker_counters *counters; /* borrows for the port's life */
	uint32_t sockets_max;		      /* memory for all is reserved here */
};

/*
 * Make a port without sockets; its add_socket takes descriptors from clv_sock_bind_udp.
 * Returns 0 and fills *out, -EINVAL for sockets_max 0, or -errno.
 */
int clv_sock_open(const struct clv_sock_params *params, struct clv_port **out);

struct clv_sock_bind_params {
	struct clv_endpoint local; /* port 0: any; "::": both families on one socket */
	bool reuse_port;	   /* SO_REUSEPORT, for several sockets on one endpoint */
	uint32_t receive_bytes;	   /* socket buffers; 0: the system's default */
	uint32_t send_bytes;
	uint32_t mark; /* SO_MARK, which rules of routing may ask for; 0: none */
	int filter_fd; /* clv_sock_reserve only */
};

/*
 * Bind a nonblocking UDP socket that reports local addresses and ECN and never fragments.  On a
 * host without IPv6, "::" becomes 0.0.0.0; *got is what was bound, with the port.
 *
 * got: copies; may be NULL.   Returns 0 and fills *fd, which the caller closes, or -errno.
 */
int clv_sock_bind_udp(const struct clv_sock_bind_params *params, int *fd, struct clv_endpoint *got);

/*
 * Reserve a port whose packets others receive (XDP before the kernel sees them, or the sockets of
 * clv_sock_open_any), so that no other process gets it and the kernel answers none of them with ICMP:
 * bound, with a filter that drops everything.
 * filter_fd: of a BPF program that drops and counts; copies.  -1: a filter that only drops.
 * Otherwise as clv_sock_bind_udp.
 */
int clv_sock_reserve(const struct clv_endpoint *local, int filter_fd, int *fd,
		     struct clv_endpoint *got);

/*
 * Open a socket for datagrams to other endpoints of this host, which an sk_lookup program assigns to
 * it.  It reports the endpoint of each.  Itself it is bound to a port of the loopback address, *got.
 * A port reads it without UDP_GRO, so that what the kernel counts as dropped are datagrams.
 * Otherwise as clv_sock_bind_udp.
 */
int clv_sock_open_any(uint32_t receive_bytes, int *fd, struct clv_endpoint *got);

#endif
