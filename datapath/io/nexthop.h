/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * nexthop - how a frame reaches the next IP hop: port, link, MAC addresses and VLAN tags.
 *
 * Threading: plain values; copied between threads by message.
 */
#ifndef CLV_IO_NEXTHOP_H
#define CLV_IO_NEXTHOP_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CLV_VLAN_TAGS_MAX = 2,
};

/* Link layer of one frame, MACs as seen by a frame we send. */
struct clv_l2 {
	uint8_t dst_mac[6];
	uint8_t src_mac[6];
	uint16_t vlan_id[CLV_VLAN_TAGS_MAX]; /* host order, outermost first; 0 = no tag */
};

enum clv_nexthop_via {
	CLV_VIA_KERNEL = 0, /* the worker's sock port: kernel routing, any interface */
	CLV_VIA_XSK = 1,    /* the worker's AF_XDP socket on `link` */
};

enum clv_nexthop_state {
	CLV_HOP_READY = 0,
	CLV_HOP_RESOLVING = 1,	 /* neighbour not known yet: hold a few packets */
	CLV_HOP_UNREACHABLE = 2, /* no route, link down or the neighbour did not answer */
};

struct clv_nexthop {
	uint8_t via;   /* enum clv_nexthop_via */
	uint8_t state; /* enum clv_nexthop_state */
	uint16_t link; /* xsk: number of the link, as in xsks */
	uint16_t mtu;  /* bytes of an IP packet on that link, at most the route's MTU */
	struct clv_l2 l2;
};

#endif
