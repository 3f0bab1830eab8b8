/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request_capsules - the capsules that a client sends on the stream of a request: datagrams, and
 * what a bound tunnel's contexts need.  Those that arrive before the tunnel is open are kept (early.h)
 * and handled when it is.
 *
 * Order: 1. init  2. feed  3. open, once  4. feed, as bytes come  5. fini
 * Errors: abort the stream with the code of clv_capsule_h3_error.
 * Spec: RFC 9297 section 3, RFC 9298 section 5, draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_REQUEST_CAPSULES_H
#define CLV_PROXY_REQUEST_CAPSULES_H

#include "control/proxy/state.h"

/* What is kept is charged to the holder of the request's connection. */
void clv_request_capsules_init(struct clv_request *rq);
/* What was kept and not handled is dropped and counted. */
void clv_request_capsules_fini(struct clv_request *rq);

/* Bytes of the request's body.  Returns 0 or an error. */
int clv_request_capsules_feed(struct clv_request *rq, const uint8_t *data, size_t len);

/* The tunnel is open: from now on longer datagrams than it carries are not stored. */
void clv_request_capsules_open(struct clv_request *rq, const struct clv_tunnel_spec *spec);
/* Handle those that were kept.  Returns 0 or an error. */
int clv_request_capsules_replay(struct clv_request *rq);

#endif
