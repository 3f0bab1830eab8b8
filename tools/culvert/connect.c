/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"
#include "tools/culvert/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	SENDERS_MAX = 64,
	DATAGRAM_MAX = 65536,
	AGAIN_MAX_SEC = 16,
	RETRY_MSEC = 1, /* while a datagram waits that could not be sent */
	STATUS_MSEC = 500,
};

/* A local sender: a flow of its own. */
struct sender {
	union culvert_address address; /* AF_UNSPEC: free */
	uint64_t flow, used;	       /* used: when, in datagrams of all senders */
};

struct connect {
	struct peer peer;
	struct culvert_peer *to;
	const char *identity;
	uv_udp_t socket;
	uv_timer_t again, retry, status;
	unsigned agains;
	size_t waiting_len; /* of the datagram in buffer, which waits: 1 more, 0: none does */
	uint64_t waiting_flow;
	struct sender senders[SENDERS_MAX];
	uint64_t flows, datagrams;
	uint64_t refused; /* that could not be sent: too large, or the peer was away */
	bool is_ready;
	char buffer[DATAGRAM_MAX];
};

/* ---- local senders ---- */

static bool is_same(const union culvert_address *a, const struct sockaddr *b)
{
	if (a->sa.sa_family != b->sa_family)
		return false;
	if (b->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)b;

		return a->in.sin_port == in->sin_port &&
		       a->in.sin_addr.s_addr == in->sin_addr.s_addr;
	}
	return a->in6.sin6_port == ((const struct sockaddr_in6 *)(const void *)b)->sin6_port &&
	       !memcmp(&a->in6.sin6_addr,
		       &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr,
		       sizeof(a->in6.sin6_addr));
}

/* The flow of a sender; a new one takes the place of the longest silent, and never its number. */
static struct sender *sender_of(struct connect *c, const struct sockaddr *address)
{
	struct sender *oldest = &c->senders[0];

	for (unsigned i = 0; i < SENDERS_MAX; i++) {
		struct sender *s = &c->senders[i];

		if (is_same(&s->address, address))
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	memset(oldest, 0, sizeof(*oldest));
	memcpy(&oldest->address, address,
	       address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6));
	oldest->flow = c->flows++;
	return oldest;
}

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct connect *c = handle->data;

	(void)size;
	*out = uv_buf_init(c->buffer, sizeof(c->buffer));
}

/* Returns whether the datagram in the buffer has to wait: too many do already. */
static bool must_wait(struct connect *c, uint64_t flow, size_t len)
{
	int err = c->to ? culvert_peer_send(c->to, flow, c->buffer, len) : CULVERT_ECLOSED;

	if (err && err != -EAGAIN)
		c->refused++;
	return err == -EAGAIN;
}

static void on_local(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf,
		     const struct sockaddr *address, unsigned flags);

static void on_retry(uv_timer_t *timer)
{
	struct connect *c = timer->data;

	if (must_wait(c, c->waiting_flow, c->waiting_len - 1))
		return;
	c->waiting_len = 0;
	uv_timer_stop(timer);
	uv_udp_recv_start(&c->socket, on_buffer, on_local);
}

static void on_local(uv_udp_t *socket, ssize_t len, const uv_buf_t *buf,
		     const struct sockaddr *address, unsigned flags)
{
	struct connect *c = socket->data;
	struct sender *s;

	(void)buf; /* the only one there is */
	(void)flags;
	if (len < 0 || !address)
		return;
	s = sender_of(c, address);
	s->used = ++c->datagrams;
	if (!must_wait(c, s->flow, (size_t)len))
		return;
	/* What comes meanwhile waits in the socket, whose overflow the kernel counts. */
	c->waiting_len = (size_t)len + 1;
	c->waiting_flow = s->flow;
	uv_udp_recv_stop(socket);
	uv_timer_start(&c->retry, on_retry, RETRY_MSEC, RETRY_MSEC);
}

static void to_local(struct connect *c, const struct culvert_event *e)
{
	uv_buf_t buf = uv_buf_init((char *)e->payload, (unsigned)e->payload_len);

	for (unsigned i = 0; i < SENDERS_MAX; i++) {
		if (!c->senders[i].used || c->senders[i].flow != e->flow)
			continue;
		c->senders[i].used = ++c->datagrams;
		uv_udp_try_send(&c->socket, &buf, 1, &c->senders[i].address.sa);
		return;
	}
}

/* ---- the peer ---- */

static int dial(struct connect *c)
{
	const struct options *o = c->peer.options;
	const struct culvert_peer_options po = {
		.peer = o->to,
		.identity = c->identity,
		.addresses = o->at,
		.addresses_len = o->at_len,
		.privacy = o->privacy,
		.session = c->peer.session,
	};
	int err = culvert_peer_open(c->peer.culvert, &po, &c->to);

	return err ? peer_print_failure(&c->peer, "connect", err) : 0;
}

static void on_again(uv_timer_t *timer)
{
	struct connect *c = timer->data;
	int status = dial(c);

	if (status)
		peer_stop(&c->peer, status);
}

static void print_ready(struct connect *c)
{
	union culvert_address address;
	int len = sizeof(address);
	char text[CULVERT_ADDRESS_TEXT], line[128];

	if (c->is_ready)
		return;
	c->is_ready = true;
	memset(&address, 0, sizeof(address));
	uv_udp_getsockname(&c->socket, &address.sa, &len);
	culvert_address_format(&address, text);
	snprintf(line, sizeof(line), "ready listen=%s", text);
	report_print(c->peer.options, json_pack("{s:s,s:s}", "event", "ready", "listen", text),
		     line);
}

/* On a terminal: how the peer is reached now. */
static void show_status(uv_timer_t *timer)
{
	struct connect *c = timer->data;
	char address[CULVERT_ADDRESS_TEXT], direct[48] = "", text[256];
	struct culvert_peer_info info;

	if (!c->to)
		return;
	culvert_peer_info(c->to, &info);
	if (!info.is_up)
		return;
	if (info.direct_msec)
		snprintf(direct, sizeof(direct), ", direct after %u ms", info.direct_msec);
	snprintf(text, sizeof(text),
		 "%s %s, round trip %.1f ms, lost %llu, in %llu, out %llu, moves %llu%s",
		 report_method(&info.path), culvert_address_format(&info.path.address, address),
		 (double)info.rtt_usec / 1000, (unsigned long long)info.packets_lost,
		 (unsigned long long)info.datagrams_in, (unsigned long long)info.datagrams_out,
		 (unsigned long long)info.moves, direct);
	report_status(c->peer.options, text);
}

/* A peer that was there may come back; one that never was, or does not want us, does not. */
static void on_down(struct connect *c, const struct culvert_event *e)
{
	unsigned sec = c->agains < 4 ? 1u << c->agains : AGAIN_MAX_SEC;

	culvert_peer_close(c->to);
	c->to = NULL;
	switch (e->error) {
	case CULVERT_EIDENTITY:
		fprintf(stderr, "culvert: somebody else answers in the place of this peer\n");
		peer_stop(&c->peer, STATUS_WRONG_PEER);
		return;
	case CULVERT_EREFUSED:
		fprintf(stderr, "culvert: the peer refuses our identity\n");
		peer_stop(&c->peer, STATUS_REFUSED);
		return;
	case CULVERT_EFULL:
		fprintf(stderr, "culvert: the peer takes no more peers\n");
		peer_stop(&c->peer, STATUS_FULL);
		return;
	case CULVERT_EUNAUTHORIZED:
		fprintf(stderr, "culvert: relay %s requires a credential: use --relay LINK\n",
			c->peer.options->relay.text);
		peer_stop(&c->peer, STATUS_UNAUTHORIZED);
		return;
	default:
		break;
	}
	if (!c->is_ready) {
		fprintf(stderr, "culvert: the peer does not answer: %s\n",
			culvert_strerror(e->error));
		peer_stop(&c->peer, STATUS_NO_PEER);
		return;
	}
	c->agains++;
	peer_log(&c->peer, CULVERT_LOG_WARN, "peer_lost err=\"%s\" again_sec=%u",
		 e->error ? culvert_strerror(e->error) : "closed by the peer", sec);
	uv_timer_start(&c->again, on_again, sec * 1000ull, 0);
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct connect *c = p->user;

	switch (e->type) {
	case CULVERT_PEER_UP:
		c->agains = 0;
		report_peer(p->options, e);
		print_ready(c);
		break;
	case CULVERT_PEER_PATH:
		report_peer(p->options, e);
		break;
	case CULVERT_PEER_DOWN:
		report_peer(p->options, e);
		on_down(c, e);
		break;
	case CULVERT_DATAGRAM:
		to_local(c, e);
		break;
	default:
		break;
	}
}

/* ---- life ---- */

static int start(struct peer *p)
{
	struct connect *c = p->user;
	union culvert_address listen;
	int err;

	culvert_address_parse(p->options->listen.text, &listen); /* checked by options */
	uv_udp_init(&p->loop, &c->socket);
	uv_timer_init(&p->loop, &c->again);
	uv_timer_init(&p->loop, &c->retry);
	uv_timer_init(&p->loop, &c->status);
	c->socket.data = c->again.data = c->retry.data = c->status.data = c;
	if (report_has_status(p->options))
		uv_timer_start(&c->status, show_status, STATUS_MSEC, STATUS_MSEC);
	err = uv_udp_bind(&c->socket, &listen.sa, 0);
	if (!err)
		err = uv_udp_recv_start(&c->socket, on_buffer, on_local);
	if (err) {
		fprintf(stderr, "culvert: --listen %s: %s\n", p->options->listen.text,
			uv_strerror(err));
		return STATUS_FAILED;
	}
	return dial(c);
}

static const struct peer_ops ops = { start, on_event };

int connect_run(const struct options *o)
{
	static struct connect c; /* large */
	char path[PATH_MAX];
	int status;

	c.identity = id_file(o, path);
	if (!c.identity)
		return STATUS_FAILED;
	status = peer_open(&c.peer, o, &ops, &c);
	if (!status)
		status = peer_run(&c.peer);
	report_status(o, NULL);
	if (c.to)
		report_summary(o, c.to);
	if (c.refused)
		peer_log(&c.peer, CULVERT_LOG_WARN,
			 "connect_dropped datagrams=%llu hint=\"too large, "
			 "too many at a time, or the peer was away\"",
			 (unsigned long long)c.refused);
	peer_close(&c.peer);
	return status;
}
