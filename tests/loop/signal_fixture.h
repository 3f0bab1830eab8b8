/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signal_fixture - a relay and peers, each with a signal stream, and what came to each of them.  Aborts
 * the test when something fails.
 */
#ifndef LOOP_SIGNAL_FIXTURE_H
#define LOOP_SIGNAL_FIXTURE_H

#include "control/masque/signal.h"
#include "tests/loop/fixture.h"

/* What came to one peer. */
struct signal_peer {
	struct clv_signer *signer;
	struct clv_identity id;
	struct clv_relay_signal *signal;
	unsigned hellos, observed, published[8], found[8], knocked[8], knocks, closed;
	int error;
	unsigned status;
	struct clv_identity relay;
	struct clv_endpoint at;
	uint64_t sequence, found_seq;
	uint16_t found_port, knock_port;
	struct clv_identity knocker;
	uint8_t request[CLV_SIGNAL_REQUEST_LEN];
	enum clv_signal_status reply; /* to knocks */
	bool is_silent, replies_with_record;
};

extern struct world *world;
extern struct signal_peer peers[WORLD_CLIENTS_MAX];

/* A relay and clients with identities, but for those in the mask, each with a signal stream. */
void signal_start(struct world_params p, unsigned clients, unsigned without);
void signal_stop(void);
void signal_run(uint64_t duration_ns);
/* The time of relay and peers. */
uint64_t signal_wall_ms(void);

/* Of peer i. */
void signal_open(unsigned i);
struct clv_signal_session *signal_session(unsigned i);
struct clv_object_endpoint signal_at(uint16_t port);
void signal_publish(unsigned i, uint16_t port);
void signal_look_up(unsigned i, unsigned whom);
void signal_knock(unsigned i, unsigned whom, uint16_t port);

/* What the relay has. */
const struct clv_signals *signal_at_relay(void);

#endif
