/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * send_port - control's port in a client, where the worker owns the only real one: it sends there
 * and never receives.  Packets for control arrive as events from the worker.
 *
 * Threading: the one of control and the worker.
 */
#ifndef CLV_PEER_SEND_PORT_H
#define CLV_PEER_SEND_PORT_H

#include "datapath/io/port.h"

struct clv_send_port {
	struct clv_port port;
	struct clv_port *real;
};

/* real: borrows, as long as control sends.  There is nothing to close. */
void clv_send_port_init(struct clv_send_port *s, struct clv_port *real);

#endif
