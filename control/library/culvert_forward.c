/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	SENDERS_MAX = 1024, /* of a forward */
	HELD_PACKETS = 64,  /* of one sender, before its tunnel is open */
	HELD_BYTES = 4 << 20,
	SOCKET_BYTES = 4 << 20,
};

#define REFUSED_NS (3 * CLV_SEC) /* before a tunnel is requested again for a refused sender */

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
	emit_event(f->session->c, &e, NULL, 0);
}

static void on_sender_refused(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_REFUSED, error);

	emit_refusal(f->session->c, &e, result);
}

static void on_sender_ended(void *user, int error)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_ENDED, error);

	e.was_open = true;
	emit_event(f->session->c, &e, NULL, 0);
}

static void on_full(void *user, uint32_t places)
{
	struct culvert_forward *f = user;
	struct culvert_event e = forward_event(f, CULVERT_FORWARD_FULL, 0);

	e.places = places;
	emit_event(f->session->c, &e, NULL, 0);
}

static const struct clv_forward_ops forward_ops = {
	.on_open = on_sender_open,
	.on_refused = on_sender_refused,
	.on_ended = on_sender_ended,
	.on_full = on_full,
};

void forwards_set_session(struct culvert_session *s, struct clv_relay_session *relay)
{
	struct culvert_forward *f;

	LIST_FOREACH(f, &s->forwards, link)
		clv_forward_set_session(f->forward, relay);
}

void forwards_set_now(struct culvert_session *s, uint64_t now_ns)
{
	struct culvert_forward *f;

	LIST_FOREACH(f, &s->forwards, link)
		clv_forward_set_now(f->forward, now_ns);
}

/* A datagram to a wildcard listener carries the address it was sent to. */
static bool listens_at(const struct culvert_forward *f, const struct clv_endpoint *local)
{
	return f->listen.port == local->port &&
	       (clv_addr_is_wildcard(f->listen.addr) || clv_endpoint_equal(&f->listen, local));
}

bool forwards_new_remote(struct culvert_session *s, const struct clv_evt_remote *evt,
			 const uint8_t *payload, size_t len)
{
	struct culvert_forward *f;

	LIST_FOREACH(f, &s->forwards, link) {
		if (!listens_at(f, &evt->local))
			continue;
		clv_forward_new_remote(f->forward, evt, payload, len);
		return true;
	}
	return false;
}

static int listen_at(struct culvert_forward *f, const char *text)
{
	struct culvert *c = f->session->c;
	struct clv_endpoint local = { 0 };
	struct host_port listen;
	int err = text_parse_host(c, "listen", text, &listen);

	if (err)
		return err;
	if (clv_addr_parse(listen.host, local.addr))
		return text_set_why(c, CULVERT_ESYNTAX, "listen wants an address: %s", text);
	local.port = htons(listen.port);
	err = clv_client_socket_open(c->client, &local, SOCKET_BYTES, &f->listen, &f->fd);
	return err ? text_set_why(c, err, "cannot listen on %s: %s", text, clv_strerror(err)) : 0;
}

static void release(struct object *object)
{
	free((struct culvert_forward *)object);
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
	struct host_port target;
	int err;

	if (!f)
		return -ENOMEM;
	text_clear_why(s->c);
	f->object.release = release;
	f->session = s;
	f->user = o->user;
	err = text_parse_target(s->c, o->target, &target);
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
	LIST_INSERT_HEAD(&s->forwards, f, link);
	wake_now(s->c);
	*out = f;
	return 0;

close_forward:
	clv_forward_close(f->forward);
free_forward:
	free(f);
	return err;
}

void culvert_forward_close(struct culvert_forward *f)
{
	struct culvert *c;

	if (!f)
		return;
	c = f->session->c;
	LIST_REMOVE(f, link);
	clv_forward_close(f->forward);
	clv_client_socket_close(c->client, f->fd, &f->listen);
	wake_now(c);
	object_close(&f->object);
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
		.evicted = n->evicted,
	};
	text_to_address(&f->listen, &out->listen);
}
