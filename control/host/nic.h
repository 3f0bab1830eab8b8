/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nic - list the machine's network interfaces, with the properties that the datapath depends on.
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

struct clv_nic {
	int ifindex;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	uint16_t arp_type;	/* ARPHRD_* */
	uint32_t mtu;		/* bytes */
	uint32_t flags;		/* IFF_* */
	int parent;		/* VLAN devices: ifindex of the underlying device; else 0 */
	uint16_t vlan_id;	/* host order; 0 unless a VLAN device */
	uint16_t vlan_protocol; /* host order: ETH_P_8021Q or ETH_P_8021AD */
	int master;		/* ifindex of the bridge or bond it is part of, or 0 */
	char kind[16];	 /* "veth", "bridge"; "" where it is none of the kernel's own making */
	bool has_device; /* hardware, real or a virtual machine's, is behind it */
	/* of clv_nic_complete: */
	uint32_t rx_queues;
	bool strips_tags; /* takes VLAN tags off what it receives: rx-vlan-offload */
	int numa_node;	  /* -1: unknown or none */
	char driver[32];
};

/*
 * List the interfaces of this network namespace, in the order of their index.
 * Returns how many, in *out, which the caller frees, or -errno.
 */
int clv_nic_list(struct clv_nic **out);

/* Ask for what the list does not have; it takes a few calls for each interface. */
void clv_nic_complete(struct clv_nic *nic);

/* Returns the current number of receive queues, 1 or more; attaching XDP may change it. */
uint32_t clv_nic_rx_queues(int ifindex, const char *name);

/* Returns whether rx-vlan-offload is on now. */
bool clv_nic_strips_tags(const char *name);

/*
 * Find out both.  Returns 0, or -errno when there are no descriptors or no memory to ask with: what is
 * known of the interface holds on.
 */
int clv_nic_look(int ifindex, const char *name, uint32_t *queues, bool *strips_tags);

/*
 * Read one RTM_NEWLINK message.  has_device may be missing where the kernel is old.  Returns 0 or
 * CLV_ESYNTAX.
 */
int clv_nic_from_message(const struct nlmsghdr *message, struct clv_nic *out);

#endif
