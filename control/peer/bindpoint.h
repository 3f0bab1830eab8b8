/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bindpoint - a bound tunnel at a relay joined to a local UDP application: each remote that talks to
 * the relay's port has a loopback port of its own here, like a TURN client's.
 *
 * What a remote sends arrives at the application from that remote's port; what the application sends
 * to that port goes to the remote.  Remotes keep their ports while they are in use, across sessions.
 * Remotes that stay busy get a compressed context.
 *
 * Or joined to nothing: payloads come by on_datagram and go by send, and remotes have no ports.
 *
 *   open       anybody may come in, by the uncompressed context
 *   closed     only remotes that were named: each has a compressed context from the start
 *
 * Order: 1. open  2. set_session whenever it changes  3. close, before the client
 * Spec: draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PEER_BINDPOINT_H
#define CLV_PEER_BINDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "control/peer/client.h"

struct clv_bindpoint;

struct clv_bindpoint_ops {
	/* The relay's ports that lead here; again after each new session. */
	void (*on_open)(void *user, const struct clv_client_result *result);
	/* A remote got its port: wire is its address, local the port that stands for it.  Joined only. */
	void (*on_remote)(void *user, const struct clv_endpoint *wire,
			  const struct clv_endpoint *local);
	/* It was let go: idle.  Joined only. */
	void (*on_remote_gone)(void *user, const struct clv_endpoint *wire,
			       const struct clv_endpoint *local);
	/*
	 * The relay refused a named remote, or (CLV_ETIMEOUT) never answered; wire zero: it lets in
	 * nobody who was not named.
	 */
	void (*on_remote_refused)(void *user, const struct clv_endpoint *wire, int error);
	/* The tunnel was refused; result as in struct clv_relay_tunnel_ops. */
	void (*on_refused)(void *user, int error, const struct clv_client_result *result);
	/* An open tunnel ended, 0: by the relay, in good order. */
	void (*on_ended)(void *user, int error);
	/* A remote's datagram; not joined only.  payload: borrows. */
	void (*on_datagram)(void *user, const struct clv_endpoint *wire, const uint8_t *payload,
			    size_t len);
};

struct clv_bindpoint_params {
	struct clv_client *client; /* borrows for life; joined only */
	const uint64_t *now_ns;	   /* borrows for life; the time of this step */
	bool is_joined;		   /* to a local application */
	struct clv_endpoint app;   /* joined: loopback; port 0: whoever sends to a remote's port */
	bool is_closed;
	uint32_t remotes_max;
	uint32_t busy_per_sec; /* packets that are worth a compressed context */
	uint64_t answer_ns;    /* longest wait for the answer to a registration; 0: for ever */
	uint64_t idle_ns;      /* then a remote that was not named is let go */
	const struct clv_bindpoint_ops *ops; /* each function is there that can be called */
	void *user;
};

struct clv_bindpoint_stats {
	uint64_t remotes_full; /* remotes not let in: remotes_max, or no port for them */
	uint64_t dropped;      /* datagrams of the application with nowhere to go */
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_bindpoint_open(const struct clv_bindpoint_params *params, struct clv_bindpoint **out);
void clv_bindpoint_close(struct clv_bindpoint *b);

/*
 * Name a remote: it has a port from here on, and a compressed context whenever the tunnel is open.
 * Returns 0, CLV_EFULL (remotes_max) or -errno of its socket; fine when it is there already.
 */
int clv_bindpoint_add(struct clv_bindpoint *b, const struct clv_endpoint *wire);

/*
 * Send a remote a datagram; not joined only.  payload: copies.
 * Returns 0, CLV_ECLOSED (no tunnel now), CLV_EUNROUTABLE (the relay gave us no port of its family) or
 * CLV_EDENIED (closed, and the remote was not named, or has not been accepted yet).
 */
int clv_bindpoint_send(struct clv_bindpoint *b, const struct clv_endpoint *wire,
		       const uint8_t *payload, size_t len);

/* The session is up (rs), or gone (NULL). */
void clv_bindpoint_set_session(struct clv_bindpoint *b, struct clv_relay_session *rs);

/* Give up registrations that had no answer for too long; looked at once a second. */
void clv_bindpoint_step(struct clv_bindpoint *b);
/* When that is due again; UINT64_MAX never. */
uint64_t clv_bindpoint_next_ns(const struct clv_bindpoint *b);

/* Whether local is the port of a remote of ours. */
bool clv_bindpoint_has(const struct clv_bindpoint *b, const struct clv_endpoint *local);
/* A datagram from an endpoint nobody knows; for clv_client_params.on_new_remote. */
void clv_bindpoint_new_remote(struct clv_bindpoint *b, const struct clv_evt_remote *evt,
			      const uint8_t *payload, size_t len);

const struct clv_bindpoint_stats *clv_bindpoint_stats(const struct clv_bindpoint *b);

#endif
