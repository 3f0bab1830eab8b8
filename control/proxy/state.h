/* SPDX-License-Identifier: GPL-3.0-or-later */
/* request_internal - what request.c (all requests) and request_tunnel.c (CONNECT-UDP) share. */
#ifndef CLV_PROXY_STATE_H
#define CLV_PROXY_STATE_H

#include <string.h>

#include "control/masque/capsule.h"
#include "control/masque/proxy_status.h"
#include "control/proxy/request.h"
#include "control/masque/template.h"

enum clv_request_state {
	CLV_REQUEST_RESOLVING = 1, /* the name's addresses are not known yet */
	CLV_REQUEST_WAITING,	   /* the peer's SETTINGS are not known yet */
	CLV_REQUEST_OPEN,	   /* answered; has a tunnel */
};

/* The value of a capsule that came before the tunnel. */
struct clv_request_early {
	struct clv_request_early *next;
	enum clv_capsule_type type;
	size_t len;
	uint8_t value[];
};

struct clv_request {
	struct clv_requests *rs;
	struct clv_http_stream *stream;
	struct clv_request *prev, *next;
	enum clv_request_state state;
	struct clv_target target;
	struct clv_endpoint addrs[CLV_RESOLVE_MAX]; /* what the target may be; port set */
	size_t addrs_len;
	uint64_t resolve_token; /* RESOLVING */
	struct clv_ref ref;	/* OPEN */
	bool wants_bind;	/* asked for a bound tunnel, and we offer them */
	struct clv_bind *bind;	/* a bound tunnel; else NULL */
	struct clv_capsule_parser capsules;
	struct clv_request_early *early, *early_last;
	size_t early_bytes;
};

struct clv_requests {
	struct clv_requests_params params;
	struct clv_http *http;
	struct clv_request *first;
	uint32_t count;
	struct clv_contexts_rate registrations; /* of contexts, on all tunnels */
	uint32_t remotes;			/* of all bound tunnels */
	__u64 rate_full_ns;			/* bucket of config->request_rate */
};

static inline void clv_requests_count(struct clv_requests *rs, enum clv_counter which)
{
	clv_count(rs->params.config->counters, which);
}

/*
 * Refuse a stream's request with a Proxy-Status and read no more of it.  status 0: the one
 * recommended for the error.  why: borrows.
 */
void clv_requests_refuse(struct clv_requests *rs, struct clv_http_stream *s, unsigned status,
			 const struct clv_proxy_status *why);

/* ---- one CONNECT-UDP request ---- */

/*
 * Make the request of a stream and set out for its tunnel; it is answered now or later.
 * wants_bind: for a bound one, which must do without a target where target is "*".
 */
void clv_request_begin(struct clv_requests *rs, struct clv_http_stream *s,
		       const struct clv_target *target, bool wants_bind);
/* The peer's SETTINGS are known: go on with a request that waits for them.  rq: takes. */
void clv_request_open_tunnel(struct clv_request *rq);
/* Stream bytes: capsules.  rq: may be gone when it returns. */
void clv_request_body(struct clv_request *rq, const uint8_t *data, size_t len);
/* The peer finished its half.  rq: takes. */
void clv_request_finish(struct clv_request *rq);
/* Let go of everything the request holds, whatever its state.  rq: takes. */
void clv_request_end(struct clv_request *rq);
/* The same, and give the stream up with a code.  rq: takes. */
void clv_request_abort(struct clv_request *rq, uint64_t code);

/* ---- bound tunnels ---- */

enum {
	CLV_BIND_PUBLIC_MAX = 128, /* two addresses with ports, quoted */
};

/*
 * Take ports of both families, and make what a bound tunnel needs.  route: to target; both NULL
 * without one.
 * Returns 0 and sets rq->bind, CLV_EFULL, CLV_EUNROUTABLE (no address of any family) or an error.
 * What follows is either cancel (no tunnel came of it), or, once the session took the ports, start.
 */
int clv_bind_new(struct clv_request *rq, const struct clv_endpoint *target,
		 const struct clv_route *route);
const struct clv_bind_ports *clv_bind_ports(const struct clv_request *rq);
void clv_bind_cancel(struct clv_request *rq);
/* rq->ref is set: let the world know the ports.  On error rq->bind is gone, the ports are not. */
int clv_bind_start(struct clv_request *rq);
/* Before the tunnel is closed, or when it is gone.  Without a bound tunnel it does nothing. */
void clv_bind_end(struct clv_request *rq);

/* The value of Proxy-Public-Address, zero-terminated. */
void clv_bind_write_public(const struct clv_request *rq, char buf[static CLV_BIND_PUBLIC_MAX]);

/* A COMPRESSION_* capsule.  Returns as clv_contexts_capsule. */
int clv_bind_capsule(struct clv_request *rq, enum clv_capsule_type type, const uint8_t *value,
		     size_t len);
enum clv_contexts_verdict clv_bind_judge(const struct clv_request *rq, uint64_t context_id);

#endif
