/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ports - take local ports of the host for tunnels, and charge new ones to their client.
 *
 * A port is charged to whose tunnel took it first, until no tunnel has it.
 *
 * Threading: control.
 */
#ifndef CLV_CORE_PORTS_H
#define CLV_CORE_PORTS_H

#include "control/admission/accounts.h"
#include "control/host/host.h"

/* What ports are taken from.  Borrows. */
struct clv_ports {
	const struct clv_host_ops *host_ops;
	void *host;
	struct clv_accounts *accounts; /* NULL: without limits */
};

/*
 * Take a port on a route's source address.  remote: tunnels to different ones may share it; NULL: it
 * must be this tunnel's alone.  A client that has its share gets ports that others have already.
 * Returns as egress_take of struct clv_host_ops.
 */
int clv_ports_take(const struct clv_ports *p, struct clv_account *account,
		   const struct clv_route *route, const struct clv_endpoint *remote,
		   struct clv_egress *out);
void clv_ports_give(const struct clv_ports *p, struct clv_egress *egress);

#endif
