/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/h3_internal.h"

#include <stdlib.h>

#include "datapath/base/err.h"

/* ---- streams ---- */

struct clv_h3_stream *h3_find_stream(const struct clv_h3 *h, int64_t id)
{
	uint64_t value;

	if (!clv_table_find(&h->streams, &id, &value))
		return NULL;
	return (struct clv_h3_stream *)(uintptr_t)value;
}

static bool has_room(struct clv_h3 *h)
{
	size_t room = h->streams.limit * 2;

	if (h->streams.count < h->streams.limit)
		return true;
	if (room > h->params.streams_max)
		room = h->params.streams_max;
	return h->streams.count < room && clv_table_grow(&h->streams, room) == 0;
}

static void count(struct clv_h3 *h, enum clv_counter which)
{
	if (h->params.counters)
		clv_count(h->params.counters, which);
}

static void on_overdue(struct clv_deadline *due)
{
	struct clv_h3_stream *s =
		(struct clv_h3_stream *)((char *)due - offsetof(struct clv_h3_stream, answer_due));
	struct clv_h3 *h = h3_of(s->http.http);

	if (h->http.is_closed)
		return;
	count(h, CLV_COUNT_REQUESTS_LATE);
	if (s->is_unfinished)
		h3_forget_stream(s, CLV_H3_REQUEST_INCOMPLETE);
	else if (h->http.event_ops->on_overdue)
		h->http.event_ops->on_overdue(h->http.user, &s->http);
}

struct clv_h3_stream *h3_add_stream(struct clv_h3 *h, int64_t id)
{
	struct clv_h3_stream *s = has_room(h) ? clv_counted_calloc(1, sizeof(*s), &h->heap) : NULL;

	if (!s)
		return NULL;
	clv_table_insert(&h->streams, &id, (uint64_t)(uintptr_t)s);
	s->http.http = &h->http;
	s->http.id = id;
	s->next = h->first;
	if (h->first)
		h->first->prev = s;
	h->first = s;
	s->answer_due.expired = on_overdue;
	if (h->params.role == CLV_H3_SERVER) {
		s->is_unfinished = true;
		h->unfinished++;
		if (h->params.deadlines)
			clv_deadlines_start(h->params.deadlines, &s->answer_due);
	}
	return s;
}

void h3_finish_stream(struct clv_h3_stream *s)
{
	if (s->is_unfinished)
		h3_of(s->http.http)->unfinished--;
	s->is_unfinished = false;
}

void h3_settle_stream(struct clv_h3_stream *s)
{
	struct clv_h3 *h = h3_of(s->http.http);

	h3_finish_stream(s);
	if (h->params.deadlines)
		clv_deadlines_stop(h->params.deadlines, &s->answer_due);
}

void h3_forget_stream(struct clv_h3_stream *s, uint64_t code)
{
	struct clv_h3 *h = h3_of(s->http.http);

	h3_settle_stream(s);
	h3_free_section(s);
	s->read_closed = s->write_closed = s->is_forgotten = true;
	h->params.transport_ops->stop(h->params.transport, s->http.id, code);
	h->params.transport_ops->reset(h->params.transport, s->http.id, code);
	nghttp3_conn_close_stream(h->conn, s->http.id, code); /* if it has seen it at all */
}

void h3_free_section(struct clv_h3_stream *s)
{
	if (!s->section)
		return;
	clv_counted_free(s->section->text, &h3_of(s->http.http)->heap);
	clv_counted_free(s->section, &h3_of(s->http.http)->heap);
	s->section = NULL;
}

void h3_remove_stream(struct clv_h3_stream *s)
{
	struct clv_h3 *h = h3_of(s->http.http);

	h3_settle_stream(s);
	clv_table_remove(&h->streams, &s->http.id);
	if (s->prev)
		s->prev->next = s->next;
	else
		h->first = s->next;
	if (s->next)
		s->next->prev = s->prev;
	while (s->head) {
		struct clv_h3_chunk *c = s->head;

		s->head = c->next;
		clv_counted_free(c, &h->heap);
	}
	h3_free_section(s);
	clv_counted_free(s, &h->heap);
}

/* ---- closing the connection ---- */

void clv_h3_close(struct clv_h3 *h, uint64_t code, const char *reason)
{
	if (h->http.is_closed)
		return;
	h->http.is_closed = true;
	h->params.transport_ops->close(h->params.transport, code, reason);
}

int h3_fail(struct clv_h3 *h, int liberr)
{
	uint64_t code = nghttp3_err_infer_quic_app_error_code(liberr);

	/* The peer sent a field longer than the library buffers, or makes us keep too much. */
	if (liberr == NGHTTP3_ERR_QPACK_HEADER_TOO_LARGE || h->is_out_of_memory)
		code = CLV_H3_EXCESSIVE_LOAD;
	clv_h3_close(h, code, nghttp3_strerror(liberr));
	return CLV_EHTTP;
}
