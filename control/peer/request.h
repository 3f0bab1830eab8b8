/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * request - the client's requests on one connection to a relay: CONNECT-UDP tunnels with one target
 * each, bound tunnels, and a signal stream.
 *
 * Order: 1. new, and only then start the connection  2. open, once or often; requests wait for the
 * relay's SETTINGS by themselves  3. close each, or wait for its on_closed  4. free
 * Spec: RFC 9298 sections 2, 3.4 and 3.5, RFC 9297 section 3, RFC 9209,
 * draft-ietf-masque-connect-udp-listen-13 sections 2, 6 and 7.
 * Threading: control.
 */
#ifndef CLV_PEER_REQUEST_H
#define CLV_PEER_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/http/http.h"
#include "control/masque/capsule.h"
#include "control/masque/proxy_status.h"
#include "datapath/base/counters.h"

struct clv_client_requests; /* all of one connection */
struct clv_client_request;  /* lent from open until on_closed returns, or close is called */

enum {
	CLV_CLIENT_PUBLIC_MAX = 8, /* public addresses of a bound tunnel that are kept */
};

/* The relay's answer. */
struct clv_client_result {
	int err; /* 0: the tunnel is open; else why not: CLV_EDENIED, CLV_EUNROUTABLE, CLV_ENONAME,
			    CLV_ENAMETIME, CLV_EFULL, CLV_EPROTO, CLV_EHTTP, CLV_ECLOSED;
			    CLV_ETIMEOUT; with status 0, no answer came */
	unsigned status; /* HTTP status; 0 when none came */
	int64_t stream_id;
	bool capsules; /* the relay takes no DATAGRAM frames: send with clv_client_request_send */
	bool capsule_protocol; /* the relay confirmed capsule-protocol: extensions may be used */
	bool is_bound;	       /* a bound tunnel was asked for and granted */
	struct clv_endpoint public_addrs[CLV_CLIENT_PUBLIC_MAX]; /* with is_bound: where remotes
								    reach us */
	unsigned public_len;
	struct clv_proxy_status_read proxy; /* of Proxy-Status */
};

struct clv_client_request_ops {
	/* The answer; once for each request.  With err set on_closed follows. */
	void (*on_result)(void *user, struct clv_client_request *rq,
			  const struct clv_client_result *result);
	/* A datagram that came in a capsule.  payload: borrows. */
	void (*on_datagram)(void *user, struct clv_client_request *rq, uint64_t context_id,
			    const uint8_t *payload, size_t len);
	/*
	 * A COMPRESSION_* capsule of a bound tunnel.  value: borrows.  Returns 0, CLV_EPROTO (it was
	 * malformed), CLV_EFULL (more than we take) or another error; all but 0 end the request.
	 */
	int (*on_context)(void *user, struct clv_client_request *rq, enum clv_capsule_type type,
			  const uint8_t *value, size_t len);
	/*
	 * A capsule of a signal stream, of a type that control/masque/signal.h knows.  value: borrows.
	 * Returns as on_context.
	 */
	int (*on_signal)(void *user, struct clv_client_request *rq, uint64_t type,
			 const uint8_t *value, size_t len);
	/*
	 * The request is over: 0 the relay ended it, CLV_EPROTO one side broke the protocol,
	 * CLV_ECLOSED reset or connection lost, or result.err.  rq is gone when this returns.
	 */
	void (*on_closed)(void *user, struct clv_client_request *rq, int err);
};

struct clv_client_requests_params {
	struct clv_http *http; /* takes; its events come here */
	const struct clv_client_request_ops *ops;
	void *user;
	const char *uri_template; /* copies; NULL: the default one at authority */
	const char *authority;	  /* copies; "host:port" of the relay, IPv6 in brackets */
	const char *authorization; /* borrows for life; of Proxy-Authorization; NULL: no such field */
	uint32_t streams_max;	   /* requests open at a time */
	uint64_t capsule_backlog; /* bytes of DATAGRAM capsules that may wait for a slow relay */
	uint64_t answer_ns;	  /* longest wait for the answer to a request; 0: for ever */
	struct clv_counters *counters;
};

/*
 * Returns 0 and fills *out; or CLV_ESYNTAX (template or authority) or -ENOMEM, and then the
 * connection is freed.
 */
int clv_client_requests_new(const struct clv_client_requests_params *params,
			    struct clv_client_requests **out);
/* on_closed is called for every request still there. */
void clv_client_requests_free(struct clv_client_requests *cs);

/*
 * Ask for a tunnel to host:port.  host: copies; a name or a literal without brackets.
 * user: the request's own pointer, clv_client_request_user().  Answers come from later events.
 * Returns 0 and fills *out; CLV_ERANGE (host or port), CLV_EFULL (streams_max), CLV_EPROTO (the
 * relay does not take CONNECT-UDP), CLV_ECLOSED, -ENOMEM.
 */
int clv_client_request_open(struct clv_client_requests *cs, const char *host, uint16_t port,
			    void *user, struct clv_client_request **out);
/* The same for a bound tunnel, without a target. */
int clv_client_request_bind(struct clv_client_requests *cs, void *user,
			    struct clv_client_request **out);
/* The same for a signal stream, which does not count for streams_max. */
int clv_client_request_signal(struct clv_client_requests *cs, void *user,
			      struct clv_client_request **out);
bool clv_client_request_is_signal(const struct clv_client_request *rq);
void *clv_client_request_user(const struct clv_client_request *rq);

/*
 * Cancel the requests that had no answer for too long since the first step after they were made.
 * Their on_result and on_closed may open and close others, and must not free cs.
 */
void clv_client_requests_step(struct clv_client_requests *cs, uint64_t now_ns);
/* When the next will have waited too long; UINT64_MAX: none.  Valid from a step to the next open. */
uint64_t clv_client_requests_next_ns(const struct clv_client_requests *cs);

/* End the request.  rq: takes; no further events.  Not from inside of on_closed. */
void clv_client_request_close(struct clv_client_request *rq);

/* The relay broke the protocol on an open request: reset it with a code; on_closed follows, CLV_EPROTO. */
void clv_client_request_abort(struct clv_client_request *rq, uint64_t code);

/*
 * Send a capsule of a bound tunnel.  capsule: copies.
 * Returns 0, CLV_EFULL (the relay reads too slowly), CLV_ECLOSED or -ENOMEM.
 */
int clv_client_request_send_capsule(struct clv_client_request *rq, const uint8_t *capsule,
				    size_t len);
/* Send a datagram in a capsule; dropped and counted when the relay reads too slowly. */
void clv_client_request_send(struct clv_client_request *rq, uint64_t context_id,
			     const uint8_t *payload, size_t len);

#endif
