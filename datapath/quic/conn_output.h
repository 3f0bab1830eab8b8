/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn_output - what a connection sends: datagrams, streams, acknowledgements, probes of its path.
 *
 * Threading: the connection's owner.
 */
#ifndef CLV_QUIC_CONN_OUTPUT_H
#define CLV_QUIC_CONN_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/base/clock.h"

struct clv_conn;

/* Timers go off on ticks of this. */
#define CONN_TICK_NS CLV_MSEC

enum {
	/* Ack-eliciting packets.  More than a small window has; there the tick is soon enough. */
	CONN_ACK_EVERY = 32,
};

/* A datagram sent as id was acknowledged or lost: update the path MTU search. */
void conn_datagram_fate(struct clv_conn *conn, uint64_t id, bool is_lost);

#endif
