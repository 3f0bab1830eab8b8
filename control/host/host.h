/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * host - the interface between the control plane and the machine: a table of functions.
 *
 * culvertd implements it with BPF maps, rtnetlink, kernel sockets and c-ares; the client with
 * kernel routing and sockets; the loop tests with tables in memory and a simulated network.
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
	CLV_RESOLVE_MAX = 16, /* addresses of one name that are used at most */
};

/* The current route from one local to one remote address. */
struct clv_route {
	uint8_t source[16]; /* what was asked for, or our preferred address for it */
	struct clv_nexthop hop;
};

/* A local port taken for a tunnel. */
struct clv_egress {
	struct clv_endpoint local;
	struct clv_endpoint remote; /* with which the port is the tunnel's; port 0: with all */
	int fd; /* bound to local; in sock mode the worker's port receives on it, in XDP mode it only
		   keeps the port from others */
	bool is_new; /* nobody had the port before */
};

/* What a tunnel needs a port for. */
struct clv_egress_wish {
	/* Borrows.  Tunnels to different remotes may share the port.  NULL: it must be this one's. */
	const struct clv_endpoint *remote;
	bool no_new; /* only a port that other tunnels have already */
	void *owner; /* of a new port; NULL: nobody */
};

/*
 * The ports of a bound tunnel (CONNECT-UDP-bind): one for each family, reserved while it is open.
 * [0] is IPv4, [1] IPv6.  A client's tunnel has none: it uses its own sockets.
 */
struct clv_tunnel_ports {
	bool is_held[2];
	struct clv_egress egress[2];
	struct clv_endpoint advertised[2]; /* local, or its public address at a 1:1 NAT */
	enum clv_nexthop_via via[2];	   /* XSK: the egress socket only keeps the port */
};

/* The result for a name: err 0 and n addresses, or an error. */
struct clv_resolved {
	int err; /* 0; CLV_ENONAME: for the reason in rcode; CLV_ENAMETIME; else -errno or CLV_E* */
	const char *rcode; /* of the name server's response: "NXDOMAIN", "NOERROR" (no addresses),
			      "SERVFAIL", ...; else NULL.  Lives as long as the program */
	const struct clv_endpoint *addrs; /* borrows; port 0 */
	size_t n;
	bool is_partial; /* of one family it is not known yet whether there are addresses */
};

typedef void clv_resolved_fn(void *user, const struct clv_resolved *result);

/* A client implements only route, for the route to its relay; its other members are NULL. */
struct clv_host_ops {
	/*
	 * Update the kernel's tables.  Publish returns 0, CLV_EFULL or -errno; retire accepts
	 * missing entries.  NULL: packets are not steered to workers.
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
	 * Returns the worker whose queue a peer's packets arrive on, or the number of workers if
	 * unknown.  May be NULL.
	 */
	uint16_t (*worker_of_flow)(void *host, const struct clv_tuple *flow);

	/*
	 * Look up the route of packets from local to remote, and start resolving its next hop if that is
	 * not known.  A host with several uplinks routes by the source, too.  local: where packets come
	 * from already; NULL or a wildcard: the host chooses by remote.
	 * Returns 0, or CLV_EUNROUTABLE (no route, or no address of that family here).
	 */
	int (*route)(void *host, const uint8_t *local, const uint8_t remote[16],
		     struct clv_route *out);
	/*
	 * Whether route would have to look for a neighbour on the link that is not known yet.  NULL:
	 * it never does.
	 */
	bool (*is_new_neighbour)(void *host, const uint8_t *local, const uint8_t remote[16]);

	/*
	 * Find our address of a family for bound tunnels, whose remotes are not known yet.  Fills
	 * source and hop.via.
	 * Returns 0, or CLV_EUNROUTABLE (no address of that family here).
	 */
	int (*bind_source)(void *host, bool is_v6, struct clv_route *out);

	/*
	 * Take a port of the configured range on the route's source address.  For a route via AF_XDP
	 * its socket only reserves the port, and drops what comes from strangers to a port that may
	 * be shared; otherwise a worker receives on it, and it is not shared.
	 * Returns 0, CLV_EFULL (range used up) or -errno.
	 */
	int (*egress_take)(void *host, const struct clv_route *route,
			   const struct clv_egress_wish *wish, struct clv_egress *out);
	/* Returns the owner of the port if it is free now, else NULL. */
	void *(*egress_give)(void *host, struct clv_egress *egress);

	/*
	 * Resolve a name without blocking.  done is called once, from a later iteration of the
	 * loop, unless cancelled.
	 * Returns 0 and fills *token, CLV_EFULL (too many pending), CLV_ENONAME (no query is made
	 * for such a name) or -ENOMEM.
	 */
	int (*resolve)(void *host, const char *name, clv_resolved_fn *done, void *user,
		       uint64_t *token);
	void (*resolve_cancel)(void *host, uint64_t token);

	/*
	 * Call run(job) on another thread, and later done(job) from a turn of the loop, always.
	 * NULL where there is no other thread.  Returns 0, or an error and then calls nothing.
	 */
	int (*offload)(void *host, void (*run)(void *job), void (*done)(void *job), void *job);

	/*
	 * Where IPv4 is reached through a NAT64 alone: fill v6 with the address that stands for v4 and
	 * return true.  Else return false.  NULL where nobody knows.
	 */
	bool (*nat64)(void *host, const uint8_t v4[16], uint8_t v6[16]);

	/* Whether packets to addr are for this machine, by its local routing table. */
	bool (*is_own_address)(void *host, const uint8_t addr[16]);

	/*
	 * Report to tuple's remote that the packet quote[0..len), from its IP header on, exceeded
	 * mtu.  May be NULL.
	 */
	void (*too_big)(void *host, const struct clv_tuple *tuple, uint32_t mtu,
			const uint8_t *quote, size_t len);

	/* Returns the wall-clock time in seconds, for token lifetimes. */
	uint64_t (*wall_sec)(void *host);
};

#endif
