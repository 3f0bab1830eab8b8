/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/culvert/ping.h"

#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/base/bytes.h"
#include "datapath/base/clock.h"

enum {
	LAST_WAIT_MSEC = 2000, /* for answers after the last was sent */
	ANSWER_MAX = 65536,
	RELAYED = 0,
	DIRECT = 1,
	WAYS = 2,
};

/*
 * Payload: sequence (4 bytes), way (4), time of sending (8), then a pattern.
 */
struct way {
	const char *name;
	struct ping *ping;
	int fd;
	uv_poll_t poll;
	uint32_t sent, received, wrong;
	uint64_t *rtt_ns; /* of what was answered, in order of arrival */
	uint8_t *answered;
};

struct ping {
	struct peer *peer;
	struct way ways[WAYS];
	uv_timer_t timer;
	uint32_t next;
	bool started;
	uint8_t payload[2048];
	uint8_t answer[ANSWER_MAX];
};

static void fill(struct ping *g, uint32_t seq, uint32_t way, uint64_t now_ns)
{
	clv_store_be32(g->payload, seq);
	clv_store_be32(g->payload + 4, way);
	clv_store_be64(g->payload + 8, now_ns);
	for (uint32_t i = 16; i < g->peer->options->size; i++)
		g->payload[i] = (uint8_t)(seq + i);
}

static void finish(uv_timer_t *timer)
{
	struct ping *g = timer->data;

	peer_stop(g->peer, CULVERT_OK);
}

static bool all_answered(const struct ping *g)
{
	for (int i = 0; i < WAYS; i++)
		if (g->ways[i].fd >= 0 && g->ways[i].received < g->peer->options->count)
			return false;
	return g->next >= g->peer->options->count;
}

static void take_answer(struct way *w, size_t len)
{
	struct ping *g = w->ping;
	uint64_t now_ns = clv_clock_now_ns(), rtt;
	uint32_t seq = len >= 16 ? clv_load_be32(g->answer) : UINT32_MAX;

	if (seq >= g->peer->options->count || len != g->peer->options->size) {
		w->wrong++;
		return;
	}
	fill(g, seq, clv_load_be32(g->answer + 4), clv_load_be64(g->answer + 8));
	if (memcmp(g->payload, g->answer, len)) {
		w->wrong++;
		return;
	}
	if (w->answered[seq])
		return; /* a duplicate */
	w->answered[seq] = 1;
	rtt = now_ns - clv_load_be64(g->answer + 8);
	w->rtt_ns[w->received++] = rtt;
	if (!g->peer->options->json)
		printf("%-7s seq=%u bytes=%zu time=%.3f ms\n", w->name, seq, len, rtt / 1e6);
	if (all_answered(g))
		uv_timer_start(&g->timer, finish, 0, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct way *w = poll->data;
	ssize_t n;

	(void)events;
	if (status < 0)
		return;
	while ((n = recv(w->fd, w->ping->answer, ANSWER_MAX, 0)) >= 0)
		take_answer(w, (size_t)n);
}

static void send_next(uv_timer_t *timer)
{
	struct ping *g = timer->data;
	const struct culvert_options *o = g->peer->options;

	for (uint32_t i = 0; i < WAYS; i++) {
		struct way *w = &g->ways[i];

		if (w->fd < 0)
			continue;
		fill(g, g->next, i, clv_clock_now_ns());
		if (send(w->fd, g->payload, o->size, 0) >= 0)
			w->sent++;
	}
	g->next++;
	if (g->next >= o->count)
		uv_timer_start(timer, finish, LAST_WAIT_MSEC, 0);
}

static void on_up(struct peer *p)
{
	struct ping *g = p->user;
	uint64_t msec = p->options->interval_ns / CLV_MSEC;

	if (g->started)
		return;
	g->started = true;
	uv_timer_start(&g->timer, send_next, 0, msec ? msec : 1);
}

static void on_refused(struct peer *p, int exit_code)
{
	peer_stop(p, exit_code);
}

/* A nonblocking socket connected to an endpoint; -1 when there is no way. */
static int connected(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(sa->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, sa, len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_direct(const struct culvert_endpoint *t)
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

static int open_way(struct ping *g, int i, const char *name, int fd)
{
	struct way *w = &g->ways[i];

	w->name = name;
	w->ping = g;
	w->fd = fd;
	w->rtt_ns = calloc(g->peer->options->count, sizeof(*w->rtt_ns));
	w->answered = calloc(g->peer->options->count, 1);
	if (!w->rtt_ns || !w->answered)
		return -1;
	if (fd < 0)
		return 0;
	uv_poll_init(&g->peer->loop, &w->poll, fd);
	w->poll.data = w;
	return uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

/* ---- the summary ---- */

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_us(const struct way *w, unsigned p)
{
	uint32_t i = w->received ? (uint32_t)((uint64_t)(w->received - 1) * p / 100) : 0;

	return w->received ? w->rtt_ns[i] / 1e3 : 0;
}

static double loss(const struct way *w)
{
	return w->sent ? 1.0 - (double)w->received / w->sent : 0.0;
}

static json_t *way_json(const struct way *w)
{
	return json_pack("{s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "sent", (int)w->sent,
			 "received", (int)w->received, "wrong", (int)w->wrong, "loss", loss(w),
			 "min_us", percentile_us(w, 0), "p50_us", percentile_us(w, 50), "p99_us",
			 percentile_us(w, 99), "max_us", percentile_us(w, 100));
}

static void report_json(const struct ping *g)
{
	json_t *all = json_object();

	for (int i = 0; i < WAYS; i++)
		json_object_set_new(all, g->ways[i].name,
				    g->ways[i].received || i == RELAYED ? way_json(&g->ways[i])
									: json_null());
	json_object_set_new(all, "max_payload", json_integer(g->peer->max_payload));
	json_dumpf(all, stdout, JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(all);
}

static void report_text(const struct ping *g)
{
	for (int i = 0; i < WAYS; i++) {
		const struct way *w = &g->ways[i];

		if (i == DIRECT && !w->received) {
			printf("direct  does not work from here\n");
			continue;
		}
		printf("%-7s sent %u received %u loss %.1f%% wrong %u", w->name, w->sent,
		       w->received, 100 * loss(w), w->wrong);
		if (w->received)
			printf(", ms: min %.3f p50 %.3f p99 %.3f max %.3f",
			       percentile_us(w, 0) / 1e3, percentile_us(w, 50) / 1e3,
			       percentile_us(w, 99) / 1e3, percentile_us(w, 100) / 1e3);
		putchar('\n');
	}
}

/* Why nothing came back, where we know. */
static void report_size(const struct ping *g)
{
	const struct peer *p = g->peer;

	if (!g->ways[RELAYED].received && p->max_payload && p->options->size > p->max_payload)
		fprintf(stderr,
			"culvert: %u bytes do not fit: a datagram to the relay carries %u at most\n",
			p->options->size, p->max_payload);
}

static void report(struct ping *g)
{
	for (int i = 0; i < WAYS; i++)
		qsort(g->ways[i].rtt_ns, g->ways[i].received, sizeof(uint64_t), by_time);
	if (g->peer->options->json)
		report_json(g);
	else
		report_text(g);
	report_size(g);
}

int ping_run(struct peer *p)
{
	struct ping *g = calloc(1, sizeof(*g));
	struct sockaddr_storage sa;
	socklen_t len = clv_endpoint_to_sockaddr(&p->listen, false, &sa);
	int code = CULVERT_FAILED;

	if (!g)
		return CULVERT_FAILED;
	g->peer = p;
	p->user = g;
	p->on_up = on_up;
	p->on_refused = on_refused;
	uv_timer_init(&p->loop, &g->timer);
	g->timer.data = g;
	if (!open_way(g, RELAYED, "relayed", connected((struct sockaddr *)&sa, len)) &&
	    !open_way(g, DIRECT, "direct", connect_direct(&p->options->target))) {
		code = peer_run(p);
		if (g->started && !code)
			report(g);
		if (!code && !g->ways[RELAYED].received)
			code = CULVERT_NO_REPLY;
	}
	peer_close(p); /* the handles in g are closed by it */
	for (int i = 0; i < WAYS; i++) {
		if (g->ways[i].fd >= 0)
			close(g->ways[i].fd);
		free(g->ways[i].rtt_ns);
		free(g->ways[i].answered);
	}
	free(g);
	return code;
}
