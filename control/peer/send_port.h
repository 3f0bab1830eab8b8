/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * send_port - control's port where its worker has the only one: it sends there and never receives.
 *
 * What is control's comes by the worker's stray events.
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
