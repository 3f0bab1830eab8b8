/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/masque/client_request.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "fake_relay.h"

/* What the client's owner was told, by request. */
struct told {
	struct clv_client_request *rq;
	unsigned results, closed;
	struct clv_client_result result;
	int closed_err;
	bool close_on_result, close_on_datagram;
	int context_err; /* what on_context returns */
};

struct fixture {
	struct pipe pipe;
	struct clv_rand rand;
	struct clv_counters counters;
	struct clv_client_requests *client;
	struct fake_relay relay; /* the real server; not there when the relay is a script */
	bool has_relay;
	struct clv_h3 *script;
	unsigned script_status;
	const struct clv_h3_field *script_fields;
	size_t script_fields_len;
	struct clv_h3_stream *script_stream;
	char got[512]; /* datagrams, "context:payload;" */
	uint8_t big[65536];
	size_t big_len;
};

static void on_result(void *user, struct clv_client_request *rq,
		      const struct clv_client_result *result)
{
	struct told *t = clv_client_request_user(rq);

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
	struct told *t = clv_client_request_user(rq);
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
	struct told *t = clv_client_request_user(rq);

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
	return ((struct told *)clv_client_request_user(rq))->context_err;
}

static const struct clv_client_request_ops ops = {
	.on_result = on_result,
	.on_datagram = on_datagram,
	.on_context = on_context,
	.on_closed = on_closed,
};

static void make_client(struct fixture *f, bool quic_datagrams)
{
	struct clv_client_requests_params params = {
		.transport_ops = &pipe_ops,
		.transport = &f->pipe.end[PIPE_CLIENT],
		.ops = &ops,
		.user = f,
		.authority = "relay.example:443",
		.quic_datagrams = quic_datagrams,
		.streams_max = 8,
		.capsule_backlog = 4096,
		.counters = &f->counters,
		.rand = &f->rand,
	};

	clv_rand_init(&f->rand, 9);
	assert_int_equal(clv_client_requests_new(&params, &f->client), 0);
	f->pipe.end[PIPE_CLIENT].h3 = clv_client_requests_h3(f->client);
	assert_int_equal(clv_client_requests_start(f->client), 0);
}

static struct fixture *setup(bool quic_datagrams)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	pipe_init(&f->pipe, 13);
	f->has_relay = true;
	fake_relay_init(&f->relay, &f->pipe, quic_datagrams, NULL);
	make_client(f, quic_datagrams);
	return f;
}

/* A relay that answers everything with one prepared response. */
static void script_headers(void *user, struct clv_h3_stream *s, const struct clv_h3_head *head)
{
	struct fixture *f = user;

	(void)head;
	f->script_stream = s;
	if (f->script_status)
		assert_int_equal(clv_h3_respond(f->script, s, f->script_status, f->script_fields,
						f->script_fields_len, false),
				 0);
}

static void ignore_settings(void *user, const struct clv_h3_settings *settings)
{
	(void)user;
	(void)settings;
}

static void ignore_body(void *user, struct clv_h3_stream *s, const uint8_t *data, size_t len)
{
	(void)user;
	(void)s;
	(void)data;
	(void)len;
}

static void ignore_end(void *user, struct clv_h3_stream *s)
{
	(void)user;
	(void)s;
}

static void ignore_code(void *user, struct clv_h3_stream *s, uint64_t code)
{
	(void)user;
	(void)s;
	(void)code;
}

static const struct clv_h3_event_ops script_ops = {
	.on_settings = ignore_settings,
	.on_headers = script_headers,
	.on_body = ignore_body,
	.on_end = ignore_end,
	.on_reset = ignore_code,
	.on_stop = ignore_code,
	.on_closed = ignore_code,
};

static struct fixture *setup_script(unsigned status, const struct clv_h3_field *fields, size_t len)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct clv_h3_params params = {
		.role = CLV_H3_SERVER,
		.transport_ops = &pipe_ops,
		.event_ops = &script_ops,
		.streams_max = 8,
	};

	assert_non_null(f);
	pipe_init(&f->pipe, 1000);
	params.transport = &f->pipe.end[PIPE_SERVER];
	params.user = f;
	params.rand = &f->rand;
	f->script_status = status;
	f->script_fields = fields;
	f->script_fields_len = len;
	assert_int_equal(clv_h3_new(&params, &f->script), 0);
	f->pipe.end[PIPE_SERVER].h3 = f->script;
	assert_int_equal(clv_h3_start(f->script), 0);
	make_client(f, true);
	return f;
}

static void teardown(struct fixture *f)
{
	clv_client_requests_free(f->client);
	if (f->has_relay)
		fake_relay_fini(&f->relay);
	else
		clv_h3_free(f->script);
	pipe_fini(&f->pipe);
	free(f);
}

static void open_tunnel(struct fixture *f, const char *host, struct told *t)
{
	assert_int_equal(clv_client_request_open(f->client, host, 53, t, &t->rq), 0);
	pipe_run(&f->pipe);
}

static void test_a_tunnel_opens_over_a_real_server(void **state)
{
	struct fixture *f = setup(true);
	struct told a = { 0 }, b = { 0 };

	(void)state;
	/* Asked before SETTINGS came: it waits by itself. */
	open_tunnel(f, "8.8.8.8", &a);
	open_tunnel(f, "2606:4700::1", &b);
	assert_int_equal(a.results, 1);
	assert_int_equal(a.result.err, 0);
	assert_int_equal(a.result.status, 200);
	assert_int_equal(a.result.stream_id, 0);
	assert_int_equal(b.result.stream_id, 4);
	assert_false(a.result.capsules);
	assert_true(a.result.capsule_protocol);
	assert_string_equal(a.result.proxy.next_hop, "8.8.8.8");
	assert_string_equal(b.result.proxy.next_hop, "2606:4700::1");
	assert_int_equal(f->relay.opened, 2);

	clv_client_request_close(a.rq);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.closed, 1);
	assert_int_equal(a.closed, 0);
	clv_client_requests_free(f->client);
	f->client = NULL;
	assert_int_equal(b.closed, 1);
	assert_int_equal(b.closed_err, CLV_ECLOSED);
	teardown(f);
}

static void test_datagrams_travel_in_capsules_where_frames_cannot(void **state)
{
	struct fixture *f = setup(false);
	struct told t = { 0 };
	static uint8_t up[1 + 65527] = { 0, 'y' };

	(void)state;
	f->pipe.chunk = 4000;
	open_tunnel(f, "8.8.8.8", &t);
	assert_true(t.result.capsules);
	clv_client_request_send(t.rq, 0, (const uint8_t *)"hello", 5);
	clv_client_request_send(t.rq, 0, NULL, 0);
	clv_client_request_send(t.rq, 2, (const uint8_t *)"odd", 3);
	pipe_run(&f->pipe);
	assert_string_equal(f->relay.sent_text, "hello;;");
	clv_request_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0world", 6);
	clv_request_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0", 1);
	pipe_run(&f->pipe);
	assert_string_equal(f->got, "0:world;0:;");

	f->relay.config.capsule_backlog = 100000;
	clv_request_datagram_up(f->relay.tunnels[0].rq, up, sizeof(up));
	pipe_run(&f->pipe);
	assert_int_equal(f->big_len, 65527);
	assert_int_equal(f->big[0], 'y');
	clv_client_request_close(t.rq);
	pipe_run(&f->pipe);
	teardown(f);
}

static void test_a_slow_relay_loses_what_exceeds_the_backlog(void **state)
{
	struct fixture *f = setup(false);
	struct told t = { 0 };
	uint8_t payload[1000] = { 0 };

	(void)state;
	clv_client_request_open(f->client, "8.8.8.8", 53, &t, &t.rq);
	clv_client_request_send(t.rq, 0, payload, 1);
	assert_int_equal(clv_count_read(&f->counters, CLV_COUNT_DROP_CLOSED), 1);
	pipe_run(&f->pipe);
	f->pipe.end[PIPE_CLIENT].hold_acks = true;
	for (int i = 0; i < 6; i++)
		clv_client_request_send(t.rq, 0, payload, sizeof(payload));
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.sent, 4);
	assert_int_equal(clv_count_read(&f->counters, CLV_COUNT_DROP_CAPSULE_BACKLOG), 2);
	clv_client_request_close(t.rq);
	pipe_run(&f->pipe);
	teardown(f);
}

static void test_refusals_are_told_apart(void **state)
{
	static const struct {
		const char *host;
		bool no_v6;
		int resolved; /* 1: no look-up */
		const char *addrs;
		int err;
		unsigned status;
		const char *details;
	} cases[] = {
		{ "127.0.0.1", false, 1, NULL, CLV_EDENIED, 502, "loopback" },
		{ "::ffff:8.8.8.8", false, 1, NULL, CLV_EDENIED, 502, "IPv4-mapped IPv6 address" },
		{ "2606:4700::1", true, 1, NULL, CLV_EUNROUTABLE, 502, "no IPv6 route" },
		{ "t.example", false, CLV_ENONAME, "", CLV_ENONAME, 502, "" },
		{ "t.example", false, CLV_ENAMETIME, "", CLV_ENAMETIME, 504, "" },
		{ "t.example", false, 0, "10.0.0.1", CLV_EDENIED, 502, "private" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = setup(true);
		struct told t = { 0 };

		f->relay.has_v6 = !cases[i].no_v6;
		open_tunnel(f, cases[i].host, &t);
		if (cases[i].resolved != 1) {
			assert_int_equal(t.results, 0);
			fake_relay_resolved(&f->relay, cases[i].resolved, cases[i].addrs);
			pipe_run(&f->pipe);
		}
		assert_int_equal(t.results, 1);
		assert_int_equal(t.closed, 1);
		if (t.result.err != cases[i].err || t.closed_err != cases[i].err)
			fail_msg("%s: %d, %d", cases[i].host, t.result.err, t.closed_err);
		assert_int_equal(t.result.status, cases[i].status);
		assert_string_equal(t.result.proxy.details, cases[i].details);
		teardown(f);
	}
}

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		.name = (n), .value = (v), .value_len = sizeof(v) - 1                              \
	}

static const struct {
	unsigned status;
	struct clv_h3_field fields[2];
	size_t len;
	int err;
	bool open, capsule_protocol;
} answers[] = {
	{ 200, { FIELD("capsule-protocol", "?1") }, 1, 0, true, true },
	{ 201, { FIELD("capsule-protocol", "?1;x=1") }, 1, 0, true, true },
	{ 200, { FIELD("capsule-protocol", "?0") }, 1, 0, true, false },
	{ 200,
	  { FIELD("capsule-protocol", "?1"), FIELD("capsule-protocol", "?1") },
	  2,
	  0,
	  true,
	  false },
	{ 200, { { 0 } }, 0, 0, true, false },
	{ 204, { { 0 } }, 0, CLV_EPROTO, false, false },
	{ 205, { { 0 } }, 0, CLV_EPROTO, false, false },
	{ 206, { { 0 } }, 0, CLV_EPROTO, false, false },
	{ 200, { FIELD("content-type", "text/plain") }, 1, CLV_EPROTO, false, false },
	{ 302, { FIELD("location", "/x") }, 1, CLV_EHTTP, false, false },
	{ 401, { { 0 } }, 0, CLV_EDENIED, false, false },
	{ 403, { { 0 } }, 0, CLV_EDENIED, false, false },
	{ 404, { { 0 } }, 0, CLV_EHTTP, false, false },
	{ 429, { FIELD("proxy-status", "r; error=http_request_error") }, 1, CLV_EFULL, false, false },
	{ 501, { { 0 } }, 0, CLV_EHTTP, false, false },
	{ 503, { { 0 } }, 0, CLV_EFULL, false, false },
	{ 503,
	  { FIELD("proxy-status", "r; error=destination_unavailable") },
	  1,
	  CLV_EUNROUTABLE,
	  false,
	  false },
	{ 504, { { 0 } }, 0, CLV_ETIMEOUT, false, false },
	{ 502, { FIELD("proxy-status", "not, \"valid") }, 1, CLV_EHTTP, false, false },
	{ 502,
	  { FIELD("proxy-status", "far; error=dns_error"), FIELD("proxy-status", "near") },
	  2,
	  CLV_ENONAME,
	  false,
	  false },
};

static void test_answers_of_any_relay_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct fixture *f = setup_script(answers[i].status, answers[i].fields,
						 answers[i].len);
		struct told t = { 0 };

		open_tunnel(f, "8.8.8.8", &t);
		if (t.results != 1 || t.result.err != answers[i].err)
			fail_msg("answer %zu, status %u: %u results, err %d", i, answers[i].status,
				 t.results, t.result.err);
		assert_int_equal(t.closed, !answers[i].open);
		assert_int_equal(t.result.capsule_protocol, answers[i].capsule_protocol);
		teardown(f);
	}
}

/* ---- bound tunnels ---- */

static void bind_tunnel(struct fixture *f, struct told *t)
{
	assert_int_equal(clv_client_request_bind(f->client, t, &t->rq), 0);
	pipe_run(&f->pipe);
}

static void test_a_bound_tunnel_opens_over_a_real_server(void **state)
{
	struct fixture *f = setup(true);
	struct told t = { 0 };
	char text[CLV_ADDR_TEXT_MAX];

	(void)state;
	bind_tunnel(f, &t);
	assert_int_equal(t.result.err, 0);
	assert_true(t.result.is_bound);
	assert_int_equal(t.result.public_len, 2);
	assert_string_equal(clv_endpoint_format(&t.result.public_addrs[0], text, sizeof(text)),
			    "198.18.0.1:40000");
	assert_string_equal(clv_endpoint_format(&t.result.public_addrs[1], text, sizeof(text)),
			    "[2001:db8::a]:40001");
	assert_int_equal(clv_client_request_send_capsule(t.rq, (const uint8_t *)"\x11\2\2\0", 4),
			 0);
	pipe_run(&f->pipe);
	assert_string_equal(f->got, "12:02;");
	/* what the relay may not say costs the stream */
	t.context_err = CLV_EPROTO;
	assert_int_equal(clv_client_request_send_capsule(t.rq,
							 (const uint8_t *)"\x13\1\2"
									  "\x11\2\4\0",
							 7),
			 0);
	pipe_run(&f->pipe);
	assert_int_equal(t.closed, 1);
	assert_int_equal(t.closed_err, CLV_EPROTO);
	assert_string_equal(f->pipe.end[PIPE_CLIENT].log, "stop 0 10e;reset 0 10e;");
	teardown(f);
}

static void test_a_datagram_that_may_not_be_aborts_the_request(void **state)
{
	struct fixture *f = setup(true);
	struct told t = { 0 };

	(void)state;
	bind_tunnel(f, &t);
	clv_client_request_abort(t.rq, CLV_H3_DATAGRAM_ERROR);
	pipe_run(&f->pipe);
	assert_int_equal(t.closed_err, CLV_EPROTO);
	assert_string_equal(f->pipe.end[PIPE_CLIENT].log, "stop 0 33;reset 0 33;");
	assert_int_equal(f->relay.closed, 1);
	teardown(f);
}

#define CAPSULES FIELD("capsule-protocol", "?1")
#define BOUND	 FIELD("connect-udp-bind", "?1")
#define AT	 FIELD("proxy-public-address", "\"192.0.2.45:54321\"")

static const struct {
	const char *name;
	struct clv_h3_field fields[5];
	unsigned public_len; /* 0: the answer is none */
} bound_answers[] = {
	{ "one address", { CAPSULES, BOUND, AT }, 1 },
	{ "two addresses",
	  { CAPSULES, BOUND,
	    FIELD("proxy-public-address", "\"192.0.2.45:1\", \"[2001:db8::1234]:54321\"") },
	  2 },
	{ "two lines", { CAPSULES, BOUND, AT, AT }, 2 },
	{ "parameters",
	  { CAPSULES, FIELD("connect-udp-bind", "?1;x"),
	    FIELD("proxy-public-address", "\"192.0.2.45:1\";a=b") },
	  1 },
	{ "not bound", { CAPSULES, AT }, 0 },
	{ "false", { CAPSULES, FIELD("connect-udp-bind", "?0"), AT }, 0 },
	{ "an integer", { CAPSULES, FIELD("connect-udp-bind", "1"), AT }, 0 },
	{ "bound twice", { CAPSULES, BOUND, BOUND, AT }, 0 },
	{ "no capsules", { BOUND, AT }, 0 },
	{ "no address", { CAPSULES, BOUND }, 0 },
	{ "an empty list", { CAPSULES, BOUND, FIELD("proxy-public-address", "") }, 0 },
	{ "a token, as up to draft -07",
	  { CAPSULES, BOUND, FIELD("proxy-public-address", "192.0.2.45:54321") },
	  0 },
	{ "a name", { CAPSULES, BOUND, FIELD("proxy-public-address", "\"relay.example:1\"") }, 0 },
	{ "port 0", { CAPSULES, BOUND, FIELD("proxy-public-address", "\"192.0.2.45:0\"") }, 0 },
	{ "no port", { CAPSULES, BOUND, FIELD("proxy-public-address", "\"192.0.2.45\"") }, 0 },
	{ "IPv6 without brackets",
	  { CAPSULES, BOUND, FIELD("proxy-public-address", "\"2001:db8::1:54321\"") },
	  0 },
};

static void test_a_bound_tunnel_needs_to_be_granted_with_an_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bound_answers) / sizeof(bound_answers[0]); i++) {
		const struct clv_h3_field *fields = bound_answers[i].fields;
		unsigned n = bound_answers[i].public_len;
		struct fixture *f;
		struct told t = { 0 };
		size_t len = 0;

		while (fields[len].name)
			len++;
		f = setup_script(200, fields, len);
		bind_tunnel(f, &t);
		if (t.results != 1 || t.result.err != (n ? 0 : CLV_EPROTO) ||
		    t.result.is_bound != (n > 0) || (n && t.result.public_len != n))
			fail_msg("%s: err %d, %u addresses", bound_answers[i].name, t.result.err,
				 t.result.public_len);
		assert_int_equal(t.closed, !n);
		teardown(f);
	}
}

static void test_an_interim_answer_is_not_the_answer(void **state)
{
	struct fixture *f = setup_script(0, NULL, 0);
	struct told t = { 0 };

	(void)state;
	open_tunnel(f, "8.8.8.8", &t);
	/* HEADERS with :status 103, then with :status 200 (QPACK static table). */
	pipe_inject(&f->pipe.end[PIPE_SERVER], 0, "\x01\x03\x00\x00\xd8", 5, false);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 0);
	pipe_inject(&f->pipe.end[PIPE_SERVER], 0, "\x01\x03\x00\x00\xd9", 5, false);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 1);
	assert_int_equal(t.result.status, 200);
	teardown(f);
}

static void test_the_relay_may_end_the_tunnel(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t len;
		bool fin;
		uint64_t abort_code;
		int err;
		const char *log;
	} cases[] = {
		{ "FIN", NULL, 0, true, 0, 0, "" },
		{ "FIN in a capsule", "\x00\x05h", 3, true, 0, CLV_EPROTO, "reset 0 10e;" },
		{ "no Context ID", "\x00\x00", 2, false, 0, CLV_EPROTO, "stop 0 10e;reset 0 10e;" },
		{ "too long for UDP", "\x00\x80\x01\x00\x00\x00zzzzzzzz", 14, false, 0, CLV_EPROTO,
		  "stop 0 33;reset 0 33;" },
		{ "reset", NULL, 0, false, CLV_H3_CONNECT_ERROR, CLV_ECLOSED, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = setup_script(200, NULL, 0);
		struct told t = { 0 };

		open_tunnel(f, "8.8.8.8", &t);
		assert_int_equal(t.results, 1);
		if (cases[i].abort_code)
			clv_h3_abort(f->script, f->script_stream, cases[i].abort_code);
		else
			clv_h3_send(f->script, f->script_stream, (const uint8_t *)cases[i].bytes,
				    cases[i].len, NULL, 0, cases[i].fin);
		pipe_run(&f->pipe);
		assert_int_equal(t.closed, 1);
		if (t.closed_err != cases[i].err)
			fail_msg("%s: %d", cases[i].name, t.closed_err);
		if (cases[i].log)
			assert_string_equal(f->pipe.end[PIPE_CLIENT].log, cases[i].log);
		assert_int_equal(t.results, 1);
		teardown(f);
	}
}

static void test_a_reset_before_the_answer_is_an_answer(void **state)
{
	struct fixture *f = setup_script(0, NULL, 0);
	struct told t = { 0 };

	(void)state;
	open_tunnel(f, "8.8.8.8", &t);
	clv_h3_abort(f->script, f->script_stream, CLV_H3_REQUEST_REJECTED);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 1);
	assert_int_equal(t.result.err, CLV_ECLOSED);
	assert_int_equal(t.result.status, 0);
	assert_int_equal(t.closed, 1);
	teardown(f);
}

static void test_the_owner_may_close_from_inside_any_call(void **state)
{
	struct fixture *f = setup(false);
	struct told a = { .close_on_result = true }, b = { .close_on_datagram = true };
	struct told c = { .close_on_result = true };

	(void)state;
	open_tunnel(f, "8.8.8.8", &a);
	assert_int_equal(a.results, 1);
	assert_int_equal(a.closed, 0);
	assert_int_equal(f->relay.closed, 1);

	open_tunnel(f, "8.8.8.8", &b);
	clv_request_datagram_up(f->relay.tunnels[1].rq, (const uint8_t *)"\0one", 4);
	clv_request_datagram_up(f->relay.tunnels[1].rq, (const uint8_t *)"\0two", 4);
	pipe_run(&f->pipe);
	assert_string_equal(f->got, "0:one;");
	assert_int_equal(f->relay.closed, 2);

	open_tunnel(f, "127.0.0.1", &c);
	assert_int_equal(c.result.err, CLV_EDENIED);
	assert_int_equal(c.closed, 0);
	teardown(f);
}

static void test_a_server_without_connect_udp_is_recognised(void **state)
{
	struct fixture *f = setup_script(200, NULL, 0);
	struct told t = { 0 }, closing = { .close_on_result = true }, late = { 0 };

	(void)state;
	/* SETTINGS of a plain HTTP/3 server instead of the relay's, which never arrive. */
	f->pipe.end[PIPE_SERVER].hold_control = true;
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &t, &t.rq), 0);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &closing, &closing.rq),
			 0);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 0);
	clv_h3_read(clv_client_requests_h3(f->client), 15, (const uint8_t *)"\x00\x04\x00", 3,
		    false, f->pipe.now_ns);
	assert_int_equal(t.result.err, CLV_EPROTO);
	assert_int_equal(t.closed, 1);
	assert_int_equal(closing.results, 1);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &late, &late.rq),
			 CLV_EPROTO);
	teardown(f);
}

static void test_what_cannot_be_asked_is_refused_at_once(void **state)
{
	struct fixture *f = setup(true);
	struct told t[9];

	(void)state;
	memset(t, 0, sizeof(t));
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 0, t, &t[0].rq), CLV_ERANGE);
	assert_int_equal(clv_client_request_open(f->client, "", 1, t, &t[0].rq), CLV_ERANGE);
	assert_int_equal(clv_client_request_open(f->client, "a b", 1, t, &t[0].rq), CLV_ERANGE);
	f->relay.config.tunnels_per_conn = 8;
	for (int i = 0; i < 8; i++)
		open_tunnel(f, "8.8.8.8", &t[i]);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_EFULL);
	clv_h3_shutdown(clv_requests_h3(f->relay.requests));
	pipe_run(&f->pipe);
	clv_client_request_close(t[0].rq);
	pipe_run(&f->pipe);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_ECLOSED);
	clv_h3_close(clv_client_requests_h3(f->client), CLV_H3_NO_ERROR, "bye");
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_ECLOSED);
	teardown(f);
}

static void test_a_waiting_request_may_be_closed_or_outlived(void **state)
{
	struct fixture *f = setup(true);
	struct told a = { 0 }, b = { 0 };

	(void)state;
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &a, &a.rq), 0);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &b, &b.rq), 0);
	clv_client_request_close(a.rq);
	clv_client_requests_free(f->client);
	f->client = NULL;
	assert_int_equal(a.results, 0);
	assert_int_equal(b.result.err, CLV_ECLOSED);
	assert_int_equal(b.result.stream_id, -1);
	assert_int_equal(b.closed, 1);
	teardown(f);
}

static void test_a_bad_template_is_refused(void **state)
{
	static const struct {
		const char *uri_template, *authority;
	} bad[] = {
		{ "https://r/{target_host}", "r" },
		{ "http://r/{target_host}/{target_port}", "r" },
		{ NULL, "" },
		{ NULL, "a b" },
	};
	struct clv_client_requests_params params = { .ops = &ops, .streams_max = 1 };
	struct clv_client_requests *cs;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		params.uri_template = bad[i].uri_template;
		params.authority = bad[i].authority;
		assert_int_equal(clv_client_requests_new(&params, &cs), CLV_ESYNTAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tunnel_opens_over_a_real_server),
		cmocka_unit_test(test_datagrams_travel_in_capsules_where_frames_cannot),
		cmocka_unit_test(test_a_slow_relay_loses_what_exceeds_the_backlog),
		cmocka_unit_test(test_refusals_are_told_apart),
		cmocka_unit_test(test_answers_of_any_relay_are_understood),
		cmocka_unit_test(test_a_bound_tunnel_opens_over_a_real_server),
		cmocka_unit_test(test_a_datagram_that_may_not_be_aborts_the_request),
		cmocka_unit_test(test_a_bound_tunnel_needs_to_be_granted_with_an_address),
		cmocka_unit_test(test_an_interim_answer_is_not_the_answer),
		cmocka_unit_test(test_the_relay_may_end_the_tunnel),
		cmocka_unit_test(test_a_reset_before_the_answer_is_an_answer),
		cmocka_unit_test(test_the_owner_may_close_from_inside_any_call),
		cmocka_unit_test(test_a_server_without_connect_udp_is_recognised),
		cmocka_unit_test(test_what_cannot_be_asked_is_refused_at_once),
		cmocka_unit_test(test_a_waiting_request_may_be_closed_or_outlived),
		cmocka_unit_test(test_a_bad_template_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
