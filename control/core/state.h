/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * state - what the files of the control core share; no other room includes it.
 *
 * Each file calls only those below it:
 *
 *   control.c    open, step, stop, close; what the machine's changes do
 *   views.c      sessions and tunnels as the operator's tools see them
 *   events.c     what the workers report
 *   packets.c    datagrams of the listeners' sockets: which session, or admission
 *   handshake.c  a session until its handshake is complete
 *   handover.c   the moment its connection moves to a worker
 *   session.c    a live session: IDs, tokens, streams, end
 *   tunnels.c    tunnels: slots, kernel tables, next hops
 *   steering.c   the kernel's tables, in step with the workers
 *   workers.c    mailboxes and slots of each worker
 *
 * Threading: control.
 */
#ifndef CLV_CORE_STATE_H
#define CLV_CORE_STATE_H

#include "control/core/control.h"
#include "control/admission/admit.h"
#include "control/admission/sources.h"
#include "control/admission/tokens.h"
#include "control/core/session.h"
#include "control/core/steering.h"
#include "datapath/base/budget.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/tunnel/messages.h"

enum {
	SESSION_TOKENS_MAX = 8, /* reset tokens of the peer in use; ngtcp2 knows that many paths */
	SESSION_CIDS_MAX = 16,	/* IDs of ours alive in one connection; ngtcp2 keeps fewer */
	INITIAL_KEY_LEN = 21,	/* a client's first DCID, length byte in front */
	UDP_PAYLOAD_MAX = 1500,
};

/* Something a conn reported before its worker had it; replayed after the hand-over, in order. */
struct pending {
	struct pending *next;
	uint32_t type; /* enum clv_stream_event_type, or 0 for a DATAGRAM */
	int64_t stream_id;
	uint64_t code;
	size_t len;
	uint8_t bytes[];
};

enum session_state {
	SESSION_HANDSHAKE = 0,
	SESSION_LIVE,  /* with its worker */
	SESSION_ENDED, /* about to be freed */
};

struct clv_session {
	struct clv_control *control;
	struct clv_session *next, *prev; /* of all */
	enum session_state state;
	bool is_server;
	bool completed; /* handshake done, hand-over due */
	bool closing;
	uint8_t profile; /* enum clv_profile */
	bool has_datagrams;
	bool is_counted;       /* in sources */
	uint8_t source[16];    /* where it was made from */
	struct clv_conn *conn; /* while state is HANDSHAKE */
	struct clv_ref ref;    /* once LIVE */
	struct clv_endpoint local, remote;
	uint8_t initial_key[INITIAL_KEY_LEN]; /* server: where the client's first packets find us */
	struct clv_cid cids[SESSION_CIDS_MAX];
	uint32_t cids_len;
	uint8_t tokens[SESSION_TOKENS_MAX][CLV_CID_TOKEN_LEN];
	uint32_t tokens_len;
	struct clv_tls_facts tls;
	uint64_t since_ns;
	int64_t next_uni, next_bidi;
	struct pending *pending, *pending_last;
	uint32_t pending_datagrams;
	__u64 cancel_full_ns; /* bucket of streams the client may cancel */
	uint32_t tunnels;
	uint32_t payload_max;
	struct clv_nexthop hop;
	const struct clv_session_app_ops *app_ops;
	void *app;
	void *user; /* the app's */
};

/* Control's half of a tunnel. */
struct clv_tunnel_entry {
	struct clv_session *session; /* NULL: closed by us, the worker has not said so yet */
	const struct clv_session_tunnel_ops *ops;
	void *user;
	uint32_t generation;
	bool used;
	struct clv_steered target; /* what the kernel's tables hold of it */
	struct clv_tunnel_spec spec;
	struct clv_egress egress;	   /* fd -1: none */
	struct clv_egress bound_egress[2]; /* likewise */
	uint64_t since_ns;
};

/* A worker's slots, handed out by control. */
struct slots {
	uint32_t *free; /* stack */
	uint32_t free_len;
	uint32_t *generation; /* of the next tenant */
	uint32_t max;
};

struct worker_side {
	struct clv_control_worker w;
	struct slots conn_slots, tunnel_slots;
	struct clv_session **sessions;	  /* by connection slot */
	struct clv_tunnel_entry *tunnels; /* by tunnel slot */
	bool stopped;
};

struct clv_control {
	struct clv_control_params p;
	struct clv_control_listener listeners[CLV_LISTENERS_MAX];
	struct clv_counters counters;
	struct clv_rand rand;
	struct clv_admit admit;
	struct clv_guard guard;
	struct clv_heap heap;	  /* of connections that are here */
	struct clv_budget budget; /* of bytes that wait here, and for workers */
	struct clv_sources sources;
	struct clv_tokens known;   /* of relays that a client visited */
	struct clv_table cids;	   /* our connection IDs -> session pointer */
	struct clv_table tokens;   /* peers' stateless reset tokens -> session pointer */
	struct clv_table initials; /* clients' first DCIDs -> session pointer */
	struct clv_timers timers;  /* of handshaking conns */
	struct clv_session *sessions;
	uint32_t handshaking;
	uint32_t connected; /* sessions with a worker */
	uint32_t tunnels_used;
	struct worker_side *workers;
	struct clv_steering steering;
	uint16_t next_worker; /* round robin where the flow's queue is not known */
	uint64_t now_ns;
	unsigned work;
	bool stopping;
};

/* ---- workers.c ---- */

/* Returns 0 or -ENOMEM; workers_close accepts whatever came of it. */
int workers_open(struct clv_control *c);
void workers_close(struct clv_control *c);
/* Queue a command for one worker.  head, tail: copies.  Without memory it is lost, and counted. */
void workers_send(struct clv_control *c, uint16_t worker, enum clv_command type, const void *head,
		  size_t head_len, const void *tail, size_t tail_len);
/* Queue a command for every worker.  body: copies. */
void workers_broadcast(struct clv_control *c, enum clv_command type, const void *body, size_t len);
/* Hand over what is queued, and wake the workers. */
void workers_flush(struct clv_control *c);

/* Returns 0 and fills slot and generation of *ref, or CLV_EFULL. */
int slots_take(struct slots *s, struct clv_ref *ref);
void slots_give(struct slots *s, uint32_t slot);

/* ---- tunnels.c ---- */

void tunnel_gone(struct clv_control *c, const struct clv_evt_tunnel *evt);
void tunnel_datagram_up(struct clv_control *c, const struct clv_evt_tunnel *evt,
			const uint8_t *data, size_t len);
/* An event of a bound tunnel, with or without a payload. */
void tunnel_bound_event(struct clv_control *c, enum clv_event type, const struct clv_evt_bound *evt,
			const uint8_t *payload, size_t len);
void tunnels_routes_changed(struct clv_control *c);
/* Control closes: give back every egress port. */
void tunnels_close(struct clv_control *c);

/* ---- session.c ---- */

/* An ID of its clv_conn can be used from now on, or no longer. */
void session_cid_added(struct clv_session *s, const struct clv_cid *cid);
void session_cid_removed(struct clv_session *s, const struct clv_cid *cid);
void session_forget_cids(struct clv_session *s);
void session_peer_token(struct clv_session *s, const struct clv_evt_token *evt);
/* A worker's event about one of its streams. */
void session_stream_event(struct clv_session *s, enum clv_stream_event_type type, int64_t id,
			  uint64_t code, const uint8_t *data, size_t len);
/* Replace the next hop toward the peer of a live session. */
void session_set_hop(struct clv_session *s, const struct clv_nexthop *hop);
/* p: takes; it is in no list any more. */
void session_pending_free(struct clv_session *s, struct pending *p);
/* Its worker has freed the connection.  s: takes. */
void session_gone(struct clv_session *s, const struct clv_evt_conn_gone *evt);
/* Take it out of every table, report the end to its app and free it.  s: takes. */
void session_end(struct clv_session *s, const struct clv_session_end *why);
/* End it because control closes.  s: takes. */
void session_free(struct clv_session *s);

/* ---- handover.c ---- */

/*
 * Give the conn to a worker and replay what it reported meanwhile.
 * Returns 0, or CLV_EFULL: a ceiling is reached, and its counter counted.
 */
int handover_run(struct clv_session *s);

/* ---- handshake.c ---- */

struct handshake_params {
	const struct clv_admit_result *admitted; /* server; else NULL */
	struct clv_endpoint local, remote;
	uint32_t socket;
	struct clv_tls_context *tls;
	enum clv_profile profile;
	const char *server_name; /* client */
	uint64_t keepalive_ns;
	bool no_datagrams;
	const struct clv_session_app_ops *app_ops;
	void *app;
};

int handshake_new(struct clv_control *c, const struct handshake_params *p,
		  struct clv_session **out);
/*
 * Take the packet that the session was made for.  Returns true when it holds a ClientHello without
 * its beginning, which is only accepted from a validated address: then s is gone, and a Retry is due.
 */
bool handshake_first_packet(struct clv_session *s, const struct clv_rx *rx);
/* Take another packet.  s may be gone when it returns. */
void handshake_packet(struct clv_session *s, const struct clv_rx *rx);
/* The timer of its conn fired.  s may be gone when it returns. */
void handshake_expire(struct clv_session *s);
/* Write output, hand over when complete, free when dead.  s may be gone when it returns. */
void handshake_pump(struct clv_session *s);

/* ---- packets.c ---- */

/* A datagram of a listener's socket, or one that a worker could not attribute. */
void packets_receive(struct clv_control *c, struct clv_rx *rx);

/* ---- events.c ---- */

/* Handle what the workers have reported, up to a bound for each. */
void events_drain(struct clv_control *c);

#endif
