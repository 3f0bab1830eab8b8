/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rtnl - netlink requests, and the rtnetlink messages that routes and neighbours need.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_RTNL_H
#define CLV_HOST_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "bpf/abi.h"

/* A question to the FIB.  Key of a hash table. */
struct clv_fib_query {
	uint8_t local[16]; /* what the packets are sent from; all zero: not decided yet */
	uint8_t remote[16];
	uint32_t mark; /* of the packets */
};

/* The FIB's answer about one source and destination. */
struct clv_fib_answer {
	bool is_usable;	   /* unicast or local, with a source address of ours */
	bool is_local;	   /* one of our own addresses */
	bool is_host;	   /* packets to it end here: local, broadcast or anycast */
	bool is_tunnelled; /* the kernel encapsulates it (lwtunnel) */
	bool has_gateway;
	int oif;
	uint16_t mtu;	    /* of the route; 0: not set */
	uint8_t source[16]; /* the query's, or the kernel's choice */
	uint8_t next[16];   /* next hop: the gateway, or the destination itself */
};

enum clv_neigh_state {
	CLV_NEIGH_NONE = 0,
	CLV_NEIGH_RESOLVING,
	CLV_NEIGH_READY,
	CLV_NEIGH_FAILED,
};

struct clv_neigh_facts {
	int ifindex;
	uint8_t addr[16];
	enum clv_neigh_state state;
	bool is_stale; /* READY, but not confirmed for a while */
	uint8_t mac[6];
};

struct clv_addr_facts {
	int ifindex;
	uint8_t addr[16];
	bool is_gone;
};

/*
 * An address of each family that has no route of its own: what leads there is the way to the Internet.
 * Two root name servers'.  Nothing is sent to them.
 */
extern const uint8_t clv_rtnl_internet[2][16];

/*
 * Open a socket for requests, which block until the kernel responds.  Returns NULL with errno set.
 */
struct mnl_socket *clv_rtnl_open(void);
/* Open a nonblocking socket for notifications of links, addresses, routes, rules and neighbours.
 * Returns as clv_rtnl_open. */
struct mnl_socket *clv_rtnl_open_events(void);

/*
 * Send one request, on any netlink bus, and pass the messages of its response to fn (may be NULL)
 * until fn returns anything but MNL_CB_OK.
 * Returns 0, or -errno: of the kernel, of fn, or -EINTR when a list changed while it was read, so
 * that entries may be missing; repeat the request.
 */
int clv_rtnl_request(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t fn, void *user);

/* Request everything of one kind (RTM_GETLINK, RTM_GETADDR).  Returns as request. */
int clv_rtnl_dump(struct mnl_socket *nl, uint16_t type, mnl_cb_t fn, void *user);

/*
 * Ask how UDP of this process is sent.  Rules about protocol and user match as they do for it.
 * Returns 0 and fills *out, or -errno: no route, or an IPv4 source that is not the host's.
 */
int clv_rtnl_route(struct mnl_socket *nl, const struct clv_fib_query *query,
		   struct clv_fib_answer *out);

/* Returns 0 and fills *out, or -ENOENT or another -errno. */
int clv_rtnl_neigh(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16],
		   struct clv_neigh_facts *out);

/*
 * Make the kernel resolve a neighbour, or confirm a stale one.  keep: also keep it resolved from
 * now on, where the kernel can.  Returns 0 or -errno.
 */
int clv_rtnl_resolve(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16], bool keep);

/* Decode a message.  Return 0, or CLV_ESYNTAX when it does not concern us. */
int clv_rtnl_read_neigh(const struct nlmsghdr *message, struct clv_neigh_facts *out);
int clv_rtnl_read_addr(const struct nlmsghdr *message, struct clv_addr_facts *out);

#endif
