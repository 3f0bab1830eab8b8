/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nic - facts about the machine's network interfaces, as far as the data path depends on them.
 *
 * Threading: any thread; each call asks the kernel anew.
 */
#ifndef CLV_HOST_NIC_H
#define CLV_HOST_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <net/if.h>

enum {
	CLV_NIC_MAX = 256, /* interfaces that are looked at */
};

struct clv_nic {
	int ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	uint16_t arp_type;	/* ARPHRD_* */
	uint32_t mtu;		/* bytes */
	uint32_t flags;		/* IFF_* */
	int parent;		/* VLAN devices: ifindex of the device below, 0 for all others */
	uint16_t vlan_id;	/* host order; 0 unless a VLAN device */
	uint16_t vlan_protocol; /* host order: ETH_P_8021Q or ETH_P_8021AD */
	int master;		/* ifindex of the bridge or bond it is part of, or 0 */
	uint32_t rx_queues;
	int numa_node; /* -1: unknown or none */
	char driver[32];
};

/*
 * List the interfaces of this network namespace, in the order of their index.
 * Returns how many were filled in, at most room, or -errno.
 */
int clv_nic_list(struct clv_nic *out, size_t room);

/* The number of receive queues of an interface now; attaching XDP may change it.  At least 1. */
uint32_t clv_nic_rx_queues(int ifindex, const char *name);

/* Read one RTM_NEWLINK message.  Queues, node and driver stay zero.  Returns 0 or CLV_ESYNTAX. */
int clv_nic_from_message(const struct nlmsghdr *message, struct clv_nic *out);

#endif
