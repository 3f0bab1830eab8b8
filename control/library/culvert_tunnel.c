/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/template.h"
#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

enum {
	SENDERS_MAX = 1024, /* of a forward */
	HELD_PACKETS = 64,  /* of one sender, before its tunnel is open */
	HELD_BYTES = 4 << 20,
	SOCKET_BYTES = 4 << 20,
};

#define REFUSED_NS (3 * CLV_SEC) /* before a refused sender asks again */

static int parse_target(struct culvert *c, const char *text, struct target *out)
{
	struct clv_template_uri uri;
	const char *why;
	int err = api_parse(c, "target", text, out);

	if (err)
		return err;
	if (!out->port)
		return api_fail(c, CULVERT_ESYNTAX, "target: port 0: %s", text);
	if (clv_template_expand("https://relay.invalid" CLV_TEMPLATE_DEFAULT_PATH, out->host,
				out->port, &uri, &why))
		return api_fail(c, CULVERT_ESYNTAX, "target: %s: %s", why, text);
	return 0;
}

/* ---- tunnels ---- */

static void on_open(void *user, const struct clv_client_result *result)
{
	struct culvert_tunnel *t = user;
	struct culvert_event e = {
		.type = CULVERT_OPEN,
		.user = t->user,
		.session = t->session,
		.tunnel = t,
		.was_open = true,
		.status = result->status,
	};

	t->is_open = true;
	api_tell(t->session->c, &e, NULL, 0);
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_tunnel *t = user;
	struct culvert_event e = {
		.type = CULVERT_CLOSED,
		.user = t->user,
		.session = t->session,
		.tunnel = t,
		.error = error,
		.was_open = t->is_open,
	};

	t->tunnel = NULL;
	t->is_open = false;
	api_tell_refusal(t->session->c, &e, result);
}

static void on_delivery(void *user, enum clv_event type, const struct clv_evt_bound *evt,
			const uint8_t *payload, size_t len)
{
	struct culvert_tunnel *t = user;
	struct culvert_event e = {
		.type = CULVERT_DATAGRAM,
		.user = t->user,
		.session = t->session,
		.tunnel = t,
	};

	(void)evt;
	if (type == CLV_EVT_DELIVERY)
		api_tell(t->session->c, &e, payload, len);
}

static const struct clv_relay_tunnel_ops tunnel_ops = {
	.on_open = on_open,
	.on_closed = on_closed,
	.on_bound = on_delivery,
};

int culvert_tunnel_open(struct culvert_session *s, const struct culvert_tunnel_options *o,
			struct culvert_tunnel **out)
{
	struct clv_relay_tunnel_params p = { .deliver = true, .ops = &tunnel_ops };
	struct culvert_tunnel *t;
	struct target target;
	int err;

	s->c->why[0] = '\0';
	err = parse_target(s->c, o->target, &target);
	if (err)
		return err;
	if (!s->is_up)
		return CULVERT_ECLOSED;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->session = s;
	t->user = o->user;
	p.host = target.host;
	p.port = target.port;
	p.user = t;
	err = clv_relay_tunnel_open(s->relay, &p, &t->tunnel);
	if (err) {
		free(t);
		return err;
	}
	t->next = s->tunnels;
	if (t->next)
		t->next->prev = t;
	s->tunnels = t;
	api_hurry(s->c);
	*out = t;
	return 0;
}

void api_tunnel_release(struct culvert_tunnel *t)
{
	if (!t->object.events)
		free(t);
}

void culvert_tunnel_close(struct culvert_tunnel *t)
{
	if (!t)
		return;
	if (t->prev)
		t->prev->next = t->next;
	else
		t->session->tunnels = t->next;
	if (t->next)
		t->next->prev = t->prev;
	if (t->tunnel)
		clv_relay_tunnel_close(t->tunnel);
	api_hurry(t->session->c);
	t->object.is_closed = true;
	api_tunnel_release(t);
}

int culvert_tunnel_send(struct culvert_tunnel *t, const void *data, size_t len)
{
	int err = t->is_open ? api_may_send(t->session, len) : CULVERT_ECLOSED;

	t->session->c->why[0] = '\0';
	if (!err)
		clv_relay_tunnel_up(t->tunnel, data, len);
	return err;
}

/* ---- forwards ---- */

static struct culvert_event forward_event(struct culvert_forward *f, enum culvert_event_type type,
					  int error)
{
	return (struct culvert_event){
		.type = type,
		.user = f->user,
		.session = f->session,
		.forward = f,
		.error = error,
	};
}

static void on_sender_open(void *user, const struct clv_client_result *result)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_OPEN, 0);

	e.status = result->status;
	api_tell(f->session->c, &e, NULL, 0);
}

static void on_sender_refused(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_REFUSED, error);

	api_tell_refusal(f->session->c, &e, result);
}

static void on_sender_ended(void *user, int error)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_ENDED, error);

	e.was_open = true;
	api_tell(f->session->c, &e, NULL, 0);
}

static const struct clv_forward_ops forward_ops = {
	.on_open = on_sender_open,
	.on_refused = on_sender_refused,
	.on_ended = on_sender_ended,
};

void api_forwards_set_session(struct culvert_session *s, struct clv_relay_session *relay)
{
	for (struct culvert_forward *f = s->forwards; f; f = f->next)
		clv_forward_set_session(f->forward, relay);
}

void api_forwards_set_now(struct culvert_session *s, uint64_t now_ns)
{
	for (struct culvert_forward *f = s->forwards; f; f = f->next)
		clv_forward_set_now(f->forward, now_ns);
}

/* A wildcard's datagrams name the address they came to. */
static bool is_of(const struct culvert_forward *f, const struct clv_endpoint *local)
{
	return f->listen.port == local->port &&
	       (clv_addr_is_wildcard(f->listen.addr) || clv_endpoint_equal(&f->listen, local));
}

bool api_forwards_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
			     const uint8_t *payload, size_t len)
{
	struct culvert_forward *f = s->forwards;

	while (f && !is_of(f, &evt->local))
		f = f->next;
	if (f)
		clv_forward_new_remote(f->forward, evt, payload, len);
	return f;
}

static int listen_at(struct culvert_forward *f, const char *text)
{
	struct culvert *c = f->session->c;
	struct clv_endpoint local = { 0 };
	struct target listen;
	int err = api_parse(c, "listen", text, &listen);

	if (err)
		return err;
	if (clv_addr_parse(listen.host, local.addr))
		return api_fail(c, CULVERT_ESYNTAX, "listen wants an address: %s", text);
	local.port = htons(listen.port);
	err = clv_client_socket_open(c->client, &local, SOCKET_BYTES, &f->listen, &f->fd);
	return err ? api_fail(c, err, "cannot listen on %s: %s", text, clv_strerror(err)) : 0;
}

int culvert_forward_open(struct culvert_session *s, const struct culvert_forward_options *o,
			 struct culvert_forward **out)
{
	struct clv_forward_params p = {
		.senders_max = SENDERS_MAX,
		.held_packets = HELD_PACKETS,
		.held_bytes = HELD_BYTES,
		.retry_ns = REFUSED_NS,
		.ops = &forward_ops,
	};
	struct culvert_forward *f = calloc(1, sizeof(*f));
	struct target target;
	int err;

	if (!f)
		return -ENOMEM;
	s->c->why[0] = '\0';
	f->session = s;
	f->user = o->user;
	err = parse_target(s->c, o->target, &target);
	if (err)
		goto free_forward;
	p.host = target.host;
	p.port = target.port;
	p.user = f;
	err = clv_forward_open(&p, &f->forward);
	if (err)
		goto free_forward;
	err = listen_at(f, o->listen);
	if (err)
		goto close_forward;
	if (s->is_up)
		clv_forward_set_session(f->forward, s->relay);
	f->next = s->forwards;
	if (f->next)
		f->next->prev = f;
	s->forwards = f;
	api_hurry(s->c);
	*out = f;
	return 0;

close_forward:
	clv_forward_close(f->forward);
free_forward:
	free(f);
	return err;
}

void api_forward_release(struct culvert_forward *f)
{
	if (!f->object.events)
		free(f);
}

void culvert_forward_close(struct culvert_forward *f)
{
	struct culvert *c;

	if (!f)
		return;
	c = f->session->c;
	if (f->prev)
		f->prev->next = f->next;
	else
		f->session->forwards = f->next;
	if (f->next)
		f->next->prev = f->prev;
	clv_forward_close(f->forward);
	clv_client_socket_close(c->client, f->fd, &f->listen);
	api_hurry(c);
	f->object.is_closed = true;
	api_forward_release(f);
}

void culvert_forward_info(const struct culvert_forward *f, struct culvert_forward_info *out)
{
	const struct clv_forward_stats *n = clv_forward_stats(f->forward);

	*out = (struct culvert_forward_info){
		.opened = n->opened,
		.refused = n->refused,
		.ended = n->ended,
		.held = n->held,
		.dropped = n->dropped,
	};
	api_address(&f->listen, &out->listen);
}
