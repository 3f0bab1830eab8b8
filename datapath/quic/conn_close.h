/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn_close - how a connection ends: closed by us, by the peer, or by an error.
 *
 * Spec: RFC 9000 section 10.   Threading: the connection's owner, inside its calls.
 */
#ifndef CLV_QUIC_CONN_CLOSE_H
#define CLV_QUIC_CONN_CLOSE_H

#include <stdint.h>

#include "datapath/io/port.h"

struct clv_conn;

/* ngtcp2 failed with rv, one of NGTCP2_ERR_*: close, drain or drop the connection accordingly. */
void conn_fail(struct clv_conn *conn, int rv, uint64_t now_ns);

/* While closing: send CONNECTION_CLOSE, if it was not yet or a packet asks for it again. */
void conn_send_close(struct clv_conn *conn, struct clv_port *port);

#endif
