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

struct clv_h3_stream *h3_add_stream(struct clv_h3 *h, int64_t id)
{
	struct clv_h3_stream *s = has_room(h) ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	clv_table_insert(&h->streams, &id, (uint64_t)(uintptr_t)s);
	s->http.http = &h->http;
	s->http.id = id;
	s->next = h->first;
	if (h->first)
		h->first->prev = s;
	h->first = s;
	return s;
}

void h3_free_section(struct clv_h3_stream *s)
{
	if (!s->section)
		return;
	free(s->section->text);
	free(s->section);
	s->section = NULL;
}

void h3_remove_stream(struct clv_h3_stream *s)
{
	struct clv_h3 *h = h3_of(s->http.http);

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
		free(c);
	}
	h3_free_section(s);
	free(s);
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

	/* The peer sent a field longer than the library buffers. */
	if (liberr == NGHTTP3_ERR_QPACK_HEADER_TOO_LARGE)
		code = CLV_H3_EXCESSIVE_LOAD;
	clv_h3_close(h, code, nghttp3_strerror(liberr));
	return CLV_EHTTP;
}
