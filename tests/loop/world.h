/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * world - a relay, clients and a target in one process, on a simulated network and clock.
 *
 *   application 127.0.0.1 - client 198.18.0.2.. - wire - relay 198.18.0.1 - wire - target 198.18.1.1
 *
 * Frames to the relay are classified as XDP does it, by the tables that its control publishes.
 */
#ifndef LOOP_WORLD_H
#define LOOP_WORLD_H

#include "control/core/control.h"
#include "control/peer/relay_session.h"
#include "control/proxy/proxy.h"
#include "tests/loop/wire.h"

enum {
	WORLD_WORKERS_MAX = 4,
	WORLD_CLIENTS_MAX = 4,
	WORLD_TABLE_MAX = 4096,
	WORLD_APPS_MAX = 64,
};

struct world;

/* An entry of a table that the relay's control publishes. */
struct world_row {
	uint8_t key[40];
	size_t key_len;
	struct clv_ref ref;
	uint64_t value; /* of contexts: Context ID; of bindings: flags */
	bool used;
};

struct world_table {
	struct world_row rows[WORLD_TABLE_MAX];
	size_t end; /* none from here on is used */
};

/* A look-up of a name that is under way; done NULL: none. */
struct world_lookup {
	clv_resolved_fn *done;
	void *user;
};

struct world_relay {
	struct world *world;
	struct clv_proxy *proxy; /* NULL: sessions are accepted by another app */
	struct clv_control *control;
	struct clv_worker *workers[WORLD_WORKERS_MAX];
	struct clv_mailbox *commands[WORLD_WORKERS_MAX], *events[WORLD_WORKERS_MAX];
	struct clv_handoff *handoff;
	struct wire_port control_port, xsk[WORLD_WORKERS_MAX], sock[WORLD_WORKERS_MAX];
	struct world_table conns, contexts, bindings;
	const struct clv_policy *denied; /* policy of the kernel's table */
	uint64_t xdp_denied;		 /* packets it dropped */
	struct wire_end end;
	uint16_t next_port;
	uint8_t floating[16];		/* one more address of the relay's */
	uint32_t egress_held;		/* ports taken and not given back */
	void *egress_owners[1 << 16];	/* by port */
	uint16_t flow_worker;		/* result of worker_of_flow */
	uint16_t arrival;		/* worker on whose queue frames arrive */
	uint64_t to_kernel;		/* packets to control's socket */
	uint64_t routed;		/* routes that were looked up */
	struct world_lookup lookups[4]; /* of names, to be answered */
};

/* A local application that uses a client: one sender. */
struct world_app {
	struct clv_endpoint endpoint;
	struct clv_relay_tunnel *tunnel;
	int opened, closed, error;
	unsigned status;
	uint64_t received, wrong;
	size_t last_len;
};

struct world_client {
	struct world *world;
	struct clv_control *control;
	struct clv_worker *worker;
	struct clv_mailbox *commands, *events;
	struct wire_port control_port, sock;
	struct wire_end end;
	struct clv_endpoint endpoint, listen;
	struct clv_relay_session *session;
	struct clv_rand rand;
	struct clv_counters counters;
	struct clv_session_end down;
	bool is_up, is_down;
	uint32_t max_payload;
	struct world_app apps[WORLD_APPS_MAX];
};

struct world_params {
	uint16_t workers;
	uint16_t clients;
	bool kernel_path;		      /* the relay uses kernel sockets */
	bool no_datagrams;		      /* clients offer no DATAGRAM frames: capsules */
	bool always_retry;		      /* every client must validate its address */
	bool late_workers;		      /* workers use the time of the turn before */
	struct clv_control_limits limits;     /* zero members take the defaults */
	struct clv_proxy_limits proxy;	      /* likewise */
	struct clv_bound_settings bind;	      /* tunnels_max 0: ample, all allowed */
	struct clv_signal_settings signal;    /* records_max 0: the defaults of the configuration */
	bool has_identity[WORLD_CLIENTS_MAX]; /* the client presents a key of its own */
	struct clv_access *access;	      /* of the relay; NULL: every client may use it */
	const char *authorization[WORLD_CLIENTS_MAX]; /* of clients; NULL: none */
	const struct clv_session_app_ops *accept_ops; /* NULL: the relay is a proxy */
	void *accept_app;
	bool has_v6; /* of the relay, toward targets */
	uint32_t early_per_conn, early_total, hop_wait_packets;
	uint32_t buffers;	      /* of a worker */
	uint64_t early_ns;	      /* how long early datagrams are kept */
	uint32_t icmp_per_sec;	      /* of a worker */
	uint32_t icmp_source_per_sec; /* 0: no limit */
	uint64_t answer_ns;	      /* time limit of clients for responses; 0: none */
	uint64_t seed;
};

struct world {
	struct wire wire;
	struct world_params p;
	struct world_relay relay;
	struct world_client clients[WORLD_CLIENTS_MAX];
	struct clv_endpoint relay_endpoint, relay_endpoint6, target;
	struct wire_end target_end;
	uint64_t target_received;
	bool target_is_silent;
	struct clv_endpoint target_heard; /* source of the last datagram to the target */
	unsigned hop_state;		  /* enum clv_nexthop_state of every route */
	uint16_t hop_mtu;		  /* likewise the MTU */
	uint64_t last_turn_ns;
	bool is_control_stuck; /* the relay's control makes no steps; its workers do */
	int64_t wall_skew_sec; /* error of the relay's wall clock */
	struct { /* reports to the relay's host: packets from targets that do not fit */
		uint64_t count;
		struct clv_tuple tuple;
		uint32_t mtu;
		uint8_t quote[1500];
		size_t len;
	} too_big;
	struct clv_endpoint name_addrs[8]; /* of every name */
	size_t name_addrs_len;		   /* 0: no name can be looked up */
	uint8_t no_neighbour[16];	   /* the next hop to it is unreachable */
	uint8_t by_kernel[16];		   /* the route to it is not one of XDP's */
	uint32_t egress_max;		   /* limit of ports that the relay may take */
	struct clv_tls_context *server_tls, *client_tls;
	struct clv_tls_context *identity_tls[WORLD_CLIENTS_MAX]; /* NULL: client_tls */
	struct clv_policy *policy;
};

/* True while a worker of the relay runs its step. */
extern bool world_in_worker;

/* Certificates are made once for each program.  Aborts on failure. */
void world_open(struct world *w, const struct world_params *p);
void world_close(struct world *w);
/* The relay crashes, and another with the same secret takes its place. */
void world_relay_crash(struct world *w);
/* As a reload: first the kernel's table, then the proxy.  policy: borrows until replaced. */
void world_set_policy(struct world *w, const struct clv_policy *policy);

/* Run for a time, or until done returns true.  Returns whether it did. */
bool world_run(struct world *w, uint64_t duration_ns, bool (*done)(struct world *w));
/* Step everything until idle, then advance the clock to the next event, by at most step_ns. */
void world_turn(struct world *w, uint64_t step_ns);

/* The text of the key that client i has with has_identity; lends, for as long as the program runs. */
const char *world_identity(unsigned i);

/* Connect client i and run until its session is up; returns whether it is. */
bool world_connect(struct world *w, unsigned i);
void world_connect_start(struct world *w, unsigned i);
/* Request a tunnel of client i to the target, for application app. */
int world_tunnel(struct world *w, unsigned i, unsigned app, const char *host, uint16_t port);
/* The application sends payload[0..len) of a pattern; the target echoes it. */
void world_app_send(struct world *w, unsigned i, unsigned app, size_t len, uint32_t number);

/* Sum of a counter over the relay's control and workers. */
uint64_t world_count(const struct world *w, enum clv_counter which);
/* Sum of all drop counters of the relay. */
uint64_t world_drops(const struct world *w);

#endif
