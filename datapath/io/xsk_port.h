/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xsk_port - what the two halves of the AF_XDP port share: xsk_bind.c opens it, xsk.c runs it.
 *
 * Threading: the worker's.
 */
#ifndef CLV_IO_XSK_PORT_H
#define CLV_IO_XSK_PORT_H

#include <xdp/xsk.h>

#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

/* One socket: one queue of one link. */
struct clv_xsk_sock {
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	uint32_t ring_size; /* of every ring */
	uint32_t receiving; /* frames the kernel has for receiving */
	uint32_t queued;    /* descriptors written and not submitted */
	uint32_t sending;   /* submitted and not completed */
	bool is_zerocopy;
	bool strips_tags;
	bool is_busy_polled;
	bool has_retried; /* in this step, with a full ring that the kernel took nothing of */
	bool is_stalled;  /* something is submitted, and the kernel wants another kick */
	int fd;
	struct xsk_socket *xsk;
	struct clv_umem umem;
	struct xsk_umem *memory; /* the kernel's registration of umem */
	uint32_t queue;
	uint16_t link;
	int xskmap_fd; /* -1: in no map */
	uint32_t xskmap_key;
};

/* A received frame that the worker holds. */
struct clv_xsk_held {
	struct clv_xsk_sock *sock;
	uint64_t frame;
};

struct clv_xsk_port {
	struct clv_port port; /* first */
	uint32_t ring_size;   /* of every ring */
	int numa_node;
	bool verify_checksum;
	int epoll_fd;
	unsigned next_rx; /* socket to begin with */
	unsigned held_len;
	struct clv_xsk_held held[CLV_PORT_BATCH]; /* of the batch that the worker holds */
	unsigned count;
	struct clv_xsk_sock *senders[CLV_LINKS_MAX]; /* the socket of each link that sends; NULL */
	struct clv_xsk_sock *socks[CLV_XSKS_MAX];
};

extern const struct clv_port_ops clv_xsk_ops;

static inline struct clv_xsk_port *clv_xsk_of(struct clv_port *port)
{
	return (struct clv_xsk_port *)port;
}

/* Top up the frames the kernel may receive into, from the pool, as far as both allow. */
void clv_xsk_refill(struct clv_xsk_sock *s);

/* Close a socket, and free its memory but not the struct. */
void clv_xsk_close_socket(struct clv_xsk_sock *s);

/* How many packets are in its rings: received and not read, or not taken by the kernel yet. */
uint32_t clv_xsk_left(struct clv_xsk_sock *s);

#endif
