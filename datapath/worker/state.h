/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * state - the worker's state, and the functions its files call in each other; private to this room.
 *
 *   worker.c     the step: receive, dispatch, timers, flush, sleep
 *   commands.c   commands from control
 *   conns.c      connections: adoption, their events, release
 *   from_peer.c  HTTP datagrams from a peer: find the tunnel, or keep them until it comes
 *   tunnels.c    a tunnel joins its connection, gets another target, idles out, is removed
 *   bound.c      tunnels with many remotes, both directions
 *   deliver.c    the last step: send to the target, seal for the peer
 *   too_big.c    datagrams larger than a path, and ICMP errors about them
 *   trial.c      whether the target of a tunnel answers
 *   early.c      the store of datagrams that came before their tunnel or context
 *   state.c      events, owners of packets, the limit on buffered bytes, shares of the buffers
 *
 * Each file calls only those below it in this list.
 *
 * Threading: the worker.
 */
#ifndef CLV_WORKER_STATE_H
#define CLV_WORKER_STATE_H

#include <sys/queue.h>

#include "datapath/base/bucket.h"
#include "datapath/base/budget.h"
#include "datapath/base/pool.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/quic/conn.h"
#include "datapath/tunnel/remotes.h"
#include "datapath/tunnel/tunnel.h"
#include "datapath/worker/worker.h"

enum {
	WORKER_EXPIRED_PER_STEP = 256, /* timers of one kind, then packets get their turn */
	SOURCES = 4096, /* a power of 2; those that hash to the same place have one share */
};

/* What the connections of one source hold: of an IPv4 address or an IPv6 /64. */
struct source {
	struct clv_share buffers, early;
	struct clv_heap_source heap;
	__u64 icmp_full_ns; /* token bucket of ICMP errors on account of it */
};

TAILQ_HEAD(early_list, early);

/* A place for one connection. */
struct conn_slot {
	struct clv_conn *conn;
	uint32_t generation;
	uint32_t remotes; /* of its bound tunnels */
	uint64_t stats_ns;
	int64_t max_stream;	       /* highest request stream seen; -1 none */
	struct clv_share buffers;      /* of the pool */
	struct clv_share early_share;  /* of the early datagrams */
	struct early_list early;       /* oldest first */
	struct clv_budget_holder held; /* in buffered */
};

/* A DATAGRAM that came before its tunnel; lives in a pool buffer. */
struct early {
	TAILQ_ENTRY(early) by_age, of_conn;
	uint64_t until_ns;
	struct clv_ref conn;
	int64_t stream_id;
	size_t len;
	uint8_t bytes[]; /* Context ID and payload */
};

struct clv_worker {
	struct clv_worker_params p;
	struct clv_worker_counters counters;
	struct clv_rand rand;
	struct clv_pool pool;
	uint64_t now_ns; /* of the step in progress */

	struct conn_slot *conns;
	struct clv_conn_stats *conn_stats; /* parallel to conns; read by other threads */
	struct clv_table cids;		   /* our connection IDs -> slot */
	struct clv_timers conn_timers;
	struct clv_conn *dirty; /* connections with output to write at the end of the step */
	struct clv_tunnels tunnels;
	struct clv_remotes remotes;

	struct clv_heap heap;
	struct clv_budget buffered; /* stream bytes that wait, in both directions */

	struct source *sources; /* SOURCES of them, by the hash of their prefix */
	uint64_t seed[2];	/* of that hash */
	struct clv_stock early_stock;
	struct early_list early; /* of all connections, oldest first */
	/* sockets that take datagrams from anyone */
	struct clv_table open_by_local;	  /* endpoint -> number */
	struct clv_table open_by_number;  /* number -> 1 */
	struct clv_bucket icmp;		  /* ICMP errors to targets */
	struct clv_rate icmp_source;	  /* those on account of one source */
	uint8_t *quote;			  /* room for the packet that an error is about */
	TAILQ_HEAD(, clv_tunnel) leaving; /* their remotes are being removed, in portions */
	TAILQ_HEAD(, clv_tunnel) purging; /* their stale remotes likewise */
	unsigned removals_left;		  /* of remotes and tunnels, in this step */
	unsigned work;			  /* done in this step */
	bool stopping, stopped;
	uint32_t stop_at; /* slots of connections below it are done with */
};

/* ---- state.c ---- */

static inline struct clv_port *worker_port(const struct clv_worker *w, const struct clv_flow *flow)
{
	return flow->hop.via == CLV_VIA_XSK && w->p.xsk ? w->p.xsk : w->p.sock;
}

/* Count a dropped datagram of a tunnel. */
static inline void worker_drop(struct clv_worker *w, struct clv_tunnel *t, enum clv_counter why)
{
	clv_count(&w->counters, why);
	clv_tunnel_count_drop(&w->tunnels, t);
}

/* Whether the limits of the tunnel's client let a datagram pass; if not, it is dropped and counted. */
static inline bool worker_may_pass(struct clv_worker *w, struct clv_tunnel *t,
				   enum clv_meter_way way, size_t len)
{
	enum clv_counter why;

	if (!t->meter)
		return true;
	why = clv_meter_judge(t->meter, way, len, w->now_ns);
	if (why == CLV_COUNTER_MAX)
		return true;
	worker_drop(w, t, why);
	return false;
}

/* NULL when there is none, or the slot has another generation. */
static inline struct clv_conn *worker_conn(struct clv_worker *w, uint32_t slot, uint32_t generation)
{
	if (slot >= w->p.conns_max || w->conns[slot].generation != generation)
		return NULL;
	return w->conns[slot].conn;
}

/* The connection has output: write it at the end of the step. */
static inline void worker_conn_mark_dirty(struct clv_worker *w, struct clv_conn *conn)
{
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->next_dirty = w->dirty;
	w->dirty = conn;
}

/* Send an event to control; head: copies, tail: copies. */
void worker_event(struct clv_worker *w, enum clv_event type, const void *head, size_t head_len,
		  const void *tail, size_t tail_len);

/* rx->ref is set.  Pass the packet to the worker it names, or drop and count it. */
void worker_pass_to_owner(struct clv_worker *w, const struct clv_rx *rx);
/* Whether this worker owns what rx->ref names; if not, the packet is gone. */
static inline bool worker_is_owner(struct clv_worker *w, const struct clv_rx *rx)
{
	if (rx->ref.worker == w->p.id)
		return true;
	worker_pass_to_owner(w, rx);
	return false;
}

/* The source of a connection. */
struct source *worker_source_of(const struct clv_worker *w, const struct clv_conn *conn);
/* The connection's address is new, or another: charge what it holds to its source. */
void worker_charge_source(struct clv_worker *w, struct conn_slot *slot);

/* Find the connection of a packet by its connection ID; NULL when there is none. */
struct clv_conn *worker_conn_by_packet(struct clv_worker *w, const struct clv_rx *rx);
/* Close the connections that hold most of what waits, until enough of it is about to go. */
void worker_relieve(struct clv_worker *w);

/* ---- trial.c ---- */

/* The first datagram goes to a target that is on trial. */
void worker_trial_start(struct clv_worker *w, struct clv_tunnel *t);
/* A datagram for a target that is on trial: keep a copy as long as there is room.  Returns whether. */
bool worker_trial_keep(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		       size_t len);
/* Something came from the target, or there is no other: the trial is over. */
void worker_trial_end(struct clv_worker *w, struct clv_tunnel *t);
/*
 * The target of a tunnel, which may be on trial, cannot be reached, or is silent.  Returns whether
 * control was told, now or before, and decides.
 */
bool worker_trial_fail(struct clv_worker *w, struct clv_tunnel *t, bool is_unreachable);

/* Its silent_at_ns has come. */
void worker_trial_expire(struct clv_worker *w, struct clv_tunnel *t);

static inline bool worker_is_trial(const struct clv_tunnel *t)
{
	return t->flags & CLV_TUNNEL_TRIAL;
}

/* ---- early.c ---- */

/* Keep body[0..len), from its Context ID on.  Returns CLV_COUNTER_MAX, or why it was dropped. */
enum clv_counter early_keep(struct clv_worker *w, struct conn_slot *slot, int64_t stream_id,
			    const uint8_t *body, size_t len);
void early_free(struct clv_worker *w, struct early *e);
/* The connection is gone: drop and count what was kept for it. */
void early_free_all(struct clv_worker *w, struct conn_slot *slot);

/* ---- too_big.c ---- */

/*
 * Whether len bytes from remote, after a prefix, fit a DATAGRAM frame of the tunnel now.  If not,
 * they are counted, and control sends an ICMP error to remote, within limits.  Always true for
 * tunnels that use capsules.
 */
bool worker_fits(struct clv_worker *w, struct clv_tunnel *t, const struct clv_endpoint *local,
		 const struct clv_endpoint *remote, size_t prefix_len, const uint8_t *payload,
		 size_t len);
/* An ICMP error about a packet to a target. */
void worker_icmp(struct clv_worker *w, const struct clv_cmd_icmp *cmd);
/* Largest IP packet toward a tunnel's target, in bytes. */
uint32_t worker_target_mtu(const struct clv_worker *w, const struct clv_tunnel *t);

/* ---- deliver.c ---- */

/* Send a UDP payload on a flow that is ready.  Returns CLV_COUNTER_MAX, or why it was dropped. */
enum clv_counter worker_send(struct clv_worker *w, const struct clv_flow *flow,
			     const uint8_t *payload, size_t len);
/*
 * Let a datagram wait in q, one of the tunnel's.  full: the reason when q is.  Returns
 * CLV_COUNTER_MAX, or why it was dropped.
 */
enum clv_counter worker_wait(struct clv_worker *w, const struct clv_tunnel *t, struct clv_waitq *q,
			     const uint8_t *payload, size_t len, enum clv_counter full);
/* Send a UDP payload to a tunnel's target; it waits for the next hop if that is unresolved. */
void worker_to_target(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
		      size_t len);
/* The same for one that was sent to another target before, of which a copy is kept. */
void worker_to_target_again(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload,
			    size_t len);
/* The next hop toward the target changed: send or drop what waited for it, unless control decides. */
void worker_tunnel_hop(struct clv_worker *w, struct clv_tunnel *t, const struct clv_nexthop *hop);
/* Seal one HTTP datagram.  prefix: quarter stream ID, Context ID, and the remote if it has one. */
void worker_seal(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *prefix,
		 size_t prefix_len, const uint8_t *payload, size_t len);
/* Send a UDP payload of a tunnel's target to the peer, with Context ID 0. */
void worker_to_peer(struct clv_worker *w, struct clv_tunnel *t, const uint8_t *payload, size_t len);

/* ---- bound.c ---- */

/* An HTTP datagram from the peer.  Returns false when its Context ID may still be registered. */
bool worker_bound_from_peer(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
			    const uint8_t *data, size_t len);
/* A datagram that arrived at one of the tunnel's ports. */
void worker_bound_to_peer(struct clv_worker *w, struct clv_tunnel *t, const struct clv_rx *rx);
/* Returns 0, or why the tunnel cannot hold the port: remove it. */
int worker_bound_bind(struct clv_worker *w, struct clv_tunnel *t,
		      const struct clv_cmd_tunnel_bind *cmd);
/* Returns whether the context is open: early datagrams may be for it. */
bool worker_bound_open(struct clv_worker *w, struct clv_tunnel *t,
		       const struct clv_cmd_context_open *cmd);
void worker_bound_close(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id);
void worker_bound_remote_add(struct clv_worker *w, struct clv_tunnel *t,
			     const struct clv_remote *remote);
void worker_bound_remote_remove(struct clv_worker *w, struct clv_tunnel *t,
				const struct clv_cmd_remote_remove *cmd);
void worker_bound_remote_send(struct clv_worker *w, struct clv_tunnel *t,
			      const struct clv_endpoint *endpoint, const uint8_t *payload,
			      size_t len);
/* Forget remotes, as far as this step has time.  Returns whether none is left. */
bool worker_bound_release_some(struct clv_worker *w, struct clv_tunnel *t);
/* Remove stale remotes, as far as this step has time. */
void worker_bound_purge_some(struct clv_worker *w);
/* The tunnel is removed: forget its remotes, release its ports. */
void worker_bound_release(struct clv_worker *w, struct clv_tunnel *t);
void worker_remotes_expire(struct clv_worker *w);

/* ---- tunnels.c ---- */

/* Add a new tunnel to its connection's list. */
void worker_tunnel_link(struct clv_worker *w, struct clv_conn *conn, struct clv_tunnel *t);
/* CLV_CMD_TUNNEL_RETARGET, and _STAY. */
void worker_tunnel_retarget(struct clv_worker *w, struct clv_tunnel *t,
			    const struct clv_cmd_tunnel_add *cmd);
void worker_tunnel_stay(struct clv_worker *w, struct clv_tunnel *t);
/* Remove it at once, with all its remotes.  error: of CLV_EVT_TUNNEL_GONE. */
void worker_tunnel_remove(struct clv_worker *w, struct clv_tunnel *t, int error);
/* Remove it now or, with more remotes than fit this step, within the next ones. */
void worker_tunnel_leave(struct clv_worker *w, struct clv_tunnel *t, int error);
void worker_tunnels_leave_some(struct clv_worker *w);
/* Remove tunnels of a connection, as far as this step has time.  Returns whether none is left. */
bool worker_tunnels_release_some(struct clv_worker *w, struct clv_conn *conn);
void worker_tunnels_expire(struct clv_worker *w);

/* ---- from_peer.c ---- */

/* A QUIC DATAGRAM of a connection: decode it, find the tunnel, deliver. */
void worker_from_peer(struct clv_worker *w, struct clv_conn *conn, const uint8_t *data, size_t len);
/* An HTTP datagram of a tunnel.  Returns false when its Context ID may still be registered. */
bool worker_to_context(struct clv_worker *w, struct clv_tunnel *t, uint64_t context_id,
		       const uint8_t *payload, size_t len);
/* Deliver the datagrams that arrived before the tunnel or its context. */
void worker_early_replay(struct clv_worker *w, struct clv_tunnel *t);
void worker_early_expire(struct clv_worker *w);

/* ---- conns.c ---- */

/* cmd->conn: takes. */
void worker_conn_adopt(struct clv_worker *w, const struct clv_cmd_conn_adopt *cmd);
/* Write the output of every dirty connection and set its timer; release the dead. */
void worker_conns_flush(struct clv_worker *w);
void worker_conns_expire(struct clv_worker *w);
/*
 * While stopping: close a portion of the connections; the end of the step writes their last packets.
 * Returns the slot where the portion ends.
 */
uint32_t worker_conns_close_some(struct clv_worker *w);
/* Release those before slot end: their last packets are out. */
void worker_conns_release_some(struct clv_worker *w, uint32_t end);
/* Drop all connections at once, without a packet to their peers. */
void worker_conns_fini(struct clv_worker *w);

/* ---- commands.c ---- */

/* Execute what control has sent, up to a bound. */
void worker_commands(struct clv_worker *w);

#endif
