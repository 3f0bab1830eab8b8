/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * retarget - another address of a name, for a tunnel whose target does not answer.
 *
 * UDP has no handshake that shows whether a host is there.  As long as nothing has come from the
 * address that a tunnel was opened with, an error or silence makes the relay try the next one, of the
 * other family first.  When the last is silent, too, the tunnel returns to the first that no error was
 * about, and keeps it.
 *
 * Bound tunnels keep their target: their ports are the client's.
 *
 * Spec: RFC 8305 section 5, in its spirit: it is about TCP.
 * Threading: control.
 */
#ifndef CLV_PROXY_RETARGET_H
#define CLV_PROXY_RETARGET_H

#include "control/proxy/state.h"

/* The tunnel is about to be opened with target, one of the request's addresses.  spec: written. */
void clv_retarget_begin(struct clv_request *rq, const struct clv_endpoint *target,
			struct clv_tunnel_spec *spec);
/*
 * The target that the tunnel has now does not answer, or an error is about it.
 * Returns 0, or an error: the tunnel cannot go on.
 */
int clv_retarget(struct clv_request *rq, bool is_unreachable);

#endif
