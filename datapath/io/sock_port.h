/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sock_port - what the parts of the kernel UDP port share: sock.c keeps the sockets, sock_rx.c
 * receives, sock_tx.c sends.
 *
 * Threading: the worker's.
 */
#ifndef CLV_IO_SOCK_PORT_H
#define CLV_IO_SOCK_PORT_H

#include <assert.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "datapath/io/sock.h"

#define CLV_SOCK_NONE UINT32_MAX

enum {
	CLV_SOCK_MESSAGES = CLV_PORT_BATCH, /* what one rx reads from the kernel */
	CLV_SOCK_MESSAGE_BYTES = 65536,	    /* most that the kernel coalesces */
	CLV_SOCK_CONTROL_BYTES = 192,
	CLV_SOCK_SEGMENTS_MAX = 64, /* what every kernel with UDP_SEGMENT takes */
	CLV_SOCK_GROUP_WINDOW = 8,  /* flows that may be interleaved and still coalesce */
};

struct clv_sock {
	int fd; /* -1: free number */
	bool is_v6;
	bool is_wildcard;		  /* senders must name the source address */
	bool is_ready;			  /* in the ready ring */
	bool no_gso;			  /* the device refused */
	uint32_t lost;			  /* as the kernel counts what it had no room for */
	uint16_t first_group, last_group; /* queued to send; CLV_SOCK_FRAMES: none */
	uint32_t next_dirty;		  /* next socket with something queued */
	struct clv_endpoint local;
};

/* What one recvmmsg slot received, parsed once, returned as one or more datagrams. */
struct clv_sock_message {
	struct clv_rx first; /* addressing of all its datagrams */
	uint32_t len;
	uint32_t segment_len; /* len when not coalesced */
	uint32_t offset;      /* of what was not given out yet */
};

/* Datagrams of one flow that leave as one argument of sendmmsg. */
struct clv_sock_group {
	uint32_t socket;
	uint32_t bytes;
	uint16_t count;
	uint16_t segment_len;
	uint16_t first, last; /* frames, linked by next_frame */
	uint16_t next_group;  /* of the same socket */
	uint8_t ecn;
	bool is_closed; /* its last datagram is shorter: nothing may follow */
	struct clv_endpoint local, remote;
};

struct clv_sock_port {
	struct clv_port port; /* first */
	int epoll_fd;

	/* Sockets, and the ring of those that may have something to read. */
	uint32_t sockets_max, count;
	uint32_t only; /* number of the single socket there is, where known; needs no epoll_wait */
	struct clv_sock *socks;
	uint32_t *free_numbers, free_count;
	uint32_t *ready, ready_at, ready_count;

	/* Receiving: messages[at..read) are parsed and not given out. */
	unsigned read, at;
	uint8_t *rx_area;
	struct clv_sock_message messages[CLV_SOCK_MESSAGES];
	struct mmsghdr rx_headers[CLV_SOCK_MESSAGES];
	struct iovec rx_iov[CLV_SOCK_MESSAGES];
	struct sockaddr_in6 rx_names[CLV_SOCK_MESSAGES];
	_Alignas(8) uint8_t rx_control[CLV_SOCK_MESSAGES][CLV_SOCK_CONTROL_BYTES];

	/* Sending. */
	uint8_t *tx_area;
	uint16_t free_frames[CLV_SOCK_FRAMES];
	unsigned free_frame_count;
	uint16_t frame_len[CLV_SOCK_FRAMES], next_frame[CLV_SOCK_FRAMES];
	struct clv_sock_group groups[CLV_SOCK_FRAMES];
	unsigned group_count;
	uint32_t first_dirty; /* sockets with groups; CLV_SOCK_NONE: none */
	struct mmsghdr tx_headers[CLV_SOCK_FRAMES];
	struct iovec tx_iov[CLV_SOCK_FRAMES];
	struct sockaddr_storage tx_names[CLV_SOCK_FRAMES];
	_Alignas(8) uint8_t tx_control[CLV_SOCK_FRAMES][CLV_SOCK_CONTROL_BYTES];
};

static inline struct clv_sock_port *clv_sock_of(struct clv_port *port)
{
	return (struct clv_sock_port *)port;
}

/* sock_rx.c */
unsigned clv_sock_rx(struct clv_port *port, struct clv_rx *batch, unsigned max);
/* Drop, counted, what was read from a socket and not given out. */
void clv_sock_forget(struct clv_sock_port *k, uint32_t number);

/* sock_tx.c */
void clv_sock_tx_init(struct clv_sock_port *k);
int clv_sock_tx_take(struct clv_port *port, struct clv_tx *tx);
void clv_sock_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
		      const struct clv_flow *flow, uint8_t ecn);
void clv_sock_tx_give(struct clv_port *port, struct clv_tx *tx);
void clv_sock_flush(struct clv_port *port);

#endif
