/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relay_session - a client's session with one relay, and the tunnels it requests.
 *
 * Order: 1. open  2. on_up  3. tunnels, any number of them  4. close, or the relay does  5. on_down
 * and the object is freed.
 * Spec: RFC 9298.
 * Threading: control.
 */
#ifndef CLV_PEER_RELAY_SESSION_H
#define CLV_PEER_RELAY_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "control/core/control.h"
#include "control/peer/relay_signal.h"
#include "control/peer/request.h"

struct clv_relay_session;
struct clv_relay_tunnel;

struct clv_relay_session_ops {
	void (*on_up)(void *user, struct clv_relay_session *rs);
	/* The session ended, or its handshake failed.  Last call. */
	void (*on_down)(void *user, const struct clv_session_end *end);
	/* Largest UDP payload that a datagram carries now; may be NULL. */
	void (*on_max_payload)(void *user, uint32_t len);
};

/*
 * Places for tunnels_max tunnels and those that were closed: such a one holds its stream until the
 * relay has read that, its slot until the worker has.  Whoever closes one to open another must not
 * have to wait for that.
 */
static inline uint32_t clv_relay_session_places(uint32_t tunnels_max)
{
	return tunnels_max + tunnels_max / 4 + 16;
}

struct clv_relay_session_params {
	struct clv_control *control;
	struct clv_control_connect connect; /* app_ops and app are set here */
	const char *authority;		    /* copies; "host:port" of the relay */
	const char *uri_template;	    /* copies; NULL: the default one */
	const char *authorization;	    /* copies; of Proxy-Authorization; NULL: none */
	uint32_t tunnels_max;
	uint64_t capsule_backlog;      /* bytes that may wait for a slow relay */
	uint64_t answer_ns;	       /* time limit for the response to a request; 0: none */
	struct clv_rand *rand;	       /* borrows for life */
	struct clv_counters *counters; /* borrows for life */
	const struct clv_relay_session_ops *ops;
	void *user;
};

/* Returns 0 and fills *out, or an error of clv_control_connect. */
int clv_relay_session_open(const struct clv_relay_session_params *p, uint64_t now_ns,
			   struct clv_relay_session **out);
/* Close it with H3_NO_ERROR; on_down follows. */
void clv_relay_session_close(struct clv_relay_session *rs);
/*
 * Close tunnels whose request got no response in time, with CLV_ETIMEOUT.  The ops called from here
 * must not close the session.  next_ns: when the next step is due; UINT64_MAX: never.
 */
void clv_relay_session_step(struct clv_relay_session *rs, uint64_t now_ns);
uint64_t clv_relay_session_next_ns(const struct clv_relay_session *rs);
/* What the handshake negotiated; valid after on_up. */
const struct clv_tls_facts *clv_relay_session_tls(const struct clv_relay_session *rs);

/*
 * Open the signal stream of a session that is up, of which there is one at most; it is stepped with the
 * session, and ends with it.
 * Returns 0 and fills *out, CLV_ECLOSED, CLV_EFULL (there is one) or an error of clv_relay_signal_open.
 */
int clv_relay_session_signal(struct clv_relay_session *rs, const struct clv_relay_signal_params *p,
			     struct clv_relay_signal **out);
/* Close it; not from inside of its ops. */
void clv_relay_session_signal_close(struct clv_relay_session *rs);

struct clv_relay_tunnel_ops {
	void (*on_open)(void *user, const struct clv_client_result *result);
	/*
	 * The tunnel was refused (result), or ended (result NULL; error 0: the relay finished its
	 * stream).  Last call.
	 */
	void (*on_closed)(void *user, int error, const struct clv_client_result *result);
	/* Of a bound tunnel: a COMPRESSION_* capsule, see struct clv_client_request_ops. */
	int (*on_context)(void *user, enum clv_capsule_type type, const uint8_t *value, size_t len);
	/* CLV_EVT_REMOTE_* of a bound tunnel, CLV_EVT_DELIVERY with deliver.  evt, payload: borrow. */
	void (*on_bound)(void *user, enum clv_event type, const struct clv_evt_bound *evt,
			 const uint8_t *payload, size_t len);
};

struct clv_relay_tunnel_params {
	const char *host;	    /* of the target; a name or a literal without brackets.  NULL: a
				       bound tunnel, which has neither port, local, remote nor socket */
	uint16_t port;		    /* host order */
	struct clv_endpoint local;  /* the socket that the application sends to */
	struct clv_endpoint remote; /* the application */
	uint32_t socket;	    /* number of that socket, from clv_evt_remote */
	bool deliver;		    /* no socket: datagrams from the target are CLV_EVT_DELIVERY */
	uint32_t busy_per_sec;	    /* bound: packets that make CLV_EVT_REMOTE_BUSY; 0: never */
	uint32_t remotes_max;	    /* bound: that may be without a context; 0: the client's */
	uint64_t context_idle_ns;   /* bound: CLV_EVT_REMOTE_IDLE after this long; 0: never */
	const struct clv_relay_tunnel_ops *ops;
	void *user;
};

/* Returns 0 and fills *out, or an error of clv_client_request_open. */
int clv_relay_tunnel_open(struct clv_relay_session *rs, const struct clv_relay_tunnel_params *p,
			  struct clv_relay_tunnel **out);
/* Its ops are not called again. */
void clv_relay_tunnel_close(struct clv_relay_tunnel *t);
/* Of an open bound tunnel: send its worker a command.  head, tail: copies; sets head.ref. */
void clv_relay_tunnel_command(struct clv_relay_tunnel *t, enum clv_command type, void *head,
			      size_t head_len, const uint8_t *tail, size_t tail_len);
/* Of an open bound tunnel: see clv_client_request_send_capsule. */
int clv_relay_tunnel_send_capsule(struct clv_relay_tunnel *t, const uint8_t *capsule, size_t len);
/* What it carried; all zero until it is open. */
void clv_relay_tunnel_stats(const struct clv_relay_tunnel *t, struct clv_tunnel_stats *out);
/* Send a datagram of the application: one that came before the tunnel was open, or of a tunnel
   without a socket.  payload: copies. */
void clv_relay_tunnel_up(struct clv_relay_tunnel *t, const uint8_t *payload, size_t len);

#endif
