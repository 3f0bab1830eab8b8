/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/forward.h"

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct held {
	struct held *next;
	size_t len;
	uint8_t bytes[];
};

struct sender {
	struct sender *next;
	struct clv_forward *forward;
	struct clv_evt_remote from;
	struct clv_relay_tunnel *tunnel; /* NULL: none is open or being opened */
	struct held *held, *held_last;
	uint32_t held_len;
	uint64_t opened_ns;
	uint64_t heard_ns; /* its last datagram that came here, and not to its open tunnel */
	uint64_t blocked_until_ns; /* after a refusal */
	bool is_open;
};

enum {
	FREE, /* of no tunnel */
	SHORT,
	CONVERSATION, /* answered, and longer than CONVERSATION_NS: the last to make room */
};

/* A query and its answer are over by then, like a UDP stream that Linux' conntrack spares. */
#define CONVERSATION_NS (2 * CLV_SEC)

struct clv_forward {
	struct clv_forward_params p;
	char *host;
	struct clv_relay_session *session;
	struct sender *senders;
	uint32_t senders_len;
	uint32_t places; /* senders_max, or fewer tunnels: as many as this relay takes */
	bool is_full_told;
	uint64_t held_bytes;
	uint64_t now_ns;
	struct clv_forward_stats stats;
};

int clv_forward_open(const struct clv_forward_params *params, struct clv_forward **out)
{
	struct clv_forward *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->p = *params;
	f->places = params->senders_max;
	f->host = strdup(params->host);
	if (!f->host) {
		free(f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

/* ---- datagrams that wait for their tunnel ---- */

/* Remove the oldest.  Returns it for the caller to free, or NULL. */
static struct held *take_held(struct sender *s)
{
	struct held *h = s->held;

	if (!h)
		return NULL;
	s->held = h->next;
	if (!s->held)
		s->held_last = NULL;
	s->held_len--;
	s->forward->held_bytes -= h->len;
	return h;
}

static void drop_held(struct sender *s)
{
	struct held *h;

	while ((h = take_held(s))) {
		s->forward->stats.dropped++;
		free(h);
	}
}

static void send_held(struct sender *s)
{
	struct held *h;

	while ((h = take_held(s))) {
		clv_relay_tunnel_up(s->tunnel, h->bytes, h->len);
		free(h);
	}
}

static void hold(struct sender *s, const uint8_t *payload, size_t len)
{
	struct clv_forward *f = s->forward;
	struct held *h = NULL;

	if (s->held_len < f->p.held_packets && f->held_bytes + len <= f->p.held_bytes)
		h = malloc(sizeof(*h) + len);
	if (!h) {
		f->stats.dropped++;
		return;
	}
	h->next = NULL;
	h->len = len;
	memcpy(h->bytes, payload, len);
	if (s->held_last)
		s->held_last->next = h;
	else
		s->held = h;
	s->held_last = h;
	s->held_len++;
	f->held_bytes += len;
	f->stats.held++;
}

/* ---- tunnels ---- */

static void block(struct sender *s)
{
	s->blocked_until_ns = s->forward->now_ns + s->forward->p.retry_ns;
}

static void on_open(void *user, const struct clv_client_result *result)
{
	struct sender *s = user;

	s->is_open = true;
	s->opened_ns = s->forward->now_ns;
	s->forward->stats.opened++;
	if (s->forward->p.ops->on_open)
		s->forward->p.ops->on_open(s->forward->p.user, result);
	send_held(s);
}

/* The relay takes no more tunnels than are open: from now on the longest silent makes room. */
static void learn_places(struct clv_forward *f)
{
	uint32_t open = 0;

	for (const struct sender *s = f->senders; s; s = s->next)
		open += s->is_open;
	if (open && open < f->places)
		f->places = open;
}

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct sender *s = user;
	struct clv_forward *f = s->forward;
	bool was_open = s->is_open;

	s->tunnel = NULL;
	s->is_open = false;
	drop_held(s);
	if (!was_open) {
		if (error == CLV_EFULL)
			learn_places(f);
		block(s);
		f->stats.refused++;
		if (f->p.ops->on_refused)
			f->p.ops->on_refused(f->p.user, error, result);
		return;
	}
	/* a relay that ends it at once must not get a request for every datagram */
	if (f->now_ns < s->opened_ns + f->p.retry_ns)
		block(s);
	f->stats.ended++;
	if (f->p.ops->on_ended)
		f->p.ops->on_ended(f->p.user, error);
}

static const struct clv_relay_tunnel_ops tunnel_ops = { .on_open = on_open,
							.on_closed = on_closed };

static struct sender *find(struct clv_forward *f, const struct clv_evt_remote *evt)
{
	struct sender *s = f->senders;

	while (s && (!clv_endpoint_equal(&s->from.remote, &evt->remote) ||
		     s->from.socket != evt->socket))
		s = s->next;
	return s;
}

/* ---- making room ---- */

/* What a sender is worth, and when it was heard last, by us or by its tunnel. */
static int worth_of(const struct sender *s, uint64_t *last_ns)
{
	struct clv_tunnel_stats stats;

	*last_ns = s->heard_ns;
	if (!s->tunnel)
		return FREE;
	if (!s->is_open)
		return SHORT;
	clv_relay_tunnel_stats(s->tunnel, &stats);
	if (stats.last_ns > *last_ns)
		*last_ns = stats.last_ns;
	return stats.to_target_packets && *last_ns >= s->opened_ns + CONVERSATION_NS ? CONVERSATION
										     : SHORT;
}

/* Forget the longest silent of those that are worth least.  Returns whether there was one but keep. */
static bool make_room(struct clv_forward *f, const struct sender *keep)
{
	struct sender **least = NULL, *s;
	uint64_t last_ns, least_ns = 0;
	int worth, least_worth = 0;

	for (struct sender **at = &f->senders; *at; at = &(*at)->next) {
		worth = worth_of(*at, &last_ns);
		if (*at == keep || (least && (worth > least_worth ||
					      (worth == least_worth && last_ns >= least_ns))))
			continue;
		least = at;
		least_ns = last_ns;
		least_worth = worth;
	}
	if (!least)
		return false;
	s = *least;
	*least = s->next;
	if (s->tunnel) {
		clv_relay_tunnel_close(s->tunnel);
		f->stats.evicted++;
		if (!f->is_full_told && f->p.ops->on_full)
			f->p.ops->on_full(f->p.user, f->senders_len);
		f->is_full_told = true;
	}
	drop_held(s);
	free(s);
	f->senders_len--;
	return true;
}

static struct sender *add(struct clv_forward *f, const struct clv_evt_remote *evt)
{
	struct sender *s;

	while (f->senders_len >= f->places && make_room(f, NULL))
		;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->forward = f;
	s->from = *evt;
	s->next = f->senders;
	f->senders = s;
	f->senders_len++;
	return s;
}

static void request_tunnel(struct sender *s)
{
	struct clv_forward *f = s->forward;
	struct clv_relay_tunnel_params p = {
		.host = f->host,
		.port = f->p.port,
		.local = s->from.local,
		.remote = s->from.remote,
		.socket = s->from.socket,
		.ops = &tunnel_ops,
		.user = s,
	};
	int err = f->session ? clv_relay_tunnel_open(f->session, &p, &s->tunnel) : CLV_ECLOSED;

	/* Others of this client have the rest of its tunnels. */
	if (err == CLV_EFULL && make_room(f, s))
		err = clv_relay_tunnel_open(f->session, &p, &s->tunnel);
	if (!err)
		return;
	s->tunnel = NULL;
	block(s);
	drop_held(s);
	f->stats.refused++;
	if (f->session && f->p.ops->on_refused)
		f->p.ops->on_refused(f->p.user, err, NULL);
}

void clv_forward_new_remote(struct clv_forward *f, const struct clv_evt_remote *evt,
			    const uint8_t *payload, size_t len)
{
	struct sender *s = find(f, evt);

	if (!s)
		s = add(f, evt);
	if (s)
		s->heard_ns = f->now_ns;
	if (!s || (!s->tunnel && f->now_ns < s->blocked_until_ns)) {
		f->stats.dropped++;
		return;
	}
	/* the datagram may have left the worker before it learned of the tunnel */
	if (s->is_open) {
		clv_relay_tunnel_up(s->tunnel, payload, len);
		return;
	}
	hold(s, payload, len);
	if (!s->tunnel)
		request_tunnel(s);
}

void clv_forward_set_now(struct clv_forward *f, uint64_t now_ns)
{
	f->now_ns = now_ns;
}

void clv_forward_set_session(struct clv_forward *f, struct clv_relay_session *rs)
{
	f->session = rs;
	f->places = f->p.senders_max;
	for (struct sender *s = f->senders; s; s = s->next)
		s->blocked_until_ns = 0;
}

void clv_forward_close(struct clv_forward *f)
{
	if (!f)
		return;
	while (f->senders) {
		struct sender *s = f->senders;

		f->senders = s->next;
		if (s->tunnel && f->session)
			clv_relay_tunnel_close(s->tunnel);
		drop_held(s);
		free(s);
	}
	free(f->host);
	free(f);
}

const struct clv_forward_stats *clv_forward_stats(const struct clv_forward *f)
{
	return &f->stats;
}
