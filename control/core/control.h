/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * control - the core of the control plane: handshakes, hand-over to workers, sessions, tunnels.
 *
 * A step does not block, does not read the clock and does no I/O of its own.  Datagrams are
 * received and sent through the listeners' port, workers are reached by mailboxes, and the machine
 * by clv_host_ops.
 *
 * Order: 1. open  2. step, any number of times  3. stop, and step until is_stopped  4. close
 * Threading: control.
 */
#ifndef CLV_CORE_CONTROL_H
#define CLV_CORE_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/admit.h"
#include "control/core/session.h"
#include "control/host/host.h"
#include "control/tls/tls.h"
#include "datapath/base/counters.h"
#include "datapath/base/mailbox.h"
#include "datapath/io/port.h"
#include "datapath/quic/flowq.h"
#include "datapath/tunnel/messages.h"
#include "datapath/worker/worker.h"

struct clv_control;

enum {
	CLV_LISTENERS_MAX = 8,
};

/* A port on which clients connect, and its TLS profile. */
struct clv_control_listener {
	uint16_t port;		     /* host order; a packet's local port selects the listener */
	struct clv_tls_context *tls; /* borrows; NULL: it accepts no connections yet */
	enum clv_profile profile;
	uint8_t addr[16]; /* so does its local address, unless this is :: */
};

/* Each limit has a counter of what it refused. */
struct clv_control_limits {
	uint32_t conns_max;			/* per worker */
	uint32_t conns_total;			/* of all workers, handshakes included */
	uint32_t conns_per_host, conns_per_net; /* of one source, see clv_guard_width */
	uint32_t shares;	 /* into which ceilings are divided among sources, see accounts.h */
	uint32_t handshakes_max; /* half-open connections at a time */
	uint32_t retry_above; /* with more half-open connections, clients must validate their address */
	uint32_t tunnels_max;	       /* per worker */
	uint32_t tunnels_total;	       /* of all workers */
	uint32_t tunnels_per_conn;     /* also the request streams that a peer may have open */
	struct clv_flowq_limits queue; /* datagrams of a connection that wait for its window */
	uint64_t conn_idle_ns;
	uint64_t handshake_ns;
	uint64_t stream_window, conn_window; /* bytes */
	uint64_t buffered;    /* bytes that wait for peers and threads, here and in each worker */
	uint64_t tls_memory;  /* bytes held by TLS beyond which no handshake begins; 0: no limit */
	uint64_t http_memory; /* bytes held for the requests of all connections; 0: no limit */
	uint64_t quic_memory; /* bytes held by the QUIC library, likewise; 0: no limit */
	struct clv_admit_limits responses; /* to packets of no connection */
	/* Packets without a connection from one source, see bpf/guard.h.  per_sec 0: no limit. */
	uint32_t guard_host_per_sec, guard_host_burst;
	uint32_t guard_net_per_sec, guard_net_burst;
	uint32_t guard_sources; /* prefixes remembered at a time */
	struct {
		bool stun;		 /* answer STUN Binding requests */
		uint32_t per_sec, burst; /* of one source */
	} reflect;
	uint32_t stream_cancels_per_sec; /* request streams that a client may reset or stop; at least 1 */
	uint32_t handover_packets; /* DATAGRAM frames kept while a connection is handed over */
};

/* The most connections, and the most tunnels, that the workers of a relay have together. */
uint32_t clv_control_conns_most(const struct clv_control_limits *limits, uint16_t workers);
uint32_t clv_control_tunnels_most(const struct clv_control_limits *limits, uint16_t workers);

/* The control side of one worker. */
struct clv_control_worker {
	struct clv_mailbox *commands;	 /* borrows; we send */
	struct clv_mailbox *events;	 /* borrows; we receive */
	const struct clv_worker *worker; /* for its statistics */
};

struct clv_control_params {
	const struct clv_host_ops *host_ops;
	void *host;
	struct clv_port *port;			      /* borrows; UDP sockets of all listeners */
	const struct clv_control_listener *listeners; /* copies; none in a client */
	size_t listeners_len;
	const struct clv_control_worker *workers; /* copies */
	uint16_t workers_len;
	struct clv_control_limits limits;
	const struct clv_session_app_ops *accept_ops; /* of accepted sessions; NULL in a client */
	void *accept_app;
	uint8_t secret[32]; /* for tokens and stateless resets; must survive restarts */
	uint64_t rand_seed; /* 0: random bytes of the system */
	/*
	 * Client: a socket of clv_control_socket_open received a datagram from a local sender that
	 * has no tunnel yet.  payload: borrows.  May be NULL.
	 */
	void (*on_new_remote)(void *client, const struct clv_evt_remote *evt,
			      const uint8_t *payload, size_t len);
	/* Client: STUN that names no connection came in.  rx: borrows.  NULL: it is dropped. */
	void (*on_stun)(void *client, const struct clv_rx *rx);
	/* Client: the worker no longer uses a closed socket; its owner closes fd.  May be NULL. */
	void (*on_socket_closed)(void *client, int fd);
	void *client;
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_control_open(const struct clv_control_params *params, struct clv_control **out);
void clv_control_close(struct clv_control *c);

/* Returns how many packets, messages and timers it handled. */
unsigned clv_control_step(struct clv_control *c, uint64_t now_ns);
uint64_t clv_control_next_ns(const struct clv_control *c);

/* Close all connections and stop the workers; step on until is_stopped. */
void clv_control_stop(struct clv_control *c, uint64_t now_ns);
bool clv_control_is_stopped(const struct clv_control *c);

/*
 * An ICMP error about a packet that a tunnel sent.  mtu: of the path; 0 when the error is not about
 * size.  The worker of the tunnel, if there is one, is notified.
 */
void clv_control_icmp(struct clv_control *c, const struct clv_tuple *tuple, uint32_t mtu);

/* Routes, neighbours or addresses of the host changed: look up every next hop again. */
void clv_control_routes_changed(struct clv_control *c);
/* Only these neighbours changed, through which nothing but themselves is reached. */
void clv_control_neighbours_changed(struct clv_control *c, const uint8_t (*addrs)[16], size_t len);
/* Replace the addresses that workers refuse as sources.  verdicts: each takes a reference. */
void clv_control_set_verdicts(struct clv_control *c, struct clv_verdicts *verdicts);
/* Change the limits of a meter.  The worker gets them before any later tunnel.  cmd: copies. */
void clv_control_set_meter(struct clv_control *c, uint16_t worker, const struct clv_cmd_meter *cmd);
/* End every tunnel of accepted sessions whose target must_end selects: `gone` reports error. */
void clv_control_end_tunnels(struct clv_control *c,
			     bool (*must_end)(void *user, const struct clv_endpoint *target),
			     void *user, int error);

/* ---- the client's half ---- */

struct clv_control_connect {
	struct clv_endpoint local, remote; /* local: of the worker's listener socket */
	uint32_t socket;		   /* its number in control's port */
	struct clv_tls_context *tls;	   /* borrows for the session's life */
	enum clv_profile profile;
	const char *server_name; /* copies */
	bool no_datagrams;	 /* datagrams are carried in capsules, reliably and in order */
	uint64_t keepalive_ns;
	const struct clv_session_app_ops *app_ops; /* borrows */
	void *app;
};

/*
 * Start a handshake with a relay; app_ops->established or ended reports the outcome.
 * Returns 0 and fills *out, CLV_EFULL, CLV_ECLOSED, CLV_ETLS, CLV_EQUIC or -ENOMEM.
 */
int clv_control_connect(struct clv_control *c, const struct clv_control_connect *p, uint64_t now_ns,
			struct clv_session **out);

/* Use tls for a listener's new connections from now on; tls as in clv_control_listener. */
void clv_control_set_tls(struct clv_control *c, size_t listener, struct clv_tls_context *tls);

/* Client: receive datagrams of local applications, of any sender.  fd: lends until stopped. */
void clv_control_socket_open(struct clv_control *c, int fd, const struct clv_endpoint *local);
/* Client with one worker: the reverse.  fd: lends until on_socket_closed. */
void clv_control_socket_close(struct clv_control *c, int fd, const struct clv_endpoint *local);

/* The guard's limits as token bucket rates. */
struct clv_guard_limits clv_control_guard_limits(const struct clv_control_limits *l);
/* Lends; for reports. */
const struct clv_guard *clv_control_guard(const struct clv_control *c);

/* For other modules of control's thread to count in. */
struct clv_counters *clv_control_own_counters(struct clv_control *c);
const struct clv_counters *clv_control_counters(const struct clv_control *c);

/* What waits in control, and its limit; lends. */
const struct clv_budget *clv_control_buffered(const struct clv_control *c);
/* The same of what the apps of sessions keep for their protocol. */
const struct clv_budget *clv_control_http_memory(const struct clv_control *c);
/* Bytes of commands that wait for workers, and how many datagrams are among them at most. */
uint64_t clv_control_commands_waiting(const struct clv_control *c, uint64_t *datagrams_max);
/* Bytes that the QUIC library holds for handshakes, and in *max its limit; 0: none. */
uint64_t clv_control_quic_memory(const struct clv_control *c, uint64_t *max);
/* What clients' addresses hold of each ceiling. */
const struct clv_accounts *clv_control_accounts(const struct clv_control *c);

/* ---- views for the operator's tools ---- */

struct clv_session_view {
	struct clv_ref ref;
	struct clv_endpoint peer, local;
	enum clv_profile profile;
	struct clv_tls_facts tls;
	uint32_t tunnels;
	uint64_t since_ns;
	bool handshaking;
	struct clv_conn_stats stats;
};

struct clv_tunnel_view {
	struct clv_ref ref;
	struct clv_ref conn;
	int64_t stream_id;
	struct clv_endpoint local, target; /* port 0: a bound tunnel without a target */
	uint64_t since_ns;
	struct clv_nexthop hop;
	bool capsules;
	bool is_bound;
	struct clv_endpoint ports[2]; /* of a bound tunnel; port 0: none of that family */
	struct clv_tunnel_stats stats;
};

/* Call fn for every session or tunnel, until it returns false.  v: borrows for the call. */
void clv_control_each_session(const struct clv_control *c,
			      bool (*fn)(void *user, const struct clv_session_view *v), void *user);
void clv_control_each_tunnel(const struct clv_control *c,
			     bool (*fn)(void *user, const struct clv_tunnel_view *v), void *user);

#endif
