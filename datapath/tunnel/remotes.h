/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * remotes - the remotes that a worker's bound tunnels exchange datagrams with, and their Context
 * IDs.
 *
 * A remote is found by (tunnel, Context ID) for a compressed datagram from the peer, by (tunnel,
 * address) for an uncompressed one, and by 4-tuple for a datagram from the other side.  It exists
 * as long as it has a context or, without one, until it is idle or removed.  One that an
 * uncompressed datagram named first is pending: its datagrams wait until control has decided.
 *
 * Where there is no room, a remote without a context that has never been heard in the direction of
 * the peer (at the relay: that never answered; in the client: that the application never answered)
 * makes room for a new one; the longest silent is the one that came first.
 *
 * Spec: draft-ietf-masque-connect-udp-listen-13 sections 3 to 5 and 8.
 * Threading: its worker; clv_remotes_view from any thread.
 */
#ifndef CLV_TUNNEL_REMOTES_H
#define CLV_TUNNEL_REMOTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "datapath/base/pool.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/io/port.h"
#include "datapath/tunnel/messages.h"
#include "datapath/quic/dgram.h"
#include "datapath/tunnel/waitq.h"

struct clv_tunnel;

enum {
	/* quarter stream ID, Context ID, and what an uncompressed datagram adds */
	CLV_BOUND_PREFIX_MAX = CLV_DGRAM_PREFIX_MAX + CLV_DGRAM_REMOTE_MAX,
};

struct clv_remotes_entry {
	bool used;
	bool is_pending; /* control has not decided: flow is not set yet */
	bool may_send;	 /* by its own context ID */
	bool is_hairpin;
	bool is_unanswered; /* in its tunnel's list of those that may make room */
	uint8_t prefix_len;
	uint32_t slot, tunnel;	    /* tunnel: its slot */
	uint32_t next, prev;	    /* in its tunnel's list; slot + 1, 0 = end */
	uint32_t since_close;	    /* its tunnel's uncompressed_closed when it was added */
	uint32_t newer, older;	    /* with is_unanswered; slot + 1, 0 = end */
	uint64_t context_id;	    /* its own; CLV_DGRAM_CONTEXT_NONE */
	struct clv_ref peer_tunnel; /* with is_hairpin */
	uint8_t prefix[CLV_DGRAM_PREFIX_MAX]; /* with context_id */
	struct clv_endpoint endpoint;
	struct clv_flow flow;
	struct clv_timer idle;
	struct clv_waitq wait; /* for control's decision, or the next hop */
};

/* One remote as other threads may read it. */
struct clv_remotes_view {
	struct clv_ref tunnel;
	struct clv_endpoint remote;
	uint64_t context_id; /* CLV_DGRAM_CONTEXT_NONE: by the uncompressed context only */
	bool is_pending, may_send, is_hairpin;
	uint64_t to_remote_packets, to_remote_bytes; /* UDP payload bytes */
	uint64_t to_peer_packets, to_peer_bytes;
	uint64_t last_ns; /* of the last datagram in either direction */
};

/* A view that other threads read; its sequence number is odd while it is written. */
struct clv_remotes_published {
	uint32_t sequence; /* 0: never used */
	bool used;
	struct clv_remotes_view view;
};

/* One of the (tunnel, remote) pairs whose uncompressed datagrams are counted. */
struct clv_remotes_rate {
	uint64_t key; /* hash; another pair that hashes here replaces it */
	uint64_t since_ns;
	uint32_t packets;
};

struct clv_remotes {
	struct clv_remotes_entry *slots;
	struct clv_remotes_published *published; /* parallel to slots */
	struct clv_remotes_rate *rates;
	uint32_t *free; /* stack of free slots */
	uint32_t free_len, max;
	uint32_t seen;		      /* all slots ever used are below it; read by other threads */
	uint32_t wait_packets;	      /* kept for each remote */
	struct clv_table by_id;	      /* (tunnel slot, Context ID) */
	struct clv_table by_endpoint; /* (tunnel slot, endpoint) */
	struct clv_table by_tuple;    /* (local, remote) */
	struct clv_timers timers;
	uint64_t seed[2];
};

/* max 0: there are none, and clv_remotes_add returns NULL.  Returns 0 or -ENOMEM. */
int clv_remotes_init(struct clv_remotes *rs, uint32_t max, uint32_t wait_packets,
		     const uint64_t seed[static 2]);
/* Every remote must have been removed. */
void clv_remotes_fini(struct clv_remotes *rs);

/* NULL when there is none. */
struct clv_remotes_entry *clv_remotes_by_id(struct clv_remotes *rs, const struct clv_tunnel *t,
					    uint64_t context_id);
struct clv_remotes_entry *clv_remotes_by_endpoint(struct clv_remotes *rs,
						  const struct clv_tunnel *t,
						  const struct clv_endpoint *endpoint);
struct clv_remotes_entry *clv_remotes_by_tuple(struct clv_remotes *rs,
					       const struct clv_endpoint *local,
					       const struct clv_endpoint *remote);

/* Make a pending remote.  Returns NULL when there is no room. */
struct clv_remotes_entry *clv_remotes_add(struct clv_remotes *rs, struct clv_tunnel *t,
					  const struct clv_endpoint *endpoint,
					  uint64_t worker_now_ns, uint16_t worker_id);
/*
 * Set a remote's 4-tuple and next hop; it is no longer pending.  remote: borrows.  socket: its
 * number in the sock port.  Returns 0, or CLV_EFULL when another remote has the same 4-tuple.
 */
int clv_remotes_resolve(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
			const struct clv_remote *remote, uint32_t socket);
/* Remove it from all tables.  pool: of the wait queue.  Returns how many datagrams it dropped. */
uint32_t clv_remotes_remove(struct clv_remotes *rs, struct clv_tunnel *t,
			    struct clv_remotes_entry *r, struct clv_pool *pool);

static inline bool clv_remotes_has_context(const struct clv_remotes_entry *r)
{
	return r->context_id != CLV_DGRAM_CONTEXT_NONE;
}

/* Whether only an uncompressed context that is closed permitted it: remove it. */
bool clv_remotes_is_stale(const struct clv_tunnel *t, const struct clv_remotes_entry *r);

/*
 * Give a remote its Context ID; the same ID again sets may_send: datagrams may be sent with it.
 * Returns 0, or CLV_EFULL when it has another.
 */
int clv_remotes_open(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
		     uint64_t context_id, bool may_send);
/* Returns the remote that had it, or NULL. */
struct clv_remotes_entry *clv_remotes_close(struct clv_remotes *rs, const struct clv_tunnel *t,
					    uint64_t context_id);

/* Count a relayed datagram, and the time for the idle timer. */
void clv_remotes_count(struct clv_remotes *rs, struct clv_tunnel *t, struct clv_remotes_entry *r,
		       bool to_remote, size_t len, uint64_t now_ns);
/* The longest silent of a tunnel's remotes that have no context and never answered; else NULL. */
struct clv_remotes_entry *clv_remotes_silent(struct clv_remotes *rs, const struct clv_tunnel *t);
/* When its last datagram was. */
uint64_t clv_remotes_last_ns(const struct clv_remotes *rs, const struct clv_remotes_entry *r);

/* An uncompressed datagram of a remote: whether it is the one that makes it busy this second. */
bool clv_remotes_is_busy(struct clv_remotes *rs, const struct clv_tunnel *t,
			 const struct clv_endpoint *endpoint, uint64_t now_ns);

/* Slots that a listing must look at: those from 0 to this - 1.  Any thread. */
uint32_t clv_remotes_seen(const struct clv_remotes *rs);
/* Copy the view of a slot.  Returns false when there is no remote in it. */
bool clv_remotes_view(const struct clv_remotes *rs, uint32_t slot, struct clv_remotes_view *out);

#endif
