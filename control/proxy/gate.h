/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * gate - which clients may have tunnels: their credentials, and the requests that rest on them.
 *
 * A grant stands for one credential in use and is shared by all requests that rest on it.  When it
 * expires or is revoked, renew marks it as over and its requests have to be ended.
 *
 * A password is checked on another thread; the request waits for it.
 *
 * Spec: RFC 9110 section 11.7 (Proxy-Authenticate, Proxy-Authorization), RFC 7617, RFC 6750.
 * Threading: control.
 */
#ifndef CLV_PROXY_GATE_H
#define CLV_PROXY_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "control/admission/access.h"
#include "control/proxy/meters.h"
#include "control/proxy/request.h"

struct clv_gate;
struct clv_gate_check; /* a password that is being checked */

/* What a request rests on: a grant, or a check that has to succeed first; or nothing. */
struct clv_gate_access {
	struct clv_gate_grant *grant;
	struct clv_gate_check *check;
};

/* What all credentials of one name use.  Kept as long as the gate, for the total of bytes. */
struct clv_gate_account {
	char name[CLV_CLIENT_NAME_MAX + 1]; /* "": clients of an open relay */
	struct clv_gate_account *next;
	uint32_t conns, tunnels, ports; /* at a time */
	struct clv_meters meters;
};

/* A credential in use. */
struct clv_gate_grant {
	struct clv_access_grant access;
	struct clv_gate_account *account;
	struct clv_gate_grant *next;
	uint32_t refs;
	bool is_over;
};

struct clv_gate_params {
	struct clv_access *access; /* borrows for life */
	const struct clv_host_ops *host_ops;
	void *host;
	struct clv_counters *counters;
	const uint64_t *now_ns; /* the time of this step */
	struct clv_meters_out meters;
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_gate_new(const struct clv_gate_params *params, struct clv_gate **out);
/* Every request and the workers have ended; checks may still run. */
void clv_gate_free(struct clv_gate *gate);

/* A client, as its connection shows it. */
struct clv_gate_client {
	const uint8_t *addr;		 /* 16 bytes */
	const struct clv_tls_facts *tls; /* its keys */
};

/*
 * Decide about a request, from its client and credentials.  gate: NULL admits everybody.
 *   CLV_ACCESS_GRANTED  *grant is to be given back; NULL if it rests on no credential
 *   CLV_ACCESS_CHECK    *check is to be started or cancelled
 *   else                the request is to be refused; it is counted
 */
enum clv_access_result clv_gate_judge(struct clv_gate *gate, const struct clv_gate_client *client,
				      const struct clv_http_head *head,
				      struct clv_gate_grant **grant, struct clv_gate_check **check);
void clv_gate_give(struct clv_gate *gate, struct clv_gate_grant *grant);
/* Release what a request was to rest on. */
void clv_gate_forget(struct clv_gate *gate, const struct clv_gate_access *access);

/* Let a granted request that has no tunnel not count as one.  grant: NULL is fine. */
void clv_gate_hold(struct clv_gate_grant *grant);
/* Give back the grant of one that hold was called for. */
void clv_gate_release(struct clv_gate *gate, struct clv_gate_grant *grant);

/*
 * The result of a check, from a later turn of the loop; as that of clv_gate_judge, but never
 * CLV_ACCESS_CHECK.
 */
typedef void clv_gate_checked_fn(void *user, enum clv_access_result result,
				 struct clv_gate_grant *grant);
/* Returns 0, or an error of the host, and then the check is cancelled. */
int clv_gate_check_start(struct clv_gate_check *check, clv_gate_checked_fn *done, void *user);
/* The client is gone: done is not called.  check: takes. */
void clv_gate_check_cancel(struct clv_gate_check *check);

/*
 * The tunnel of a granted request is about to be opened at a worker, with *meter; close says that the
 * request ends, with or without a tunnel.  A request of an open relay has no meter.
 * Returns 0 and fills *meter, or -ENOMEM.
 */
int clv_gate_meter_open(struct clv_request *rq, uint16_t worker, struct clv_meter **meter);
void clv_gate_meter_close(struct clv_request *rq);
/* To be called once a second: what clients have used of their totals becomes known to the workers. */
void clv_gate_tick(struct clv_gate *gate);

/* Call fn for each client that used the relay since it started, in no order. */
void clv_gate_each(const struct clv_gate *gate,
		   void (*fn)(void *user, const struct clv_gate_account *account), void *user);

/*
 * Charge a granted request, and its connection if that is charged to no client yet, to the client.
 * A connection counts for the client whose credential came first on it.
 * Returns NULL, or which limit of the credential is reached: refuse the request.
 */
const char *clv_gate_charge(struct clv_requests *rs, const struct clv_gate_grant *grant,
			    bool wants_bound);
/* The connection is gone. */
void clv_gate_discharge(struct clv_requests *rs);

/* Answer a request that is refused because of result, with a challenge where that may help. */
void clv_gate_refuse(struct clv_requests *rs, struct clv_http_stream *s,
		     enum clv_access_result result);

/*
 * Judge all grants again: the time of one has come, or with must users or configuration changed.
 * Returns whether some are over.
 */
bool clv_gate_renew(struct clv_gate *gate, bool must);

#endif
