/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * netfilter - which chains of nftables would apply to the relay's packets, if these went through the
 * kernel.  What XDP and AF_XDP carry passes beside all of them.
 *
 * Chains of forwarding are left out, and those that have no rule and accept by default.
 *
 * Threading: control.
 */
#ifndef CLV_HOST_NETFILTER_H
#define CLV_HOST_NETFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

enum {
	CLV_NETFILTER_CHAINS_MAX = 16, /* that are kept; the others are counted */
	CLV_NETFILTER_NAME_MAX = 128,
};

struct clv_netfilter_chain {
	const char *family; /* "ip", "ip6", "inet" or "netdev" */
	const char *hook; /* "prerouting", "input", "output", "postrouting", "ingress" or "egress" */
	char table[CLV_NETFILTER_NAME_MAX], name[CLV_NETFILTER_NAME_MAX];
	uint32_t rules;
	bool is_drop; /* what no rule decides is dropped */
};

struct clv_netfilter {
	struct clv_netfilter_chain chains[CLV_NETFILTER_CHAINS_MAX];
	size_t len, total;
	int err; /* why nothing is known; 0: it is */
};

/* Ask the kernel, as it is now.  Never fails: see err. */
void clv_netfilter_read(struct clv_netfilter *out);

/* Decode a message about a chain.  Returns 0, or CLV_ESYNTAX when it does not concern us. */
int clv_netfilter_read_chain(const struct nlmsghdr *message, struct clv_netfilter_chain *out);

#endif
