/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the client makes of a relay's answers. */
#include "tests/unit/check.h"

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/unit/peer/request_fixture.h"

static void test_a_tunnel_opens_over_a_real_server(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome a = { 0 }, b = { 0 };

	(void)state;
	/* Asked before SETTINGS came: it waits by itself. */
	client_open_tunnel(f, "8.8.8.8", &a);
	client_open_tunnel(f, "2606:4700::1", &b);
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
	client_teardown(f);
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
		struct fixture *f = client_setup(true);
		struct outcome t = { 0 };

		f->relay.has_v6 = !cases[i].no_v6;
		client_open_tunnel(f, cases[i].host, &t);
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
		client_teardown(f);
	}
}

#define FIELD(n, v)                                                                                \
	{                                                                                          \
		.name = (n), .value = (v), .value_len = sizeof(v) - 1                              \
	}

static const struct {
	unsigned status;
	struct clv_http_field fields[2];
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
	{ 401, { { 0 } }, 0, CLV_EUNAUTHORIZED, false, false },
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
		struct fixture *f = client_setup_script(answers[i].status, answers[i].fields,
							answers[i].len);
		struct outcome t = { 0 };

		client_open_tunnel(f, "8.8.8.8", &t);
		if (t.results != 1 || t.result.err != answers[i].err)
			fail_msg("answer %zu, status %u: %u results, err %d", i, answers[i].status,
				 t.results, t.result.err);
		assert_int_equal(t.closed, !answers[i].open);
		assert_int_equal(t.result.capsule_protocol, answers[i].capsule_protocol);
		client_teardown(f);
	}
}

static void test_an_interim_answer_is_not_the_answer(void **state)
{
	struct fixture *f = client_setup_script(0, NULL, 0);
	struct outcome t = { 0 };

	(void)state;
	client_open_tunnel(f, "8.8.8.8", &t);
	/* HEADERS with :status 103, then with :status 200 (QPACK static table). */
	pipe_inject(&f->pipe.end[PIPE_SERVER], 0, "\x01\x03\x00\x00\xd8", 5, false);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 0);
	pipe_inject(&f->pipe.end[PIPE_SERVER], 0, "\x01\x03\x00\x00\xd9", 5, false);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 1);
	assert_int_equal(t.result.status, 200);
	client_teardown(f);
}

static void test_a_reset_before_the_answer_is_an_answer(void **state)
{
	struct fixture *f = client_setup_script(0, NULL, 0);
	struct outcome t = { 0 };

	(void)state;
	client_open_tunnel(f, "8.8.8.8", &t);
	clv_http_abort(f->script_stream, CLV_H3_REQUEST_REJECTED);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 1);
	assert_int_equal(t.result.err, CLV_ECLOSED);
	assert_int_equal(t.result.status, 0);
	assert_int_equal(t.closed, 1);
	client_teardown(f);
}

static void test_a_server_without_connect_udp_is_recognised(void **state)
{
	struct fixture *f = client_setup_script(200, NULL, 0);
	struct outcome t = { 0 }, closing = { .close_on_result = true }, late = { 0 };

	(void)state;
	/* SETTINGS of a plain HTTP/3 server instead of the relay's, which never arrive. */
	f->pipe.end[PIPE_SERVER].hold_control = true;
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &t, &t.rq), 0);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &closing, &closing.rq),
			 0);
	pipe_run(&f->pipe);
	assert_int_equal(t.results, 0);
	clv_h3_read(f->pipe.end[PIPE_CLIENT].h3, 15, (const uint8_t *)"\x00\x04\x00", 3, false,
		    f->pipe.now_ns);
	assert_int_equal(t.result.err, CLV_EPROTO);
	assert_int_equal(t.closed, 1);
	assert_int_equal(closing.results, 1);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &late, &late.rq),
			 CLV_EPROTO);
	client_teardown(f);
}

/* ---- bound tunnels ---- */

static void test_a_bound_tunnel_opens_over_a_real_server(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome t = { 0 };
	char text[CLV_ADDR_TEXT_MAX];

	(void)state;
	client_bind_tunnel(f, &t);
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
	/* what a relay must not send costs the stream */
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
	client_teardown(f);
}

#define CAPSULES FIELD("capsule-protocol", "?1")
#define BOUND	 FIELD("connect-udp-bind", "?1")
#define AT	 FIELD("proxy-public-address", "\"192.0.2.45:54321\"")

static const struct {
	const char *name;
	struct clv_http_field fields[5];
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
	{ "no capsule-protocol: its absence says nothing", { BOUND, AT }, 1 },
	{ "Dates and Display Strings as parameters",
	  { FIELD("capsule-protocol", "?1;d=@1659578233"),
	    FIELD("connect-udp-bind", "?1;d=@1659578233;u=%\"%c3%bc\""),
	    FIELD("proxy-public-address", "\"192.0.2.45:1\";d=@-1;u=%\"\"") },
	  1 },
	{ "a Display String is no address",
	  { CAPSULES, BOUND, FIELD("proxy-public-address", "%\"192.0.2.45:1\"") },
	  0 },
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
		const struct clv_http_field *fields = bound_answers[i].fields;
		unsigned n = bound_answers[i].public_len;
		struct fixture *f;
		struct outcome t = { 0 };
		size_t len = 0;

		while (fields[len].name)
			len++;
		f = client_setup_script(200, fields, len);
		client_bind_tunnel(f, &t);
		if (t.results != 1 || t.result.err != (n ? 0 : CLV_EPROTO) ||
		    t.result.is_bound != (n > 0) || (n && t.result.public_len != n))
			fail_msg("%s: err %d, %u addresses", bound_answers[i].name, t.result.err,
				 t.result.public_len);
		assert_int_equal(t.closed, !n);
		client_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tunnel_opens_over_a_real_server),
		cmocka_unit_test(test_refusals_are_told_apart),
		cmocka_unit_test(test_answers_of_any_relay_are_understood),
		cmocka_unit_test(test_a_bound_tunnel_opens_over_a_real_server),
		cmocka_unit_test(test_a_bound_tunnel_needs_to_be_granted_with_an_address),
		cmocka_unit_test(test_an_interim_answer_is_not_the_answer),
		cmocka_unit_test(test_a_reset_before_the_answer_is_an_answer),
		cmocka_unit_test(test_a_server_without_connect_udp_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
