/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/h3_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/err.h"

/* The same codes under the library's names, so that a slip in our list does not compile. */
#define SAME_CODE(name)                                                                            \
	_Static_assert((int)CLV_H3_##name == NGHTTP3_H3_##name, "RFC 9114 section 8.1")
SAME_CODE(NO_ERROR);
SAME_CODE(GENERAL_PROTOCOL_ERROR);
SAME_CODE(INTERNAL_ERROR);
SAME_CODE(STREAM_CREATION_ERROR);
SAME_CODE(CLOSED_CRITICAL_STREAM);
SAME_CODE(FRAME_UNEXPECTED);
SAME_CODE(FRAME_ERROR);
SAME_CODE(EXCESSIVE_LOAD);
SAME_CODE(ID_ERROR);
SAME_CODE(SETTINGS_ERROR);
SAME_CODE(MISSING_SETTINGS);
SAME_CODE(REQUEST_REJECTED);
SAME_CODE(REQUEST_CANCELLED);
SAME_CODE(REQUEST_INCOMPLETE);
SAME_CODE(MESSAGE_ERROR);
SAME_CODE(CONNECT_ERROR);

enum {
	STREAMS_FIRST = 16, /* room for so many at first, doubled up to streams_max */
};

/* Seeds for nghttp3's hash tables; the callback gets no pointer to our generator. */
static void on_rand(uint8_t *out, size_t len)
{
	struct clv_rand r;

	clv_rand_init(&r, 0);
	clv_rand_bytes(&r, out, len);
}

/* ---- memory ---- */

static struct clv_h3 *of_heap(struct clv_counted_heap *heap)
{
	return (struct clv_h3 *)((char *)heap - offsetof(struct clv_h3, heap));
}

static bool heap_may_have(struct clv_counted_heap *heap, uint64_t bytes)
{
	struct clv_h3 *h = of_heap(heap);

	if (clv_budget_allows(h->params.memory, bytes))
		return true;
	h->is_out_of_memory = true;
	if (h->params.counters)
		clv_count(h->params.counters, CLV_COUNT_HTTP_MEMORY_FULL);
	return false;
}

static void heap_took(struct clv_counted_heap *heap, uint64_t bytes)
{
	clv_budget_charge(of_heap(heap)->params.memory, bytes);
}

static void heap_gave(struct clv_counted_heap *heap, uint64_t bytes)
{
	clv_budget_give(of_heap(heap)->params.memory, bytes);
}

static void set_memory(struct clv_h3 *h)
{
	h->heap = (struct clv_counted_heap){ heap_may_have, heap_took, heap_gave };
	h->mem = (nghttp3_mem){
		.user_data = &h->heap,
		.malloc = clv_counted_malloc,
		.free = clv_counted_free,
		.calloc = clv_counted_calloc,
		.realloc = clv_counted_realloc,
	};
}

/* ---- life ---- */

static void free_h3(struct clv_http *http)
{
	struct clv_h3 *h = h3_of(http);

	h->http.is_closed = true;
	while (h->first) {
		h->http.event_ops->on_closed(h->http.user, &h->first->http, CLV_H3_NO_ERROR);
		h3_remove_stream(h->first);
	}
	if (h->params.deadlines)
		clv_deadlines_stop(h->params.deadlines, &h->settings_due);
	nghttp3_conn_del(h->conn);
	clv_table_fini(&h->streams);
	free(h);
}

static const struct clv_http_ops http_ops = {
	.free = free_h3,
	.request = h3_request,
	.respond = h3_respond,
	.send = h3_send,
	.stop = h3_stop,
	.abort = h3_abort,
};

static void on_settings_overdue(struct clv_deadline *due)
{
	struct clv_h3 *h = (struct clv_h3 *)((char *)due - offsetof(struct clv_h3, settings_due));

	if (h->http.has_settings || h->http.is_closed)
		return;
	if (h->params.counters)
		clv_count(h->params.counters, CLV_COUNT_SETTINGS_LATE);
	clv_h3_close(h, CLV_H3_MISSING_SETTINGS, "no SETTINGS in time");
}

int clv_h3_new(const struct clv_h3_params *params, struct clv_h3 **out)
{
	struct clv_h3 *h = calloc(1, sizeof(*h));
	nghttp3_callbacks callbacks = { .rand = on_rand };
	nghttp3_settings settings;
	uint64_t seed[2];
	int err;

	if (!h)
		return -ENOMEM;
	h->http.ops = &http_ops;
	h->params = *params;
	set_memory(h);
	h->settings_due.expired = on_settings_overdue;
	clv_rand_bytes(params->rand, seed, sizeof(seed));
	err = clv_table_init(
		&h->streams, sizeof(int64_t),
		params->streams_max < STREAMS_FIRST ? params->streams_max : STREAMS_FIRST, seed);
	if (err < 0)
		goto free_mem;

	h3_set_write_callbacks(&callbacks);
	h3_set_read_callbacks(&callbacks);
	nghttp3_settings_default(&settings);
	settings.max_field_section_size = CLV_HTTP_FIELD_SECTION_MAX;
	/* No dynamic table: our fields are few, and a peer cannot make us store its own. */
	settings.qpack_encoder_max_dtable_capacity = 0;
	settings.h3_datagram = 1;
	if (params->role == CLV_H3_SERVER) {
		settings.enable_connect_protocol = 1;
		err = nghttp3_conn_server_new(&h->conn, &callbacks, &settings, &h->mem, h);
	} else {
		err = nghttp3_conn_client_new(&h->conn, &callbacks, &settings, &h->mem, h);
	}
	if (err != 0) {
		err = err == NGHTTP3_ERR_NOMEM ? -ENOMEM : CLV_EHTTP;
		goto fini_table;
	}
	nghttp3_conn_set_max_concurrent_streams(h->conn, params->streams_max);
	if (params->role == CLV_H3_SERVER) {
		h->streams_granted = params->streams_max;
		nghttp3_conn_set_max_client_streams_bidi(h->conn, h->streams_granted);
	}
	*out = h;
	return 0;

fini_table:
	clv_table_fini(&h->streams);
free_mem:
	free(h);
	return err;
}

struct clv_http *clv_h3_http(struct clv_h3 *h)
{
	return &h->http;
}

int clv_h3_start(struct clv_h3 *h)
{
	const struct clv_stream_ops *ops = h->params.transport_ops;
	int64_t control, encoder, decoder;
	int err;

	if (h->http.is_closed)
		return CLV_ECLOSED;
	err = ops->open_uni(h->params.transport, &control);
	if (err == 0)
		err = ops->open_uni(h->params.transport, &encoder);
	if (err == 0)
		err = ops->open_uni(h->params.transport, &decoder);
	if (err < 0)
		return err;
	err = nghttp3_conn_bind_control_stream(h->conn, control);
	if (err == 0)
		err = nghttp3_conn_bind_qpack_streams(h->conn, encoder, decoder);
	if (err != 0)
		return h3_fail(h, err);
	h->started = true;
	if (h->params.deadlines)
		clv_deadlines_start(h->params.deadlines, &h->settings_due);
	h3_flush(h);
	return h->http.is_closed ? CLV_EHTTP : 0;
}

void clv_h3_acked(struct clv_h3 *h, int64_t id, uint64_t len)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);

	if (s)
		s->http.acked += len;
}

static bool is_request_stream(int64_t id)
{
	return (id & 3) == 0;
}

void clv_h3_stream_reset(struct clv_h3 *h, int64_t id, uint64_t code)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);

	if (h->http.is_closed)
		return;
	if (!is_request_stream(id)) {
		/* Control and QPACK streams must live as long as the connection: RFC 9114 6.2.1. */
		clv_h3_stream_closed(h, id, code);
		return;
	}
	h3_shutdown_read(h, id);
	if (s && !s->read_closed) {
		s->read_closed = true;
		h->http.event_ops->on_reset(h->http.user, &s->http, code);
		/* It has no user that would end our half. */
		if (s->is_unfinished)
			h3_forget_stream(s, CLV_H3_REQUEST_INCOMPLETE);
	}
	h3_flush(h);
}

void clv_h3_stream_stopped(struct clv_h3 *h, int64_t id, uint64_t code)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);

	if (h->http.is_closed)
		return;
	if (!is_request_stream(id)) {
		clv_h3_close(h, CLV_H3_CLOSED_CRITICAL_STREAM, "critical stream refused");
		return;
	}
	nghttp3_conn_shutdown_stream_write(h->conn, id);
	if (s && !s->write_closed) {
		s->write_closed = true;
		h->http.event_ops->on_stop(h->http.user, &s->http, code);
	}
	h3_flush(h);
}

void clv_h3_stream_datagrams(struct clv_h3 *h, int64_t id)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);

	/* While its field section is incomplete it may still become a tunnel. */
	if (s && !s->http.user && !s->section && !s->is_unfinished)
		h3_abort(&s->http, CLV_H3_DATAGRAM_ERROR);
}

void clv_h3_stream_closed(struct clv_h3 *h, int64_t id, uint64_t code)
{
	struct clv_h3_stream *s;
	int err;

	if (h->http.is_closed)
		return;
	if (h->params.role == CLV_H3_SERVER && is_request_stream(id)) {
		/* The transport grants a new stream for each that is closed. */
		nghttp3_conn_set_max_client_streams_bidi(h->conn, ++h->streams_granted);
	}
	h->busy = true;
	err = nghttp3_conn_close_stream(h->conn, id, code);
	h->busy = false;
	if (err != 0 && err != NGHTTP3_ERR_STREAM_NOT_FOUND)
		h3_fail(h, err);
	s = h3_find_stream(h, id);
	if (s && !h->http.is_closed) { /* nghttp3 did not know it */
		h->http.event_ops->on_closed(h->http.user, &s->http, code);
		h3_remove_stream(s);
	}
	h3_flush(h);
}

void clv_h3_stream_event(struct clv_h3 *h, const struct clv_stream_event *e)
{
	switch (e->type) {
	case CLV_STREAM_DATA:
		clv_h3_read(h, e->id, e->data, e->len, e->code, e->now_ns);
		break;
	case CLV_STREAM_ACKED:
		clv_h3_acked(h, e->id, e->code);
		break;
	case CLV_STREAM_RESET:
		clv_h3_stream_reset(h, e->id, e->code);
		break;
	case CLV_STREAM_STOP:
		clv_h3_stream_stopped(h, e->id, e->code);
		break;
	case CLV_STREAM_NO_TUNNEL:
		clv_h3_stream_datagrams(h, e->id);
		break;
	case CLV_STREAM_CLOSED:
		clv_h3_stream_closed(h, e->id, e->code);
		break;
	}
}
