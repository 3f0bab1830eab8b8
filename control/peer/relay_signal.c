/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/relay_signal.h"

#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>

struct clv_relay_signal {
	struct clv_relay_signal_params p;
	struct clv_client_request *request;
	struct clv_signal_session session;
	bool is_refused;
};

/* The session's user is this object, so that send finds the request; the other ops have their own. */
static int send_capsule(void *user, const uint8_t *capsule, size_t len)
{
	struct clv_relay_signal *r = user;

	return clv_client_request_send_capsule(r->request, capsule, len);
}

#define USER(r) (((struct clv_relay_signal *)(r))->p.user)
#define OPS(r)	(((struct clv_relay_signal *)(r))->p.ops)

static void on_hello(void *user, const struct clv_identity *relay)
{
	OPS(user)->on_hello(USER(user), relay);
}

static void on_observed(void *user, const struct clv_endpoint *at, uint64_t sequence)
{
	OPS(user)->on_observed(USER(user), at, sequence);
}

static void on_published(void *user, enum clv_signal_result result)
{
	OPS(user)->on_published(USER(user), result);
}

static void on_found(void *user, uint32_t number, enum clv_signal_result result,
		     const struct clv_object *record)
{
	OPS(user)->on_found(USER(user), number, result, record);
}

static void on_knocked(void *user, uint32_t number, enum clv_signal_result result,
		       const struct clv_object *record)
{
	OPS(user)->on_knocked(USER(user), number, result, record);
}

static void on_knock(void *user, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
		     const struct clv_object *knock)
{
	OPS(user)->on_knock(USER(user), request, knock);
}

static void on_going(void *user, uint16_t seconds)
{
	OPS(user)->on_going(USER(user), seconds);
}

static const struct clv_signal_session_ops session_ops = {
	.send = send_capsule,
	.on_hello = on_hello,
	.on_observed = on_observed,
	.on_published = on_published,
	.on_found = on_found,
	.on_knocked = on_knocked,
	.on_knock = on_knock,
	.on_going = on_going,
};

int clv_relay_signal_open(struct clv_client_requests *requests,
			  const struct clv_relay_signal_params *p, struct clv_relay_signal **out)
{
	struct clv_relay_signal *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->p = *p;
	clv_signal_session_init(&r->session, &session_ops, r, p->rand, p->signer);
	err = clv_client_request_signal(requests, r, &r->request);
	if (err) {
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

static void forget(struct clv_relay_signal *r)
{
	clv_signal_session_fini(&r->session);
	free(r);
}

void clv_relay_signal_close(struct clv_relay_signal *r)
{
	clv_client_request_close(r->request);
	forget(r);
}

struct clv_signal_session *clv_relay_signal_session(struct clv_relay_signal *r)
{
	return &r->session;
}

void clv_relay_signal_step(struct clv_relay_signal *r, uint64_t now_ns)
{
	clv_signal_session_step(&r->session, now_ns, r->p.wall_ms());
}

uint64_t clv_relay_signal_next_ns(const struct clv_relay_signal *r)
{
	return clv_signal_session_next_ns(&r->session);
}

void clv_relay_signal_result(struct clv_relay_signal *r, const struct clv_client_result *result)
{
	if (result->err) {
		r->is_refused = true;
		r->p.on_closed(r->p.user, result->err, result);
		return;
	}
	clv_signal_session_start(&r->session);
}

int clv_relay_signal_value(struct clv_relay_signal *r, uint64_t type, const uint8_t *value,
			   size_t len)
{
	return clv_signal_session_value(&r->session, type, value, len);
}

void clv_relay_signal_ended(struct clv_relay_signal *r, int err)
{
	if (!r->is_refused)
		r->p.on_closed(r->p.user, err, NULL);
	forget(r);
}
