/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How requests end, by either side, and what ends with them. */
#include "tests/unit/check.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/unit/proxy/request_fixture.h"

static const struct {
	const char *name;
	const char *wire;
	size_t len;
	bool fin;
} malformed[] = {
	{ "no Context ID", "\x00\x00", 2, false },
	{ "a cut Context ID", "\x00\x01\x40", 3, false },
	{ "a capsule cut by FIN", "\x00\x06\x00hel", 6, true },
	{ "a head cut by FIN", "\x00", 1, true },
};

static void test_malformed_capsules_reset_the_stream_only(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct fixture *f = request_setup();

		request_ask(f, UDP "8.8.8.8/53/");
		request_body(f, malformed[i].wire, malformed[i].len, malformed[i].fin);
		if (f->answer.reset_code != CLV_H3_MESSAGE_ERROR)
			fail_msg("%s: code %llx", malformed[i].name,
				 (unsigned long long)f->answer.reset_code);
		assert_int_equal(f->relay.closed, 1);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 0);
		assert_false(f->pipe.end[PIPE_SERVER].closed);
		request_ask(f, UDP "8.8.8.8/53/");
		assert_int_equal(f->answer.status, 200);
		request_teardown(f);
	}
}

static void test_the_tunnel_ends_with_the_request(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	request_ask(f, UDP "8.8.8.8/53/");
	request_body(f, NULL, 0, true);
	assert_int_equal(f->relay.closed, 1);
	assert_true(f->answer.ended);
	assert_true(f->answer.closed);
	assert_int_equal(f->answer.reset_code, 0);

	request_ask(f, UDP "8.8.8.8/53/");
	clv_http_abort(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.closed, 2);
	assert_true(f->answer.closed);

	request_ask(f, UDP "8.8.8.8/53/");
	clv_http_stop(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.closed, 3);

	/* The connection ends under an open tunnel: free closes it. */
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->relay.opened, 4);
	request_teardown(f);
}

static void test_a_name_that_takes_longer_than_a_request_may(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	request_ask(f, UDP "t.example/53/");
	pipe_wait(&f->pipe, PIPE_LIMIT_SEC * CLV_SEC - 1);
	assert_int_equal(f->answer.status, 0);
	pipe_wait(&f->pipe, 1);
	assert_int_equal(f->answer.status, 504);
	assert_non_null(strstr(f->answer.proxy_status, "dns_timeout"));
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 0);
	/* one that is answered has no limit any more */
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	pipe_wait(&f->pipe, 1000 * CLV_SEC);
	assert_false(f->answer.closed || f->answer.ended);
	assert_int_equal(f->relay.closed, 0);
	request_teardown(f);
}

static void test_a_request_may_end_while_its_name_is_resolved(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	request_ask(f, UDP "t.example/53/");
	clv_http_abort(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_true(f->answer.closed);
	fake_relay_resolved(&f->relay, 0, "8.8.8.8"); /* nobody waits for it */

	request_ask(f, UDP "t.example/53/");
	request_body(f, NULL, 0, true);
	assert_int_equal(f->answer.reset_code, CLV_H3_REQUEST_CANCELLED);
	fake_relay_resolved(&f->relay, CLV_ENAMETIME, "");
	assert_int_equal(f->relay.opened, 0);

	request_ask(f, UDP "t.example/53/");
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
	request_teardown(f);
}

/* A client that asks for names whose servers are silent, and cancels, pays for them all the same. */
static void test_a_look_up_is_charged_until_it_is_over(void **state)
{
	struct fixture *f = request_setup();
	const struct clv_ceiling *names = &f->relay.accounts.ceilings[CLV_RESOURCE_NAMES];

	(void)state;
	clv_accounts_set_max(&f->relay.accounts, CLV_RESOURCE_NAMES, 1);
	request_ask(f, UDP "silent.example/53/");
	assert_int_equal(names->used, 1);
	clv_http_abort(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 0);
	assert_int_equal(names->used, 1);
	request_ask(f, UDP "t.example/53/");
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_NAMES), 1);
	fake_relay_resolved(&f->relay, CLV_ENAMETIME, "");
	assert_int_equal(names->used, 0);
	request_ask(f, UDP "t.example/53/");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	request_teardown(f);
}

static void test_the_request_ends_with_its_tunnel(void **state)
{
	static const struct {
		int err;
		bool ended;
		uint64_t reset_code, stop_code;
	} cases[] = {
		{ CLV_ETIMEOUT, true, 0, CLV_H3_NO_ERROR },
		{ 0, true, 0, CLV_H3_NO_ERROR },
		{ CLV_EDENIED, false, CLV_H3_CONNECT_ERROR, CLV_H3_CONNECT_ERROR },
		{ CLV_EUNROUTABLE, false, CLV_H3_CONNECT_ERROR, CLV_H3_CONNECT_ERROR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		request_ask(f, UDP "8.8.8.8/53/");
		fake_relay_gone(&f->relay, 0, cases[i].err);
		pipe_run(&f->pipe);
		assert_int_equal(f->answer.ended, cases[i].ended);
		assert_int_equal(f->answer.reset_code, cases[i].reset_code);
		assert_int_equal(f->answer.stop_code, cases[i].stop_code);
		assert_true(f->answer.closed);
		request_teardown(f);
	}
}

static void test_a_lost_connection_frees_what_waits(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	f->pipe.end[PIPE_CLIENT].hold_control = true;
	request_ask(f, UDP "8.8.8.8/53/");
	request_ask(f, UDP "t.example/53/");
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 2);
	clv_h3_close(f->pipe.end[PIPE_SERVER].h3, CLV_H3_NO_ERROR, "bye");
	assert_true(f->pipe.end[PIPE_SERVER].closed);
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed_capsules_reset_the_stream_only),
		cmocka_unit_test(test_the_tunnel_ends_with_the_request),
		cmocka_unit_test(test_a_name_that_takes_longer_than_a_request_may),
		cmocka_unit_test(test_a_request_may_end_while_its_name_is_resolved),
		cmocka_unit_test(test_a_look_up_is_charged_until_it_is_over),
		cmocka_unit_test(test_the_request_ends_with_its_tunnel),
		cmocka_unit_test(test_a_lost_connection_frees_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
