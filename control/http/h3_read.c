/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/h3_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"

enum {
	FIELD_OVERHEAD = 32, /* what each field counts beyond its bytes, RFC 9114 section 4.2.2 */
	SECTION_TEXT_MIN = 1024,
};

/* What a callback returns: after clv_h3_close nghttp3 must stop at once. */
static int callback_result(const struct clv_h3 *h)
{
	return h->http.is_closed ? NGHTTP3_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp3_conn *conn, int64_t id, void *conn_user, void *stream_user)
{
	struct clv_h3 *h = conn_user;
	struct clv_h3_stream *s = stream_user;

	if (!s && h->params.role == CLV_H3_SERVER) {
		s = h3_find_stream(h, id);
		if (s && nghttp3_conn_set_stream_user_data(conn, id, s) != 0)
			return NGHTTP3_ERR_CALLBACK_FAILURE;
	}
	if (!s) {
		h->params.transport_ops->stop(h->params.transport, id, CLV_H3_REQUEST_REJECTED);
		h->params.transport_ops->reset(h->params.transport, id, CLV_H3_REQUEST_REJECTED);
		nghttp3_conn_shutdown_stream_write(conn, id);
		return 0;
	}
	if (s->read_closed)
		return 0;
	h3_free_section(s);
	s->section = clv_counted_calloc(1, sizeof(*s->section), &h->heap);
	return s->section ? 0 : NGHTTP3_ERR_CALLBACK_FAILURE;
}

/* Room for n more bytes of text. */
static int grow_text(struct clv_h3 *h, struct clv_h3_section *sec, size_t n)
{
	size_t room = sec->text_room ? sec->text_room : SECTION_TEXT_MIN;
	char *text;

	while (room < sec->text_len + n)
		room *= 2;
	if (room == sec->text_room)
		return 0;
	text = clv_counted_realloc(sec->text, room, &h->heap);
	if (!text)
		return -ENOMEM;
	sec->text = text;
	sec->text_room = room;
	return 0;
}

static size_t add_text(struct clv_h3_section *sec, const nghttp3_vec *v)
{
	size_t at = sec->text_len;

	memcpy(sec->text + at, v->base, v->len);
	sec->text[at + v->len] = '\0';
	sec->text_len += v->len + 1;
	return at;
}

static int on_recv_header(nghttp3_conn *conn, int64_t id, int32_t token, nghttp3_rcbuf *name_buf,
			  nghttp3_rcbuf *value_buf, uint8_t flags, void *conn_user,
			  void *stream_user)
{
	struct clv_h3_stream *s = stream_user;
	nghttp3_vec name = nghttp3_rcbuf_get_buf(name_buf);
	nghttp3_vec value = nghttp3_rcbuf_get_buf(value_buf);
	struct clv_h3_section *sec = s ? s->section : NULL;

	(void)conn;
	(void)id;
	(void)token;
	(void)flags;
	if (!sec || sec->too_large)
		return 0;
	sec->counted += name.len + value.len + FIELD_OVERHEAD;
	if (sec->counted > CLV_HTTP_FIELD_SECTION_MAX || sec->len == CLV_HTTP_FIELDS_MAX) {
		sec->too_large = true;
		return 0;
	}
	if (grow_text(conn_user, sec, name.len + value.len + 2) < 0)
		return NGHTTP3_ERR_CALLBACK_FAILURE;
	sec->fields[sec->len].name = add_text(sec, &name);
	sec->fields[sec->len].value = add_text(sec, &value);
	sec->fields[sec->len].value_len = value.len;
	sec->len++;
	return 0;
}

static unsigned parse_status(const char *text)
{
	/* nghttp3 let only three digits pass. */
	return (unsigned)((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
}

static int on_end_headers(nghttp3_conn *conn, int64_t id, int fin, void *conn_user,
			  void *stream_user)
{
	struct clv_h3 *h = conn_user;
	struct clv_h3_stream *s = stream_user;
	struct clv_http_field fields[CLV_HTTP_FIELDS_MAX];
	struct clv_http_head head = { .fields = fields };
	struct clv_h3_section *sec = s ? s->section : NULL;

	(void)conn;
	(void)id;
	(void)fin;
	if (!sec)
		return 0;
	head.len = sec->len;
	head.too_large = sec->too_large;
	head.is_refused = s->is_refused;
	h3_finish_stream(s);
	for (size_t i = 0; i < sec->len; i++) {
		fields[i] = (struct clv_http_field){ .name = sec->text + sec->fields[i].name,
						     .value = sec->text + sec->fields[i].value,
						     .value_len = sec->fields[i].value_len };
		if (strcmp(fields[i].name, ":status") == 0)
			head.status = parse_status(fields[i].value);
	}
	if (!s->read_closed)
		h->http.event_ops->on_headers(h->http.user, &s->http, &head);
	h3_free_section(s);
	return callback_result(h);
}

static int on_recv_data(nghttp3_conn *conn, int64_t id, const uint8_t *data, size_t len,
			void *conn_user, void *stream_user)
{
	struct clv_h3 *h = conn_user;
	struct clv_h3_stream *s = stream_user;

	(void)conn;
	if (s && !s->read_closed)
		h->http.event_ops->on_body(h->http.user, &s->http, data, len);
	if (len > 0)
		h->params.transport_ops->consumed(h->params.transport, id, len);
	return callback_result(h);
}

static int on_deferred_consume(nghttp3_conn *conn, int64_t id, size_t len, void *conn_user,
			       void *stream_user)
{
	struct clv_h3 *h = conn_user;

	(void)conn;
	(void)stream_user;
	if (len > 0)
		h->params.transport_ops->consumed(h->params.transport, id, len);
	return 0;
}

static int on_end_stream(nghttp3_conn *conn, int64_t id, void *conn_user, void *stream_user)
{
	struct clv_h3 *h = conn_user;
	struct clv_h3_stream *s = stream_user;

	(void)conn;
	(void)id;
	if (s && !s->read_closed) {
		s->read_closed = true;
		h->http.event_ops->on_end(h->http.user, &s->http);
	}
	return callback_result(h);
}

static int on_stop_sending(nghttp3_conn *conn, int64_t id, uint64_t code, void *conn_user,
			   void *stream_user)
{
	struct clv_h3 *h = conn_user;

	(void)conn;
	(void)stream_user;
	h->params.transport_ops->stop(h->params.transport, id, code);
	return 0;
}

static int on_reset_stream(nghttp3_conn *conn, int64_t id, uint64_t code, void *conn_user,
			   void *stream_user)
{
	struct clv_h3 *h = conn_user;

	(void)conn;
	(void)stream_user;
	h->params.transport_ops->reset(h->params.transport, id, code);
	return 0;
}

static int on_stream_close(nghttp3_conn *conn, int64_t id, uint64_t code, void *conn_user,
			   void *stream_user)
{
	struct clv_h3 *h = conn_user;
	struct clv_h3_stream *s = h3_find_stream(h, id);

	(void)conn;
	(void)stream_user;
	if (s && !s->is_forgotten) {
		h->http.event_ops->on_closed(h->http.user, &s->http, code);
		h3_remove_stream(s);
	}
	return callback_result(h);
}

static int on_shutdown(nghttp3_conn *conn, int64_t id, void *conn_user)
{
	struct clv_h3 *h = conn_user;

	(void)conn;
	(void)id;
	if (!h->goaway_received) {
		h->goaway_received = true;
		if (h->http.event_ops->on_goaway)
			h->http.event_ops->on_goaway(h->http.user);
	}
	return callback_result(h);
}

static int on_recv_settings(nghttp3_conn *conn, const nghttp3_proto_settings *settings,
			    void *conn_user)
{
	struct clv_h3 *h = conn_user;

	(void)conn;
	h->http.settings = (struct clv_http_settings){
		.datagrams = settings->h3_datagram && h->params.quic_datagrams,
		.extended_connect = settings->enable_connect_protocol,
	};
	h->http.has_settings = true;
	if (h->params.deadlines)
		clv_deadlines_stop(h->params.deadlines, &h->settings_due);
	h->http.event_ops->on_settings(h->http.user, &h->http.settings);
	return callback_result(h);
}

void h3_set_read_callbacks(nghttp3_callbacks *callbacks)
{
	callbacks->stream_close = on_stream_close;
	callbacks->recv_data = on_recv_data;
	callbacks->deferred_consume = on_deferred_consume;
	callbacks->begin_headers = on_begin_headers;
	callbacks->recv_header = on_recv_header;
	callbacks->end_headers = on_end_headers;
	callbacks->stop_sending = on_stop_sending;
	callbacks->end_stream = on_end_stream;
	callbacks->reset_stream = on_reset_stream;
	callbacks->shutdown = on_shutdown;
	callbacks->recv_settings2 = on_recv_settings;
}

/* The stream error for an error of nghttp3; 0 when it is one of the connection. */
static uint64_t stream_error(int liberr)
{
	switch (liberr) {
	case NGHTTP3_ERR_MALFORMED_HTTP_HEADER:
	case NGHTTP3_ERR_MALFORMED_HTTP_MESSAGING:
		return CLV_H3_MESSAGE_ERROR; /* RFC 9114 section 4.1.2 */
	case NGHTTP3_ERR_QPACK_HEADER_TOO_LARGE:
		return NGHTTP3_QPACK_DECOMPRESSION_FAILED; /* RFC 9204 section 7.4 */
	default:
		return 0;
	}
}

/*
 * nghttp3 wants a connection closed after any error.  One that concerns a single message need not
 * cost the peer its tunnels: without a dynamic table a stream shares no state with its neighbours,
 * and nothing more of it is read.
 */
static void abort_malformed(struct clv_h3 *h, int64_t id, size_t len, uint64_t code)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);
	bool was_read = s && !s->read_closed;

	if (!s) { /* it was rejected, beyond streams_max */
		nghttp3_conn_shutdown_stream_read(h->conn, id);
	} else if (s->is_unfinished) {
		h3_forget_stream(s, code);
	} else {
		h3_abort(&s->http, code);
		if (was_read)
			h->http.event_ops->on_reset(h->http.user, &s->http, code);
	}
	h->params.transport_ops->consumed(h->params.transport, id, len);
}

/* The first byte of a request came.  Returns NULL when there is no room for it. */
static struct clv_h3_stream *begin_request(struct clv_h3 *h, int64_t id)
{
	struct clv_h3_stream *s = h3_add_stream(h, id);

	if (!s)
		return NULL;
	if (h->params.unfinished_max && h->unfinished > h->params.unfinished_max) {
		if (h->params.counters)
			clv_count(h->params.counters, CLV_COUNT_REFUSED_UNFINISHED);
		h3_forget_stream(s, CLV_H3_REQUEST_REJECTED);
	} else if (h->http.event_ops->on_begin) {
		s->is_refused = !h->http.event_ops->on_begin(h->http.user, &s->http);
	}
	return s;
}

int clv_h3_read(struct clv_h3 *h, int64_t id, const uint8_t *data, size_t len, bool fin,
		uint64_t now_ns)
{
	struct clv_h3_stream *s = h3_find_stream(h, id);
	nghttp3_ssize n;

	if (h->http.is_closed)
		return CLV_ECLOSED;
	if (!s && h->params.role == CLV_H3_SERVER && (id & 3) == 0)
		s = begin_request(h, id);
	if (s && s->is_forgotten) {
		if (len > 0)
			h->params.transport_ops->consumed(h->params.transport, id, len);
		return 0;
	}
	h->busy = true;
	n = nghttp3_conn_read_stream2(h->conn, id, data, len, fin, now_ns);
	h->busy = false;
	if (h->http.is_closed)
		return CLV_EHTTP;
	if (n < 0 && !stream_error((int)n))
		return h3_fail(h, (int)n);
	if (n < 0)
		abort_malformed(h, id, len, stream_error((int)n));
	else if (n > 0)
		h->params.transport_ops->consumed(h->params.transport, id, (uint64_t)n);
	h3_flush(h);
	return h->http.is_closed ? CLV_EHTTP : 0;
}
