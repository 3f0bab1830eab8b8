/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * worker - the packet loop of one core: receive, dispatch, timers, flush, report.
 *
 * A step never blocks, reads no clock and allocates nothing per packet.  culvertd runs a worker on
 * its own pinned thread; the client and the loop tests call the step from theirs.
 *
 * Order: 1. open  2. step, any number; between steps, when it did nothing, may_sleep and poll
 *        3. CLV_CMD_STOP, steps until CLV_EVT_STOPPED  4. close
 * Threading: one thread; the mailboxes' other ends and the counters may be used by control.
 */
#ifndef CLV_WORKER_WORKER_H
#define CLV_WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/counters.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/verdicts.h"
#include "datapath/io/port.h"
#include "datapath/quic/conn.h"
#include "datapath/tunnel/remotes.h"
#include "datapath/tunnel/tunnel.h"

struct clv_worker;
struct clv_handoff;

enum {
	/* the first socket added to a worker's sock port is its first listener */
	CLV_WORKER_LISTENER_SOCKET = 0,
	CLV_WORKER_OPEN_SOCKETS_MAX = 1024, /* opened with CLV_CMD_SOCKET_OPEN */
};

struct clv_worker_params {
	uint16_t id;
	uint16_t workers; /* how many there are */
	uint32_t conns_max;
	uint32_t tunnels_max;
	uint32_t remotes_max;	      /* of all bound tunnels */
	uint32_t remotes_per_conn;    /* that uncompressed datagrams may add to */
	uint32_t remotes_per_tunnel;  /* that uncompressed datagrams may name */
	uint32_t buffers;	      /* for datagrams that wait: send queues, early, neighbours */
	uint64_t buffered_max;	      /* bytes of all streams that wait, in both directions */
	uint64_t quic_memory_max;     /* bytes the QUIC library may hold; 0: any */
	uint32_t early_per_conn;      /* datagrams kept for a tunnel to come */
	uint32_t early_total;	      /* of all connections */
	uint64_t early_ns;	      /* how long */
	uint32_t listener_sockets;    /* sockets 0 to this - 1 of the sock port are listeners */
	uint32_t hop_wait_packets;    /* kept for one unresolved next hop */
	uint32_t icmp_per_sec;	      /* too-big errors to targets; 0: none are sent */
	uint32_t icmp_source_per_sec; /* those on account of one source; 0: no limit */
	uint16_t icmp_mtu_min4;	      /* least MTU they report to IPv4 targets */
	uint64_t rand_seed;	      /* 0: real randomness */
	uint8_t reset_secret[32];     /* for stateless reset tokens; the same in every worker */
	/*
	 * sources whose datagrams bound tunnels drop on kernel sockets; NULL: none.  Borrows: the
	 * worker takes a reference of its own
	 */
	struct clv_verdicts *verdicts;
	struct clv_port *sock;	      /* takes; never NULL */
	struct clv_port *xsk;	      /* takes; NULL when there is no AF_XDP */
	struct clv_mailbox *commands; /* borrows; we receive */
	struct clv_mailbox *events;   /* borrows; we send */
	struct clv_handoff *handoff;  /* borrows; NULL with one worker */
};

/* Returns 0 and fills *out, or -ENOMEM; the ports are closed by clv_worker_close only. */
int clv_worker_open(const struct clv_worker_params *params, struct clv_worker **out);
void clv_worker_close(struct clv_worker *w);

/* Handle what is due.  Returns how many packets, messages and timers that were. */
unsigned clv_worker_step(struct clv_worker *w, uint64_t now_ns);

/* When step must be called again even if nothing arrives; CLV_TIMER_NEVER: not at all. */
uint64_t clv_worker_next_ns(const struct clv_worker *w);

/* Arm the wake-ups of ports and mailbox.  Returns false when something arrived: step again. */
bool clv_worker_may_sleep(struct clv_worker *w);

/* Descriptors to poll while asleep, -1 when the port has none. */
int clv_worker_sock_fd(const struct clv_worker *w);
int clv_worker_xsk_fd(const struct clv_worker *w);

/* Bytes of buffers for datagrams that wait: those in use, and in *max all.  Any thread. */
uint64_t clv_worker_buffers(const struct clv_worker *w, uint64_t *max);
/* Bytes that the QUIC library holds, and in *max its limit; 0: none.  Any thread. */
uint64_t clv_worker_quic_memory(const struct clv_worker *w, uint64_t *max);
const struct clv_worker_counters *clv_worker_counters(const struct clv_worker *w);
const struct clv_tunnel_stats *clv_worker_tunnel_stats(const struct clv_worker *w, uint32_t slot);
/* Remotes of bound tunnels are in slots 0 to this - 1, with holes. */
uint32_t clv_worker_remote_slots(const struct clv_worker *w);
/* Copy the view of the remote in a slot.  Returns false without one, or past the last. */
bool clv_worker_remote_view(const struct clv_worker *w, uint32_t slot,
			    struct clv_remotes_view *out);
const struct clv_conn_stats *clv_worker_conn_stats(const struct clv_worker *w, uint32_t slot);

#endif
