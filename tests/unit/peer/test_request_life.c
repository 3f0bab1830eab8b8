/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A request of the client's from asking to its end, and the datagrams in between. */
#include "tests/unit/check.h"

#include "datapath/base/err.h"
#include "tests/unit/peer/request_fixture.h"

/* ---- asking ---- */

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
	struct clv_client_requests_params params = { .ops = &client_ops, .streams_max = 1 };
	struct clv_client_requests *cs;
	struct clv_rand rand;
	struct pipe pipe;

	(void)state;
	pipe_init(&pipe, 1);
	clv_rand_init(&rand, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		params.http = pipe_make(&pipe, PIPE_CLIENT, true, 1, &rand);
		params.uri_template = bad[i].uri_template;
		params.authority = bad[i].authority;
		assert_int_equal(clv_client_requests_new(&params, &cs), CLV_ESYNTAX);
	}
}

static void test_what_cannot_be_asked_is_refused_at_once(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome t[9];

	(void)state;
	memset(t, 0, sizeof(t));
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 0, t, &t[0].rq), CLV_ERANGE);
	assert_int_equal(clv_client_request_open(f->client, "", 1, t, &t[0].rq), CLV_ERANGE);
	assert_int_equal(clv_client_request_open(f->client, "a b", 1, t, &t[0].rq), CLV_ERANGE);
	f->relay.config.tunnels_per_conn = 8;
	for (int i = 0; i < 8; i++)
		client_open_tunnel(f, "8.8.8.8", &t[i]);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_EFULL);
	pipe_goaway(f->pipe.end[PIPE_SERVER].h3);
	pipe_run(&f->pipe);
	clv_client_request_close(t[0].rq);
	pipe_run(&f->pipe);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_ECLOSED);
	clv_h3_close(f->pipe.end[PIPE_CLIENT].h3, CLV_H3_NO_ERROR, "bye");
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 1, &t[8], &t[8].rq),
			 CLV_ECLOSED);
	client_teardown(f);
}

/* Two requests before the relay's SETTINGS, of which the first is closed. */
static void begin_two_and_close_one(struct fixture *f, struct outcome *a, struct outcome *b)
{
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, a, &a->rq), 0);
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, b, &b->rq), 0);
	clv_client_request_close(a->rq);
}

static void test_a_waiting_request_may_be_closed_or_outlived(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome a = { 0 }, b = { 0 };

	(void)state;
	begin_two_and_close_one(f, &a, &b);
	clv_client_requests_free(f->client);
	f->client = NULL;
	assert_int_equal(a.results, 0);
	assert_int_equal(b.result.err, CLV_ECLOSED);
	assert_int_equal(b.result.stream_id, -1);
	assert_int_equal(b.closed, 1);
	client_teardown(f);
}

static void test_silence_is_cancelled_in_its_order(void **state)
{
	struct fixture *f = client_setup_script(0, NULL, 0);
	struct outcome first = { 0 }, second = { .close_on_result = true }, third = { 0 };

	(void)state;
	assert_int_equal(clv_client_requests_next_ns(f->client), UINT64_MAX);
	/* the first waits for SETTINGS, the others for an answer */
	assert_int_equal(clv_client_request_open(f->client, "8.8.8.8", 53, &first, &first.rq), 0);
	clv_client_requests_step(f->client, 5000);
	assert_int_equal(clv_client_requests_next_ns(f->client), 6000);
	pipe_run(&f->pipe);
	client_open_tunnel(f, "8.8.4.4", &second);
	clv_client_requests_step(f->client, 5500);
	client_bind_tunnel(f, &third);
	clv_client_requests_step(f->client, 5999);
	assert_int_equal(first.results + second.results + third.results, 0);

	clv_client_requests_step(f->client, 6000);
	assert_int_equal(first.result.err, CLV_ETIMEOUT);
	assert_int_equal(first.result.status, 0);
	assert_int_equal(first.closed, 1);
	assert_int_equal(clv_client_requests_next_ns(f->client), 6500);
	clv_client_requests_step(f->client, 9000);
	assert_int_equal(second.result.err, CLV_ETIMEOUT);
	assert_int_equal(third.result.err, CLV_ETIMEOUT);
	assert_int_equal(second.results + third.results, 2);
	assert_int_equal(third.closed, 1);
	assert_int_equal(clv_client_requests_next_ns(f->client), UINT64_MAX);
	pipe_run(&f->pipe);
	client_teardown(f);
}

static void test_silence_before_the_settings_is_cancelled_too(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome a = { 0 }, b = { 0 };

	(void)state;
	begin_two_and_close_one(f, &a, &b);
	clv_client_requests_step(f->client, 1);
	clv_client_requests_step(f->client, 1 + CLIENT_ANSWER_NS);
	assert_int_equal(a.results, 0);
	assert_int_equal(b.result.err, CLV_ETIMEOUT);
	assert_int_equal(b.result.stream_id, -1);
	assert_int_equal(b.closed, 1);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.opened, 0);
	client_teardown(f);
}

static void test_an_answer_in_time_is_an_answer(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome a = { 0 };

	(void)state;
	client_open_tunnel(f, "8.8.8.8", &a);
	assert_int_equal(clv_client_requests_next_ns(f->client), UINT64_MAX);
	clv_client_requests_step(f->client, 1);
	clv_client_requests_step(f->client, 1 + 2 * CLIENT_ANSWER_NS);
	assert_int_equal(a.result.err, 0);
	assert_int_equal(a.closed, 0);
	client_teardown(f);
}

/* ---- datagrams ---- */

static void test_datagrams_travel_in_capsules_where_frames_cannot(void **state)
{
	struct fixture *f = client_setup(false);
	struct outcome t = { 0 };
	static uint8_t up[1 + 65527] = { 0, 'y' };

	(void)state;
	f->pipe.chunk = 4000;
	client_open_tunnel(f, "8.8.8.8", &t);
	assert_true(t.result.capsules);
	clv_client_request_send(t.rq, 0, (const uint8_t *)"hello", 5);
	clv_client_request_send(t.rq, 0, NULL, 0);
	clv_client_request_send(t.rq, 2, (const uint8_t *)"odd", 3);
	pipe_run(&f->pipe);
	assert_string_equal(f->relay.sent_text, "hello;;");
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0world", 6);
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0", 1);
	pipe_run(&f->pipe);
	assert_string_equal(f->got, "0:world;0:;");

	f->relay.config.capsule_backlog = 100000;
	clv_connect_udp_datagram_up(f->relay.tunnels[0].rq, up, sizeof(up));
	pipe_run(&f->pipe);
	assert_int_equal(f->big_len, 65527);
	assert_int_equal(f->big[0], 'y');
	clv_client_request_close(t.rq);
	pipe_run(&f->pipe);
	client_teardown(f);
}

static void test_a_slow_relay_loses_what_exceeds_the_backlog(void **state)
{
	struct fixture *f = client_setup(false);
	struct outcome t = { 0 };
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
	client_teardown(f);
}

static void test_a_datagram_that_may_not_be_aborts_the_request(void **state)
{
	struct fixture *f = client_setup(true);
	struct outcome t = { 0 };

	(void)state;
	client_bind_tunnel(f, &t);
	clv_client_request_abort(t.rq, CLV_H3_DATAGRAM_ERROR);
	pipe_run(&f->pipe);
	assert_int_equal(t.closed_err, CLV_EPROTO);
	assert_string_equal(f->pipe.end[PIPE_CLIENT].log, "stop 0 33;reset 0 33;");
	assert_int_equal(f->relay.closed, 1);
	client_teardown(f);
}

/* ---- the end ---- */

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
		struct fixture *f = client_setup_script(200, NULL, 0);
		struct outcome t = { 0 };

		client_open_tunnel(f, "8.8.8.8", &t);
		assert_int_equal(t.results, 1);
		if (cases[i].abort_code)
			clv_http_abort(f->script_stream, cases[i].abort_code);
		else
			clv_http_send(f->script_stream, (const uint8_t *)cases[i].bytes,
				      cases[i].len, NULL, 0, cases[i].fin);
		pipe_run(&f->pipe);
		assert_int_equal(t.closed, 1);
		if (t.closed_err != cases[i].err)
			fail_msg("%s: %d", cases[i].name, t.closed_err);
		if (cases[i].log)
			assert_string_equal(f->pipe.end[PIPE_CLIENT].log, cases[i].log);
		assert_int_equal(t.results, 1);
		client_teardown(f);
	}
}

static void test_the_owner_may_close_from_inside_any_call(void **state)
{
	struct fixture *f = client_setup(false);
	struct outcome a = { .close_on_result = true }, b = { .close_on_datagram = true };
	struct outcome c = { .close_on_result = true };

	(void)state;
	client_open_tunnel(f, "8.8.8.8", &a);
	assert_int_equal(a.results, 1);
	assert_int_equal(a.closed, 0);
	assert_int_equal(f->relay.closed, 1);

	client_open_tunnel(f, "8.8.8.8", &b);
	clv_connect_udp_datagram_up(f->relay.tunnels[1].rq, (const uint8_t *)"\0one", 4);
	clv_connect_udp_datagram_up(f->relay.tunnels[1].rq, (const uint8_t *)"\0two", 4);
	pipe_run(&f->pipe);
	assert_string_equal(f->got, "0:one;");
	assert_int_equal(f->relay.closed, 2);

	client_open_tunnel(f, "127.0.0.1", &c);
	assert_int_equal(c.result.err, CLV_EDENIED);
	assert_int_equal(c.closed, 0);
	client_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_datagrams_travel_in_capsules_where_frames_cannot),
		cmocka_unit_test(test_a_slow_relay_loses_what_exceeds_the_backlog),
		cmocka_unit_test(test_a_datagram_that_may_not_be_aborts_the_request),
		cmocka_unit_test(test_the_relay_may_end_the_tunnel),
		cmocka_unit_test(test_the_owner_may_close_from_inside_any_call),
		cmocka_unit_test(test_what_cannot_be_asked_is_refused_at_once),
		cmocka_unit_test(test_a_waiting_request_may_be_closed_or_outlived),
		cmocka_unit_test(test_silence_is_cancelled_in_its_order),
		cmocka_unit_test(test_silence_before_the_settings_is_cancelled_too),
		cmocka_unit_test(test_an_answer_in_time_is_an_answer),
		cmocka_unit_test(test_a_bad_template_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
