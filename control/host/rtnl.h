/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rtnl - asking the kernel over netlink, and the few rtnetlink messages that routes needs.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_RTNL_H
#define CLV_HOST_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "bpf/abi.h"

/* What the FIB says about one destination. */
struct clv_fib_answer {
	bool is_usable;	   /* unicast or local, with a source address of ours */
	bool is_local;	   /* one of our own addresses */
	bool is_host;	   /* the host itself takes it: local, broadcast or anycast */
	bool is_tunnelled; /* the kernel wraps it (lwtunnel) */
	bool has_gateway;
	int oif;
	uint16_t mtu; /* of the route, 0: none of its own */
	uint8_t source[16];
	uint8_t next[16]; /* whose link address is needed: gateway, or the destination itself */
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

/* A socket for questions, which wait for the kernel's answer.  Returns NULL with errno set. */
struct mnl_socket *clv_rtnl_open(void);
/* A nonblocking socket that hears about links, addresses, routes, rules and neighbours. */
struct mnl_socket *clv_rtnl_open_events(void);

/*
 * Ask one question, on any netlink bus, and pass the messages of its answer to fn (may be NULL) until
 * it returns something else than MNL_CB_OK.
 * Returns 0, or -errno: of the kernel, of fn, or -EINTR when what is listed changed meanwhile, so
 * that something may be missing; ask again.
 */
int clv_rtnl_ask(struct mnl_socket *nl, struct nlmsghdr *request, mnl_cb_t fn, void *user);

/* Ask for everything of one kind (RTM_GETLINK, RTM_GETADDR).  Returns as ask. */
int clv_rtnl_dump(struct mnl_socket *nl, uint16_t type, mnl_cb_t fn, void *user);

/* Returns 0 and fills *out, or -errno: no route. */
int clv_rtnl_route(struct mnl_socket *nl, const uint8_t remote[static 16],
		   struct clv_fib_answer *out);

/* Returns 0 and fills *out, or -ENOENT or another -errno. */
int clv_rtnl_neigh(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16],
		   struct clv_neigh_facts *out);

/*
 * Make the kernel resolve a neighbour, or confirm a stale one.  keep: have it kept resolved from
 * now on, where the kernel can.  Returns 0 or -errno.
 */
int clv_rtnl_resolve(struct mnl_socket *nl, int ifindex, const uint8_t addr[static 16], bool keep);

/* Read messages.  Return 0, or CLV_ESYNTAX when the message does not concern us. */
int clv_rtnl_read_neigh(const struct nlmsghdr *message, struct clv_neigh_facts *out);
int clv_rtnl_read_addr(const struct nlmsghdr *message, struct clv_addr_facts *out);

#endif
