/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request - what the relay does with the requests of one HTTP connection: CONNECT-UDP, a signal
 * stream, and a page that describes the relay.
 *
 * Order: 1. new, and only then start the connection  2. free
 * Spec: RFC 9298 sections 3 and 7, RFC 9297 section 3, RFC 9209, RFC 9220.
 * Threading: control.
 */
#ifndef CLV_PROXY_REQUEST_H
#define CLV_PROXY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/policy.h"
#include "control/core/session.h"
#include "control/core/steering.h"
#include "control/host/host.h"
#include "control/http/http.h"
#include "control/proxy/bound_tunnels.h"
#include "datapath/base/budget.h"
#include "datapath/base/counters.h"
#include "datapath/tunnel/messages.h"

struct clv_accounts;
struct clv_gate;
struct clv_names;
struct clv_signals;
struct clv_signal_stream; /* the signal stream of one connection */
struct clv_requests;	  /* the requests of one connection */
struct clv_request;	  /* one CONNECT-UDP request; lives from tunnel_open to tunnel_close */

/* Shared by all connections; the owner may change policy and limits at any time. */
struct clv_requests_config {
	const struct clv_host_ops *host_ops;
	void *host;
	const struct clv_policy *policy;
	struct clv_gate *gate; /* NULL: every client may use the relay */
	struct clv_names *names;
	struct clv_signals *signals;   /* NULL: signal streams are not offered */
	struct clv_accounts *accounts; /* of clients' addresses; NULL: without limits */
	const char *proxy_name;	       /* names us in Proxy-Status */
	const struct clv_steering *steering;
	struct clv_counters *counters;
	uint32_t tunnels_per_conn;
	uint64_t trial_ns; /* after so much silence a target's next address is tried; 0: never */
	struct clv_rate request_rate; /* of one connection */
	uint64_t capsule_backlog; /* bytes of DATAGRAM capsules a slow reader may leave waiting */
	const struct clv_bound_settings *bound;
	struct clv_bound_tunnels *bound_tunnels;
	const uint64_t *now_ns; /* the time of this step */
};

/* What requests need of their session.  None may free the clv_requests. */
struct clv_request_ops {
	/* The client's address, for the gate. */
	const struct clv_endpoint *(*peer)(void *session);
	/* Who is charged for what the client has; NULL: nobody.  Lends until the session ends. */
	struct clv_account *(*account)(void *session);
	/* The keys that the client has proven, for the gate. */
	const struct clv_tls_facts *(*tls)(void *session);
	/*
	 * Make a tunnel.  tunnel: borrows; its ops, user and spec.idle_ns are the session's to
	 * set.  On success the session takes its egress, or the bound tunnel's ports, and gives
	 * them back to the host when the tunnel is gone.
	 * Returns 0 and fills *ref, CLV_EFULL (tunnels_max) or any other error.
	 */
	int (*tunnel_open)(void *session, struct clv_request *rq,
			   const struct clv_session_tunnel *tunnel, struct clv_ref *ref);
	/*
	 * Give its tunnel another target.  tunnel: borrows; on success, or when it returns another
	 * error than CLV_ECLOSED, the session takes its egress.
	 * Returns as clv_session_tunnel_retarget.
	 */
	int (*tunnel_retarget)(void *session, const struct clv_session_tunnel *tunnel,
			       const struct clv_ref *ref);
	/* There is no other target: the tunnel keeps the one it has. */
	void (*tunnel_stay)(void *session, const struct clv_ref *ref);
	/* The request ended: remove its tunnel.  rq is gone when this returns. */
	void (*tunnel_close)(void *session, struct clv_request *rq, const struct clv_ref *ref);
	/* A datagram of the tunnel that came in a capsule.  payload: borrows. */
	void (*tunnel_send)(void *session, const struct clv_ref *ref, uint64_t context_id,
			    const uint8_t *payload, size_t len);
};

struct clv_requests_params {
	const struct clv_requests_config *config; /* borrows for life */
	struct clv_http *http;			  /* takes; its events come here */
	const struct clv_request_ops *ops;
	void *session;
	struct clv_rand *rand;		  /* borrows for life */
	struct clv_budget_holder *holder; /* borrows for life; of what waits; NULL: no limit */
	struct clv_budget_holder *memory; /* likewise; of what is kept */
};

/* Returns 0 and fills *out, or -ENOMEM, and then the connection is freed. */
int clv_requests_new(const struct clv_requests_params *params, struct clv_requests **out);
/* Ends every request: tunnel_close is called for each open tunnel, resolutions are cancelled. */
void clv_requests_free(struct clv_requests *rs);

/* CONNECT-UDP requests that hold or are about to hold a tunnel. */
uint32_t clv_requests_tunnels(const struct clv_requests *rs);

#endif
