/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	COMPRESS_ABOVE = 20, /* packets per second */
	IDLE_SEC = 120,
};

#define AGAIN_NS CLV_SEC

/* ---- events ---- */

static struct culvert_event event_of(struct culvert_bound *b, enum culvert_event_type type,
				     int error)
{
	return (struct culvert_event){
		.type = type,
		.user = b->user,
		.session = b->session,
		.bound = b,
		.error = error,
	};
}

static void on_open(void *user, const struct clv_client_result *result)
{
	struct culvert_bound *b = user;
	struct culvert_event e = event_of(b, CULVERT_BOUND_OPEN, 0);
	union culvert_address addresses[CLV_CLIENT_PUBLIC_MAX];

	b->is_open = true;
	e.was_open = true;
	e.status = result->status;
	for (unsigned i = 0; i < result->public_len; i++)
		text_to_address(&result->public_addrs[i], &addresses[i]);
	emit_event(b->session->c, &e, addresses, result->public_len * sizeof(addresses[0]));
}

static void emit_remote(struct culvert_bound *b, enum culvert_event_type type,
			const struct clv_endpoint *endpoint, const struct clv_endpoint *local)
{
	struct culvert_event e = event_of(b, type, 0);

	text_to_address(endpoint, &e.remote);
	if (local)
		text_to_address(local, &e.local);
	emit_event(b->session->c, &e, NULL, 0);
}

static void on_remote(void *user, const struct clv_endpoint *endpoint,
		      const struct clv_endpoint *local)
{
	emit_remote(user, CULVERT_REMOTE, endpoint, local);
}

static void on_remote_gone(void *user, const struct clv_endpoint *endpoint,
			   const struct clv_endpoint *local)
{
	emit_remote(user, CULVERT_REMOTE_GONE, endpoint, local);
}

static void on_remote_refused(void *user, const struct clv_endpoint *endpoint, int error)
{
	struct culvert_event e = event_of(user, CULVERT_REMOTE_REFUSED, error);

	if (endpoint->port)
		text_to_address(endpoint, &e.remote);
	emit_event(e.bound->session->c, &e, NULL, 0);
}

static void on_refused(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_bound *b = user;
	struct culvert_event e = event_of(b, CULVERT_BOUND_REFUSED, error);

	emit_refusal(b->session->c, &e, result);
}

static void on_ended(void *user, int error)
{
	struct culvert_bound *b = user;
	struct culvert_event e = event_of(b, CULVERT_BOUND_ENDED, error);

	b->is_open = false;
	e.was_open = true;
	b->again_ns = b->session->c->now_ns + AGAIN_NS;
	emit_event(b->session->c, &e, NULL, 0);
}

static void on_datagram(void *user, const struct clv_endpoint *endpoint, const uint8_t *payload,
			size_t len)
{
	struct culvert_bound *b = user;
	struct culvert_event e = event_of(b, CULVERT_DATAGRAM, 0);

	text_to_address(endpoint, &e.remote);
	emit_event(b->session->c, &e, payload, len);
}

static const struct clv_bound_tunnel_ops ops = {
	.on_open = on_open,
	.on_remote = on_remote,
	.on_remote_gone = on_remote_gone,
	.on_remote_refused = on_remote_refused,
	.on_refused = on_refused,
	.on_ended = on_ended,
	.on_datagram = on_datagram,
};

/* ---- life ---- */

static int read_options(struct culvert *c, const struct culvert_bound_options *o,
			struct clv_bound_tunnel_params *p)
{
	*p = (struct clv_bound_tunnel_params){
		.client = c->client,
		.now_ns = &c->now_ns,
		.is_joined = o->is_joined,
		.is_closed = o->is_closed,
		.remotes_max = o->remotes_max ? o->remotes_max : c->remotes_max,
		.busy_per_sec = o->compress_above ? o->compress_above : COMPRESS_ABOVE,
		.answer_ns = c->answer_ns,
		.idle_ns = (o->idle_sec ? o->idle_sec : IDLE_SEC) * CLV_SEC,
		.ops = &ops,
	};
	if (o->no_compress)
		p->busy_per_sec = 0;
	if (o->is_joined && o->app && (clv_endpoint_parse(o->app, &p->app) || !p->app.port))
		return text_set_why(c, CULVERT_ESYNTAX, "app is not ADDRESS:PORT: %s", o->app);
	if (p->remotes_max > c->remotes_max)
		return text_set_why(c, CULVERT_ERANGE,
				    "more remotes than the client was opened for");
	return 0;
}

static void release(struct object *object)
{
	free((struct culvert_bound *)object);
}

int culvert_bound_open(struct culvert_session *s, const struct culvert_bound_options *o,
		       struct culvert_bound **out)
{
	struct culvert_bound *b = calloc(1, sizeof(*b));
	struct clv_bound_tunnel_params p;
	int err;

	if (!b)
		return -ENOMEM;
	text_clear_why(s->c);
	b->object.release = release;
	b->session = s;
	b->user = o->user;
	b->is_joined = o->is_joined;
	err = read_options(s->c, o, &p);
	p.user = b;
	if (!err)
		err = clv_bound_tunnel_open(&p, &b->tunnel);
	if (err) {
		free(b);
		return err;
	}
	LIST_INSERT_HEAD(&s->bounds, b, link);
	if (s->is_up)
		clv_bound_tunnel_set_session(b->tunnel, s->relay);
	wake_now(s->c);
	*out = b;
	return 0;
}

void culvert_bound_close(struct culvert_bound *b)
{
	if (!b)
		return;
	LIST_REMOVE(b, link);
	clv_bound_tunnel_close(b->tunnel);
	wake_now(b->session->c);
	object_close(&b->object);
}

void bounds_set_session(struct culvert_session *s, struct clv_relay_session *relay)
{
	struct culvert_bound *b;

	LIST_FOREACH(b, &s->bounds, link) {
		b->again_ns = 0;
		clv_bound_tunnel_set_session(b->tunnel, relay);
	}
}

void bounds_step(struct culvert_session *s, uint64_t now_ns)
{
	struct culvert_bound *b;

	LIST_FOREACH(b, &s->bounds, link) {
		clv_bound_tunnel_step(b->tunnel);
		if (!b->again_ns || now_ns < b->again_ns)
			continue;
		b->again_ns = 0;
		if (s->is_up)
			clv_bound_tunnel_set_session(b->tunnel, s->relay);
	}
}

uint64_t bounds_next_ns(const struct culvert_session *s)
{
	const struct culvert_bound *b;
	uint64_t at_ns = UINT64_MAX;

	LIST_FOREACH(b, &s->bounds, link) {
		if (b->again_ns && b->again_ns < at_ns)
			at_ns = b->again_ns;
		if (clv_bound_tunnel_next_ns(b->tunnel) < at_ns)
			at_ns = clv_bound_tunnel_next_ns(b->tunnel);
	}
	return at_ns;
}

bool bounds_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
		       const uint8_t *payload, size_t len)
{
	struct culvert_bound *b;

	LIST_FOREACH(b, &s->bounds, link) {
		if (!clv_bound_tunnel_has(b->tunnel, &evt->local))
			continue;
		clv_bound_tunnel_new_remote(b->tunnel, evt, payload, len);
		return true;
	}
	return false;
}

/* ---- remotes ---- */

static int read_remote(const union culvert_address *address, struct clv_endpoint *out)
{
	return clv_endpoint_from_sockaddr(&address->sa, out) || !out->port ||
			       clv_addr_is_wildcard(out->addr)
		       ? CULVERT_ERANGE
		       : 0;
}

int culvert_bound_permit(struct culvert_bound *b, const union culvert_address *remote)
{
	struct clv_endpoint endpoint;
	int err = read_remote(remote, &endpoint);

	text_clear_why(b->session->c);
	b->session->c->now_ns = clv_clock_now_ns(); /* the time limit of the response starts now */
	if (!err)
		err = clv_bound_tunnel_permit(b->tunnel, &endpoint);
	wake_now(b->session->c);
	return err;
}

int culvert_bound_send(struct culvert_bound *b, const union culvert_address *remote,
		       const void *data, size_t len)
{
	struct clv_endpoint endpoint;
	int err = b->is_joined ? CULVERT_ERANGE : read_remote(remote, &endpoint);

	text_clear_why(b->session->c);
	if (!err)
		err = may_send(b->session, len);
	return err ? err : clv_bound_tunnel_send(b->tunnel, &endpoint, data, len);
}

void culvert_bound_info(const struct culvert_bound *b, struct culvert_bound_info *out)
{
	const struct clv_bound_tunnel_stats *n = clv_bound_tunnel_stats(b->tunnel);

	*out = (struct culvert_bound_info){
		.is_open = b->is_open,
		.remotes_full = n->remotes_full,
		.dropped = n->dropped,
	};
}
