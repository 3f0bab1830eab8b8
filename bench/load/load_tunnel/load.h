/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * load - a CONNECT-UDP client with many connections and tunnels, on the relay's own modules: control
 * makes the handshakes, a worker carries the tunnels, AF_XDP is their way to the relay.
 *
 * The applications behind the tunnels are a port of ours: what it "receives" are datagrams that are
 * due, what it "sends" is checked, timed and forgotten.  All in one thread.
 */
#ifndef CLV_BENCH_LOAD_LOAD_TUNNEL_LOAD_H
#define CLV_BENCH_LOAD_LOAD_TUNNEL_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/hist.h"
#include "control/core/control.h"
#include "control/peer/relay_session.h"
#include "control/peer/send_port.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/rand.h"

enum {
	LOAD_PAYLOAD_MAX = 2048,
	LOAD_FIRST_PORT = 30000, /* of our connections; each has its own, in turn */
	LOAD_PORTS = 2000,
	LOAD_QUEUES_MAX = 8,
	LOAD_APP_SOCKET = 1, /* number that the applications' datagrams come by */
};

struct load;

struct load_options {
	const char *ifname;
	unsigned queues;		   /* of the interface; connections take turns with them */
	struct clv_endpoint relay, source; /* source: port unused */
	uint8_t relay_mac[6], source_mac[6];
	const char *authority, *server_name, *uri_template;
	struct clv_tls_context *tls;
	enum clv_profile profile;
	unsigned conns, tunnels; /* tunnels: of each connection */
	char target_host[64];
	uint16_t target_port;
	unsigned window; /* handshakes, or requests of a connection, under way at a time */
};

/* The applications: a port of the worker, in the place of its kernel sockets. */
struct app_port {
	struct clv_port port;
	struct load *load;
	struct clv_worker_counters counters;
	uint8_t payload[CLV_PORT_BATCH][LOAD_PAYLOAD_MAX];
	uint8_t pattern[LOAD_PAYLOAD_MAX];
	uint8_t out[LOAD_PAYLOAD_MAX];
	/* what is being offered */
	size_t size;
	double gap_ns; /* between two datagrams; 0: nothing is due */
	uint64_t start_ns, until_ns;
	uint64_t offered;
	uint32_t next; /* tunnel */
	/* what came */
	uint64_t received, received_bytes, corrupted;
	uint64_t ever_received, ever_corrupted; /* by all offers, and between them */
	uint64_t late_ns_max; /* that a datagram was handed over after it was due */
	struct hist times;
};

struct load_tunnel {
	struct load_conn *conn;
	struct clv_relay_tunnel *tunnel;
	uint32_t index;
	bool is_open;
};

struct load_conn {
	struct load *load;
	struct clv_relay_session *session; /* NULL: none */
	uint64_t since_ns;
	uint32_t asked; /* tunnels asked for */
	bool is_up;
};

struct load {
	struct load_options o;
	struct clv_control *control;
	struct clv_worker *worker;
	struct clv_mailbox *commands, *events;
	struct app_port app;
	struct clv_send_port sender;
	struct clv_nexthop hop; /* the one way */
	struct clv_counters control_counters, request_counters;
	struct clv_port *xsk;
	struct clv_rand rand;
	struct load_conn *conns;
	struct load_tunnel *tunnels;
	uint32_t tunnels_len, tunnels_open, conns_up, pending_conns, pending_tunnels;
	uint64_t failures;	/* handshakes and tunnels that came to nothing */
	struct hist handshakes; /* times of */
	bool is_shaking;	/* close what comes up: only handshakes are wanted */
	uint64_t shaken;
	uint32_t next_port;
};

/* app.c */
void app_port_init(struct app_port *a, struct load *load);
/* Offer size bytes to all tunnels in turn, so many a second, for msec; forgets earlier results. */
void app_port_offer(struct app_port *a, size_t size, double rate, uint64_t msec, uint64_t now_ns);
/* When the next datagram is due; CLV_TIMER_NEVER: none. */
uint64_t app_port_next_ns(const struct app_port *a);
/* The endpoint of the application behind tunnel index. */
void app_endpoint(uint32_t index, struct clv_endpoint *out);
/* The one all of them talk to. */
void app_local(struct clv_endpoint *out);

/* client.c: return 0 or a negative error */
int load_open(struct load *l, const struct load_options *o);
void load_close(struct load *l);
/* Start another handshake.  Returns 0 or an error of clv_relay_session_open. */
int load_connect(struct load *l, struct load_conn *c);
/* Ask for the tunnels of all connections that are up, as many at a time as the window has. */
void load_ask_tunnels(struct load *l);
/* One turn; sleeps until something is due or comes when there was nothing to do. */
void load_turn(struct load *l, uint64_t until_ns);

#endif
