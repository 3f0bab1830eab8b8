/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/library/culvert_state.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	PEERS_MAX = 64,
	PEERS_CEILING = 4096,
	BUSY_PER_SEC = 20, /* packets of a dialler that earn it a compressed context */
	IDLE_SEC = 120,
};

#define AGAIN_NS CLV_SEC

_Static_assert((int)CULVERT_TICKET_TEXT >= (int)CLV_TICKET_MAX, "room for a ticket");
_Static_assert((int)CULVERT_PEER_PAYLOAD_MAX == (int)CLV_PEERCONN_PAYLOAD_MAX, "of a datagram");

/* ---- the bound tunnel ---- */

static struct culvert_event event_of(struct culvert_listen *l, enum culvert_event_type type,
				     int error)
{
	return (struct culvert_event){
		.type = type,
		.user = l->user,
		.session = l->session,
		.listen = l,
		.error = error,
	};
}

/* A ticket has the pin of its relay: one known by its authority is none that a stranger could trust. */
static void write_ticket(struct culvert_listen *l)
{
	struct clv_ticket ticket = { .id = l->node->id, .relays_len = 1 };

	ticket.relays[0] = l->session->shown;
	if (!ticket.relays[0].has_pin || clv_ticket_format(&ticket, l->ticket, sizeof(l->ticket)))
		l->ticket[0] = '\0';
}

/* Tell the application once for each opening. */
static void tell(struct culvert_listen *l)
{
	struct culvert_event e = event_of(l, CULVERT_LISTENING, 0);

	if (l->is_told || !l->is_open)
		return;
	l->is_told = true;
	emit_event(l->session->c, &e, NULL, 0);
}

static bool may_publish(const struct culvert_listen *l)
{
	return l->session->signal.signer &&
	       !memcmp(&l->session->id, &l->node->id, sizeof(l->node->id));
}

static void on_published(struct culvert_session *s, int error)
{
	struct culvert_listen *l;

	LIST_FOREACH(l, &s->listens, link) {
		l->is_published = !error && may_publish(l);
		tell(l);
	}
}

/* Tell the relay where we are, so that those who have the ticket can ask it. */
static void publish(struct culvert_listen *l)
{
	struct clv_object record = { .kind = CLV_OBJECT_RECORD };

	for (unsigned i = 0; i < l->addresses_len; i++)
		record.endpoints[record.endpoints_len++] = (struct clv_object_endpoint){
			.use = CLV_OBJECT_USE_BOUND,
			.protocol = CLV_OBJECT_QUIC,
			.at = l->addresses[i],
		};
	record.own_len = record.endpoints_len;
	signals_publish(l->session, &record, on_published);
}

static void on_open(void *user, const struct clv_client_result *result)
{
	struct culvert_listen *l = user;

	l->is_open = true;
	l->is_told = false;
	l->addresses_len = 0;
	for (unsigned i = 0; i < result->public_len && i < CULVERT_LISTEN_ADDRESSES_MAX; i++)
		l->addresses[l->addresses_len++] = result->public_addrs[i];
	write_ticket(l);
	clv_peers_listen(l->node->peers, true);
	if (may_publish(l))
		publish(l); /* the application is told when others can ask for it */
	else
		tell(l);
}

static void on_remote_refused(void *user, const struct clv_endpoint *endpoint, int error)
{
	(void)user; /* without a context a dialler is reached all the same */
	(void)endpoint;
	(void)error;
}

static void on_refused(void *user, int error, const struct clv_client_result *result)
{
	struct culvert_listen *l = user;
	struct culvert_event e = event_of(l, CULVERT_LISTEN_FAILED, error);

	emit_refusal(l->session->c, &e, result);
}

static void on_ended(void *user, int error)
{
	struct culvert_listen *l = user;
	struct culvert_event e = event_of(l, CULVERT_LISTEN_FAILED, error);

	l->is_open = false;
	e.was_open = true;
	l->again_ns = l->session->c->now_ns + AGAIN_NS;
	emit_event(l->session->c, &e, NULL, 0);
}

static void on_datagram(void *user, const struct clv_endpoint *remote, const uint8_t *payload,
			size_t len)
{
	struct culvert_listen *l = user;
	const struct clv_peer_link link = {
		.base = l->base,
		.is_relayed = true,
		.remote = *remote,
	};

	clv_peers_receive(l->node->peers, &link, payload, len, l->session->c->now_ns);
}

static const struct clv_bound_tunnel_ops ops = {
	.on_open = on_open,
	.on_remote_refused = on_remote_refused,
	.on_refused = on_refused,
	.on_ended = on_ended,
	.on_datagram = on_datagram,
};

/* ---- life ---- */

static void release(struct object *object)
{
	free((struct culvert_listen *)object);
}

static int open_tunnel(struct culvert_listen *l)
{
	struct culvert *c = l->session->c;
	const struct clv_bound_tunnel_params p = {
		.client = c->client,
		.now_ns = &c->now_ns,
		.remotes_max = c->remotes_max,
		.busy_per_sec = BUSY_PER_SEC,
		.answer_ns = c->answer_ns,
		.idle_ns = IDLE_SEC * CLV_SEC,
		.ops = &ops,
		.user = l,
	};

	return clv_bound_tunnel_open(&p, &l->tunnel);
}

int culvert_listen_open(struct culvert *c, const struct culvert_listen_options *o,
			struct culvert_listen **out)
{
	struct culvert_listen *l;
	int err;

	text_clear_why(c);
	if (o->peers_max > PEERS_CEILING)
		return CULVERT_ERANGE;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->object.release = release;
	l->session = o->session;
	l->user = o->user;
	err = node_open(c, o->identity, o->peers_max ? o->peers_max : PEERS_MAX, o->privacy,
			&peer_ops, &l->node);
	if (err)
		goto free_listen;
	if (l->node->listen) {
		err = text_set_why(c, CULVERT_EFULL, "identity %s listens already", o->identity);
		goto close_node;
	}
	err = open_tunnel(l);
	if (err)
		goto close_node;
	l->base = ++c->last_base;
	l->node->listen = l;
	LIST_INSERT_HEAD(&o->session->listens, l, link);
	if (o->session->is_up)
		clv_bound_tunnel_set_session(l->tunnel, o->session->relay);
	wake_now(c);
	*out = l;
	return 0;

close_node:
	node_close(l->node);
free_listen:
	free(l);
	return err;
}

void culvert_listen_close(struct culvert_listen *l)
{
	struct culvert *c;

	if (!l)
		return;
	c = l->session->c;
	clv_peers_listen(l->node->peers, false);
	if (may_publish(l))
		signals_withdraw(l->session);
	peers_end_of(l);
	clv_peers_step(l->node->peers, c->now_ns); /* the goodbyes, while there is a tunnel */
	LIST_REMOVE(l, link);
	l->node->listen = NULL;
	node_close(l->node);
	clv_bound_tunnel_close(l->tunnel);
	wake_now(c);
	object_close(&l->object);
}

void culvert_listen_info(const struct culvert_listen *l, struct culvert_listen_info *out)
{
	const struct clv_peers_stats *stats = clv_peers_stats(l->node->peers);

	*out = (struct culvert_listen_info){
		.is_open = l->is_open,
		.is_published = l->is_published,
		.addresses_len = l->addresses_len,
		.refused = stats->refused,
		.failed = stats->failed,
	};
	clv_identity_format(&l->node->id, out->id);
	memcpy(out->ticket, l->ticket, sizeof(out->ticket));
	for (unsigned i = 0; i < l->addresses_len; i++)
		text_to_address(&l->addresses[i], &out->addresses[i]);
}

/* ---- with its session ---- */

void listens_set_session(struct culvert_session *s, struct clv_relay_session *relay)
{
	struct culvert_listen *l;

	LIST_FOREACH(l, &s->listens, link) {
		l->again_ns = 0;
		if (!relay)
			l->is_open = false;
		clv_bound_tunnel_set_session(l->tunnel, relay);
	}
}

void listens_step(struct culvert_session *s, uint64_t now_ns)
{
	struct culvert_listen *l;

	LIST_FOREACH(l, &s->listens, link) {
		clv_bound_tunnel_step(l->tunnel);
		if (!l->again_ns || now_ns < l->again_ns)
			continue;
		l->again_ns = 0;
		if (s->is_up)
			clv_bound_tunnel_set_session(l->tunnel, s->relay);
	}
}

uint64_t listens_next_ns(const struct culvert_session *s)
{
	const struct culvert_listen *l;
	uint64_t at_ns = UINT64_MAX;

	LIST_FOREACH(l, &s->listens, link) {
		if (l->again_ns && l->again_ns < at_ns)
			at_ns = l->again_ns;
		if (clv_bound_tunnel_next_ns(l->tunnel) < at_ns)
			at_ns = clv_bound_tunnel_next_ns(l->tunnel);
	}
	return at_ns;
}
