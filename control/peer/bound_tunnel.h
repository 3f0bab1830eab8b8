/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_tunnel - the client's side of a bound tunnel (CONNECT-UDP-bind).
 *
 * Joined to a local UDP application, each remote that sends to the relay's port is represented by a
 * loopback port, as with a TURN client: its datagrams reach the application from that port, and
 * what the application sends to the port reaches the remote.  Remotes keep their ports while they
 * are in use, across sessions.  Remotes that stay busy get a compressed context.
 *
 * Not joined, payloads are received by on_datagram and sent by send; remotes have no ports.
 *
 *   open       any remote can send, over the uncompressed context
 *   closed     only permitted remotes can; each has a compressed context from the start
 *
 * Order: 1. open  2. set_session whenever it changes  3. close, before the client
 * Spec: draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PEER_BOUND_TUNNEL_H
#define CLV_PEER_BOUND_TUNNEL_H

#include "control/peer/client.h"

#include <stdbool.h>
#include <stdint.h>

struct clv_bound_tunnel;

struct clv_bound_tunnel_ops {
	/* The tunnel is open: result has its public addresses.  Again with each new session. */
	void (*on_open)(void *user, const struct clv_client_result *result);
	/* Joined only: a remote is represented by the port local. */
	void (*on_remote)(void *user, const struct clv_endpoint *remote,
			  const struct clv_endpoint *local);
	/* Joined only: an idle remote was removed. */
	void (*on_remote_gone)(void *user, const struct clv_endpoint *remote,
			       const struct clv_endpoint *local);
	/*
	 * The relay refused a permitted remote or (CLV_ETIMEOUT) did not respond.  remote zero: it
	 * refused the uncompressed context, so only permitted remotes can send.
	 */
	void (*on_remote_refused)(void *user, const struct clv_endpoint *remote, int error);
	/* The tunnel was refused; result as in struct clv_relay_tunnel_ops. */
	void (*on_refused)(void *user, int error, const struct clv_client_result *result);
	/* The open tunnel ended; 0: gracefully, by the relay. */
	void (*on_ended)(void *user, int error);
	/* Not joined only: a datagram from a remote.  payload: borrows. */
	void (*on_datagram)(void *user, const struct clv_endpoint *remote, const uint8_t *payload,
			    size_t len);
};

struct clv_bound_tunnel_params {
	struct clv_client *client; /* borrows for life; joined only */
	const uint64_t *now_ns;	   /* borrows for life; the time of this step */
	bool is_joined;		   /* to a local application */
	/*
	 * Joined: loopback.  Datagrams of other senders to a remote's port are dropped and counted.
	 * Port 0: any local sender speaks for a remote, and the last one hears it.
	 */
	struct clv_endpoint app;
	bool is_closed;
	uint32_t remotes_max;
	uint32_t busy_per_sec; /* rate at which a remote gets a compressed context */
	uint64_t answer_ns;    /* longest wait for the response to a registration; 0: for ever */
	uint64_t idle_ns;      /* then a remote that was not permitted is removed */
	const struct clv_bound_tunnel_ops *ops; /* all that can be called are set */
	void *user;
};

struct clv_bound_tunnel_stats {
	uint64_t remotes_full; /* remotes rejected: remotes_max is reached, or no port is free */
	uint64_t dropped;      /* datagrams of the application without a destination */
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_bound_tunnel_open(const struct clv_bound_tunnel_params *params,
			  struct clv_bound_tunnel **out);
void clv_bound_tunnel_close(struct clv_bound_tunnel *b);

/*
 * Permit a remote: it has a port from now on, and a compressed context whenever the tunnel is open.
 * Returns 0 (also if it was permitted before), CLV_EFULL (remotes_max) or -errno of its socket.
 */
int clv_bound_tunnel_permit(struct clv_bound_tunnel *b, const struct clv_endpoint *remote);

/*
 * Send a datagram to a remote; not joined only.  payload: copies.
 * Returns 0, CLV_ECLOSED (the tunnel is not open), CLV_EUNROUTABLE (the relay has no port of that
 * address family) or CLV_EDENIED (closed, and the remote was not permitted or not acknowledged
 * yet).
 */
int clv_bound_tunnel_send(struct clv_bound_tunnel *b, const struct clv_endpoint *remote,
			  const uint8_t *payload, size_t len);

/* The session came up (rs) or was lost (NULL). */
void clv_bound_tunnel_set_session(struct clv_bound_tunnel *b, struct clv_relay_session *rs);

/* Expire registrations that were not acknowledged in time; checked once a second. */
void clv_bound_tunnel_step(struct clv_bound_tunnel *b);
/* When the next check is due; UINT64_MAX: never. */
uint64_t clv_bound_tunnel_next_ns(const struct clv_bound_tunnel *b);

/* Whether local represents one of the remotes. */
bool clv_bound_tunnel_has(const struct clv_bound_tunnel *b, const struct clv_endpoint *local);
/* A datagram from an unknown endpoint to such a port; for clv_client_params.on_new_remote. */
void clv_bound_tunnel_new_remote(struct clv_bound_tunnel *b, const struct clv_evt_remote *evt,
				 const uint8_t *payload, size_t len);

const struct clv_bound_tunnel_stats *clv_bound_tunnel_stats(const struct clv_bound_tunnel *b);

#endif
