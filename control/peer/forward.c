/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/forward.h"

#include "datapath/base/addr.h"
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
	uint64_t blocked_until_ns; /* after a refusal */
	bool is_open;
};

struct clv_forward {
	struct clv_forward_params p;
	char *host;
	struct clv_relay_session *session;
	struct sender *senders;
	uint32_t senders_len;
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

static void on_closed(void *user, int error, const struct clv_client_result *result)
{
	struct sender *s = user;
	struct clv_forward *f = s->forward;
	bool was_open = s->is_open;

	s->tunnel = NULL;
	s->is_open = false;
	drop_held(s);
	if (!was_open) {
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

static struct sender *add(struct clv_forward *f, const struct clv_evt_remote *evt)
{
	struct sender **at = &f->senders, *s;

	/* when the table is full, replace a sender without a tunnel */
	if (f->senders_len >= f->p.senders_max) {
		while (*at && (*at)->tunnel)
			at = &(*at)->next;
		s = *at;
		if (!s)
			return NULL;
		*at = s->next;
		drop_held(s);
		free(s);
		f->senders_len--;
	}
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
