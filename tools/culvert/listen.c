/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"
#include "tools/culvert/report.h"

#include <sys/queue.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	FLOWS_MAX = 256,		/* of all peers */
	FLOWS_PER_PEER = FLOWS_MAX / 4, /* as many as its `connect` has local senders */
	RETRY_MSEC = 1,			/* while datagrams wait that could not be sent */
	DATAGRAM_MAX = 65536,
};

/* A flow of a peer: to the application it is a sender with a port of its own. */
struct flow {
	uv_udp_t socket;
	LIST_ENTRY(flow) link;
	struct listen *listen;
	struct culvert_peer *peer;
	uint64_t number, used; /* used: when, in datagrams of all flows */
	bool is_waiting;       /* with a datagram that could not be sent yet */
	size_t waiting_len;
	char waiting[CULVERT_PEER_PAYLOAD_MAX];
};

/* A peer that is up. */
struct guest {
	LIST_ENTRY(guest) link;
	struct culvert_peer *peer;
};

struct listen {
	struct peer peer;
	struct culvert_listen *open;
	const char *identity;
	union culvert_address app;
	uv_timer_t retry;
	LIST_HEAD(, flow) flows;
	LIST_HEAD(, guest) guests;
	unsigned flows_len;
	uint64_t datagrams, dropped;
	char buffer[DATAGRAM_MAX];
};

/* ---- flows ---- */

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void close_flow(struct flow *f)
{
	LIST_REMOVE(f, link);
	f->listen->flows_len--;
	uv_close((uv_handle_t *)&f->socket, on_closed);
}

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct listen *l = ((struct flow *)handle->data)->listen;

	(void)size;
	*out = uv_buf_init(l->buffer, sizeof(l->buffer));
}

/* Returns whether a datagram has to wait: too many do already. */
static bool must_wait(struct flow *f, const void *data, size_t len)
{
	int err = culvert_peer_send(f->peer, f->number, data, len);

	if (err && err != -EAGAIN)
		f->listen->dropped++;
	return err == -EAGAIN;
}

static void on_app(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf,
		   const struct sockaddr *address, unsigned flags);

static void on_retry(uv_timer_t *timer)
{
	struct listen *l = timer->data;
	bool is_done = true;
	struct flow *f;

	LIST_FOREACH(f, &l->flows, link) {
		if (!f->is_waiting)
			continue;
		if (must_wait(f, f->waiting, f->waiting_len)) {
			is_done = false;
			continue;
		}
		f->is_waiting = false;
		uv_udp_recv_start(&f->socket, on_buffer, on_app);
	}
	if (is_done)
		uv_timer_stop(timer);
}

static void on_app(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf,
		   const struct sockaddr *address, unsigned flags)
{
	struct flow *f = socket->data;

	(void)flags;
	if (len < 0 || !address)
		return;
	f->used = ++f->listen->datagrams;
	if (!must_wait(f, buf->base, (size_t)len))
		return;
	/* What comes meanwhile waits in the socket, whose overflow the kernel counts. */
	memcpy(f->waiting, buf->base, (size_t)len); /* a larger one does not have to wait */
	f->waiting_len = (size_t)len;
	f->is_waiting = true;
	uv_udp_recv_stop(socket);
	if (!uv_is_active((uv_handle_t *)&f->listen->retry))
		uv_timer_start(&f->listen->retry, on_retry, RETRY_MSEC, RETRY_MSEC);
}

/* What a new flow of the peer displaces: one of its own if it has its share.  NULL: nothing. */
static struct flow *flow_to_displace(struct listen *l, const struct culvert_peer *peer)
{
	struct flow *f, *oldest = NULL, *own = NULL;
	unsigned own_len = 0;

	LIST_FOREACH(f, &l->flows, link) {
		if (!oldest || f->used < oldest->used)
			oldest = f;
		if (f->peer != peer)
			continue;
		own_len++;
		if (!own || f->used < own->used)
			own = f;
	}
	if (own_len >= FLOWS_PER_PEER)
		return own;
	return l->flows_len == FLOWS_MAX ? oldest : NULL;
}

static struct flow *open_flow(struct listen *l, struct culvert_peer *peer, uint64_t number)
{
	struct flow *f = flow_to_displace(l, peer);

	if (f)
		close_flow(f);
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->listen = l;
	f->peer = peer;
	f->number = number;
	uv_udp_init(&l->peer.loop, &f->socket);
	f->socket.data = f;
	LIST_INSERT_HEAD(&l->flows, f, link);
	l->flows_len++;
	if (uv_udp_connect(&f->socket, &l->app.sa) ||
	    uv_udp_recv_start(&f->socket, on_buffer, on_app)) {
		close_flow(f);
		return NULL;
	}
	return f;
}

static void to_app(struct listen *l, const struct culvert_event *e)
{
	uv_buf_t buf = uv_buf_init((char *)e->payload, (unsigned)e->payload_len);
	struct flow *f;

	LIST_FOREACH(f, &l->flows, link)
		if (f->peer == e->peer && f->number == e->flow)
			break;
	if (!f)
		f = open_flow(l, e->peer, e->flow);
	if (!f) {
		l->dropped++;
		return;
	}
	f->used = ++l->datagrams;
	if (uv_udp_try_send(&f->socket, &buf, 1, NULL) < 0)
		l->dropped++;
}

static void close_flows_of(struct listen *l, const struct culvert_peer *peer)
{
	struct flow *f, *next;

	for (f = LIST_FIRST(&l->flows); f; f = next) {
		next = LIST_NEXT(f, link);
		if (f->peer == peer)
			close_flow(f);
	}
}

/* ---- peers ---- */

/* Without memory for it, it has no summary when we are stopped. */
static void add_guest(struct listen *l, struct culvert_peer *peer)
{
	struct guest *g = calloc(1, sizeof(*g));

	if (!g)
		return;
	g->peer = peer;
	LIST_INSERT_HEAD(&l->guests, g, link);
}

static void remove_guest(struct listen *l, const struct culvert_peer *peer)
{
	struct guest *g;

	LIST_FOREACH(g, &l->guests, link) {
		if (g->peer != peer)
			continue;
		LIST_REMOVE(g, link);
		free(g);
		return;
	}
}

static void summarise_guests(struct listen *l)
{
	struct guest *g;

	while ((g = LIST_FIRST(&l->guests))) {
		report_summary(l->peer.options, g->peer);
		LIST_REMOVE(g, link);
		free(g);
	}
}

/* ---- events ---- */

static void print_listening(const struct listen *l)
{
	json_t *list = json_array();
	struct culvert_listen_info info;
	char address[CULVERT_ADDRESS_TEXT], text[sizeof(info.ticket) + 600];
	int len;

	culvert_listen_info(l->open, &info);
	len = snprintf(text, sizeof(text), "listening %s", *info.ticket ? info.ticket : info.id);
	for (size_t i = 0; i < info.addresses_len; i++) {
		culvert_address_format(&info.addresses[i], address);
		json_array_append_new(list, json_string(address));
		len += snprintf(text + len, sizeof(text) - (size_t)len, " --at %s", address);
	}
	report_print(l->peer.options,
		     json_pack("{s:s,s:s,s:s,s:o}", "event", "listening", "id", info.id, "ticket",
			       info.ticket, "addresses", list),
		     text);
}

static bool is_accepted(const struct options *o, const char *id)
{
	for (unsigned i = 0; i < o->accepts_len; i++)
		if (!strcmp(o->accepts[i], id))
			return true;
	return !o->accepts_len;
}

static void on_incoming(struct listen *l, const struct culvert_event *e)
{
	const struct options *o = l->peer.options;
	const char *what = is_accepted(o, e->detail) ? "incoming" : "refused";
	char text[128];

	snprintf(text, sizeof(text), "%s %s", what, e->detail);
	report_print(o, json_pack("{s:s,s:s}", "event", what, "id", e->detail), text);
	if (*what == 'i')
		culvert_incoming_accept(e->peer);
	else
		culvert_incoming_refuse(e->peer);
}

static void on_failed(struct listen *l, const struct culvert_event *e)
{
	const char *relay = l->peer.options->relay.text;

	if (e->was_open) {
		peer_log_ended(&l->peer, e);
		return;
	}
	if (peer_is_lost(&l->peer, e))
		return;
	if (peer_print_unauthorized(&l->peer, e)) {
		peer_stop(&l->peer, e->error == CULVERT_EUNAUTHORIZED ? STATUS_UNAUTHORIZED
								      : STATUS_FORBIDDEN);
		return;
	}
	fprintf(stderr, "culvert: relay %s refused a bound tunnel: %s (status %u%s%s)\n", relay,
		culvert_strerror(e->error), e->status, *e->detail ? ": " : "", e->detail);
	peer_stop(&l->peer, e->error == CULVERT_EFULL ? STATUS_FULL : STATUS_NO_BIND);
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct listen *l = p->user;

	switch (e->type) {
	case CULVERT_LISTENING:
		print_listening(l);
		break;
	case CULVERT_LISTEN_FAILED:
		on_failed(l, e);
		break;
	case CULVERT_INCOMING:
		on_incoming(l, e);
		break;
	case CULVERT_PEER_UP:
		add_guest(l, e->peer);
		report_peer(p->options, e);
		break;
	case CULVERT_PEER_PATH:
		report_peer(p->options, e);
		break;
	case CULVERT_PEER_DOWN:
		report_peer(p->options, e);
		close_flows_of(l, e->peer);
		remove_guest(l, e->peer);
		culvert_peer_close(e->peer);
		break;
	case CULVERT_DATAGRAM:
		to_app(l, e);
		break;
	default:
		break;
	}
}

/* ---- life ---- */

static int start(struct peer *p)
{
	struct listen *l = p->user;
	const struct culvert_listen_options lo = {
		.session = p->session,
		.identity = l->identity,
		.privacy = p->options->privacy,
	};
	int err;

	culvert_address_parse(p->options->app.text, &l->app); /* checked by options */
	uv_timer_init(&p->loop, &l->retry);
	l->retry.data = l;
	err = culvert_listen_open(p->culvert, &lo, &l->open);
	return err ? peer_print_failure(p, "listen", err) : 0;
}

static const struct peer_ops ops = { start, on_event };

int listen_run(const struct options *o)
{
	static struct listen l; /* large */
	struct options mine = *o;
	char path[PATH_MAX];
	int status;

	l.identity = id_file(o, path);
	if (!l.identity)
		return STATUS_FAILED;
	mine.identity = l.identity; /* the relay tells others where we are, if it knows us */
	status = peer_open(&l.peer, &mine, &ops, &l);
	if (!status)
		status = peer_run(&l.peer);
	summarise_guests(&l);
	if (l.dropped)
		peer_log(&l.peer, CULVERT_LOG_WARN,
			 "listen_dropped datagrams=%llu hint=\"too large, "
			 "or faster than the path\"",
			 (unsigned long long)l.dropped);
	while (!LIST_EMPTY(&l.flows))
		close_flow(LIST_FIRST(&l.flows));
	peer_close(&l.peer);
	return status;
}
