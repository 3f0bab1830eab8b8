/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * handshake_pair - a client and a server connection in one process, joined by arrays.
 *
 * Time stands still within a flight and moves by HALF_TRIP between flights.
 */
#ifndef CLV_TEST_ADMISSION_HANDSHAKE_PAIR_H
#define CLV_TEST_ADMISSION_HANDSHAKE_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/tls/tls.h"
#include "datapath/base/pool.h"
#include "datapath/io/port.h"
#include "datapath/quic/conn.h"

enum {
	PAIR_WIRE = 64,	      /* datagrams in flight, per direction */
	PAIR_DATAGRAM = 1500, /* bytes */
	PAIR_FLIGHTS = 16,    /* recorded, of both directions */
};

struct pair_port {
	struct clv_port port; /* first */
	struct clv_worker_counters counters;
	uint8_t data[PAIR_WIRE][PAIR_DATAGRAM];
	size_t len[PAIR_WIRE];
	unsigned count;
};

struct pair {
	struct pair_port to_server, to_client;
	struct clv_rand rand;
	struct clv_pool pool;
	uint8_t reset_secret[CLV_CID_SECRET_LEN];
	uint64_t now_ns;
	uint32_t version; /* QUIC version the client starts with */
	struct clv_conn *client, *server;
	struct clv_tls_context *server_context; /* borrows */
	bool client_done, server_done;		/* handshake completed there */
	unsigned client_done_after;		/* flights, its own ones too */
	unsigned flights;
	struct {
		unsigned datagrams;
		size_t bytes;
	} flight[PAIR_FLIGHTS]; /* even: client's, odd: server's */
	/* Called with the server's conn after its session was attached; may be NULL. */
	void (*tamper_server)(struct clv_conn *conn);
};

extern const struct clv_endpoint pair_client_end, pair_server_end;

void pair_init(struct pair *p, struct clv_tls_context *server_context);
/* Also checks that no key context is left of either connection. */
void pair_fini(struct pair *p);

/* Make the client's conn and attach a session; change the session before pair_run. */
void pair_client(struct pair *p, struct clv_tls_context *context, const char *server_name);

/* Make the server's connection, as after admission; pair_run calls it for the first Initial. */
void pair_server(struct pair *p, const struct clv_conn_params *params);

/* Deliver packets until both are idle or closed.  Timers fire when nothing is in flight. */
void pair_run(struct pair *p);

#endif
