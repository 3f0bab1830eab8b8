/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/peer/request_fixture.h"

#include <stdlib.h>

#include "tests/unit/check.h"

/* ---- what the client reports ---- */

static void on_result(void *user, struct clv_client_request *rq,
		      const struct clv_client_result *result)
{
	struct outcome *t = clv_client_request_user(rq);

	(void)user;
	assert_int_equal(t->closed, 0);
	t->results++;
	t->result = *result;
	if (t->close_on_result)
		clv_client_request_close(rq);
}

static void on_datagram(void *user, struct clv_client_request *rq, uint64_t context_id,
			const uint8_t *payload, size_t len)
{
	struct outcome *t = clv_client_request_user(rq);
	struct fixture *f = user;
	size_t used = strlen(f->got);

	if (len < 16)
		snprintf(f->got + used, sizeof(f->got) - used, "%llu:%.*s;",
			 (unsigned long long)context_id, (int)len, (const char *)payload);
	memcpy(f->big, payload, len);
	f->big_len = len;
	if (t->close_on_datagram)
		clv_client_request_close(rq);
}

static void on_closed(void *user, struct clv_client_request *rq, int err)
{
	struct outcome *t = clv_client_request_user(rq);

	(void)user;
	assert_int_equal(t->results, 1);
	t->closed++;
	t->closed_err = err;
}

static int on_context(void *user, struct clv_client_request *rq, enum clv_capsule_type type,
		      const uint8_t *value, size_t len)
{
	struct fixture *f = user;
	size_t used = strlen(f->got);

	used += (size_t)snprintf(f->got + used, sizeof(f->got) - used, "%02x:", type);
	for (size_t i = 0; i < len; i++)
		used += (size_t)snprintf(f->got + used, sizeof(f->got) - used, "%02x", value[i]);
	snprintf(f->got + used, sizeof(f->got) - used, ";");
	return ((struct outcome *)clv_client_request_user(rq))->context_err;
}

const struct clv_client_request_ops client_ops = {
	.on_result = on_result,
	.on_datagram = on_datagram,
	.on_context = on_context,
	.on_closed = on_closed,
};

/* ---- a relay that answers everything with one prepared response ---- */

static void script_headers(void *user, struct clv_http_stream *s, const struct clv_http_head *head)
{
	struct fixture *f = user;

	(void)head;
	f->script_stream = s;
	if (f->script_status)
		assert_int_equal(clv_http_respond(s, f->script_status, f->script_fields,
						  f->script_fields_len, false),
				 0);
}

static void ignore_settings(void *user, const struct clv_http_settings *settings)
{
	(void)user;
	(void)settings;
}

static void ignore_body(void *user, struct clv_http_stream *s, const uint8_t *data, size_t len)
{
	(void)user;
	(void)s;
	(void)data;
	(void)len;
}

static void ignore_end(void *user, struct clv_http_stream *s)
{
	(void)user;
	(void)s;
}

static void ignore_code(void *user, struct clv_http_stream *s, uint64_t code)
{
	(void)user;
	(void)s;
	(void)code;
}

static const struct clv_http_event_ops script_ops = {
	.on_settings = ignore_settings,
	.on_headers = script_headers,
	.on_body = ignore_body,
	.on_end = ignore_end,
	.on_reset = ignore_code,
	.on_stop = ignore_code,
	.on_closed = ignore_code,
};

/* ---- both ends ---- */

static void make_client(struct fixture *f, bool quic_datagrams)
{
	struct clv_client_requests_params params = {
		.http = pipe_make(&f->pipe, PIPE_CLIENT, quic_datagrams, STREAMS, &f->rand),
		.ops = &client_ops,
		.user = f,
		.authority = "relay.example:443",
		.streams_max = STREAMS,
		.capsule_backlog = 4096,
		.answer_ns = CLIENT_ANSWER_NS,
		.counters = &f->counters,
	};

	assert_int_equal(clv_client_requests_new(&params, &f->client), 0);
	assert_int_equal(clv_h3_start(f->pipe.end[PIPE_CLIENT].h3), 0);
}

struct fixture *client_setup(bool quic_datagrams)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pipe_init(&f->pipe, 13);
	clv_rand_init(&f->rand, 9);
	f->has_relay = true;
	fake_relay_init(&f->relay, &f->pipe, quic_datagrams, NULL);
	make_client(f, quic_datagrams);
	return f;
}

struct fixture *client_setup_script(unsigned status, const struct clv_http_field *fields,
				    size_t len)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pipe_init(&f->pipe, 1000);
	clv_rand_init(&f->rand, 9);
	f->script_status = status;
	f->script_fields = fields;
	f->script_fields_len = len;
	f->script = pipe_make(&f->pipe, PIPE_SERVER, true, STREAMS, &f->rand);
	clv_http_set_events(f->script, &script_ops, f);
	assert_int_equal(clv_h3_start(f->pipe.end[PIPE_SERVER].h3), 0);
	make_client(f, true);
	return f;
}

void client_teardown(struct fixture *f)
{
	clv_client_requests_free(f->client);
	if (f->has_relay)
		fake_relay_fini(&f->relay);
	else
		clv_http_free(f->script);
	pipe_fini(&f->pipe);
	free(f);
}

void client_open_tunnel(struct fixture *f, const char *host, struct outcome *t)
{
	assert_int_equal(clv_client_request_open(f->client, host, 53, t, &t->rq), 0);
	pipe_run(&f->pipe);
}

void client_bind_tunnel(struct fixture *f, struct outcome *t)
{
	assert_int_equal(clv_client_request_bind(f->client, t, &t->rq), 0);
	pipe_run(&f->pipe);
}
