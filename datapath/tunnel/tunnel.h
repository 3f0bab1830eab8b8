/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tunnel - a CONNECT-UDP request in its worker: where its datagrams are sent, and the tables that
 * find it.
 *
 * Control assigns slots and generations.  A tunnel is found by ref, by (connection, request stream)
 * for datagrams from the peer, and by 4-tuple for those from the target.
 *
 * Spec: RFC 9298 sections 3.1, 4 and 5.
 * Threading: its worker.
 */
#ifndef CLV_TUNNEL_TUNNEL_H
#define CLV_TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bpf/abi.h"
#include "datapath/base/pool.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/io/port.h"
#include "datapath/tunnel/messages.h"
#include "datapath/quic/dgram.h"
#include "datapath/tunnel/waitq.h"

enum {
	CLV_BOUND_PORTS = 2, /* one of each family */
};

/* Traffic of one tunnel; written by the worker, read by anyone (relaxed). */
struct clv_tunnel_stats {
	uint64_t to_target_packets, to_target_bytes; /* UDP payload bytes */
	uint64_t to_peer_packets, to_peer_bytes;
	uint64_t drops;
	uint64_t last_ns; /* of the last datagram in either direction */
	/* of a bound tunnel: datagrams of its uncompressed context, all remotes */
	uint64_t uncompressed_id; /* 0: none is open */
	uint64_t uncompressed_to_remote_packets, uncompressed_to_remote_bytes;
	uint64_t uncompressed_to_peer_packets, uncompressed_to_peer_bytes;
};

/* A port that a bound tunnel holds. */
struct clv_bound_port {
	bool used;
	bool own_socket; /* was added for this tunnel */
	uint32_t socket;
	struct clv_endpoint local;
	struct clv_endpoint advertised; /* its public endpoint */
};

struct clv_tunnel {
	bool used;
	bool own_socket; /* flow.socket was added for this tunnel */
	bool is_leaving; /* relays nothing, and will be removed when its remotes are */
	uint8_t prefix_len;
	uint32_t generation;
	uint32_t slot;
	uint32_t conn_slot;
	uint32_t next, prev; /* in its connection's list; slot + 1, 0 = end */
	uint32_t flags;	     /* enum clv_tunnel_flag */
	uint16_t path_mtu;   /* as reported by a router on the path to the target; 0: none was */
	uint64_t path_mtu_until_ns; /* valid until then */
	int64_t stream_id;
	uint64_t idle_ns;
	struct clv_meter *meter;	      /* of its client; NULL: none */
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX]; /* of a datagram to the peer, Context ID 0 */
	struct clv_flow flow;		      /* toward the target */
	struct clv_timer idle;
	struct clv_waitq wait; /* datagrams that wait for the next hop */
	/* with CLV_TUNNEL_TRIAL: the target is on trial until something comes from it */
	uint64_t trial_ns,
		silent_at_ns;	/* silent_at_ns: 0 before the first datagram to the target */
	bool is_given_up;	/* CLV_EVT_TARGET_DEAD was sent */
	bool is_unreachable;	/* what that said */
	struct clv_waitq tried; /* copies of what was sent or waits for the next hop */
	uint32_t uncopied;	/* of those that wait, without a copy */
	int leave_error;
	TAILQ_ENTRY(clv_tunnel) leaving;

	/* of a bound tunnel */
	struct clv_bound_port ports[CLV_BOUND_PORTS]; /* see clv_tunnel_port_of */
	uint64_t uncompressed_id;		      /* CLV_DGRAM_CONTEXT_NONE: no such context */
	bool uncompressed_may_send;
	/*
	 * How often an uncompressed context was closed.  Remotes without a context from before are
	 * stale, and are removed in portions.
	 */
	uint32_t uncompressed_closed;
	uint32_t purge_at; /* the next remote to look at; slot + 1, 0 = none */
	bool is_purging;
	TAILQ_ENTRY(clv_tunnel) purging;
	bool is_zero_told;	       /* CLV_EVT_CONTEXT_ZERO was sent */
	uint64_t highest_id[2];	       /* ever opened, of the peer's and of ours: even and odd */
	uint32_t remotes, remotes_len; /* list: slot + 1, 0 = none */
	uint32_t unanswered_oldest, unanswered_newest; /* of remotes; slot + 1, 0 = none */
	uint32_t remotes_max;			       /* 0: as the worker's params say */
	uint32_t busy_per_sec;
	uint64_t context_idle_ns;
};

struct clv_tunnels {
	struct clv_tunnel *slots;
	struct clv_tunnel_stats *stats; /* parallel to slots; read by other threads */
	uint32_t max;
	struct clv_table by_stream; /* (connection slot, stream ID) */
	struct clv_table by_tuple;  /* (local, remote) of the target */
	struct clv_table by_local;  /* ports of bound tunnels */
	struct clv_timers timers;
};

/* Returns 0 or -ENOMEM. */
int clv_tunnels_init(struct clv_tunnels *ts, uint32_t max, const uint64_t seed[static 2]);
/* Every tunnel must have been removed. */
void clv_tunnels_fini(struct clv_tunnels *ts);

/*
 * Put a tunnel into its slot and the tables.  cmd: borrows.  wait_packets: bound of its wait queue.
 * Returns the tunnel, or NULL when the slot is taken or out of range, or a table is full.
 */
struct clv_tunnel *clv_tunnels_add(struct clv_tunnels *ts, const struct clv_cmd_tunnel_add *cmd,
				   uint32_t wait_packets, uint64_t now_ns);
/*
 * Give a tunnel that is not bound another target.  spec: borrows.
 * Returns 0; or CLV_EFULL when the table is full, and then its 4-tuple finds the tunnel no more.
 */
int clv_tunnels_retarget(struct clv_tunnels *ts, struct clv_tunnel *t,
			 const struct clv_tunnel_spec *spec);
/* Remove it from all tables.  pool: of the wait queues.  Returns how many datagrams it dropped. */
uint32_t clv_tunnels_remove(struct clv_tunnels *ts, struct clv_tunnel *t, struct clv_pool *pool);

/* NULL when there is none, or the slot has another generation. */
struct clv_tunnel *clv_tunnels_by_ref(struct clv_tunnels *ts, uint32_t slot, uint32_t generation);
struct clv_tunnel *clv_tunnels_by_stream(struct clv_tunnels *ts, uint32_t conn_slot,
					 int64_t stream_id);
struct clv_tunnel *clv_tunnels_by_tuple(struct clv_tunnels *ts, const struct clv_endpoint *local,
					const struct clv_endpoint *remote);

/* The bound tunnel that holds a port. */
struct clv_tunnel *clv_tunnels_by_local(struct clv_tunnels *ts, const struct clv_endpoint *local);
/* Whether it has a target: the remote of Context ID 0. */
bool clv_tunnel_has_target(const struct clv_tunnel *t);
/* The port of an address's family, in use or not. */
struct clv_bound_port *clv_tunnel_port_of(struct clv_tunnel *t, const uint8_t addr[static 16]);
/* Hold a port.  socket: its number in the sock port.  Returns 0 or CLV_EFULL. */
int clv_tunnels_bind(struct clv_tunnels *ts, struct clv_tunnel *t,
		     const struct clv_cmd_tunnel_bind *cmd, uint32_t socket);

/* Count a relayed datagram, and the time for the idle timer.  Single writer, relaxed stores. */
void clv_tunnel_count(struct clv_tunnels *ts, struct clv_tunnel *t, bool to_target, size_t len,
		      uint64_t now_ns);
void clv_tunnel_count_drop(struct clv_tunnels *ts, struct clv_tunnel *t);
/* Count it for the uncompressed context, too. */
void clv_tunnel_count_uncompressed(struct clv_tunnels *ts, struct clv_tunnel *t, bool to_remote,
				   size_t len);
/* The uncompressed context of a bound tunnel is id now, or CLV_DGRAM_CONTEXT_NONE. */
void clv_tunnel_set_uncompressed(struct clv_tunnels *ts, struct clv_tunnel *t, uint64_t id,
				 bool may_send);

#endif
