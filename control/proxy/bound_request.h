/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bound_request - what is special in a request for a bound tunnel: its ports, the public addresses
 * in the answer, and the capsules that register contexts.
 *
 * Order: 1. new  2. cancel, when no tunnel came of it; else start, once the session has it  3. end
 * Spec: draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_BOUND_REQUEST_H
#define CLV_PROXY_BOUND_REQUEST_H

#include "control/masque/capsule.h"
#include "control/masque/contexts.h"
#include "control/proxy/request.h"

enum {
	CLV_BOUND_PUBLIC_MAX = 128, /* two addresses with ports, quoted */
};

/*
 * Take a port of each family, and make what a bound tunnel needs.  route: to target; both NULL
 * without one.
 * Returns 0 and sets rq->bound; CLV_EFULL, CLV_EUNROUTABLE (no address of any family) or an error.
 */
int clv_bound_request_new(struct clv_request *rq, const struct clv_endpoint *target,
			  const struct clv_route *route);
const struct clv_tunnel_ports *clv_bound_request_ports(const struct clv_request *rq);
void clv_bound_request_cancel(struct clv_request *rq);
/*
 * Publish the ports; rq->ref is set.  Returns 0, or an error, and then rq->bound is NULL but the
 * ports are the session's still.
 */
int clv_bound_request_start(struct clv_request *rq);
/* Before the tunnel is closed, or when it is gone.  Of an ordinary tunnel nothing is done. */
void clv_bound_request_end(struct clv_request *rq);

/* The value of Proxy-Public-Address, zero-terminated. */
void clv_bound_request_write_public(const struct clv_request *rq,
				    char buf[static CLV_BOUND_PUBLIC_MAX]);

/* A COMPRESSION_* capsule.  Returns as clv_contexts_capsule. */
int clv_bound_request_capsule(struct clv_request *rq, enum clv_capsule_type type,
			      const uint8_t *value, size_t len);
/* What to do with a datagram of the client, by its Context ID. */
enum clv_contexts_verdict clv_bound_request_classify(const struct clv_request *rq,
						     uint64_t context_id);

#endif
