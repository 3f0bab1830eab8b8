/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/http/h3_pipe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/http/h3_internal.h"
#include "datapath/base/clock.h"
#include "datapath/tunnel/messages.h"

enum event_type { EVENT_DATA, EVENT_RESET, EVENT_STOP };

struct pipe_event {
	struct pipe_event *next;
	enum event_type type;
	int64_t id;
	uint64_t code;
	bool fin;
	size_t len;
	uint8_t data[];
};

static void push(struct pipe_end *e, enum event_type type, int64_t id, uint64_t code,
		 const void *data, size_t len, bool fin)
{
	struct pipe_event *ev = malloc(sizeof(*ev) + len);

	assert_non_null(ev);
	*ev = (struct pipe_event){ .type = type, .id = id, .code = code, .fin = fin, .len = len };
	if (len > 0)
		memcpy(ev->data, data, len);
	if (e->tail)
		e->tail->next = ev;
	else
		e->head = ev;
	e->tail = ev;
}

static int open_uni(void *transport, int64_t *id)
{
	struct pipe_end *e = transport;

	*id = e->next_uni;
	e->next_uni += 4;
	return 0;
}

static int open_bidi(void *transport, int64_t *id)
{
	struct pipe_end *e = transport;

	assert_int_equal(e->side, PIPE_CLIENT);
	*id = e->next_bidi;
	e->next_bidi += 4;
	return 0;
}

static int write_bytes(void *transport, int64_t id, const uint8_t *data, size_t len, bool fin)
{
	struct pipe_end *e = transport;

	assert_false(e->closed);
	assert_true(len <= CLV_STREAM_CHUNK_MAX);
	assert_true(len > 0 || fin);
	assert_true(id < PIPE_STREAMS);
	if (e->write_fails)
		return -ENOMEM;
	assert_false(e->pipe->streams[id].done[e->side]);
	e->pipe->streams[id].done[e->side] = fin;
	push(e, EVENT_DATA, id, 0, data, len, fin);
	return 0;
}

static void consumed(void *transport, int64_t id, uint64_t len)
{
	struct pipe_end *e = transport;

	(void)id;
	assert_true(len > 0);
	e->consumed += len;
}

static void note(struct pipe_end *e, const char *what, int64_t id, uint64_t code)
{
	size_t used = strlen(e->log);

	snprintf(e->log + used, sizeof(e->log) - used, "%s %llx %llx;", what,
		 (unsigned long long)id, (unsigned long long)code);
}

static void reset(void *transport, int64_t id, uint64_t code)
{
	struct pipe_end *e = transport;

	note(e, "reset", id, code);
	if (e->pipe->streams[id].done[e->side])
		return;
	e->pipe->streams[id].done[e->side] = true;
	push(e, EVENT_RESET, id, code, NULL, 0, false);
}

static void stop(void *transport, int64_t id, uint64_t code)
{
	struct pipe_end *e = transport;

	note(e, "stop", id, code);
	push(e, EVENT_STOP, id, code, NULL, 0, false);
}

static void close_connection(void *transport, uint64_t code, const char *reason)
{
	struct pipe_end *e = transport;

	assert_false(e->closed);
	assert_non_null(reason);
	e->closed = true;
	e->close_code = code;
}

static const struct clv_stream_ops transport_ops = {
	.open_uni = open_uni,
	.open_bidi = open_bidi,
	.write = write_bytes,
	.consumed = consumed,
	.reset = reset,
	.stop = stop,
	.close = close_connection,
};

void pipe_init(struct pipe *p, size_t chunk)
{
	*p = (struct pipe){ .chunk = chunk, .now_ns = 1000 };
	clv_deadlines_init(&p->deadlines, PIPE_LIMIT_SEC * CLV_SEC, &p->now_ns);
	for (int side = 0; side < 2; side++) {
		p->end[side].pipe = p;
		p->end[side].side = side;
		p->end[side].next_uni = 2 + side;
	}
}

struct clv_http *pipe_make(struct pipe *p, int side, bool quic_datagrams, uint32_t streams_max,
			   struct clv_rand *rand)
{
	const struct clv_h3_params params = {
		.role = side == PIPE_SERVER ? CLV_H3_SERVER : CLV_H3_CLIENT,
		.transport_ops = &transport_ops,
		.transport = &p->end[side],
		.quic_datagrams = quic_datagrams,
		.streams_max = streams_max,
		.rand = rand,
		.deadlines = side == PIPE_SERVER ? &p->deadlines : NULL,
	};

	assert_int_equal(clv_h3_new(&params, &p->end[side].h3), 0);
	return clv_h3_http(p->end[side].h3);
}

void pipe_fini(struct pipe *p)
{
	for (int side = 0; side < 2; side++) {
		while (p->end[side].head) {
			struct pipe_event *ev = p->end[side].head;

			p->end[side].head = ev->next;
			free(ev);
		}
	}
}

void pipe_inject(struct pipe_end *e, int64_t id, const void *data, size_t len, bool fin)
{
	e->pipe->streams[id].done[e->side] |= fin;
	push(e, EVENT_DATA, id, 0, data, len, fin);
}

static void deliver_data(struct pipe_end *from, struct pipe_end *to, const struct pipe_event *ev)
{
	size_t at = 0;

	do {
		size_t piece = ev->len - at < to->pipe->chunk ? ev->len - at : to->pipe->chunk;
		bool last = at + piece == ev->len;
		uint8_t *copy = malloc(piece ? piece : 1);

		/* A copy of its own size, so that reading past its end is seen. */
		memcpy(copy, ev->data + at, piece);
		to->received += piece;
		if (!to->closed)
			clv_h3_read(to->h3, ev->id, copy, piece, ev->fin && last, to->pipe->now_ns);
		free(copy);
		at += piece;
	} while (at < ev->len);
	if (!from->hold_acks && ev->len > 0 && !from->closed)
		clv_h3_acked(from->h3, ev->id, ev->len);
}

static void deliver(struct pipe_end *from, struct pipe_end *to, const struct pipe_event *ev)
{
	switch (ev->type) {
	case EVENT_DATA:
		deliver_data(from, to, ev);
		break;
	case EVENT_RESET:
		clv_h3_stream_reset(to->h3, ev->id, ev->code);
		break;
	case EVENT_STOP:
		clv_h3_stream_stopped(to->h3, ev->id, ev->code);
		if (!to->pipe->streams[ev->id].done[to->side]) {
			to->pipe->streams[ev->id].done[to->side] = true;
			push(to, EVENT_RESET, ev->id, ev->code, NULL, 0, false);
		}
		break;
	}
}

/* The oldest event that may be delivered now, taken out of the queue. */
static struct pipe_event *pop(struct pipe_end *e)
{
	struct pipe_event **at = &e->head, *before = NULL, *ev;

	while (*at && e->hold_control && ((*at)->id & 2)) {
		before = *at;
		at = &(*at)->next;
	}
	ev = *at;
	if (!ev)
		return NULL;
	*at = ev->next;
	if (e->tail == ev)
		e->tail = before;
	return ev;
}

/* Whether something of a stream is still under way. */
static bool is_pending(const struct pipe *p, int64_t id)
{
	for (int side = 0; side < 2; side++) {
		for (const struct pipe_event *ev = p->end[side].head; ev; ev = ev->next) {
			if (ev->id == id && ev->type != EVENT_STOP)
				return true;
		}
	}
	return false;
}

static void close_finished(struct pipe *p)
{
	for (int64_t id = 0; id < PIPE_STREAMS; id += 4) {
		if (p->streams[id].closed || !p->streams[id].done[0] || !p->streams[id].done[1] ||
		    is_pending(p, id))
			continue;
		p->streams[id].closed = true;
		clv_h3_stream_closed(p->end[0].h3, id, CLV_H3_NO_ERROR);
		clv_h3_stream_closed(p->end[1].h3, id, CLV_H3_NO_ERROR);
	}
}

void pipe_run(struct pipe *p)
{
	bool moved;

	do {
		moved = false;
		for (int side = 0; side < 2; side++) {
			struct pipe_event *ev = pop(&p->end[side]);

			if (!ev)
				continue;
			moved = true;
			if (!p->streams[ev->id].closed)
				deliver(&p->end[side], &p->end[!side], ev);
			free(ev);
		}
		close_finished(p);
	} while (moved);
}

void pipe_wait(struct pipe *p, uint64_t duration_ns)
{
	p->now_ns += duration_ns;
	clv_deadlines_run(&p->deadlines);
	pipe_run(p);
}

void pipe_goaway(struct clv_h3 *h)
{
	assert_int_equal(nghttp3_conn_shutdown(h->conn), 0);
	h3_flush(h);
}
