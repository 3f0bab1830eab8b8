/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * host - what the control plane wants of the machine it runs on, as one table of functions.
 *
 * culvertd fills it with the BPF maps, rtnetlink, kernel sockets and c-ares; the client
 * with kernel routing and sockets alone; the loop tests with tables in memory and a fake wire.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_HOST_H
#define CLV_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/io/nexthop.h"

enum {
	CLV_RESOLVE_MAX = 16, /* most addresses of one name that are looked at */
};

/* The way toward one remote address, at the time of asking. */
struct clv_route {
	uint8_t source[16]; /* our preferred address toward it */
	struct clv_nexthop hop;
};

/* A local port held for one tunnel. */
struct clv_egress {
	struct clv_endpoint local;
	int fd; /* bound to local; in sock mode the worker's port receives on it, in XDP mode it only
		   keeps the port from others */
};

/*
 * The ports of a bound tunnel (CONNECT-UDP-bind): one for each family, held as long as it lives.
 * [0] is IPv4, [1] IPv6.  A client's tunnel holds none: it has sockets of its own.
 */
struct clv_tunnel_ports {
	bool is_held[2];
	struct clv_egress egress[2];
	struct clv_endpoint advertised[2]; /* local, or its public address at a 1:1 NAT */
	enum clv_nexthop_via via[2];	   /* XSK: the egress socket only keeps the port */
	uint32_t busy_per_sec;		   /* see struct clv_cmd_tunnel_add */
	uint64_t context_idle_ns;
};

/* What became of a name: err 0 and n addresses, or an error. */
struct clv_resolved {
	int err; /* 0; CLV_ENONAME: rcode says why; CLV_ENAMETIME; else negative errno or CLV_E* */
	const char *rcode; /* as the name server answered: "NXDOMAIN", "NOERROR" (no addresses),
			      "SERVFAIL", ...; else NULL.  Lives as long as the program */
	const struct clv_endpoint *addrs; /* borrows; port 0 */
	size_t n;
};

typedef void clv_resolved_fn(void *user, const struct clv_resolved *result);

/* A client's has the way to its relay, route, and else NULL. */
struct clv_host_ops {
	/*
	 * The kernel's tables.  Return 0, CLV_EFULL or -errno; retire of what is not there is fine.
	 * NULL for connections: none is steered.
	 */
	int (*conn_publish)(void *host, const struct clv_cid *cid, const struct clv_ref *ref);
	void (*conn_retire)(void *host, const struct clv_cid *cid);
	int (*context_publish)(void *host, const struct clv_tuple *tuple,
			       const struct clv_context *context);
	void (*context_retire)(void *host, const struct clv_tuple *tuple);
	int (*binding_publish)(void *host, const struct clv_endpoint *local,
			       const struct clv_binding *binding);
	void (*binding_retire)(void *host, const struct clv_endpoint *local);

	/*
	 * The worker whose queue a peer's packets arrive on; workers when it is not known.
	 * NULL where nobody knows.
	 */
	uint16_t (*worker_of_flow)(void *host, const struct clv_tuple *flow);

	/*
	 * Look up the way to remote and start to resolve its neighbour when that is not known.
	 * Returns 0, or CLV_EUNROUTABLE (no route, or no address of that family here).
	 */
	int (*route)(void *host, const uint8_t remote[16], struct clv_route *out);

	/*
	 * Our address of a family for remotes that are not known yet.  Fills source, and of the hop
	 * via.
	 * Returns 0, or CLV_EUNROUTABLE (no address of that family here).
	 */
	int (*bind_source)(void *host, bool is_v6, struct clv_route *out);

	/*
	 * Take a free port of the configured range on the route's source address and hold it from
	 * the kernel.  A route via AF_XDP only reserves the port; else a worker receives on its
	 * socket.
	 * Returns 0, CLV_EFULL (range used up) or -errno.
	 */
	int (*egress_take)(void *host, const struct clv_route *route, struct clv_egress *out);
	void (*egress_give)(void *host, struct clv_egress *egress);

	/*
	 * Resolve a name without blocking; done is called once, from a later turn of the loop, unless
	 * cancelled.
	 * Returns 0 and fills *token, CLV_EFULL (too many pending), CLV_ENONAME (such a name is never
	 * asked for) or -ENOMEM.
	 */
	int (*resolve)(void *host, const char *name, clv_resolved_fn *done, void *user,
		       uint64_t *token);
	void (*resolve_cancel)(void *host, uint64_t token);

	/* Whether packets to addr end at this machine: what its local routing table says. */
	bool (*is_own_address)(void *host, const uint8_t addr[16]);

	/*
	 * Tell tuple's remote that the packet quote[0..len), from its IP header on, exceeded mtu.
	 * NULL where nobody can.
	 */
	void (*too_big)(void *host, const struct clv_tuple *tuple, uint32_t mtu,
			const uint8_t *quote, size_t len);

	/* Real time in seconds, for token lifetimes. */
	uint64_t (*wall_sec)(void *host);
};

#endif
