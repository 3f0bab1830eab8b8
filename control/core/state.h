/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * state - what the files of the control core share; no other room includes it.
 *
 * Each file calls only those below it:
 *
 *   control.c    open, step, stop, close; changes of routes and policy
 *   views.c      sessions and tunnels as the operator's tools see them
 *   events.c     events from the workers
 *   overload.c   giving up the sessions that hold most
 *   packets.c    datagrams of the listeners' sockets: to their session, or to admission
 *   handshake.c  sessions whose handshake is not complete
 *   handover.c   moving a connection to a worker
 *   session.c    live sessions: connection IDs, reset tokens, streams, end
 *   tunnels.c    tunnels: open, close, events, next hops
 *   steering.c   the kernel's tables, in step with the workers
 *   workers.c    mailboxes and slots of each worker
 *
 * Threading: control.
 */
#ifndef CLV_CORE_STATE_H
#define CLV_CORE_STATE_H

#include "control/admission/accounts.h"
#include "control/admission/admit.h"
#include "control/admission/tokens.h"
#include "control/core/control.h"
#include "control/core/session.h"
#include "control/core/steering.h"
#include "datapath/base/budget.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"
#include "datapath/base/timers.h"
#include "datapath/tunnel/messages.h"

enum {
	SESSION_TOKENS_MAX = 8, /* the peer's reset tokens in use; ngtcp2 keeps that many paths */
	SESSION_CIDS_MAX = 16,	/* our active connection IDs; ngtcp2 keeps fewer */
	INITIAL_KEY_LEN = 21,	/* length byte and first DCID of a client */
	UDP_PAYLOAD_MAX = 1500,
};

/* An event that a conn reported before the hand-over; replayed after it, in order. */
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
	struct clv_session *next, *prev; /* in the list of all */
	enum session_state state;
	bool is_server;
	bool completed; /* the handshake is, and the hand-over is due */
	bool closing;
	uint8_t profile; /* enum clv_profile */
	bool has_datagrams;
	/* A server's: of the address that the client connected from, which stays charged if it moves. */
	struct clv_account *account;
	bool is_proven;	       /* the account is charged; else what it holds is nobody's */
	bool is_charged;       /* for a connection */
	struct clv_conn *conn; /* while state is HANDSHAKE */
	struct clv_ref ref;    /* once LIVE */
	struct clv_endpoint local, remote;
	struct clv_host_use peer;	      /* the address of remote, in peers */
	uint8_t initial_key[INITIAL_KEY_LEN]; /* server: key in initials */
	struct clv_cid cids[SESSION_CIDS_MAX];
	uint32_t cids_len;
	uint8_t tokens[SESSION_TOKENS_MAX][CLV_CID_TOKEN_LEN];
	uint32_t tokens_len;
	struct clv_tls_facts tls;
	uint64_t since_ns;
	int64_t next_uni, next_bidi;
	struct pending *pending, *pending_last;
	uint32_t pending_datagrams;
	struct clv_budget_holder held;	      /* bytes that wait on its behalf */
	struct clv_budget_holder http_memory; /* that its app holds */
	__u64 cancel_full_ns; /* token bucket of streams that the client may cancel */
	uint32_t tunnels;
	uint32_t payload_max;
	struct clv_nexthop hop;
	const struct clv_session_app_ops *app_ops;
	void *app;
	void *user; /* the app's */
};

/* Who is charged for what a session holds; NULL: nobody. */
static inline struct clv_account *session_payer(const struct clv_session *s)
{
	return s->is_proven ? s->account : NULL;
}

/* Control's half of a tunnel. */
struct clv_tunnel_entry {
	struct clv_session *session; /* NULL: closed, but the worker has not confirmed it */
	const struct clv_session_tunnel_ops *ops;
	void *user;
	struct clv_account *account; /* that is charged for it; NULL: nobody's */
	uint32_t generation;
	bool used;
	struct clv_host_use host;  /* of its target */
	struct clv_steered target; /* what the kernel's tables hold of it */
	struct clv_tunnel_spec spec;
	struct clv_egress egress; /* fd -1: none */
	bool is_moving; /* the worker has not said whether the tunnel has its new target */
	struct {
		struct clv_endpoint local, remote;
		struct clv_nexthop hop;
		struct clv_steered target;
		struct clv_egress egress;
	} former;			   /* what it had before, while it moves */
	struct clv_egress bound_egress[2]; /* likewise */
	uint64_t since_ns;
};

/* Slots of a worker's connections or tunnels, which control assigns. */
struct slots {
	uint32_t *free; /* stack */
	uint32_t free_len;
	uint32_t *generation; /* last one assigned, by slot */
	uint32_t max;
};

/* Control's side of one worker. */
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
	struct clv_heap heap;	       /* of handshaking connections */
	struct clv_budget budget;      /* of bytes that wait in control */
	struct clv_budget http_memory; /* of the apps of sessions */
	struct clv_accounts accounts;
	struct clv_tokens known;   /* client: address validation tokens from relays */
	struct clv_table cids;	   /* our connection IDs -> session pointer */
	struct clv_table tokens;   /* peers' stateless reset tokens -> session pointer */
	struct clv_table initials; /* clients' first DCIDs -> session pointer */
	struct clv_timers timers;  /* of handshaking connections */
	struct clv_session *sessions;
	uint32_t handshaking;
	struct worker_side *workers;
	struct clv_steering steering;
	struct clv_hosts hosts; /* that tunnels exchange datagrams with */
	struct clv_hosts peers; /* at the other end of sessions */
	uint16_t next_worker;	/* round robin, for flows whose queue is unknown */
	uint64_t now_ns;
	unsigned work; /* done in this step */
	bool stopping;
};

/* ---- workers.c ---- */

/* Returns 0 or -ENOMEM; workers_close accepts whatever came of it. */
int workers_open(struct clv_control *c);
void workers_close(struct clv_control *c);
/* Queue a command for one worker.  head, tail: copies.  Out of memory it is lost and counted. */
void workers_send(struct clv_control *c, uint16_t worker, enum clv_command type, const void *head,
		  size_t head_len, const void *tail, size_t tail_len);
/* The same on behalf of a session, which is charged while the command waits in control. */
void workers_send_for(struct clv_control *c, struct clv_session *s, enum clv_command type,
		      const void *head, size_t head_len, const void *tail, size_t tail_len);
/*
 * The same for a packet or datagram, which is dropped and counted when a quarter of the budget waits
 * for the worker, or the session holds an eighth of that.
 */
void workers_send_datagram(struct clv_control *c, struct clv_session *s, enum clv_command type,
			   const void *head, size_t head_len, const void *tail, size_t tail_len);
/* Bytes of datagrams that may wait for one worker. */
uint64_t workers_datagrams_max(const struct clv_control *c);
/* Queue a command for every worker.  body: copies. */
void workers_broadcast(struct clv_control *c, enum clv_command type, const void *body, size_t len);
/* Deliver what is queued, and wake the workers. */
void workers_flush(struct clv_control *c);

/* Returns 0 and fills slot and generation of *ref, or CLV_EFULL. */
int slots_take(struct slots *s, struct clv_ref *ref);
void slots_give(struct slots *s, uint32_t slot);

/* ---- tunnels.c ---- */

void tunnel_gone(struct clv_control *c, const struct clv_evt_tunnel *evt);
void tunnel_datagram_up(struct clv_control *c, const struct clv_evt_tunnel *evt,
			const uint8_t *data, size_t len);
void tunnel_target_dead(struct clv_control *c, const struct clv_evt_target *evt);
void tunnel_retargeted(struct clv_control *c, const struct clv_evt_tunnel *evt);
/* An event of a bound tunnel; payload: of CLV_EVT_DELIVERY. */
void tunnel_bound_event(struct clv_control *c, enum clv_event type, const struct clv_evt_bound *evt,
			const uint8_t *payload, size_t len);
/* A tunnel's target sent more than fits: tell it, unless others would suffer from that. */
void tunnel_too_big(struct clv_control *c, const struct clv_evt_too_big *evt, const uint8_t *quote,
		    size_t len);
void tunnels_routes_changed(struct clv_control *c);
void tunnels_neighbour_changed(struct clv_control *c, const uint8_t addr[static 16]);
/* Control closes: give back every egress port. */
void tunnels_close(struct clv_control *c);

/* ---- session.c ---- */

/* Its connection has a new ID, or retired one. */
void session_cid_added(struct clv_session *s, const struct clv_cid *cid);
void session_cid_removed(struct clv_session *s, const struct clv_cid *cid);
void session_forget_cids(struct clv_session *s);
/* The peer's stateless reset token is in use now, or no longer. */
void session_peer_token(struct clv_session *s, const struct clv_evt_token *evt);
/* An event of one of its streams, from the worker or replayed. */
void session_stream_event(struct clv_session *s, enum clv_stream_event_type type, int64_t id,
			  uint64_t code, const uint8_t *data, size_t len);
/*
 * Look up the route to the peer: of a relay from the address that the client connected to; a client
 * follows its host's choice.  Returns as route of struct clv_host_ops.
 */
int session_route(const struct clv_session *s, struct clv_route *out);
/* Replace the next hop toward the peer of a live session. */
void session_set_hop(struct clv_session *s, const struct clv_nexthop *hop);
/* p: takes; not in a list. */
void session_pending_free(struct clv_session *s, struct pending *p);
/* Its worker has freed the connection.  s: takes. */
void session_gone(struct clv_session *s, const struct clv_evt_conn_gone *evt);
/* Take it out of every table, report the end to its app and free it.  s: takes. */
void session_end(struct clv_session *s, const struct clv_session_end *why);
/* End it because control closes.  s: takes. */
void session_free(struct clv_session *s);

/* ---- handover.c ---- */

/* The counter of a new connection that is refused because of verdict. */
static inline enum clv_counter handover_refusal(enum clv_accounts_verdict verdict)
{
	return verdict == CLV_ACCOUNTS_SOURCE ? CLV_COUNT_DROP_SOURCE_FULL
					      : CLV_COUNT_DROP_CONNS_FULL;
}

/*
 * Give the conn to a worker and replay what it has reported.
 * Returns 0, or CLV_EFULL: a limit was reached, and its counter counted.
 */
int handover_run(struct clv_session *s);

/* ---- handshake.c ---- */

struct handshake_params {
	const struct clv_admit_result *admitted; /* server; else NULL */
	struct clv_endpoint local, remote;
	uint32_t socket;
	struct clv_tls_context *tls;
	enum clv_profile profile;
	/* Server: takes on success, with a connection and a half-open one that are charged. */
	struct clv_account *account;
	bool is_proven;		 /* they are charged to the account, else to nobody */
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
 * its beginning, which is only accepted from a validated address: then s is gone, and a Retry is
 * due.
 */
bool handshake_first_packet(struct clv_session *s, const struct clv_rx *rx);
/* Take another packet.  s may be gone when it returns. */
void handshake_packet(struct clv_session *s, const struct clv_rx *rx);
/* The timer of its conn fired.  s may be gone when it returns. */
void handshake_expire(struct clv_session *s);
/* Write output; hand over when complete, free when closed.  s may be gone when it returns. */
void handshake_pump(struct clv_session *s);

/* ---- overload.c ---- */

/*
 * End the sessions that hold most of what waits in control, until enough is free.  Not from inside
 * the handling of an event or packet: any session may be gone when it returns.
 */
void overload_relieve(struct clv_control *c);

/* ---- packets.c ---- */

/* Handle a datagram of a listener's socket, or one that a worker found unclaimed. */
void packets_receive(struct clv_control *c, struct clv_rx *rx);

/* ---- events.c ---- */

/* Handle the events that workers have queued, up to a bound for each worker. */
void events_drain(struct clv_control *c);

#endif
