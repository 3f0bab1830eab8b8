/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * connect_udp - one CONNECT-UDP request at the relay, from its header section to its end: resolve
 * the target, choose an address, take a port, open the tunnel at the session's worker, answer, and
 * carry capsules.
 *
 * A tunnel has one target, or it is bound (CONNECT-UDP-bind): then the client exchanges datagrams
 * with any number of remotes through a port of each family at the relay, and may have a target as
 * well.
 *
 * Order: 1. begin  2. body, tunnel_gone, datagram_up, remote_event, as they come  3. what ends it:
 * finish, abort, end or tunnel_gone, once
 * Spec: RFC 9298, RFC 9297 section 3, draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_CONNECT_UDP_H
#define CLV_PROXY_CONNECT_UDP_H

#include "control/masque/template.h"
#include "control/proxy/gate.h"
#include "control/proxy/request.h"

/* ---- the client's side: events of the request stream ---- */

/*
 * Make the request of a stream and begin to open its tunnel; it is answered now or later.
 * wants_bound: the client asks for a bound tunnel, and the relay offers them.  Without a target
 * (CLV_TARGET_ANY) it must be true.  access: takes what it names.
 */
void clv_connect_udp_begin(struct clv_requests *rs, struct clv_http_stream *s,
			   const struct clv_target *target, bool wants_bound,
			   const struct clv_gate_access *access);
/* The peer's SETTINGS are known: open the tunnels that wait for them. */
void clv_connect_udp_settings_known(struct clv_requests *rs);
/* Bytes of the request's body: capsules.  rq: may be gone when it returns. */
void clv_connect_udp_body(struct clv_request *rq, const uint8_t *data, size_t len);
/* The client finished its half of the stream.  rq: takes. */
void clv_connect_udp_finish(struct clv_request *rq);
/* Release everything the request holds; its stream is gone.  rq: takes. */
void clv_connect_udp_end(struct clv_request *rq);
/* The same, and abort the stream with a code.  rq: takes. */
void clv_connect_udp_abort(struct clv_request *rq, uint64_t code);

/* ---- the session's side: events of the tunnel ---- */

/*
 * The session lost the tunnel: idle (CLV_ETIMEOUT), denied by a new policy (CLV_EDENIED), its route
 * gone (CLV_EUNROUTABLE), ...  Ends the stream; tunnel_close is not called.  rq: takes.
 */
void clv_connect_udp_tunnel_gone(struct clv_request *rq, int err);

/* Nothing came from the target: another of its addresses is tried.  rq: may be gone when it returns. */
void clv_connect_udp_target_dead(struct clv_request *rq, bool is_unreachable);

/*
 * A datagram for a client that takes capsules: Context ID (varint) and payload.  Dropped and
 * counted when the client reads too slowly.  data: copies.
 */
void clv_connect_udp_datagram_up(struct clv_request *rq, const uint8_t *data, size_t len);

/*
 * An event of a bound tunnel's worker: CLV_EVT_REMOTE_* or CLV_EVT_CONTEXT_ZERO.  evt: borrows.
 * rq: may be gone when it returns.
 */
void clv_connect_udp_remote_event(struct clv_request *rq, enum clv_event type,
				  const struct clv_evt_bound *evt);

/*
 * Some grants are over: end the requests that rest on them.
 * is_admitted: whether the client's address may use the relay; else all its requests end.
 */
void clv_connect_udp_access_changed(struct clv_requests *rs, bool is_admitted);

/* It was not answered within the time limit of requests.  Forgets it. */
void clv_connect_udp_overdue(struct clv_request *rq);

/*
 * The policy or the routes changed: close those remotes of bound tunnels that are denied now, and
 * give the others their new next hops.  (The session does so with the targets.)
 */
void clv_connect_udp_recheck(struct clv_requests *rs);

#endif
