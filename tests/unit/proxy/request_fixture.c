/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/proxy/request_fixture.h"

#include <stdlib.h>

#include "tests/unit/check.h"

/* ---- what the client sees ---- */

static void copy_field(const struct clv_http_head *head, const char *name, char *buf, size_t len)
{
	for (size_t i = 0; i < head->len; i++) {
		if (strcmp(head->fields[i].name, name) == 0)
			snprintf(buf, len, "%s", head->fields[i].value);
	}
}

static void on_settings(void *user, const struct clv_http_settings *settings)
{
	(void)user;
	(void)settings;
}

/* Where to note what came on a stream; NULL when it is not the last request's. */
static struct answer *answer_on(void *user, const struct clv_http_stream *s)
{
	struct fixture *f = user;

	return f->stream == s ? &f->answer : NULL;
}

static void on_headers(void *user, struct clv_http_stream *s, const struct clv_http_head *head)
{
	struct answer *a = answer_on(user, s);

	if (!a)
		return;
	a->status = head->status;
	copy_field(head, "proxy-status", a->proxy_status, sizeof(a->proxy_status));
	for (size_t i = 0; i < head->len; i++) {
		size_t used = strlen(a->authenticate);

		if (strcmp(head->fields[i].name, "proxy-authenticate") == 0)
			snprintf(a->authenticate + used, sizeof(a->authenticate) - used, "%s; ",
				 head->fields[i].value);
	}
	copy_field(head, "capsule-protocol", a->capsule_protocol, sizeof(a->capsule_protocol));
	copy_field(head, "allow", a->allow, sizeof(a->allow));
	copy_field(head, "content-type", a->content_type, sizeof(a->content_type));
	copy_field(head, "connect-udp-bind", a->bind, sizeof(a->bind));
	copy_field(head, "proxy-public-address", a->public_address, sizeof(a->public_address));
}

static void on_body(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len)
{
	struct answer *a = answer_on(user, s);

	if (!a)
		return;
	assert_true(a->body_len + len < sizeof(a->body));
	memcpy(a->body + a->body_len, data, len);
	a->body_len += len;
	a->body[a->body_len] = '\0';
}

static void on_end(void *user, struct clv_http_stream *s)
{
	struct answer *a = answer_on(user, s);

	if (a)
		a->ended = true;
}

static void on_reset(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct answer *a = answer_on(user, s);

	if (a)
		a->reset_code = code;
}

static void on_stop(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct answer *a = answer_on(user, s);

	if (a)
		a->stop_code = code;
}

static void on_closed(void *user, struct clv_http_stream *s, uint64_t code)
{
	struct fixture *f = user;

	(void)code;
	if (f->stream != s)
		return;
	f->answer.closed = true;
	f->stream = NULL;
}

static const struct clv_http_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_stop,
	.on_closed = on_closed,
};

/* ---- what it does ---- */

struct fixture *request_setup_with(bool quic_datagrams, const char *allow)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pipe_init(&f->pipe, 11);
	clv_rand_init(&f->rand, 5);
	fake_relay_init(&f->relay, &f->pipe, quic_datagrams, allow);
	f->client = pipe_make(&f->pipe, PIPE_CLIENT, true, FAKE_STREAMS, &f->rand);
	clv_http_set_events(f->client, &event_ops, f);
	assert_int_equal(clv_h3_start(f->pipe.end[PIPE_CLIENT].h3), 0);
	return f;
}

struct fixture *request_setup(void)
{
	return request_setup_with(true, NULL);
}

void request_teardown(struct fixture *f)
{
	/* Credit for every byte went back, unless somebody closed the connection. */
	if (!f->pipe.end[PIPE_SERVER].closed)
		assert_int_equal(f->pipe.end[PIPE_SERVER].received,
				 f->pipe.end[PIPE_SERVER].consumed);
	fake_relay_fini(&f->relay);
	clv_http_free(f->client);
	pipe_fini(&f->pipe);
	free(f);
}

void fields_add(struct fields *fs, const char *name, const char *value)
{
	fs->f[fs->len++] = (struct clv_http_field){ name, value, strlen(value) };
}

struct fields connect_udp(const char *path)
{
	struct fields fs = { .len = 0 };

	fields_add(&fs, ":method", "CONNECT");
	fields_add(&fs, ":protocol", "connect-udp");
	fields_add(&fs, ":scheme", "https");
	fields_add(&fs, ":authority", "relay.example");
	fields_add(&fs, ":path", path);
	fields_add(&fs, "capsule-protocol", "?1");
	return fs;
}

void request_send(struct fixture *f, const struct fields *fs)
{
	f->answer = (struct answer){ 0 };
	assert_int_equal(clv_http_request(f->client, fs->f, fs->len, &f->stream), 0);
	pipe_run(&f->pipe);
}

void request_ask(struct fixture *f, const char *path)
{
	struct fields fs = connect_udp(path);

	request_send(f, &fs);
}

void request_body(struct fixture *f, const void *data, size_t len, bool fin)
{
	assert_int_equal(clv_http_send(f->stream, data, len, NULL, 0, fin), 0);
	pipe_run(&f->pipe);
}
