/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * port - how datagrams are received and sent: AF_XDP (xsk), kernel UDP (sock), or a test's own
 * wire.
 *
 * A received datagram is borrowed from the port between rx and rx_done.  A frame to send is either
 * in the port's pool or, between tx_take and tx_send or tx_give, held by the caller.
 *
 * Order: 1. rx  2. use the batch  3. rx_done   and   1. tx_take  2. write payload  3. tx_send
 *        (or tx_give)  4. flush, once for the whole batch
 * Threading: the thread that owns the port.
 */
#ifndef CLV_IO_PORT_H
#define CLV_IO_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bpf/abi.h"
#include "datapath/base/counters.h"
#include "datapath/io/nexthop.h"

enum {
	CLV_PORT_BATCH = 64,  /* most datagrams one rx returns */
	CLV_HOP_LIMIT = 64,   /* TTL or hop limit of what the relay originates */
	CLV_RX_HAIRPIN = 255, /* rx.kind: from another tunnel of this relay, see ref */
};

/* One received UDP datagram. */
struct clv_rx {
	struct clv_endpoint local;
	struct clv_endpoint remote;
	uint8_t *payload; /* borrows until rx_done; the receiver may overwrite it */
	uint32_t payload_len;
	uint8_t ecn;  /* two bits of the IP header */
	uint8_t kind; /* enum clv_kind; CLV_KIND_UNKNOWN when the port does not know */
	uint8_t via;  /* enum clv_nexthop_via: the port it was received on */
	/*
	 * xsk: call clv_packet_checksum_ok(), best when the payload is used anyway
	 */
	bool is_unverified;
	bool lacks_tags; /* xsk: the card takes VLAN tags off, so that l2 has none whatever came */
	uint16_t link;	 /* xsk: the link it was received on, for clv_l2; sock: 0 */
	uint32_t socket; /* sock: number of the socket it was received on; xsk: 0 */
	struct clv_ref ref;
	struct clv_l2 l2; /* xsk: how to answer on the same link; sock: all zero */
	uint64_t frame;	  /* the port's own */
};

/* A free buffer for one datagram. */
struct clv_tx {
	uint8_t *payload;
	size_t room;	/* bytes that fit */
	uint16_t link;	/* xsk: set before tx_take, to where it probably goes; sock: ignored */
	uint64_t frame; /* the port's own */
};

/*
 * Where the datagrams of one conversation are sent: both endpoints and the next hop.  Part of its
 * connection or tunnel; the port keeps no pointer to it after tx_send.
 */
struct clv_flow {
	struct clv_endpoint local;
	struct clv_endpoint remote;
	uint32_t socket;	/* sock: which socket sends; ignored by xsk */
	struct clv_nexthop hop; /* xsk: link, MACs, tags; ignored by sock */
};

/* Whether the tags of a frame may be what a card left of those: it takes off the outermost ones. */
static inline bool clv_l2_is_rest(const struct clv_l2 *seen, const struct clv_l2 *whole)
{
	const uint16_t *a = seen->vlan_id, *b = whole->vlan_id;

	return !a[0] || (!a[1] && b[1] == a[0]) || (a[0] == b[0] && a[1] == b[1]);
}

/*
 * How to answer the sender of rx.  hop: the next hop in use to the same peer, which gives what rx
 * does not have: where the card takes VLAN tags off, also those.  It becomes the answer's.
 */
static inline void clv_rx_answer(const struct clv_rx *rx, struct clv_nexthop *hop)
{
	struct clv_l2 l2 = rx->l2;

	if (rx->via == CLV_VIA_XSK) {
		if (rx->lacks_tags && hop->via == CLV_VIA_XSK && hop->link == rx->link &&
		    clv_l2_is_rest(&l2, &hop->l2))
			memcpy(l2.vlan_id, hop->l2.vlan_id, sizeof(l2.vlan_id));
		hop->link = rx->link;
		hop->l2 = l2;
	}
	hop->via = rx->via;
	hop->state = CLV_HOP_READY;
}

struct clv_port;

struct clv_port_ops {
	const char *name;

	/* Up to max (<= CLV_PORT_BATCH) datagrams.  Malformed ones are counted and not returned. */
	unsigned (*rx)(struct clv_port *port, struct clv_rx *batch, unsigned max);
	/* Return the whole batch of the last rx. */
	void (*rx_done)(struct clv_port *port);

	/*
	 * Returns 0, or -ENOBUFS when no frame is free: the caller drops and counts NO_FRAME.
	 * tx->link may be any link: what is sent by another is copied.
	 */
	int (*tx_take)(struct clv_port *port, struct clv_tx *tx);
	/*
	 * Queue payload[0..len), len <= tx->room, along flow.  tx: takes.  Never blocks: what cannot
	 * be sent is dropped and counted by the port (TX_RING, SEND_ERROR, MTU, NO_ROUTE, STALE).
	 * What is queued is submitted when there is no room for more; flush submits the rest.
	 */
	void (*tx_send)(struct clv_port *port, struct clv_tx *tx, size_t len,
			const struct clv_flow *flow, uint8_t ecn);
	void (*tx_give)(struct clv_port *port, struct clv_tx *tx);
	/*
	 * Submit everything queued to the kernel, at once.  Call it in every step, also when
	 * nothing was queued: it repeats what the kernel deferred, and reclaims sent frames.
	 */
	void (*flush)(struct clv_port *port);

	/*
	 * sock: start to receive on fd and send with its number.  local: the endpoint fd is bound to.
	 * fd: lends to the port; the caller closes it after remove_socket.
	 * Returns 0 and fills *number, or CLV_EFULL, or -errno.   NULL in ports without sockets.
	 */
	int (*add_socket)(struct clv_port *port, int fd, const struct clv_endpoint *local,
			  uint32_t *number);
	void (*remove_socket)(struct clv_port *port, uint32_t number);

	/* A descriptor that polls readable when rx has something, or -1. */
	int (*poll_fd)(struct clv_port *port);
	/*
	 * The caller is about to sleep: arm what makes poll_fd readable.  Returns false when
	 * datagrams arrived meanwhile or something queued needs another flush: it must not sleep.
	 */
	bool (*may_sleep)(struct clv_port *port);

	void (*close)(struct clv_port *port);
};

/* First member of every port. */
struct clv_port {
	const struct clv_port_ops *ops;
	struct clv_worker_counters *counters; /* borrows for the port's life */
};

#endif
