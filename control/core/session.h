/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * session - one QUIC connection as control sees it: handshake, hand-over, its streams and tunnels.
 *
 * The session owns the clv_conn until the handshake is complete.  Then the conn moves to a worker,
 * and the session exchanges messages with it.  The user of a session is an "app" (the relay's
 * proxy, a client of a relay): it receives the events of the streams, and opens tunnels.
 *
 * Threading: control.
 */
#ifndef CLV_CORE_SESSION_H
#define CLV_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/host/host.h"
#include "control/tls/tls.h"
#include "datapath/base/budget.h"
#include "datapath/quic/conn.h"
#include "datapath/quic/stream_ops.h"
#include "datapath/tunnel/messages.h"

struct clv_account;
struct clv_accounts;
struct clv_control;
struct clv_host_use;
struct clv_session;
struct clv_tunnel_stats;
struct clv_tunnel_entry;

/* Why a session ended.  code, is_app: of the close frame; is_remote: the peer sent it. */
struct clv_session_end {
	/* 0: closed in order; CLV_ETIMEOUT, CLV_ECLASSICAL, CLV_EUNTRUSTED, CLV_ETLS, ... */
	int error;
	uint64_t code;
	bool is_app, is_remote;
	bool was_established;
	const char *detail; /* the error in words, or NULL; valid during the call */
};

/* What control lends to the app that accepts its sessions, for as long as it is open. */
struct clv_control_env {
	struct clv_control *control;
	const struct clv_host_ops *host_ops;
	void *host;
	struct clv_counters *counters;
	struct clv_accounts *accounts; /* of clients' addresses */
	uint16_t workers_len;
	struct clv_rand *rand;
	const struct clv_steering *steering;
	const uint64_t *now_ns; /* the time of the current step */
};

/* The user of sessions.  No function may free the session. */
struct clv_session_app_ops {
	/* Application error codes with which control closes a connection by itself. */
	uint64_t overload_code; /* too many bytes wait, or too many streams are cancelled */
	uint64_t internal_code; /* established failed */
	/* App that accepts sessions: control is about to be open.  An error fails that.  May be NULL. */
	int (*opened)(void *app, const struct clv_control_env *env);
	/*
	 * App that accepts sessions: control closes, and all sessions have ended; what opened lent is
	 * still there.  May be NULL.
	 */
	void (*closed)(void *app);
	/* App that accepts sessions: whether an address may start a handshake.  May be NULL. */
	bool (*admits)(void *app, const uint8_t addr[16]);
	/* The worker has the connection: streams can be opened.  An error closes the session. */
	int (*established)(void *app, struct clv_session *s);
	/* An event of a stream; after established, and until the session is closed. */
	void (*stream)(void *app, struct clv_session *s, const struct clv_stream_event *e);
	/* Last call.  The session's tunnels are gone already. */
	void (*ended)(void *app, struct clv_session *s, const struct clv_session_end *end);
	/* It was closed because it holds too much in control: free all of it.  May be NULL. */
	void (*given_up)(void *app, struct clv_session *s);
	/* Largest UDP payload that a datagram carries now; may be NULL. */
	void (*max_payload)(void *app, struct clv_session *s, uint32_t len);
	/* The peer has another address now.  May be NULL. */
	void (*moved)(void *app, struct clv_session *s);
	/* App that accepts sessions: routes, neighbours or addresses changed.  May be NULL. */
	void (*routes_changed)(void *app);
	/* App that accepts sessions: when expire is due, UINT64_MAX for never.  Both may be NULL. */
	uint64_t (*next_ns)(void *app);
	void (*expire)(void *app);
};

struct clv_session_tunnel_ops {
	/* The tunnel ended without clv_session_tunnel_close; the last call. */
	void (*gone)(void *user, int error);
	/* With CLV_TUNNEL_CAPSULES: Context ID and payload of a datagram.  data: borrows. */
	void (*datagram_up)(void *user, const uint8_t *data, size_t len);
	/* CLV_EVT_REMOTE_*, CLV_EVT_DELIVERY, CLV_EVT_CONTEXT_ZERO.  evt, payload: borrow. */
	void (*bound)(void *user, enum clv_event type, const struct clv_evt_bound *evt,
		      const uint8_t *payload, size_t len);
	/* With CLV_TUNNEL_TRIAL: call retarget or stay, now or later. */
	void (*target_dead)(void *user, bool is_unreachable);
	/* A bound tunnel's: the next hop of the remote that has this use may be another.  use: borrows. */
	void (*moved)(void *user, const struct clv_host_use *use);
};

struct clv_session_tunnel {
	struct clv_tunnel_spec spec;
	/* The port behind spec.local; fd -1: none.  Takes on success: it is given back to the host
	   when the tunnel is gone. */
	struct clv_egress egress;
	/* Ports that a bound tunnel holds, which are taken like egress; NULL: none.  Borrows. */
	const struct clv_tunnel_ports *ports;
	const struct clv_session_tunnel_ops *ops;
	void *user;
};

/* A session's streams; `transport` is the session. */
extern const struct clv_stream_ops clv_session_stream_ops;

/* One pointer for the app. */
void clv_session_set_user(struct clv_session *s, void *user);
void *clv_session_user(const struct clv_session *s);
/* Whether the peer's transport parameters allow DATAGRAM frames. */
bool clv_session_has_datagrams(const struct clv_session *s);
/* The peer's address; valid until the session ends. */
const struct clv_endpoint *clv_session_peer(const struct clv_session *s);
/* Who is charged for what a client has; valid until the session ends.  NULL: nobody. */
struct clv_account *clv_session_account(const struct clv_session *s);
/* The worker that has the connection. */
uint16_t clv_session_worker(const struct clv_session *s);
const struct clv_tls_facts *clv_session_tls(const struct clv_session *s);

/* Who is charged for bytes that wait in control on its behalf; lends until it ends. */
struct clv_budget_holder *clv_session_holder(struct clv_session *s);
/* The same for memory of the app's protocol. */
struct clv_budget_holder *clv_session_http_memory(struct clv_session *s);

void clv_session_close(struct clv_session *s, bool is_app, uint64_t code, const char *reason);

/*
 * Open a tunnel at the session's worker and publish it to the kernel's tables.
 * Returns 0 and fills *ref; CLV_EFULL (tunnels_max); CLV_ECLOSED; or the tables' error.
 */
int clv_session_tunnel_open(struct clv_session *s, const struct clv_session_tunnel *t,
			    struct clv_ref *ref);
/* Close it; its ops are not called again. */
void clv_session_tunnel_close(struct clv_session *s, const struct clv_ref *ref);
/*
 * Give an open tunnel that is not bound another target, as CLV_CMD_TUNNEL_RETARGET.  Of t only the
 * egress, and of its spec what that command reads, are used.
 * Returns 0; CLV_ECLOSED: there is no such tunnel, or it just gave up another target; or the tables'
 * error, and then the tunnel has no target and the caller closes it.
 */
int clv_session_tunnel_retarget(struct clv_session *s, const struct clv_ref *ref,
				const struct clv_session_tunnel *t);
/* Its target stays the one it has. */
void clv_session_tunnel_stay(struct clv_session *s, const struct clv_ref *ref);
/* Send a datagram that came in a capsule to the target, or one that came early to the peer. */
void clv_session_tunnel_send(struct clv_session *s, const struct clv_ref *ref, uint64_t context_id,
			     const uint8_t *payload, size_t len);
void clv_session_tunnel_up(struct clv_session *s, const struct clv_ref *ref, const uint8_t *payload,
			   size_t len);
/* What an open tunnel carried so far, as its worker has counted it. */
void clv_session_tunnel_stats(const struct clv_session *s, const struct clv_ref *ref,
			      struct clv_tunnel_stats *out);
/* Send a bound tunnel's CLV_CMD_CONTEXT_* or _REMOTE_* to its worker.  head, tail: copies. */
void clv_session_tunnel_command(struct clv_session *s, const struct clv_ref *ref,
				enum clv_command type, const void *head, size_t head_len,
				const void *tail, size_t tail_len);

#endif
