/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"

#include <errno.h>
#include <stdlib.h>

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
	emit_event(t->session->c, &e, NULL, 0);
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
	emit_refusal(t->session->c, &e, result);
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
		emit_event(t->session->c, &e, payload, len);
}

static const struct clv_relay_tunnel_ops tunnel_ops = {
	.on_open = on_open,
	.on_closed = on_closed,
	.on_bound = on_delivery,
};

static void release(struct object *object)
{
	free((struct culvert_tunnel *)object);
}

int culvert_tunnel_open(struct culvert_session *s, const struct culvert_tunnel_options *o,
			struct culvert_tunnel **out)
{
	struct clv_relay_tunnel_params p = { .deliver = true, .ops = &tunnel_ops };
	struct culvert_tunnel *t;
	struct host_port target;
	int err;

	text_clear_why(s->c);
	err = text_parse_target(s->c, o->target, &target);
	if (err)
		return err;
	if (!s->is_up)
		return CULVERT_ECLOSED;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->object.release = release;
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
	LIST_INSERT_HEAD(&s->tunnels, t, link);
	wake_now(s->c);
	*out = t;
	return 0;
}

void culvert_tunnel_close(struct culvert_tunnel *t)
{
	if (!t)
		return;
	LIST_REMOVE(t, link);
	if (t->tunnel)
		clv_relay_tunnel_close(t->tunnel);
	wake_now(t->session->c);
	object_close(&t->object);
}

int culvert_tunnel_send(struct culvert_tunnel *t, const void *data, size_t len)
{
	int err = t->is_open ? may_send(t->session, len) : CULVERT_ECLOSED;

	text_clear_why(t->session->c);
	if (!err)
		clv_relay_tunnel_up(t->tunnel, data, len);
	return err;
}
