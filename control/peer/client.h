/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * client - the client role: one control and one worker on kernel sockets, in one thread.
 *
 * The worker owns the sockets.  It passes packets of unknown connections, such as handshakes, to
 * control as events, so that one socket serves both.
 *
 * Calls in this room: bound_tunnel > client > relay_session > request; forward > relay_session;
 * client > send_port.
 *
 * Order: 1. open  2. connect, socket_open  3. step; sleep on fd until next_ns; step; ...  4. stop,
 * then step until is_stopped  5. close
 * Threading: the caller's.
 */
#ifndef CLV_PEER_CLIENT_H
#define CLV_PEER_CLIENT_H

#include "control/core/control.h"
#include "control/peer/reflect.h"
#include "control/peer/relay_session.h"

#include <stdbool.h>
#include <stdint.h>

struct clv_client;

struct clv_client_params {
	uint32_t tunnels_max;
	uint32_t remotes_max;  /* of bound tunnels */
	uint64_t keepalive_ns; /* of the connection to the relay; 0: none */
	uint64_t answer_ns;    /* see struct clv_relay_session_params */
	/* As in clv_control_params. */
	void (*on_new_remote)(void *user, const struct clv_evt_remote *evt, const uint8_t *payload,
			      size_t len);
	/* The round of clv_client_reflect is over.  round: lends.  May be NULL. */
	void (*on_reflected)(void *user, const struct clv_reflect *round);
	void *user;
};

/* Returns 0 and fills *out, -ENOMEM, or -errno of the sockets. */
int clv_client_open(const struct clv_client_params *params, struct clv_client **out);
void clv_client_close(struct clv_client *c);

struct clv_client_connect {
	struct clv_endpoint relay;
	const char *authority;	     /* "host:port" */
	const char *server_name;     /* for SNI and the certificate */
	const char *uri_template;    /* NULL: the default one */
	const char *authorization;   /* of Proxy-Authorization; NULL: none */
	struct clv_tls_context *tls; /* borrows for the session's life */
	enum clv_profile profile;
	bool no_datagrams; /* capsules instead of DATAGRAM frames */
	const struct clv_relay_session_ops *ops;
	void *user;
};

/*
 * Start a session with a relay.  Returns 0 and fills *out, CLV_EUNROUTABLE (this host has no route
 * to the relay) or an error of clv_relay_session_open.
 */
int clv_client_connect(struct clv_client *c, const struct clv_client_connect *p, uint64_t now_ns,
		       struct clv_relay_session **out);

/*
 * Open a UDP socket at local.  A datagram to it from an endpoint that belongs to no tunnel or
 * remote is passed to on_new_remote.  buffer_bytes: the kernel's, in each direction; 0: its
 * default.  got: filled with the address in use.
 * Returns 0 and fills *fd, which remains the client's; CLV_EFULL (too many sockets are open); or
 * -errno.
 */
int clv_client_socket_open(struct clv_client *c, const struct clv_endpoint *local,
			   uint32_t buffer_bytes, struct clv_endpoint *got, int *fd);
/* fd is closed once the worker has stopped using it. */
void clv_client_socket_close(struct clv_client *c, int fd, const struct clv_endpoint *local);

/*
 * Ask relays, from the socket of the sessions, at which address they see it: a round of reflect.h.
 * relays: copies.  Returns 0, -EBUSY (a round is going on) or CLV_EFULL.
 */
int clv_client_reflect(struct clv_client *c, const struct clv_endpoint *relays, size_t len,
		       uint64_t now_ns);
/* From where this host sends to an address by that socket.  Returns 0, or CLV_EUNROUTABLE. */
int clv_client_local(struct clv_client *c, const uint8_t remote[static 16],
		     struct clv_endpoint *out);

/* Returns the amount of work done; 0: none. */
unsigned clv_client_step(struct clv_client *c, uint64_t now_ns);
uint64_t clv_client_next_ns(const struct clv_client *c);
/* Readable when a step has work to do; call may_sleep first. */
int clv_client_fd(const struct clv_client *c);
bool clv_client_may_sleep(struct clv_client *c);

/* Whether too many commands to the worker are queued: step before sending more. */
bool clv_client_is_backlogged(const struct clv_client *c);

void clv_client_stop(struct clv_client *c, uint64_t now_ns);
bool clv_client_is_stopped(const struct clv_client *c);

/* Count a datagram that a tunnel of this client drops in control. */
void clv_client_count_drop(struct clv_client *c, enum clv_counter which);
/* Counters of the worker. */
const struct clv_worker_counters *clv_client_counters(const struct clv_client *c);
/* Sum over the worker, control, the sockets and the requests. */
uint64_t clv_client_count(const struct clv_client *c, enum clv_counter which);

#endif
