/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * answer - read a relay's final response to a tunnel request: granted or refused, why, and the
 * public addresses of a bound tunnel.
 *
 * Spec: RFC 9298 section 3.5, RFC 9297 section 3.2, RFC 9209,
 * draft-ietf-masque-connect-udp-listen-13 sections 6 and 7.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_PEER_ANSWER_H
#define CLV_PEER_ANSWER_H

#include "control/peer/request.h"

/* Whether a success has fields that say it is no tunnel: the message is malformed. */
bool clv_answer_is_malformed(const struct clv_http_head *head);

/*
 * Read a final response that is not malformed.  wants_bound: a bound tunnel was requested.
 * Returns out->err: 0 when the tunnel is granted.  Fills of *out the error, Proxy-Status, and what
 * was granted.
 */
int clv_answer_read(const struct clv_http_head *head, bool wants_bound,
		    struct clv_client_result *out);

#endif
