/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * conn_callbacks - ngtcp2's callbacks for a connection, turned into its owner's ops.
 *
 * Threading: the connection's owner, inside input, output and expire.
 */
#ifndef CLV_QUIC_CONN_CALLBACKS_H
#define CLV_QUIC_CONN_CALLBACKS_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>

/* Fill *cb for a server's or a client's connection; user_data is its struct clv_conn. */
void clv_conn_callbacks(ngtcp2_callbacks *cb, bool is_server);

#endif
