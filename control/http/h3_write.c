/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/http/h3_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/err.h"
#include "datapath/tunnel/messages.h"

enum {
	VECTORS = 16, /* pieces taken from nghttp3 at a time */
};

/* Hand pieces to the transport, joined to as few writes as fit. */
static int write_vectors(struct clv_h3 *h, int64_t id, const nghttp3_vec *vec, size_t n, bool fin)
{
	const struct clv_stream_ops *ops = h->params.transport_ops;
	uint8_t buf[CLV_STREAM_CHUNK_MAX];
	size_t used = 0;
	int err;

	for (size_t i = 0; i < n; i++) {
		for (size_t at = 0; at < vec[i].len;) {
			size_t piece = vec[i].len - at;

			if (used == sizeof(buf)) {
				err = ops->write(h->params.transport, id, buf, used, false);
				if (err < 0)
					return err;
				used = 0;
			}
			if (piece > sizeof(buf) - used)
				piece = sizeof(buf) - used;
			memcpy(buf + used, vec[i].base + at, piece);
			used += piece;
			at += piece;
		}
	}
	if (used == 0 && !fin)
		return 0;
	return ops->write(h->params.transport, id, buf, used, fin);
}

void h3_flush(struct clv_h3 *h)
{
	nghttp3_vec vec[VECTORS];

	if (h->busy || h->http.is_closed || !h->started)
		return;
	h->busy = true;
	while (!h->http.is_closed) {
		struct clv_h3_stream *s;
		nghttp3_ssize n;
		int64_t id = -1;
		size_t len;
		int fin, err;

		n = nghttp3_conn_writev_stream(h->conn, &id, &fin, vec, VECTORS);
		if (n < 0) {
			h3_fail(h, (int)n);
			break;
		}
		if (id < 0)
			break;
		len = (size_t)nghttp3_vec_len(vec, (size_t)n);
		err = write_vectors(h, id, vec, (size_t)n, fin);
		if (err < 0) {
			clv_h3_close(h, CLV_H3_INTERNAL_ERROR, "out of memory");
			break;
		}
		s = h3_find_stream(h, id);
		if (s)
			s->http.sent += len;
		err = nghttp3_conn_add_write_offset(h->conn, id, len);
		/* The transport has a copy, so nghttp3 need not keep one until the peer's ACK. */
		if (err == 0)
			err = nghttp3_conn_add_ack_offset(h->conn, id, len);
		if (err != 0)
			h3_fail(h, err);
	}
	h->busy = false;
}

static nghttp3_ssize on_read_data(nghttp3_conn *conn, int64_t id, nghttp3_vec *vec, size_t max,
				  uint32_t *flags, void *conn_user, void *stream_user)
{
	struct clv_h3_stream *s = stream_user;
	size_t n = 0;

	(void)conn;
	(void)id;
	(void)conn_user;
	for (; s->unread && n < max; s->unread = s->unread->next)
		vec[n++] = (nghttp3_vec){ s->unread->data, s->unread->len };
	if (!s->unread && s->fin)
		*flags |= NGHTTP3_DATA_FLAG_EOF;
	return n > 0 || (*flags & NGHTTP3_DATA_FLAG_EOF) ? (nghttp3_ssize)n
							 : NGHTTP3_ERR_WOULDBLOCK;
}

static int on_acked_data(nghttp3_conn *conn, int64_t id, uint64_t len, void *conn_user,
			 void *stream_user)
{
	struct clv_h3_stream *s = stream_user;

	(void)conn;
	(void)id;
	(void)conn_user;
	s->http.waiting -= len;
	while (len > 0) {
		struct clv_h3_chunk *c = s->head;
		size_t piece = c->len - c->done < len ? c->len - c->done : (size_t)len;

		c->done += piece;
		len -= piece;
		if (c->done < c->len)
			break;
		s->head = c->next;
		if (!s->head)
			s->tail = NULL;
		clv_counted_free(c, &h3_of(s->http.http)->heap);
	}
	return 0;
}

static int queue_chunk(struct clv_h3_stream *s, const uint8_t *a, size_t a_len, const uint8_t *b,
		       size_t b_len)
{
	struct clv_h3_chunk *c;

	if (a_len + b_len == 0)
		return 0;
	c = clv_counted_malloc(sizeof(*c) + a_len + b_len, &h3_of(s->http.http)->heap);
	if (!c)
		return -ENOMEM;
	c->next = NULL;
	c->len = a_len + b_len;
	c->done = 0;
	if (a_len > 0)
		memcpy(c->data, a, a_len);
	if (b_len > 0)
		memcpy(c->data + a_len, b, b_len);
	if (s->tail)
		s->tail->next = c;
	else
		s->head = c;
	s->tail = c;
	if (!s->unread)
		s->unread = c;
	s->http.waiting += c->len;
	return 0;
}

int h3_send(struct clv_http_stream *stream, const uint8_t *a, size_t a_len, const uint8_t *b,
	    size_t b_len, bool fin)
{
	struct clv_h3_stream *s = h3_stream_of(stream);
	struct clv_h3 *h = h3_of(stream->http);
	int err;

	if (h->http.is_closed || s->fin || s->write_closed)
		return CLV_ECLOSED;
	err = queue_chunk(s, a, a_len, b, b_len);
	if (err < 0)
		return err;
	s->fin = fin;
	err = nghttp3_conn_resume_stream(h->conn, s->http.id);
	if (err != 0) {
		h3_fail(h, err);
		return -ENOMEM;
	}
	h3_flush(h);
	return 0;
}

static const nghttp3_data_reader body_reader = { .read_data = on_read_data };

/* nghttp3 copies names and values. */
static void fill_nv(nghttp3_nv *nv, const char *name, const char *value, size_t value_len)
{
	*nv = (nghttp3_nv){ .name = (uint8_t *)(uintptr_t)name,
			    .value = (uint8_t *)(uintptr_t)value,
			    .namelen = strlen(name),
			    .valuelen = value_len,
			    .flags = NGHTTP3_NV_FLAG_NONE };
}

int h3_respond(struct clv_http_stream *stream, unsigned status, const struct clv_http_field *fields,
	       size_t len, bool end)
{
	struct clv_h3_stream *s = h3_stream_of(stream);
	struct clv_h3 *h = h3_of(stream->http);
	nghttp3_nv nv[CLV_HTTP_FIELDS_MAX];
	char status_text[16];
	int err;

	if (h->http.is_closed || s->fin || s->write_closed)
		return CLV_ECLOSED;
	if (len + 1 > CLV_HTTP_FIELDS_MAX)
		return CLV_ERANGE;
	snprintf(status_text, sizeof(status_text), "%u", status);
	fill_nv(&nv[0], ":status", status_text, strlen(status_text));
	for (size_t i = 0; i < len; i++)
		fill_nv(&nv[i + 1], fields[i].name, fields[i].value, fields[i].value_len);
	s->fin = end;
	if (status >= 200)
		h3_settle_stream(s);
	err = nghttp3_conn_submit_response(h->conn, s->http.id, nv, len + 1,
					   end ? NULL : &body_reader);
	if (err != 0) {
		h3_fail(h, err);
		return err == NGHTTP3_ERR_NOMEM ? -ENOMEM : CLV_ECLOSED;
	}
	h3_flush(h);
	return 0;
}

int h3_request(struct clv_http *http, const struct clv_http_field *fields, size_t len,
	       struct clv_http_stream **out)
{
	struct clv_h3 *h = h3_of(http);
	nghttp3_nv nv[CLV_HTTP_FIELDS_MAX];
	struct clv_h3_stream *s;
	int64_t id;
	int err;

	if (h->http.is_closed || !h->started || h->goaway_received)
		return CLV_ECLOSED;
	if (len > CLV_HTTP_FIELDS_MAX)
		return CLV_ERANGE;
	/* Checked first, because an opened stream cannot be taken back. */
	if (h->streams.count >= h->params.streams_max)
		return CLV_EFULL;
	err = h->params.transport_ops->open_bidi(h->params.transport, &id);
	if (err < 0)
		return err;
	s = h3_add_stream(h, id);
	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++)
		fill_nv(&nv[i], fields[i].name, fields[i].value, fields[i].value_len);
	err = nghttp3_conn_submit_request(h->conn, id, nv, len, &body_reader, s);
	if (err != 0) {
		h3_remove_stream(s);
		h3_fail(h, err);
		return err == NGHTTP3_ERR_NOMEM ? -ENOMEM : CLV_ECLOSED;
	}
	*out = &s->http;
	h3_flush(h);
	return 0;
}

/* ---- stop and abort ---- */

void h3_shutdown_read(struct clv_h3 *h, int64_t id)
{
	int err = nghttp3_conn_shutdown_stream_read(h->conn, id);

	if (err != 0)
		h3_fail(h, err);
}

void h3_stop(struct clv_http_stream *stream, uint64_t code)
{
	struct clv_h3_stream *s = h3_stream_of(stream);
	struct clv_h3 *h = h3_of(stream->http);

	if (h->http.is_closed || s->read_closed)
		return;
	s->read_closed = true;
	h->params.transport_ops->stop(h->params.transport, s->http.id, code);
	h3_shutdown_read(h, s->http.id);
	/* Send QPACK's stream cancellation now, so that they do not pile up. */
	h3_flush(h);
}

void h3_abort(struct clv_http_stream *stream, uint64_t code)
{
	struct clv_h3_stream *s = h3_stream_of(stream);
	struct clv_h3 *h = h3_of(stream->http);

	h3_settle_stream(s);
	h3_stop(stream, code);
	if (h->http.is_closed || s->write_closed)
		return;
	s->write_closed = true;
	nghttp3_conn_shutdown_stream_write(h->conn, s->http.id);
	h->params.transport_ops->reset(h->params.transport, s->http.id, code);
}

void h3_set_write_callbacks(nghttp3_callbacks *callbacks)
{
	callbacks->acked_stream_data = on_acked_data;
}
