/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * addresses - the addresses of this host's interfaces, and which interfaces lead to other hosts.
 *
 * Threading: control; the kernel answers within the call.
 */
#ifndef CLV_HOST_ADDRESSES_H
#define CLV_HOST_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

/* An address of an interface that is up. */
struct clv_host_addr {
	uint8_t addr[16];
	uint8_t prefix_bits; /* of its network, counted in 16 bytes: an IPv4 /24 has 120 */
	int ifindex;
	bool has_default_route; /* of this family, by this interface */
	bool is_virtual;	/* the interface is a bridge, tunnel or pair */
	bool is_deprecated;	/* not for new connections, or not usable yet */
};

/*
 * Read the addresses of all interfaces but loopback; no more than max, without a word about others.
 * Returns how many there are in out, or -errno.
 */
int clv_host_addresses_read(struct mnl_socket *nl, struct clv_host_addr *out, size_t max);

#endif
