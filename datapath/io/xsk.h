/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xsk - the AF_XDP port: one socket for each (interface, queue) a worker owns, each with packet
 * memory of its own, so that an interface comes and goes without the others noticing.
 *
 * A link sends by the first of its sockets, from that one's memory: the caller of tx_take says in
 * tx->link by which link the frame will probably leave.  Where it leaves by another it is copied.
 *
 * The XDP program is attached by the caller, and must be detached only after close: drivers that
 * lose queues on detach can no longer unbind sockets from them.
 *
 * Order: 1. open  2. add, for each queue  3. the port's operations  4. ops->close
 *        5. clv_xsk_wait_unbound, before the program is detached
 * And while the worker runs: bind, park the worker, attach, resume; or park, detach, resume, unbind.
 * Threading: open and add before the worker starts; attach and detach while it is parked; bind and
 * unbind, which take long, and clv_xsk_info any thread but one at a time; all else the worker's.
 */
#ifndef CLV_IO_XSK_H
#define CLV_IO_XSK_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/io/port.h"

enum {
	CLV_XSK_RING_DEFAULT = 2048, /* entries of a ring */
};

enum clv_xsk_mode {
	CLV_XSK_AUTO = 0, /* zero-copy, or copy when the driver refuses */
	CLV_XSK_ZEROCOPY,
	CLV_XSK_COPY, /* also what works under a generic (skb) XDP program */
};

struct clv_xsk_sock;

struct clv_xsk_port_params {
	struct clv_worker_counters *counters; /* borrows for the port's life */
	uint32_t ring_size; /* entries of each ring, a power of two; 0: CLV_XSK_RING_DEFAULT */
	int numa_node;	    /* of the packet memory; -1: anywhere */
	/*
	 * Mark what is not tunnel packets (those prove themselves) as unverified.  Off only where
	 * local senders leave checksums to a device that does not exist.
	 */
	bool verify_checksum;
};

struct clv_xsk_params {
	const char *ifname;
	uint32_t queue;
	uint16_t link; /* number of the interface, as in struct clv_nexthop; < CLV_LINKS_MAX */
	enum clv_xsk_mode mode;
	bool strips_tags; /* the card takes VLAN tags off (rx-vlan-offload) */
	int xskmap_fd;	  /* where to join; -1: the caller does it */
	uint32_t xskmap_key;
	/* 0: off.  Refusals by the kernel are logged and otherwise ignored. */
	uint32_t busy_poll_usec;
	uint32_t busy_poll_budget_packets;
};

/* Statistics of one socket as the kernel counts them: frames that no counter of ours sees. */
struct clv_xsk_info {
	uint16_t link;
	uint32_t queue;
	enum clv_xsk_mode mode; /* ZEROCOPY or COPY, as the kernel reports */
	uint64_t rx_dropped;	/* no free frame, or too large for one */
	uint64_t rx_ring_full;	/* we did not read in time */
	uint64_t rx_fill_empty; /* how often the fill ring ran dry; the loss is in rx_dropped */
	uint64_t rx_invalid;
	uint64_t tx_invalid;
};

/* Frames that one socket can hold at the same time: those of its packet memory. */
static inline uint32_t clv_xsk_frames(uint32_t ring_size)
{
	return 2 * (ring_size ? ring_size : CLV_XSK_RING_DEFAULT) + 2 * CLV_PORT_BATCH;
}

/*
 * Make a port without sockets.
 * Returns 0 and fills *out; or CLV_ERANGE for ring_size, or -errno.
 */
int clv_xsk_open(const struct clv_xsk_port_params *params, struct clv_port **out);

/*
 * Reserve the memory of a socket, bind it to one queue and fill its ring.  A queue that the kernel is
 * still taking from a closed socket is waited for, up to a second.
 *
 * Returns 0 and fills *out, or:
 *   CLV_ERANGE   link or mode out of range
 *   -EBUSY       another socket has the queue
 *   -EOPNOTSUPP, -EINVAL  the driver lacks the mode: try the next one down
 *   -ENOMEM      no memory for packets
 *   -errno       anything else, -ENOBUFS when the memory may not be locked (RLIMIT_MEMLOCK)
 */
int clv_xsk_bind(const struct clv_port *port, const struct clv_xsk_params *params,
		 struct clv_xsk_sock **out);
/* Close a socket that no port has, and free its memory.  Accepts NULL. */
void clv_xsk_unbind(struct clv_xsk_sock *sock);

/*
 * Make a bound socket one of the port's and, as the last step, join the map.  sock: takes.
 * Returns 0, or leaves sock to the caller: CLV_EFULL (more than CLV_XSKS_MAX), -EBUSY (the port has
 * one for that queue), or -errno.
 */
int clv_xsk_attach(struct clv_port *port, struct clv_xsk_sock *sock);
/*
 * Take the sockets of a link, at most room of them, out of the map and the port.  What is in their
 * rings is lost, and counted as LINK_GONE.  Returns how many out[] got: the caller's to unbind.
 */
unsigned clv_xsk_detach(struct clv_port *port, uint16_t link, struct clv_xsk_sock **out,
			unsigned room);

/* Bind and attach.  Returns as they do, without a socket added. */
int clv_xsk_add(struct clv_port *port, const struct clv_xsk_params *params);

/*
 * Wait until the kernel has taken a queue back from sockets that were closed, up to a second; under
 * zero-copy only then may the XDP program go.  Must not be called while a socket of ours has it.
 * Returns 0, -EBUSY (something has it still), or another -errno when it could not be found out.
 */
int clv_xsk_wait_unbound(const char *ifname, uint32_t queue);

/* Fill *out for one socket, 0 and on.  Returns 0, CLV_ERANGE past the last, -errno. */
int clv_xsk_info(const struct clv_port *port, unsigned index, struct clv_xsk_info *out);

/* Where the frames are; with those the worker holds, the sum is all memory. */
struct clv_xsk_accounting {
	uint32_t pool;
	uint32_t receiving; /* in fill rings, in the driver, or received and not read yet */
	uint32_t sending;   /* queued or submitted, and not known to be completed */
};
/* Reaps completions first.  For tests and debugging. */
void clv_xsk_accounting(struct clv_port *port, struct clv_xsk_accounting *out);

#endif
