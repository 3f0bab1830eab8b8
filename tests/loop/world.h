/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * world - a relay, clients and a target in one process, on the fake wire.
 *
 *   application 127.0.0.1 - client 198.18.0.2.. - wire - relay 198.18.0.1 - wire - target 198.18.1.1
 *
 * The relay's frames are classified as XDP would do it, from the tables its control publishes.
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

struct world_row { /* of a published table */
	uint8_t key[40];
	size_t key_len;
	struct clv_ref ref;
	uint64_t value; /* of contexts: Context ID; of bindings: flags */
	bool used;
};

struct world_table {
	struct world_row rows[WORLD_TABLE_MAX];
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
	const struct clv_policy *denied; /* as the kernel's table has it */
	uint64_t xdp_denied;		 /* what that dropped */
	struct wire_end end;
	uint16_t next_port;
	uint8_t floating[16]; /* one more address of the relay's */
	uint32_t egress_held; /* ports given out and not back */
	uint16_t flow_worker; /* what worker_of_flow answers */
	uint16_t arrival;     /* worker whose queue frames arrive on */
	uint64_t to_kernel;   /* packets that took control's socket */
};

struct world_app { /* a local application behind a client: one sender */
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
	bool kernel_path; /* the relay runs on its sock ports */
	/* clients offer no DATAGRAM frames: capsules */
	bool no_datagrams;
	bool always_retry; /* every client must prove its address */
	bool late_workers; /* read the clock, then wait until all others have moved */
	struct clv_control_limits limits;	      /* zero members take the defaults */
	struct clv_proxy_limits proxy;		      /* likewise */
	struct clv_bound_settings bind;		      /* tunnels_max 0: ample, all allowed */
	const struct clv_session_app_ops *accept_ops; /* NULL: the relay is a proxy */
	void *accept_app;
	bool has_v6; /* the relay, away from its clients */
	uint32_t early_per_conn, hop_wait_packets;
	uint32_t icmp_per_sec; /* of a worker */
	uint64_t answer_ns; /* how long clients wait for answers to their requests; 0: for ever */
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
	struct clv_endpoint target_heard; /* who the target was sent its last datagram by */
	unsigned hop_state;		  /* enum clv_nexthop_state that routes answer with */
	uint16_t hop_mtu;		  /* and their MTU */
	uint64_t last_turn_ns;
	bool is_control_stuck; /* the relay's; its workers go on */
	int64_t wall_skew_sec; /* what the relay's wall clock is off by */
	struct {	       /* as the relay told its host: what a target sent does not fit */
		uint64_t count;
		struct clv_tuple tuple;
		uint32_t mtu;
		uint8_t quote[1500];
		size_t len;
	} too_big;
	uint32_t egress_max; /* ports the relay may hold */
	struct clv_tls_context *server_tls, *client_tls;
	struct clv_policy *policy;
};

/* True while a worker of the relay runs its step. */
extern bool world_in_worker;

/* Certificates are made once for a program.  Aborts on failure: nothing works without. */
void world_open(struct world *w, const struct world_params *p);
void world_close(struct world *w);
/* The relay is gone without a word and another takes its place, with the same secret. */
void world_relay_crash(struct world *w);
/* As a reload does: the kernel's table first.  policy: borrows until replaced. */
void world_set_policy(struct world *w, const struct clv_policy *policy);

/* Run for so long, or until done says so.  Returns whether done did. */
bool world_run(struct world *w, uint64_t duration_ns, bool (*done)(struct world *w));
/* One turn of everybody, then the clock goes to the next event, at most step_ns further. */
void world_turn(struct world *w, uint64_t step_ns);

/* Connect client i and run until its session is up; returns whether it is. */
bool world_connect(struct world *w, unsigned i);
void world_connect_start(struct world *w, unsigned i);
/* Ask for a tunnel of client i for application app to the target. */
int world_tunnel(struct world *w, unsigned i, unsigned app, const char *host, uint16_t port);
/* The application sends payload[0..len) of a pattern; the target echoes it. */
void world_app_send(struct world *w, unsigned i, unsigned app, size_t len, uint32_t number);

/* Sum of a counter over the relay's control and workers. */
uint64_t world_count(const struct world *w, enum clv_counter which);
/* Sum of all that the relay dropped, for whatever reason. */
uint64_t world_drops(const struct world *w);

#endif
