/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"

#include <jansson.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MSEC_NS UINT64_C(1000000)

enum {
	LAST_WAIT_MSEC = 2000, /* for replies, after the last datagram was sent */
	REPLY_MAX = 65536,
	RELAYED = 0,
	DIRECT = 1,
	PATHS = 2,
};

/* Start of a datagram; a pattern follows. */
struct head {
	uint32_t seq, path;
	uint64_t sent_ns;
};

struct path {
	const char *name;
	struct ping *ping;
	int fd; /* of the direct path; -1: there is none */
	bool is_tried;
	uv_poll_t poll;
	uint32_t sent, received, wrong;
	uint64_t *rtt_ns; /* of replies, in order of arrival */
	uint8_t *answered;
};

struct ping {
	struct peer peer;
	const struct options *options;
	struct path paths[PATHS];
	struct culvert_tunnel *tunnel;
	uv_timer_t timer;
	uint32_t next; /* sequence number */
	bool is_open, started;
	uint8_t payload[2048];
	uint8_t reply[REPLY_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fill(struct ping *g, const struct head *head)
{
	memcpy(g->payload, head, sizeof(*head));
	for (uint32_t i = sizeof(*head); i < g->options->size; i++)
		g->payload[i] = (uint8_t)(head->seq + i);
}

static void finish(uv_timer_t *timer)
{
	struct ping *g = timer->data;

	peer_stop(&g->peer, STATUS_OK);
}

static bool all_replied(const struct ping *g)
{
	for (int i = 0; i < PATHS; i++)
		if (g->paths[i].is_tried && g->paths[i].received < g->options->count)
			return false;
	return g->next >= g->options->count;
}

static void take_reply(struct path *p, const uint8_t *reply, size_t len)
{
	struct ping *g = p->ping;
	struct head head = { .seq = UINT32_MAX };
	uint64_t rtt;

	if (len >= sizeof(head))
		memcpy(&head, reply, sizeof(head));
	if (head.seq >= g->options->count || len != g->options->size) {
		p->wrong++;
		return;
	}
	fill(g, &head);
	if (memcmp(g->payload, reply, len)) {
		p->wrong++;
		return;
	}
	if (p->answered[head.seq])
		return; /* a duplicate */
	p->answered[head.seq] = 1;
	rtt = now_ns() - head.sent_ns;
	p->rtt_ns[p->received++] = rtt;
	if (!g->options->json)
		printf("%-7s seq=%u bytes=%zu time=%.3f ms\n", p->name, head.seq, len, rtt / 1e6);
	if (all_replied(g))
		uv_timer_start(&g->timer, finish, 0, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct path *p = poll->data;
	ssize_t n;

	(void)events;
	if (status < 0)
		return;
	while ((n = recv(p->fd, p->ping->reply, REPLY_MAX, 0)) >= 0)
		take_reply(p, p->ping->reply, (size_t)n);
}

static void open_tunnel(struct ping *g)
{
	const struct culvert_tunnel_options to = { .target = g->options->target.text };
	int err = culvert_tunnel_open(g->peer.session, &to, &g->tunnel);

	if (err)
		peer_stop(&g->peer, peer_print_failure(&g->peer, "tunnel", err));
}

static void send_direct(struct ping *g)
{
	const struct head head = { .seq = g->next, .path = DIRECT, .sent_ns = now_ns() };

	fill(g, &head);
	if (send(g->paths[DIRECT].fd, g->payload, g->options->size, 0) >= 0)
		g->paths[DIRECT].sent++;
}

/* Send all datagrams that are due and were not sent yet. */
static void send_relayed(struct ping *g)
{
	while (g->is_open && g->paths[RELAYED].sent < g->next) {
		const struct head head = { .seq = g->paths[RELAYED].sent,
					   .path = RELAYED,
					   .sent_ns = now_ns() };

		fill(g, &head);
		if (culvert_tunnel_send(g->tunnel, g->payload, g->options->size) == -EAGAIN)
			return; /* retried with the next one; too large ones are reported at the end */
		g->paths[RELAYED].sent++;
	}
}

static void send_next(uv_timer_t *timer)
{
	struct ping *g = timer->data;

	if (g->paths[DIRECT].is_tried)
		send_direct(g);
	g->next++;
	if (!g->tunnel)
		open_tunnel(g);
	send_relayed(g);
	if (g->next >= g->options->count)
		uv_timer_start(timer, finish, LAST_WAIT_MSEC, 0);
}

static void on_open(struct ping *g)
{
	uint64_t msec = g->options->interval_ns / MSEC_NS;

	g->is_open = true;
	send_relayed(g); /* what was due while the tunnel was opened again */
	if (g->started)
		return;
	g->started = true;
	uv_timer_start(&g->timer, send_next, 0, msec ? msec : 1);
}

static void on_closed(struct ping *g, const struct culvert_event *e)
{
	if (peer_is_lost(&g->peer, e))
		return;
	if (!e->was_open) {
		peer_stop(&g->peer, peer_print_refused(&g->peer, e));
		return;
	}
	peer_log_ended(&g->peer, e);
	culvert_tunnel_close(g->tunnel);
	g->tunnel = NULL; /* opened again for the next datagram */
	g->is_open = false;
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct ping *g = p->user;

	switch (e->type) {
	case CULVERT_UP:
		open_tunnel(g);
		break;
	case CULVERT_OPEN:
		on_open(g);
		break;
	case CULVERT_DATAGRAM:
		take_reply(&g->paths[RELAYED], e->payload, e->payload_len);
		break;
	case CULVERT_CLOSED:
		on_closed(g, e);
		break;
	default:
		break;
	}
}

static const struct peer_ops ops = { NULL, on_event };

/* Returns a nonblocking socket connected to an endpoint, or -1. */
static int connected(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, sa, len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_direct(const struct endpoint *t)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found, *a;
	char port[8];
	int fd = -1;

	snprintf(port, sizeof(port), "%u", t->port);
	if (getaddrinfo(t->host, port, &hints, &found))
		return -1;
	for (a = found; a && fd < 0; a = a->ai_next)
		fd = connected(a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
	return fd;
}

static int open_path(struct ping *g, int i, const char *name, int fd)
{
	struct path *p = &g->paths[i];

	p->name = name;
	p->ping = g;
	p->fd = fd;
	p->is_tried = i == RELAYED || fd >= 0;
	p->rtt_ns = calloc(g->options->count, sizeof(*p->rtt_ns));
	p->answered = calloc(g->options->count, 1);
	if (!p->rtt_ns || !p->answered)
		return STATUS_FAILED;
	if (fd < 0)
		return 0;
	uv_poll_init(&g->peer.loop, &p->poll, fd);
	p->poll.data = p;
	return uv_poll_start(&p->poll, UV_READABLE, on_readable) ? STATUS_FAILED : 0;
}

/* ---- the summary ---- */

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const struct path *p, unsigned percent)
{
	uint32_t i = p->received ? (uint32_t)((uint64_t)(p->received - 1) * percent / 100) : 0;

	return p->received ? p->rtt_ns[i] / 1e3 : 0;
}

static double loss(const struct path *p)
{
	return p->sent ? 1.0 - (double)p->received / p->sent : 0.0;
}

static json_t *path_json(const struct path *p)
{
	return json_pack("{s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "sent", (int)p->sent,
			 "received", (int)p->received, "wrong", (int)p->wrong, "loss", loss(p),
			 "min_us", percentile_us(p, 0), "p50_us", percentile_us(p, 50), "p99_us",
			 percentile_us(p, 99), "max_us", percentile_us(p, 100));
}

static uint32_t max_payload(const struct ping *g)
{
	struct culvert_session_info info;

	culvert_session_info(g->peer.session, &info);
	return info.payload_max;
}

static void report_json(const struct ping *g)
{
	json_t *all = json_object();

	for (int i = 0; i < PATHS; i++)
		json_object_set_new(all, g->paths[i].name,
				    g->paths[i].received || i == RELAYED ? path_json(&g->paths[i])
									 : json_null());
	json_object_set_new(all, "max_payload", json_integer(max_payload(g)));
	json_dumpf(all, stdout, JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

static void report_text(const struct ping *g)
{
	for (int i = 0; i < PATHS; i++) {
		const struct path *p = &g->paths[i];

		if (i == DIRECT && !p->received) {
			printf("direct  not reachable\n");
			continue;
		}
		printf("%-7s sent %u received %u loss %.1f%% wrong %u", p->name, p->sent,
		       p->received, 100 * loss(p), p->wrong);
		if (p->received)
			printf(", ms: min %.3f p50 %.3f p99 %.3f max %.3f",
			       percentile_us(p, 0) / 1e3, percentile_us(p, 50) / 1e3,
			       percentile_us(p, 99) / 1e3, percentile_us(p, 100) / 1e3);
		putchar('\n');
	}
}

/* Explain a missing reply where the size is the reason. */
static void report_size(const struct ping *g)
{
	uint32_t max = max_payload(g);

	if (!g->paths[RELAYED].received && max && g->options->size > max)
		fprintf(stderr,
			"culvert: %u bytes do not fit: a datagram to the relay carries %u at most\n",
			g->options->size, max);
}

static void report(struct ping *g)
{
	for (int i = 0; i < PATHS; i++)
		qsort(g->paths[i].rtt_ns, g->paths[i].received, sizeof(uint64_t), by_time);
	if (g->options->json)
		report_json(g);
	else
		report_text(g);
	report_size(g);
}

static int run(struct ping *g)
{
	int status = open_path(g, RELAYED, "relayed", -1);

	uv_timer_init(&g->peer.loop, &g->timer);
	g->timer.data = g;
	if (!status)
		status = open_path(g, DIRECT, "direct", connect_direct(&g->options->target));
	if (!status)
		status = peer_run(&g->peer);
	if (g->started && !status)
		report(g);
	if (!status && !g->paths[RELAYED].received)
		status = STATUS_NO_REPLY;
	return status;
}

int ping_run(const struct options *o)
{
	struct ping *g = calloc(1, sizeof(*g));
	int status;

	if (!g)
		return STATUS_FAILED;
	g->options = o;
	g->paths[RELAYED].fd = g->paths[DIRECT].fd = -1;
	status = peer_open(&g->peer, o, &ops, g);
	if (!status)
		status = run(g);
	peer_close(&g->peer); /* closes the handles in g too */
	for (int i = 0; i < PATHS; i++) {
		if (g->paths[i].fd >= 0)
			close(g->paths[i].fd);
		free(g->paths[i].rtt_ns);
		free(g->paths[i].answered);
	}
	free(g);
	return status;
}
