/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * worker_state - what the files of the worker share; nobody else includes it.
 *
 *   worker.c           the step: receive, dispatch, timers, flush, sleep
 *   worker_relay.c     datagrams between a connection and its tunnels, both ways
 *   worker_bound.c     the same for tunnels with many remotes
 *   worker_conns.c     connections: adoption, what they report, release
 *   worker_commands.c  what control asks
 *
 * Threading: the worker.
 */
#ifndef CLV_WORKER_STATE_H
#define CLV_WORKER_STATE_H

#include "datapath/base/pool.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/quic/conn.h"
#include "datapath/tunnel/remotes.h"
#include "datapath/tunnel/tunnel.h"
#include "datapath/worker/worker.h"

/* A place for one connection. */
struct conn_slot {
	struct clv_conn *conn;
	uint32_t generation;
	uint32_t remotes; /* of its bound tunnels */
	uint64_t stats_ns;
	int64_t max_stream; /* highest request stream seen; -1 none */
};

/* A DATAGRAM that came before its tunnel; lives in a pool buffer. */
struct early {
	struct early *next;
	uint64_t until_ns;
	struct clv_ref conn;
	int64_t stream_id;
	size_t len;
	uint8_t bytes[]; /* Context ID and payload */
};

struct clv_worker {
	struct clv_worker_params p;
	struct clv_counters counters;
	struct clv_rand rand;
	struct clv_pool pool;
	uint64_t now_ns; /* of the step in progress */

	struct conn_slot *conns;
	struct clv_conn_stats *conn_stats; /* parallel to conns; read by other threads */
	struct clv_table cids;		   /* our connection IDs -> slot */
	struct clv_timers conn_timers;
	struct clv_conn *dirty; /* connections with output to write at the end of the step */
	struct clv_tunnels tunnels;
	struct clv_bound remotes;

	struct clv_heap heap;
	uint64_t stream_bytes; /* written by control and not acknowledged, all connections */

	struct early *early_head, *early_tail; /* oldest first */
	struct clv_endpoint *open_sockets;     /* sockets that take datagrams from anyone */
	uint32_t *open_numbers;
	uint32_t open_len;
	uint64_t icmp_ns; /* allowance for ICMP errors is used to here */
	uint8_t *quote;	  /* room for the packet that an error is about */
	unsigned work;	  /* done in this step */
	bool stopping, stopped;
};

/* ---- worker.c ---- */

static inline struct clv_port *worker_port(const struct clv_worker *w, const struct clv_flow *flow)
{
	return flow->hop.via == CLV_VIA_XSK && w->p.xsk ? w->p.xsk : w->p.sock;
}

/* Send an event; head: copies, tail: copies. */
void worker_event(struct clv_worker *w, enum clv_event type, const void *head, size_t head_len,
		  const void *tail, size_t tail_len);

/* Dispatch one received datagram. */
void worker_receive(struct clv_worker *w, struct clv_rx *rx);

/* ---- worker_conns.c ---- */

/* NULL when there is none, or the generation is another. */
struct clv_conn *worker_conn(struct clv_worker *w, uint32_t slot, uint32_t generation);
/* Find the connection of a packet by its ID; NULL when there is none. */
struct clv_conn *worker_conn_by_packet(struct clv_worker *w, const struct clv_rx *rx);
void worker_conn_mark_dirty(struct clv_worker *w, struct clv_conn *conn);
/*
 * Whether len bytes more of a connection that has own_bytes waiting would be too many: those who
 * hold little are let in longer.
 */
bool worker_is_overloaded(const struct clv_worker *w, uint64_t own_bytes, uint64_t len);
/* Close a connection for it. */
void worker_conn_overload(struct clv_worker *w, struct clv_conn *conn);
/* conn: takes. */
void worker_conn_adopt(struct clv_worker *w, const struct clv_cmd_conn_adopt *cmd);
/* Write the output of every dirty connection and set its timer; release the dead. */
void worker_conns_flush(struct clv_worker *w);
void worker_conns_expire(struct clv_worker *w);
/* Drop all connections at once, without a word to their peers. */
void worker_conns_fini(struct clv_worker *w);

/* ---- worker_relay.c ---- */

/* A QUIC DATAGRAM of a connection: decode, find the tunnel, send to the target. */
void worker_from_peer(struct clv_worker *w, struct clv_conn *conn, const uint8_t *data, size_t len);
/* A UDP payload of a tunnel's target: seal and send to the peer. */
void worker_to_peer(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload, size_t len);
/* Seal one HTTP datagram of a tunnel: prefix is quarter stream ID, Context ID and what follows. */
void worker_seal(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *prefix,
		 size_t prefix_len, const uint8_t *payload, size_t len);
/* Send a UDP payload along a flow that is ready.  Returns CLV_COUNTER_MAX, or why it was not. */
enum clv_counter worker_send(struct clv_worker *w, const struct clv_flow *flow,
			     const uint8_t *payload, size_t len);
/* An HTTP datagram of a tunnel.  Returns false when its Context ID may still come to be known. */
bool worker_to_context(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
		       const uint8_t *payload, size_t len);
/* A UDP payload toward a tunnel's target. */
void worker_to_target(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		      size_t len);
/* The next hop changed: send or drop what waited for it. */
void worker_tunnel_hop(struct clv_worker *w, struct clv_tunnel *t, const struct clv_nexthop *hop);
/* Datagrams that came before the tunnel go now. */
void worker_early_replay(struct clv_worker *w, struct clv_tunnel *t);
void worker_early_expire(struct clv_worker *w);
void worker_tunnel_remove(struct clv_worker *w, struct clv_tunnel *t, int error);
void worker_tunnels_expire(struct clv_worker *w);

/* ---- worker_bound.c ---- */

/* As worker_to_context. */
bool worker_bound_from_peer(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
			    const uint8_t *data, size_t len);
/* A datagram that came to one of the tunnel's ports. */
void worker_bound_to_peer(struct clv_worker *w, struct clv_tunnel *t, const struct clv_rx *rx);
/* The commands, cmd: borrows. */
void worker_bound_bind(struct clv_worker *w, struct clv_tunnel *t,
		       const struct clv_cmd_tunnel_bind *cmd);
void worker_bound_open(struct clv_worker *w, struct clv_tunnel *t,
		       const struct clv_cmd_context_open *cmd);
void worker_bound_close(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id);
void worker_bound_remote_add(struct clv_worker *w, struct clv_tunnel *t,
			     const struct clv_remote *way);
void worker_bound_remote_remove(struct clv_worker *w, struct clv_tunnel *t,
				const struct clv_endpoint *wire);
void worker_bound_remote_send(struct clv_worker *w, struct clv_tunnel *t,
			      const struct clv_endpoint *wire, const uint8_t *payload, size_t len);
/* The tunnel goes: forget its remotes, give up its ports. */
void worker_bound_release(struct clv_worker *w, struct clv_tunnel *t);
void worker_remotes_expire(struct clv_worker *w);

/* ---- worker_icmp.c ---- */

/*
 * Whether len bytes from remote, behind a prefix, fit a DATAGRAM of the tunnel now.  If not, they
 * are counted, and remote is told, within limits.  True for tunnels that speak in capsules.
 */
bool worker_fits(struct clv_worker *w, struct clv_tunnel *t, const struct clv_endpoint *local,
		 const struct clv_endpoint *remote, size_t prefix_len, const uint8_t *payload,
		 size_t len);
/* Somebody says something of a packet to a target. */
void worker_icmp(struct clv_worker *w, const struct clv_cmd_icmp *cmd);
/* Largest IP packet toward a tunnel's target, in bytes. */
uint32_t worker_target_mtu(const struct clv_worker *w, const struct clv_tunnel *t);

/* ---- worker_commands.c ---- */

void worker_commands(struct clv_worker *w);

#endif
