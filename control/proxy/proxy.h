/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * proxy - a MASQUE proxy over control's sessions: an HTTP server whose CONNECT-UDP requests are
 * tunnels, and at which peers find each other.
 *
 * Order: 1. new  2. clv_control_open with clv_proxy_app_ops as accept_ops and the proxy as
 * accept_app  3. clv_control_close  4. free
 * Spec: RFC 9298, draft-ietf-masque-connect-udp-listen-13.
 * Threading: control.
 */
#ifndef CLV_PROXY_PROXY_H
#define CLV_PROXY_PROXY_H

#include <stdint.h>

#include "control/admission/access.h"
#include "control/admission/policy.h"
#include "control/core/session.h"
#include "control/proxy/bound_tunnels.h"
#include "control/proxy/signals.h"

struct clv_gate_account;
struct clv_proxy;

/* Each limit has a counter of what it refused. */
struct clv_proxy_limits {
	uint32_t tunnels_per_conn;
	uint32_t requests_per_sec, requests_burst; /* of one connection; 0: no limit */
	uint64_t capsule_backlog; /* bytes of datagram capsules that may wait for a slow reader */
	uint64_t tunnel_idle_ns;  /* of a tunnel that is not bound */
	uint32_t requests_max;	  /* that have a tunnel or wait for one */
	uint32_t names_pending;	  /* requests that wait for a name */
	uint32_t egress_ports;	  /* ports for packets to targets, of each family; 0: no limit */
	uint64_t trial_ns;	  /* of silence, then a target's next address is tried; 0: never */
	uint64_t request_ns;	  /* from a request's first byte to its response */
	uint32_t unfinished_max;  /* requests of one connection that are not whole yet */
	/* Neighbours on the link that are looked for because of one source, and of all; 0: no limit. */
	uint32_t neighbours_per_source_per_sec, neighbours_per_sec;
};

struct clv_proxy_params {
	const struct clv_policy *policy; /* borrows; replaced by clv_proxy_set_policy */
	struct clv_access *access; /* borrows for life; NULL: every client may use the relay */
	const char *name;	   /* names us in Proxy-Status; copies */
	struct clv_proxy_limits limits;
	struct clv_bound_settings bind;
	struct clv_signal_settings signal;
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_proxy_new(const struct clv_proxy_params *params, struct clv_proxy **out);
/* Every session, and the workers, have ended. */
void clv_proxy_free(struct clv_proxy *p);

/* app: the struct clv_proxy. */
extern const struct clv_session_app_ops clv_proxy_app_ops;

/*
 * Replace the policy while control is open; the kernel's table must have the new one.  Tunnels and
 * remotes of bound tunnels that it denies end.  policy: borrows until replaced.
 */
void clv_proxy_set_policy(struct clv_proxy *p, const struct clv_policy *policy);

/*
 * End the tunnels whose credentials expired; with is_changed, since users, mode or list of clients
 * changed, those too that access does not accept any more.  To be called once a second,
 * because it also tells the workers what clients may still send and receive.
 */
void clv_proxy_renew_access(struct clv_proxy *p, bool is_changed);

/* What its signal streams have, for reports; NULL: they are not offered. */
const struct clv_signals *clv_proxy_signals(const struct clv_proxy *p);

/* Call fn for each client that used the relay since it started, in no order; see gate.h. */
void clv_proxy_each_client(const struct clv_proxy *p,
			   void (*fn)(void *user, const struct clv_gate_account *account),
			   void *user);

#endif
