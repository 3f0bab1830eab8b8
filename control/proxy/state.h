/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * state - the types that the files of the proxy share.  Each file uses only those below it:
 *
 *   request.c       one connection's requests: read, answered or begun
 *   connect_udp.c   one CONNECT-UDP request
 *   bind_request.c  what is special in one for a bound tunnel: ports, answer, context capsules
 *   bind_remotes.c  the remotes of a bound tunnel
 *   bind.c          all bound tunnels: whose port is whose
 *   reach.c, respond.c, early.c, remote_list.c
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_STATE_H
#define CLV_PROXY_STATE_H

#include "control/masque/capsule.h"
#include "control/masque/contexts.h"
#include "control/masque/template.h"
#include "control/proxy/early.h"
#include "control/proxy/remote_list.h"
#include "control/proxy/request.h"

enum clv_request_state {
	CLV_REQUEST_RESOLVING = 1, /* the target's addresses are not known yet */
	CLV_REQUEST_WAITING,	   /* the peer's SETTINGS are not known yet */
	CLV_REQUEST_OPEN,	   /* answered with success; has a tunnel */
};

/* A CONNECT-UDP request. */
struct clv_request {
	struct clv_requests *rs;
	struct clv_http_stream *stream;
	struct clv_request *prev, *next;
	enum clv_request_state state;
	struct clv_target target;
	struct clv_endpoint addrs[CLV_RESOLVE_MAX]; /* of the target; port set */
	size_t addrs_len;
	uint64_t resolve_token; /* RESOLVING */
	struct clv_ref ref;	/* OPEN */
	bool wants_bound;	/* asked for a bound tunnel, and we offer them */
	struct clv_bind *bound; /* NULL: not a bound tunnel */
	struct clv_capsule_parser capsules;
	struct clv_early early; /* capsules before it is OPEN */
};

/* The requests of one connection. */
struct clv_requests {
	struct clv_requests_params params;
	struct clv_http *http;
	struct clv_request *first;
	uint32_t count;
	struct clv_bucket registrations; /* of contexts, on all tunnels */
	uint32_t remotes;		 /* of all bound tunnels */
	__u64 rate_full_ns;		 /* bucket of config->request_rate */
};

/* A bound tunnel. */
struct clv_bind {
	struct clv_request *rq;
	struct clv_binds *all;
	struct clv_bind *prev, *next;
	struct clv_bind_ports ports;
	struct clv_contexts *contexts;
	struct clv_remote_list remotes;
	uint32_t hairpins_in; /* remotes of other tunnels that are our ports */
	uint32_t rejected;    /* contexts of ours that the peer refused */
	uint64_t undo_id;     /* a context that could not be completed, to be closed; 0: none */
};

/* All bound tunnels of a relay. */
struct clv_binds {
	const struct clv_bind_settings *settings;
	struct clv_table by_endpoint; /* bound endpoint, local and advertised -> struct clv_bind */
	struct clv_bind *first;
	uint32_t count;
	uint32_t remotes[CLV_WORKERS_MAX];
};

static inline void clv_requests_count(struct clv_requests *rs, enum clv_counter which)
{
	clv_count(rs->params.config->counters, which);
}

static inline const struct clv_requests_config *clv_bind_config(const struct clv_bind *b)
{
	return b->rq->rs->params.config;
}

static inline void clv_bind_count(const struct clv_bind *b, enum clv_counter which)
{
	clv_requests_count(b->rq->rs, which);
}

#endif
