/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn_output - what a connection sends: datagrams, streams, acknowledgements, probes of its path.
 *
 * Threading: the connection's owner.
 */
#ifndef CLV_CONN_OUTPUT_H
#define CLV_CONN_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

struct clv_conn;

enum {
	CONN_ACK_EVERY = 8, /* ack-eliciting packets; below the initial window of 10 */
};

/* A datagram sent as id was acknowledged or is lost: what that says of the path's MTU. */
void conn_datagram_fate(struct clv_conn *conn, uint64_t id, bool is_lost);

#endif
