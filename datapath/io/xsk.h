/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xsk - the AF_XDP port: one socket for each (interface, queue) a worker owns, all in one packet
 * memory, so that a frame received on any of them can leave by any other.
 *
 * The XDP program is attached by the caller, and must be detached only after close: drivers that
 * lose queues on detach can no longer unbind sockets from them.
 *
 * The memory is registered once for each link, so every link has its own mode: with one
 * registration the first bind would decide for all.  It counts against RLIMIT_MEMLOCK as often.
 *
 * Order: 1. open  2. add, for each queue  3. the port's operations  4. ops->close
 *        5. clv_xsk_wait_unbound, before the program is detached
 * Threading: open and add before the worker starts; then the worker's.  clv_xsk_info any thread.
 */
#ifndef CLV_IO_XSK_H
#define CLV_IO_XSK_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/io/port.h"
#include "datapath/io/umem.h"

enum {
	CLV_XSK_RING_DEFAULT = 2048, /* entries of a ring */
};

enum clv_xsk_mode {
	CLV_XSK_AUTO = 0, /* zero-copy, or copy when the driver refuses */
	CLV_XSK_ZEROCOPY,
	CLV_XSK_COPY, /* also what works under a generic (skb) XDP program */
};

struct clv_xsk_port_params {
	struct clv_umem umem;		      /* takes; at least clv_xsk_frames() for each socket */
	struct clv_worker_counters *counters; /* borrows for the port's life */
	uint32_t ring_size; /* entries of each ring, a power of two; 0: CLV_XSK_RING_DEFAULT */
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
	enum clv_xsk_mode mode; /* decided by the first socket of a link */
	int xskmap_fd;		/* where to join; -1: the caller does it */
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

/* Frames one socket can hold at the same time, to size the packet memory. */
static inline uint32_t clv_xsk_frames(uint32_t ring_size)
{
	return 2 * (ring_size ? ring_size : CLV_XSK_RING_DEFAULT) + 2 * CLV_PORT_BATCH;
}

/*
 * Make a port without sockets.
 * Returns 0 and fills *out; or CLV_ERANGE for ring_size, or -errno, and umem stays the caller's.
 */
int clv_xsk_open(const struct clv_xsk_port_params *params, struct clv_port **out);

/*
 * Bind a socket to one queue, fill its ring and, as the last step, join the map.  A queue that the
 * kernel is still taking from a closed socket is waited for, up to a second.
 *
 * Returns 0, or without a socket added:
 *   CLV_ERANGE   link or mode out of range
 *   CLV_EFULL    more sockets than CLV_XSKS_MAX
 *   -EBUSY       another socket has the queue
 *   -EOPNOTSUPP, -EINVAL  the driver lacks the mode: try the next one down
 *   -errno       anything else, -ENOBUFS when the memory may not be locked (RLIMIT_MEMLOCK)
 */
int clv_xsk_add(struct clv_port *port, const struct clv_xsk_params *params);

/*
 * Wait until the kernel has taken a queue back from sockets that were closed, up to a second; under
 * zero-copy only then may the XDP program go.  Must not be called while a socket of ours has it.
 * Returns 0, -EBUSY (something has it still), or another -errno when it could not be found out.
 */
int clv_xsk_wait_unbound(const char *ifname, uint32_t queue);

/* Fill *out for one socket, in the order of add.  Returns 0, CLV_ERANGE past the last, -errno. */
int clv_xsk_info(const struct clv_port *port, unsigned index, struct clv_xsk_info *out);

/* Where the frames are; with those the worker holds, the sum is all of the memory. */
struct clv_xsk_accounting {
	uint32_t pool;
	uint32_t receiving; /* in fill rings, in the driver, or received and not read yet */
	uint32_t sending;   /* queued or submitted, and not known to be completed */
};
/* Reaps completions first.  For tests and debugging. */
void clv_xsk_accounting(struct clv_port *port, struct clv_xsk_accounting *out);

#endif
