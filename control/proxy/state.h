/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * state - the types that the files of the proxy share.  Each file uses only those below it:
 *
 *   proxy.c             sessions of clients, and the HTTP connection of each
 *   request.c           the requests of one connection: read, answered or begun
 *   signal_stream.c     the signal stream of one connection
 *   signals.c           what all signal streams share: limits, records.c, knocks.c
 *   connect_udp.c       one CONNECT-UDP request
 *   retarget.c          another address for a target that does not answer
 *   request_capsules.c  what the client sends on the stream of a request
 *   bound_request.c     what is special in one for a bound tunnel: ports, answer, context capsules
 *   bound_remotes.c     the remotes of a bound tunnel
 *   bound_tunnels.c     all bound tunnels, found by their ports
 *   gate.c              credentials of clients
 *   meters.c            rates and totals of one client, at the workers
 *   names.c             look-ups of names, charged to clients
 *   reach.c             policy and routes
 *   respond.c           final responses
 *   early.c             capsules that arrive before a tunnel is open
 *   remote_list.c       the list of a bound tunnel's remotes
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_STATE_H
#define CLV_PROXY_STATE_H

#include "control/admission/accounts.h"
#include "control/core/ports.h"
#include "control/masque/capsule.h"
#include "control/masque/contexts.h"
#include "control/masque/template.h"
#include "control/proxy/early.h"
#include "control/proxy/gate.h"
#include "control/proxy/names.h"
#include "control/proxy/remote_list.h"
#include "control/proxy/request.h"

/* What a request is; the first member of whatever stands behind its stream. */
enum clv_request_kind {
	CLV_REQUEST_UDP = 1, /* struct clv_request */
	CLV_REQUEST_SIGNAL,  /* struct clv_signal_stream */
};

enum clv_request_state {
	CLV_REQUEST_CHECKING = 1, /* the client's password is being checked */
	CLV_REQUEST_RESOLVING,	  /* the target's addresses are not known yet */
	CLV_REQUEST_WAITING,	  /* the peer's SETTINGS are not known yet */
	CLV_REQUEST_OPEN,	  /* answered with success; has a tunnel */
};

/* What is known of a target's addresses: a bit for each. */
struct clv_candidates {
	uint32_t seen;	/* tried, or cannot be reached */
	uint32_t tried; /* the tunnel had it */
	uint32_t dead;	/* an error said so */
	uint8_t now;	/* the tunnel has it */
};

/* A CONNECT-UDP request. */
struct clv_request {
	enum clv_request_kind kind; /* CLV_REQUEST_UDP */
	struct clv_requests *rs;
	struct clv_http_stream *stream;
	struct clv_request *prev, *next;
	enum clv_request_state state;
	struct clv_target target;
	struct clv_endpoint addrs[CLV_RESOLVE_MAX]; /* of the target; port set */
	size_t addrs_len;
	struct clv_candidates candidates; /* which of them were tried */
	struct clv_gate_check *check;	  /* CHECKING */
	uint32_t ports;			  /* that the client is charged for */
	struct clv_gate_grant *grant;	  /* what it rests on; NULL: nothing */
	struct clv_worker_meter *meter;	  /* of its client, once the tunnel is to be opened */
	struct clv_lookup *lookup;	  /* RESOLVING */
	struct clv_ref ref;		  /* OPEN */
	bool wants_bound;		  /* asked for a bound tunnel, and we offer them */
	struct clv_bound_tunnel *bound;	  /* NULL: not a bound tunnel */
	struct clv_capsule_parser capsules;
	struct clv_early early; /* capsules before it is OPEN */
};

/* The requests of one connection. */
struct clv_requests {
	struct clv_requests_params params;
	struct clv_http *http;
	struct clv_request *first;
	uint32_t count;
	struct clv_signal_stream *signal; /* NULL: none */
	struct clv_bucket registrations;  /* of contexts, on all tunnels */
	uint32_t remotes;		  /* of all bound tunnels */
	struct clv_gate_account *account; /* the client that is charged for it; NULL: none yet */
	__u64 rate_full_ns;		  /* bucket of config->request_rate */
};

/* A bound tunnel. */
struct clv_bound_tunnel {
	struct clv_request *rq;
	struct clv_bound_tunnels *all;
	struct clv_bound_tunnel *prev, *next;
	struct clv_tunnel_ports ports;
	struct clv_contexts *contexts;
	struct clv_remote_list remotes;
	uint32_t hairpins_in; /* remotes of other tunnels that are our ports */
	uint32_t rejected;    /* contexts of ours that the peer refused */
	uint64_t undo_id;     /* a context that could not be completed, to be closed; 0: none */
};

/* All bound tunnels of a relay. */
struct clv_bound_tunnels {
	const struct clv_bound_settings *settings;
	struct clv_table by_port; /* endpoint, local or advertised -> struct clv_bound_tunnel */
	struct clv_bound_tunnel *first;
	uint32_t count;
};

static inline void clv_requests_count(struct clv_requests *rs, enum clv_counter which)
{
	clv_count(rs->params.config->counters, which);
}

/* Who is charged for what the client of these requests has; NULL: nobody. */
static inline struct clv_account *clv_requests_payer(const struct clv_requests *rs)
{
	return rs->params.ops->account(rs->params.session);
}

/* Charge one request to the client.  Returns whether there is room for it. */
static inline bool clv_requests_charge(struct clv_requests *rs)
{
	return !clv_accounts_take(rs->params.config->accounts, clv_requests_payer(rs),
				  CLV_RESOURCE_REQUESTS, CLV_ACCOUNTS_WHOLE);
}

static inline void clv_requests_discharge(struct clv_requests *rs)
{
	clv_accounts_give(rs->params.config->accounts, clv_requests_payer(rs),
			  CLV_RESOURCE_REQUESTS, CLV_ACCOUNTS_WHOLE);
}

static inline struct clv_ports clv_requests_ports(const struct clv_requests_config *config)
{
	return (struct clv_ports){ config->host_ops, config->host, config->accounts };
}

static inline const struct clv_requests_config *clv_bound_config(const struct clv_bound_tunnel *b)
{
	return b->rq->rs->params.config;
}

static inline void clv_bound_count(const struct clv_bound_tunnel *b, enum clv_counter which)
{
	clv_requests_count(b->rq->rs, which);
}

#endif
