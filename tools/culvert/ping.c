/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/culvert/commands.h"
#include "tools/culvert/peer.h"

#define MSEC_NS UINT64_C(1000000)

enum {
	LAST_WAIT_MSEC = 2000, /* for answers after the last was sent */
	ANSWER_MAX = 65536,
	RELAYED = 0,
	DIRECT = 1,
	WAYS = 2,
};

/* What a datagram begins with; a pattern follows. */
struct head {
	uint32_t seq, way;
	uint64_t sent_ns;
};

struct way {
	const char *name;
	struct ping *ping;
	int fd; /* of the direct way; -1: it cannot be tried */
	bool is_tried;
	uv_poll_t poll;
	uint32_t sent, received, wrong;
	uint64_t *rtt_ns; /* of what was answered, in order of arrival */
	uint8_t *answered;
};

struct ping {
	struct peer peer;
	const struct options *options;
	struct way ways[WAYS];
	struct culvert_tunnel *tunnel;
	uv_timer_t timer;
	uint32_t next; /* sequence number */
	bool is_open, started;
	uint8_t payload[2048];
	uint8_t answer[ANSWER_MAX];
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

static bool all_answered(const struct ping *g)
{
	for (int i = 0; i < WAYS; i++)
		if (g->ways[i].is_tried && g->ways[i].received < g->options->count)
			return false;
	return g->next >= g->options->count;
}

static void take_answer(struct way *w, const uint8_t *answer, size_t len)
{
	struct ping *g = w->ping;
	struct head head = { .seq = UINT32_MAX };
	uint64_t rtt;

	if (len >= sizeof(head))
		memcpy(&head, answer, sizeof(head));
	if (head.seq >= g->options->count || len != g->options->size) {
		w->wrong++;
		return;
	}
	fill(g, &head);
	if (memcmp(g->payload, answer, len)) {
		w->wrong++;
		return;
	}
	if (w->answered[head.seq])
		return; /* a duplicate */
	w->answered[head.seq] = 1;
	rtt = now_ns() - head.sent_ns;
	w->rtt_ns[w->received++] = rtt;
	if (!g->options->json)
		printf("%-7s seq=%u bytes=%zu time=%.3f ms\n", w->name, head.seq, len, rtt / 1e6);
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
		take_answer(w, w->ping->answer, (size_t)n);
}

static void ask(struct ping *g)
{
	const struct culvert_tunnel_options to = { .target = g->options->target.text };
	int err = culvert_tunnel_open(g->peer.session, &to, &g->tunnel);

	if (err)
		peer_stop(&g->peer, peer_complain(&g->peer, "tunnel", err));
}

static void send_direct(struct ping *g)
{
	const struct head head = { .seq = g->next, .way = DIRECT, .sent_ns = now_ns() };

	fill(g, &head);
	if (send(g->ways[DIRECT].fd, g->payload, g->options->size, 0) >= 0)
		g->ways[DIRECT].sent++;
}

/* Up to the sequence number that it is time for. */
static void send_relayed(struct ping *g)
{
	while (g->is_open && g->ways[RELAYED].sent < g->next) {
		const struct head head = { .seq = g->ways[RELAYED].sent,
					   .way = RELAYED,
					   .sent_ns = now_ns() };

		fill(g, &head);
		if (culvert_tunnel_send(g->tunnel, g->payload, g->options->size) == -EAGAIN)
			return; /* it goes with the next; what is too large is lost, and said at the end */
		g->ways[RELAYED].sent++;
	}
}

static void send_next(uv_timer_t *timer)
{
	struct ping *g = timer->data;

	if (g->ways[DIRECT].is_tried)
		send_direct(g);
	g->next++;
	if (!g->tunnel)
		ask(g);
	send_relayed(g);
	if (g->next >= g->options->count)
		uv_timer_start(timer, finish, LAST_WAIT_MSEC, 0);
}

static void on_open(struct ping *g)
{
	uint64_t msec = g->options->interval_ns / MSEC_NS;

	g->is_open = true;
	send_relayed(g); /* for what a tunnel was opened anew */
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
		peer_stop(&g->peer, peer_say_refused(&g->peer, e));
		return;
	}
	peer_say_ended(&g->peer, e);
	culvert_tunnel_close(g->tunnel);
	g->tunnel = NULL; /* until there is something to send */
	g->is_open = false;
}

static void on_event(struct peer *p, const struct culvert_event *e)
{
	struct ping *g = p->user;

	switch (e->type) {
	case CULVERT_UP:
		ask(g);
		break;
	case CULVERT_OPEN:
		on_open(g);
		break;
	case CULVERT_DATAGRAM:
		take_answer(&g->ways[RELAYED], e->payload, e->payload_len);
		break;
	case CULVERT_CLOSED:
		on_closed(g, e);
		break;
	default:
		break;
	}
}

static const struct peer_ops ops = { NULL, on_event };

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

static int open_way(struct ping *g, int i, const char *name, int fd)
{
	struct way *w = &g->ways[i];

	w->name = name;
	w->ping = g;
	w->fd = fd;
	w->is_tried = i == RELAYED || fd >= 0;
	w->rtt_ns = calloc(g->options->count, sizeof(*w->rtt_ns));
	w->answered = calloc(g->options->count, 1);
	if (!w->rtt_ns || !w->answered)
		return STATUS_FAILED;
	if (fd < 0)
		return 0;
	uv_poll_init(&g->peer.loop, &w->poll, fd);
	w->poll.data = w;
	return uv_poll_start(&w->poll, UV_READABLE, on_readable) ? STATUS_FAILED : 0;
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

static uint32_t max_payload(const struct ping *g)
{
	struct culvert_session_info info;

	culvert_session_info(g->peer.session, &info);
	return info.payload_max;
}

static void report_json(const struct ping *g)
{
	json_t *all = json_object();

	for (int i = 0; i < WAYS; i++)
		json_object_set_new(all, g->ways[i].name,
				    g->ways[i].received || i == RELAYED ? way_json(&g->ways[i])
									: json_null());
	json_object_set_new(all, "max_payload", json_integer(max_payload(g)));
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
	uint32_t max = max_payload(g);

	if (!g->ways[RELAYED].received && max && g->options->size > max)
		fprintf(stderr,
			"culvert: %u bytes do not fit: a datagram to the relay carries %u at most\n",
			g->options->size, max);
}

static void report(struct ping *g)
{
	for (int i = 0; i < WAYS; i++)
		qsort(g->ways[i].rtt_ns, g->ways[i].received, sizeof(uint64_t), by_time);
	if (g->options->json)
		report_json(g);
	else
		report_text(g);
	report_size(g);
}

static int run(struct ping *g)
{
	int status = open_way(g, RELAYED, "relayed", -1);

	uv_timer_init(&g->peer.loop, &g->timer);
	g->timer.data = g;
	if (!status)
		status = open_way(g, DIRECT, "direct", connect_direct(&g->options->target));
	if (!status)
		status = peer_run(&g->peer);
	if (g->started && !status)
		report(g);
	if (!status && !g->ways[RELAYED].received)
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
	g->ways[RELAYED].fd = g->ways[DIRECT].fd = -1;
	status = peer_open(&g->peer, o, &ops, g);
	if (!status)
		status = run(g);
	peer_close(&g->peer); /* the handles in g are closed by it */
	for (int i = 0; i < WAYS; i++) {
		if (g->ways[i].fd >= 0)
			close(g->ways[i].fd);
		free(g->ways[i].rtt_ns);
		free(g->ways[i].answered);
	}
	free(g);
	return status;
}
