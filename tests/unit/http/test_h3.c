/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/http/h3.h"
#include "datapath/base/err.h"
#include "datapath/tunnel/messages.h"
#include "tests/unit/http/h3_pipe.h"

enum {
	TRACE = 4096,
	BODY_MAX = 1 << 18,
	STREAMS = 8,
};

/* One end and everything that happened to it, as text. */
struct side {
	struct clv_h3 *h3;
	struct clv_http *http; /* of it */
	struct clv_http_stream *last;
	char trace[TRACE];
	size_t used;
	uint8_t body[BODY_MAX];
	size_t body_len;
	bool answer;	    /* server: answer each request with 200, the stream stays open */
	bool close_on_body; /* close the connection from inside an event */
};

struct pair {
	struct pipe pipe;
	struct clv_rand rand;
	struct side client, server;
};

static void trace(struct side *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	s->used += (size_t)vsnprintf(s->trace + s->used, sizeof(s->trace) - s->used, fmt, ap);
	va_end(ap);
	assert_true(s->used < sizeof(s->trace));
}

static void assert_trace(struct side *s, const char *want)
{
	assert_string_equal(s->trace, want);
	s->used = 0;
	s->trace[0] = '\0';
}

static void on_settings(void *user, const struct clv_http_settings *settings)
{
	trace(user, "settings %d %d;", settings->datagrams, settings->extended_connect);
}

static void on_headers(void *user, struct clv_http_stream *st, const struct clv_http_head *head)
{
	struct side *s = user;

	s->last = st;
	trace(s, "headers %d", (int)st->id);
	if (head->status)
		trace(s, " status %u", head->status);
	if (head->too_large)
		trace(s, " too large after %zu", head->len);
	else
		for (size_t i = 0; i < head->len; i++)
			trace(s, " %s=%s", head->fields[i].name, head->fields[i].value);
	trace(s, ";");
	if (s->answer)
		assert_int_equal(clv_http_respond(st, 200, NULL, 0, false), 0);
}

static void on_body(void *user, struct clv_http_stream *st, const uint8_t *data, size_t len)
{
	struct side *s = user;

	(void)st;
	assert_true(s->body_len + len <= sizeof(s->body));
	memcpy(s->body + s->body_len, data, len);
	s->body_len += len;
	if (s->close_on_body)
		clv_h3_close(s->h3, CLV_H3_INTERNAL_ERROR, "test");
}

static void on_end(void *user, struct clv_http_stream *st)
{
	trace(user, "end %d;", (int)st->id);
}

static void on_reset(void *user, struct clv_http_stream *st, uint64_t code)
{
	trace(user, "reset %d %llx;", (int)st->id, (unsigned long long)code);
}

static void on_stop(void *user, struct clv_http_stream *st, uint64_t code)
{
	trace(user, "stop %d %llx;", (int)st->id, (unsigned long long)code);
}

static void on_closed(void *user, struct clv_http_stream *st, uint64_t code)
{
	(void)code;
	trace(user, "closed %d;", (int)st->id);
}

static void on_goaway(void *user)
{
	trace(user, "goaway;");
}

static const struct clv_http_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_stop,
	.on_closed = on_closed,
	.on_goaway = on_goaway,
};

static void make_end(struct pair *p, struct side *s, int side)
{
	s->http = pipe_make(&p->pipe, side, true, STREAMS, &p->rand);
	s->h3 = p->pipe.end[side].h3;
	clv_http_set_events(s->http, &event_ops, s);
}

/* Both ends started and each other's SETTINGS seen. */
static struct pair *make_pair(size_t chunk)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	pipe_init(&p->pipe, chunk);
	clv_rand_init(&p->rand, 7);
	make_end(p, &p->client, PIPE_CLIENT);
	make_end(p, &p->server, PIPE_SERVER);
	assert_int_equal(clv_h3_start(p->client.h3), 0);
	assert_int_equal(clv_h3_start(p->server.h3), 0);
	assert_null(clv_http_peer_settings(p->client.http));
	pipe_run(&p->pipe);
	assert_trace(&p->client, "settings 1 1;");
	assert_trace(&p->server, "settings 1 0;");
	assert_true(clv_http_peer_settings(p->client.http)->extended_connect);
	return p;
}

static void free_pair(struct pair *p)
{
	if (p->client.http)
		clv_http_free(p->client.http);
	clv_http_free(p->server.http);
	pipe_fini(&p->pipe);
	free(p);
}

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		.name = (n), .value = (v), .value_len = sizeof(v) - 1                              \
	}

static const struct clv_http_field connect_fields[] = {
	FIELD(":method", "CONNECT"), FIELD(":protocol", "connect-udp"),
	FIELD(":scheme", "https"),   FIELD(":authority", "r"),
	FIELD(":path", "/x"),
};

static struct clv_http_stream *request(struct pair *p)
{
	struct clv_http_stream *s;

	assert_int_equal(clv_http_request(p->client.http, connect_fields, 5, &s), 0);
	return s;
}

/* A request that the server answered; its stream stays open. */
static struct clv_http_stream *request_answered(struct pair *p)
{
	struct clv_http_stream *s;

	p->server.answer = true;
	s = request(p);
	pipe_run(&p->pipe);
	return s;
}

static void test_a_request_and_its_answer_pass_in_pieces_of_any_size(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 7, 100, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		struct pair *p = make_pair(chunks[i]);
		struct clv_http_stream *s;

		p->server.answer = true;
		s = request(p);
		assert_int_equal(s->id, 0);
		pipe_run(&p->pipe);
		assert_trace(&p->server, "headers 0 :method=CONNECT :protocol=connect-udp "
					 ":scheme=https :authority=r :path=/x;");
		assert_trace(&p->client, "headers 0 status 200 :status=200;");

		assert_int_equal(clv_http_send(s, (const uint8_t *)"he", 2, (const uint8_t *)"llo",
					       3, false),
				 0);
		assert_int_equal(
			clv_http_send(p->server.last, NULL, 0, (const uint8_t *)"world", 5, true),
			0);
		pipe_run(&p->pipe);
		assert_int_equal(p->server.body_len, 5);
		assert_memory_equal(p->server.body, "hello", 5);
		assert_memory_equal(p->client.body, "world", 5);
		assert_trace(&p->client, "end 0;");
		assert_int_equal(clv_http_finish(p->server.last), CLV_ECLOSED);
		assert_int_equal(clv_http_finish(s), 0);
		pipe_run(&p->pipe);
		assert_trace(&p->server, "end 0;closed 0;");
		assert_trace(&p->client, "closed 0;");
		/* Credit for every byte went back. */
		for (int side = 0; side < 2; side++)
			assert_int_equal(p->pipe.end[side].received, p->pipe.end[side].consumed);
		free_pair(p);
	}
}

static void test_large_bodies_are_cut_to_the_transports_chunks(void **state)
{
	struct pair *p = make_pair(5000);
	size_t len = 3 * CLV_STREAM_CHUNK_MAX + 17;
	uint8_t *data = malloc(len);
	struct clv_http_stream *s;

	(void)state;
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	s = request_answered(p);
	assert_int_equal(clv_http_send(s, data, 10, data + 10, len - 10, false), 0);
	pipe_run(&p->pipe);
	assert_int_equal(p->server.body_len, len);
	assert_memory_equal(p->server.body, data, len);
	assert_int_equal(p->pipe.end[1].received, p->pipe.end[1].consumed);
	free(data);
	free_pair(p);
}

static void test_the_backlog_is_what_the_peer_has_not_acknowledged(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s;
	uint8_t data[500] = { 0 };

	(void)state;
	p->server.answer = true;
	s = request(p);
	assert_true(clv_http_stream_backlog(s) > 0);
	pipe_run(&p->pipe);
	assert_int_equal(clv_http_stream_backlog(s), 0);
	p->pipe.end[PIPE_CLIENT].hold_acks = true;
	assert_int_equal(clv_http_send(s, data, sizeof(data), NULL, 0, false), 0);
	pipe_run(&p->pipe);
	assert_int_equal(clv_http_stream_backlog(s), sizeof(data) + 3); /* DATA frame header */
	clv_h3_acked(p->client.h3, 0, 200);
	assert_int_equal(clv_http_stream_backlog(s), 303);
	clv_h3_acked(p->client.h3, 2, 7); /* the control stream's: nobody's business */
	assert_int_equal(clv_http_stream_backlog(s), 303);
	free_pair(p);
}

static void test_an_abort_reaches_the_other_side_once(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s;

	(void)state;
	s = request_answered(p);
	assert_trace(&p->client, "headers 0 status 200 :status=200;");
	p->server.used = 0;
	clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
	clv_http_abort(s, CLV_H3_REQUEST_CANCELLED);
	assert_string_equal(p->pipe.end[0].log, "stop 0 10c;reset 0 10c;");
	assert_int_equal(clv_http_finish(s), CLV_ECLOSED);
	pipe_run(&p->pipe);
	assert_trace(&p->server, "stop 0 10c;reset 0 10c;closed 0;");
	assert_trace(&p->client, "closed 0;");
	assert_false(p->pipe.end[0].closed || p->pipe.end[1].closed);
	free_pair(p);
}

static void test_stopping_a_stream_leaves_our_half_open(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s;

	(void)state;
	s = request_answered(p);
	p->server.used = p->client.used = 0;
	clv_http_stop(p->server.last, CLV_H3_NO_ERROR);
	assert_int_equal(clv_http_send(s, (const uint8_t *)"x", 1, NULL, 0, false), 0);
	pipe_run(&p->pipe);
	assert_trace(&p->client, "stop 0 100;");
	assert_int_equal(p->server.body_len, 0);
	assert_int_equal(clv_http_send(p->server.last, (const uint8_t *)"bye", 3, NULL, 0, true),
			 0);
	pipe_run(&p->pipe);
	assert_memory_equal(p->client.body, "bye", 3);
	assert_trace(&p->client, "end 0;closed 0;");
	assert_trace(&p->server, "closed 0;");
	assert_int_equal(p->pipe.end[1].received, p->pipe.end[1].consumed);
	free_pair(p);
}

static void test_many_aborts_in_a_row_do_not_end_the_connection(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s[STREAMS];

	(void)state;
	for (int round = 0; round < 7; round++) {
		for (int i = 0; i < STREAMS; i++)
			s[i] = request(p);
		assert_int_equal(clv_http_request(p->client.http, connect_fields, 5, &s[0]),
				 CLV_EFULL);
		pipe_run(&p->pipe);
		for (int i = 0; i < STREAMS; i++)
			clv_http_abort(s[i], CLV_H3_REQUEST_CANCELLED);
		pipe_run(&p->pipe);
		p->server.used = p->client.used = 0;
	}
	assert_false(p->client.http->is_closed || p->server.http->is_closed);
	free_pair(p);
}

static void test_header_sections_beyond_the_limit_are_marked(void **state)
{
	struct clv_http_field fields[CLV_HTTP_FIELDS_MAX];
	static char big[8200];
	struct clv_http_stream *s;
	struct pair *p = make_pair(100);

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	memcpy(fields, connect_fields, sizeof(connect_fields));
	fields[5] = (struct clv_http_field){ "a", big, sizeof(big) - 1 };
	fields[6] = (struct clv_http_field){ "b", big, sizeof(big) - 1 };
	assert_int_equal(clv_http_request(p->client.http, fields, 7, &s), 0);
	pipe_run(&p->pipe);
	assert_trace(&p->server, "headers 0 too large after 6;");
	for (int i = 5; i < CLV_HTTP_FIELDS_MAX; i++)
		fields[i] = (struct clv_http_field){ "a", "b", 1 };
	assert_int_equal(clv_http_request(p->client.http, fields, CLV_HTTP_FIELDS_MAX + 1, &s),
			 CLV_ERANGE);
	assert_int_equal(clv_http_request(p->client.http, fields, CLV_HTTP_FIELDS_MAX, &s), 0);
	pipe_run(&p->pipe);
	assert_non_null(strstr(p->server.trace, "headers 4 :method=CONNECT"));
	free_pair(p);
}

static void test_goaway_refuses_new_requests_and_keeps_old_ones(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s, *late;

	(void)state;
	s = request_answered(p);
	request(p); /* crosses the GOAWAY */
	p->client.used = p->server.used = 0;
	pipe_goaway(p->server.h3);
	pipe_run(&p->pipe);
	assert_non_null(strstr(p->client.trace, "goaway;"));
	assert_non_null(strstr(p->client.trace, "reset 4 10b;"));
	assert_non_null(strstr(p->client.trace, "closed 4;"));
	assert_int_equal(clv_http_request(p->client.http, connect_fields, 5, &late), CLV_ECLOSED);
	assert_int_equal(clv_http_send(s, (const uint8_t *)"x", 1, NULL, 0, false), 0);
	pipe_run(&p->pipe);
	assert_int_equal(p->server.body_len, 1);
	free_pair(p);
}

static const struct {
	const char *name;
	int64_t id;
	const char *bytes;
	size_t len;
	bool fin;
	uint64_t code;
} attacks[] = {
	{ "SETTINGS twice", 2, "\x04\x00", 2, false, 0x105 },
	{ "control stream ended", 2, "", 0, true, 0x104 },
	{ "DATA on the control stream", 2, "\x00\x00", 2, false, 0x105 },
	{ "second control stream", 14, "\x00\x04\x00", 3, false, 0x103 },
	{ "HTTP/2 setting", 18, "\x00\x04\x02\x02\x00", 5, false, 0x103 },
	{ "DATA before HEADERS", 0, "\x00\x01x", 3, false, 0x105 },
	{ "SETTINGS on a request", 0, "\x04\x00", 2, false, 0x105 },
	{ "frame cut by FIN", 0, "\x01\x10", 2, true, 0x106 },
	{ "broken QPACK", 0, "\x01\x03\xff\xff\xff", 5, false, 0x200 },
};

static void test_protocol_errors_close_the_connection_with_their_code(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		struct pair *p = make_pair(1000);

		pipe_inject(&p->pipe.end[PIPE_CLIENT], attacks[i].id, attacks[i].bytes,
			    attacks[i].len, attacks[i].fin);
		pipe_run(&p->pipe);
		if (!p->pipe.end[PIPE_SERVER].closed ||
		    p->pipe.end[PIPE_SERVER].close_code != attacks[i].code)
			fail_msg("%s: closed %d, code %llx", attacks[i].name,
				 p->pipe.end[PIPE_SERVER].closed,
				 (unsigned long long)p->pipe.end[PIPE_SERVER].close_code);
		assert_true(p->server.http->is_closed);
		assert_int_equal(clv_h3_read(p->server.h3, 4, (const uint8_t *)"x", 1, false, 5),
				 CLV_ECLOSED);
		free_pair(p);
	}
}

static void test_malformed_messages_reset_their_stream_alone(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
		const char *log;
	} malformed[] = {
		{ "unknown pseudo-header field", "\x01\x09\x00\x00\x24:foo\x01x", 11,
		  "reset 0 10e;" },
		{ "request without a path", "\x01\x03\x00\x00\xd1", 5, "reset 0 10e;" },
		{ "a name longer than any", "\x01\x3f\x00\x00\x27\xff\xff\x03", 8, "reset 0 200;" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct pair *p = make_pair(1000);

		pipe_inject(&p->pipe.end[PIPE_CLIENT], 0, malformed[i].bytes, malformed[i].len,
			    false);
		pipe_run(&p->pipe);
		if (!strstr(p->pipe.end[PIPE_SERVER].log, malformed[i].log))
			fail_msg("%s: %s", malformed[i].name, p->pipe.end[PIPE_SERVER].log);
		assert_false(p->server.http->is_closed);
		free_pair(p);
	}
}

static void test_a_bad_datagram_setting_closes_the_connection(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	(void)state;
	pipe_init(&p->pipe, 100);
	clv_rand_init(&p->rand, 7);
	make_end(p, &p->server, PIPE_SERVER);
	make_end(p, &p->client, PIPE_CLIENT);
	pipe_inject(&p->pipe.end[PIPE_CLIENT], 2, "\x00\x04\x02\x33\x02", 5, false);
	pipe_run(&p->pipe);
	assert_int_equal(p->pipe.end[PIPE_SERVER].close_code, 0x109);
	free_pair(p);
}

static void test_losing_a_critical_stream_closes_the_connection(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		struct pair *p = make_pair(1000);

		if (way == 0)
			clv_h3_stream_reset(p->server.h3, 2, 0);
		else if (way == 1)
			clv_h3_stream_stopped(p->server.h3, 3, 0);
		else
			clv_h3_stream_closed(p->server.h3, 6, 0);
		assert_true(p->pipe.end[PIPE_SERVER].closed);
		assert_int_equal(p->pipe.end[PIPE_SERVER].close_code, 0x104);
		free_pair(p);
	}
}

static void test_closing_from_inside_an_event_is_safe(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s;

	(void)state;
	p->server.answer = true;
	p->server.close_on_body = true;
	s = request(p);
	assert_int_equal(clv_http_send(s, (const uint8_t *)"x", 1, NULL, 0, false), 0);
	pipe_run(&p->pipe);
	assert_true(p->pipe.end[PIPE_SERVER].closed);
	assert_int_equal(p->pipe.end[PIPE_SERVER].close_code, CLV_H3_INTERNAL_ERROR);
	free_pair(p);
}

static void test_a_transport_without_memory_closes_the_connection(void **state)
{
	struct pair *p = make_pair(1000);
	struct clv_http_stream *s;

	(void)state;
	p->pipe.end[PIPE_CLIENT].write_fails = true;
	assert_int_equal(clv_http_request(p->client.http, connect_fields, 5, &s), 0);
	assert_true(p->pipe.end[PIPE_CLIENT].closed);
	assert_int_equal(p->pipe.end[PIPE_CLIENT].close_code, CLV_H3_INTERNAL_ERROR);
	free_pair(p);
}

static void test_freeing_reports_every_open_stream_closed(void **state)
{
	struct pair *p = make_pair(1000);

	(void)state;
	request(p);
	request(p);
	clv_http_free(p->client.http);
	assert_trace(&p->client, "closed 4;closed 0;");
	p->client.http = NULL;
	free_pair(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_and_its_answer_pass_in_pieces_of_any_size),
		cmocka_unit_test(test_large_bodies_are_cut_to_the_transports_chunks),
		cmocka_unit_test(test_the_backlog_is_what_the_peer_has_not_acknowledged),
		cmocka_unit_test(test_an_abort_reaches_the_other_side_once),
		cmocka_unit_test(test_stopping_a_stream_leaves_our_half_open),
		cmocka_unit_test(test_many_aborts_in_a_row_do_not_end_the_connection),
		cmocka_unit_test(test_header_sections_beyond_the_limit_are_marked),
		cmocka_unit_test(test_goaway_refuses_new_requests_and_keeps_old_ones),
		cmocka_unit_test(test_protocol_errors_close_the_connection_with_their_code),
		cmocka_unit_test(test_malformed_messages_reset_their_stream_alone),
		cmocka_unit_test(test_a_bad_datagram_setting_closes_the_connection),
		cmocka_unit_test(test_losing_a_critical_stream_closes_the_connection),
		cmocka_unit_test(test_closing_from_inside_an_event_is_safe),
		cmocka_unit_test(test_a_transport_without_memory_closes_the_connection),
		cmocka_unit_test(test_freeing_reports_every_open_stream_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
