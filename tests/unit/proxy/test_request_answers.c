/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the relay answers to a request. */
#include "tests/unit/check.h"

#include <errno.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "tests/unit/proxy/request_fixture.h"

static void assert_status(struct fixture *f, unsigned status, const char *proxy_status)
{
	if (f->answer.status != status || strcmp(f->answer.proxy_status, proxy_status) != 0)
		fail_msg("%u \"%s\", not %u \"%s\"", f->answer.status, f->answer.proxy_status,
			 status, proxy_status);
}

/* A refusal ends the stream, stops the client, and holds nothing. */
static void assert_refused(struct fixture *f, unsigned status, const char *proxy_status)
{
	assert_status(f, status, proxy_status);
	assert_string_equal(f->answer.capsule_protocol, "");
	assert_true(f->answer.ended);
	assert_int_equal(f->answer.stop_code, CLV_H3_NO_ERROR);
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 0);
	assert_int_equal(f->relay.egress_held, 0);
	assert_int_equal(f->relay.opened, 0);
}

static void assert_target(const struct fixture *f, unsigned tunnel, const char *want)
{
	char text[CLV_ADDR_TEXT_MAX];

	clv_endpoint_format(&f->relay.tunnels[tunnel].params.spec.remote, text, sizeof(text));
	assert_string_equal(text, want);
}

static void test_a_literal_target_gets_its_tunnel(void **state)
{
	static const struct {
		const char *path, *target, *proxy_status;
	} cases[] = {
		{ UDP "8.8.8.8/53/", "8.8.8.8:53", "\"culvert\"; next-hop=\"8.8.8.8\"" },
		{ UDP "2606%3A4700%3A%3A1/443/", "[2606:4700::1]:443",
		  "\"culvert\"; next-hop=\"2606:4700::1\"" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = request_setup();

		request_ask(f, cases[i].path);
		assert_status(f, 200, cases[i].proxy_status);
		assert_string_equal(f->answer.capsule_protocol, "?1");
		assert_string_equal(f->answer.content_type, "");
		assert_false(f->answer.ended);
		assert_int_equal(f->relay.opened, 1);
		assert_target(f, 0, cases[i].target);
		assert_int_equal(f->relay.tunnels[0].params.spec.stream_id, 0);
		assert_false(f->relay.tunnels[0].params.spec.flags & CLV_TUNNEL_CAPSULES);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REQUESTS), 1);
		request_teardown(f);
	}
}

static void test_malformed_and_foreign_paths_are_refused(void **state)
{
	static const struct {
		const char *path;
		unsigned status;
		const char *proxy_status;
	} cases[] = {
		{ UDP "a/0/", 400,
		  "\"culvert\"; error=http_request_error; status-code=400; "
		  "details=\"target port is not a number from 1 to 65535\"" },
		{ UDP "/53/", 400,
		  "\"culvert\"; error=http_request_error; status-code=400; "
		  "details=\"empty target host\"" },
		{ UDP "fe80%3A%3A1%25eth0/53/", 400,
		  "\"culvert\"; error=http_request_error; status-code=400; "
		  "details=\"zone identifiers are not supported\"" },
		{ UDP "*/53/", 400,
		  "\"culvert\"; error=http_request_error; status-code=400; "
		  "details=\"target host is neither a name nor an address\"" },
		{ UDP "*/*/", 400,
		  "\"culvert\"; error=http_request_error; status-code=400; "
		  "details=\"no target, and no connect-udp-bind\"" },
		{ UDP "%3A%3Affff%3A8.8.8.8/53/", 502,
		  "\"culvert\"; error=destination_ip_prohibited; "
		  "details=\"IPv4-mapped IPv6 address\"" },
		{ "/elsewhere", 404,
		  "\"culvert\"; error=http_request_error; status-code=404; "
		  "details=\"not the path of this relay's template\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		request_ask(f, cases[i].path);
		assert_refused(f, cases[i].status, cases[i].proxy_status);
		assert_true(f->answer.closed == false || f->stream == NULL);
		request_teardown(f);
	}
}

static void test_denied_targets_are_refused_in_every_disguise(void **state)
{
	static const struct {
		const char *path, *proxy_status;
	} cases[] = {
		{ UDP "127.0.0.1/53/", "\"culvert\"; error=destination_ip_prohibited; "
				       "next-hop=\"127.0.0.1\"; details=\"loopback\"" },
		{ UDP "169.254.169.254/80/",
		  "\"culvert\"; error=destination_ip_prohibited; "
		  "next-hop=\"169.254.169.254\"; details=\"link-local\"" },
		{ UDP "%3A%3A1/53/", "\"culvert\"; error=destination_ip_prohibited; "
				     "next-hop=\"::1\"; details=\"loopback\"" },
		{ UDP "64%3Aff9b%3A%3A7f00%3A1/53/",
		  "\"culvert\"; error=destination_ip_prohibited; "
		  "next-hop=\"64:ff9b::7f00:1\"; details=\"loopback\"" },
		{ UDP "2002%3A7f00%3A1%3A%3A1/53/",
		  "\"culvert\"; error=destination_ip_prohibited; "
		  "next-hop=\"2002:7f00:1::1\"; details=\"6to4\"" },
		{ UDP "203.0.113.1/53/", "\"culvert\"; error=destination_ip_prohibited; "
					 "next-hop=\"203.0.113.1\"; details=\"documentation\"" },
		{ UDP "9.9.9.9/53/", "\"culvert\"; error=destination_ip_prohibited; "
				     "next-hop=\"9.9.9.9\"; details=\"own address\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		assert_int_equal(clv_addr_parse("9.9.9.9", f->relay.own), 0);
		request_ask(f, cases[i].path);
		assert_refused(f, 502, cases[i].proxy_status);
		request_teardown(f);
	}
}

static void test_what_the_host_cannot_do_is_said(void **state)
{
	static const struct {
		const char *name;
		bool no_v4;
		uint8_t hop_state;
		int egress_err, open_err, resolve_err;
		const char *path;
		unsigned status;
		const char *proxy_status;
	} cases[] = {
		{ "no route", true, 0, 0, 0, 0, UDP "8.8.8.8/53/", 502,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"8.8.8.8\"; "
		  "details=\"no IPv4 route\"" },
		{ "dead neighbour", false, CLV_HOP_UNREACHABLE, 0, 0, 0, UDP "8.8.8.8/53/", 503,
		  "\"culvert\"; error=destination_unavailable; next-hop=\"8.8.8.8\"; "
		  "details=\"the next hop does not answer\"" },
		{ "no port", false, 0, CLV_EFULL, 0, 0, UDP "8.8.8.8/53/", 503,
		  "\"culvert\"; error=connection_limit_reached; next-hop=\"8.8.8.8\"; "
		  "details=\"no free port\"" },
		{ "no socket", false, 0, -EMFILE, 0, 0, UDP "8.8.8.8/53/", 500,
		  "\"culvert\"; error=proxy_internal_error; next-hop=\"8.8.8.8\"" },
		{ "no slot", false, 0, 0, CLV_EFULL, 0, UDP "8.8.8.8/53/", 503,
		  "\"culvert\"; error=connection_limit_reached; next-hop=\"8.8.8.8\"; "
		  "details=\"too many tunnels\"" },
		{ "no memory", false, 0, 0, -ENOMEM, 0, UDP "8.8.8.8/53/", 500,
		  "\"culvert\"; error=proxy_internal_error; next-hop=\"8.8.8.8\"" },
		{ "busy resolver", false, 0, 0, 0, CLV_EFULL, UDP "t.example/53/", 503,
		  "\"culvert\"; error=connection_limit_reached; next-hop=\"t.example\"; "
		  "details=\"too many names being resolved\"" },
		{ "internal name", false, 0, 0, 0, CLV_ENONAME, UDP "intranet/53/", 502,
		  "\"culvert\"; error=dns_error; rcode=\"NXDOMAIN\"; next-hop=\"intranet\"; "
		  "details=\"not a public name\"" },
		{ "broken resolver", false, 0, 0, 0, -ENOMEM, UDP "t.example/53/", 500,
		  "\"culvert\"; error=proxy_internal_error; next-hop=\"t.example\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		f->relay.has_v4 = !cases[i].no_v4;
		f->relay.hop_state = cases[i].hop_state;
		f->relay.egress_err = cases[i].egress_err;
		f->relay.open_err = cases[i].open_err;
		f->relay.resolve_err = cases[i].resolve_err;
		request_ask(f, cases[i].path);
		assert_refused(f, cases[i].status, cases[i].proxy_status);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_TUNNELS),
				 cases[i].open_err == CLV_EFULL);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_NAMES),
				 cases[i].resolve_err == CLV_EFULL);
		request_teardown(f);
	}
}

static void test_names_are_resolved_and_an_address_is_chosen(void **state)
{
	static const struct {
		const char *name;
		int err;
		const char *rcode, *addrs;
		bool no_v4, no_v6;
		unsigned status;
		const char *target; /* of 200 */
		const char *proxy_status;
	} cases[] = {
		{ "both families", 0, NULL, "8.8.8.8 2606:4700::1", false, false, 200,
		  "[2606:4700::1]:53", "\"culvert\"; next-hop=\"2606:4700::1\"" },
		{ "IPv4 only here", 0, NULL, "2606:4700::1 8.8.8.8", false, true, 200, "8.8.8.8:53",
		  "\"culvert\"; next-hop=\"8.8.8.8\"" },
		{ "IPv4 only there", 0, NULL, "8.8.8.8", false, false, 200, "8.8.8.8:53",
		  "\"culvert\"; next-hop=\"8.8.8.8\"" },
		{ "a denied one among them", 0, NULL, "::1 10.0.0.1 8.8.4.4", false, false, 200,
		  "8.8.4.4:53", "\"culvert\"; next-hop=\"8.8.4.4\"" },
		{ "all denied", 0, NULL, "::1 127.0.0.1", false, false, 502, NULL,
		  "\"culvert\"; error=destination_ip_prohibited; next-hop=\"t.example\"; "
		  "details=\"loopback\"" },
		{ "one denied, one unroutable", 0, NULL, "::1 8.8.8.8", true, false, 502, NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"8.8.8.8\"; "
		  "details=\"no IPv4 route\"" },
		{ "one unroutable, one denied", 0, NULL, "2606:4700::1 127.0.0.1", false, true, 502,
		  NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"2606:4700::1\"; "
		  "details=\"no IPv6 route\"" },
		{ "wrong family", 0, NULL, "2606:4700::1", false, true, 502, NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"2606:4700::1\"; "
		  "details=\"no IPv6 route\"" },
		{ "no such name", CLV_ENONAME, "NXDOMAIN", "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"NXDOMAIN\"; next-hop=\"t.example\"" },
		{ "no addresses", CLV_ENONAME, "NOERROR", "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"NOERROR\"; next-hop=\"t.example\"; "
		  "details=\"the name has no addresses\"" },
		{ "the server refuses", CLV_ENONAME, "REFUSED", "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"REFUSED\"; next-hop=\"t.example\"" },
		{ "the server fails", CLV_ENONAME, "SERVFAIL", "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"SERVFAIL\"; next-hop=\"t.example\"" },
		{ "timeout", CLV_ENAMETIME, NULL, "", false, false, 504, NULL,
		  "\"culvert\"; error=dns_timeout; next-hop=\"t.example\"" },
		{ "no server", -ECONNREFUSED, NULL, "", false, false, 504, NULL,
		  "\"culvert\"; error=dns_timeout; next-hop=\"t.example\"; "
		  "details=\"no name server can be reached\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		f->relay.has_v4 = !cases[i].no_v4;
		f->relay.has_v6 = !cases[i].no_v6;
		request_ask(f, UDP "t.example/53/");
		assert_string_equal(f->relay.resolving, "t.example");
		/* RFC 9298 section 3.1: no answer before the name is resolved. */
		assert_int_equal(f->answer.status, 0);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
		fake_relay_resolved_rcode(&f->relay, cases[i].err, cases[i].rcode, cases[i].addrs);
		pipe_run(&f->pipe);
		if (cases[i].status == 200) {
			assert_status(f, 200, cases[i].proxy_status);
			assert_target(f, 0, cases[i].target);
		} else {
			assert_refused(f, cases[i].status, cases[i].proxy_status);
		}
		request_teardown(f);
	}
}

static void test_an_ipv6_only_relay_reaches_ipv4_by_nat64(void **state)
{
	static const struct {
		const char *path, *target; /* NULL: prohibited */
	} cases[] = {
		{ UDP "8.8.8.8/53/", "[64:ff9b::808:808]:53" },
		{ UDP "10.0.0.1/53/", NULL },
		{ UDP "2606%3A4700%3A%3A1/53/", "[2606:4700::1]:53" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();

		f->relay.has_v4 = false;
		f->relay.nat64.prefix_bits = 96;
		clv_addr_parse("64:ff9b::", f->relay.nat64.addr);
		request_ask(f, cases[i].path);
		if (cases[i].target)
			assert_target(f, 0, cases[i].target);
		else
			assert_refused(f, 502,
				       "\"culvert\"; error=destination_ip_prohibited; "
				       "next-hop=\"10.0.0.1\"; details=\"private\"");
		request_teardown(f);
	}
}

static void test_an_operators_allow_opens_a_target(void **state)
{
	struct fixture *f = request_setup_with(true, "198.18.0.0/15");

	(void)state;
	request_ask(f, UDP "198.18.5.5/7/");
	assert_status(f, 200, "\"culvert\"; next-hop=\"198.18.5.5\"");
	request_teardown(f);
}

static void test_tunnels_of_a_connection_are_limited(void **state)
{
	struct fixture *f = request_setup();

	(void)state;
	for (int i = 0; i < 4; i++) {
		request_ask(f, UDP "8.8.8.8/53/");
		assert_int_equal(f->answer.status, 200);
	}
	request_ask(f, UDP "8.8.8.8/53/");
	assert_status(f, 429,
		      "\"culvert\"; error=http_request_error; status-code=429; "
		      "next-hop=\"8.8.8.8\"; details=\"too many tunnels of one connection\"");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_TUNNELS_CONN), 1);
	assert_int_equal(f->relay.opened, 4);
	fake_relay_gone(&f->relay, 0, CLV_ETIMEOUT);
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	request_teardown(f);
}

static void test_other_requests_get_a_page_or_a_refusal(void **state)
{
	static const struct {
		const char *method, *path;
		unsigned status;
		bool body;
		const char *allow;
	} cases[] = {
		{ "GET", "/", 200, true, "" },
		{ "GET", "/?x=y", 200, true, "" },
		{ "HEAD", "/", 200, false, "" },
		{ "POST", "/", 405, false, "GET, HEAD" },
		{ "DELETE", "/", 405, false, "GET, HEAD" },
		{ "GET", "/favicon.ico", 404, false, "" },
		{ "GET", UDP "8.8.8.8/53/", 404, false, "" },
		{ "OPTIONS", "*", 404, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = request_setup();
		struct fields fs = { .len = 0 };

		fields_add(&fs, ":method", cases[i].method);
		fields_add(&fs, ":scheme", "https");
		fields_add(&fs, ":authority", "relay.example");
		fields_add(&fs, ":path", cases[i].path);
		request_send(f, &fs);
		assert_int_equal(f->answer.status, cases[i].status);
		assert_true(f->answer.ended);
		assert_string_equal(f->answer.allow, cases[i].allow);
		if (cases[i].body)
			assert_non_null(strstr((char *)f->answer.body, "Culvert"));
		else
			assert_int_equal(f->answer.body_len, 0);
		if (cases[i].status == 200)
			assert_string_equal(f->answer.content_type, "text/html; charset=utf-8");
		assert_false(f->pipe.end[PIPE_SERVER].closed);
		request_teardown(f);
	}
}

static void test_other_protocols_are_not_implemented(void **state)
{
	static const char refusal[] = "\"culvert\"; error=proxy_internal_response; "
				      "details=\"only connect-udp is offered\"";
	struct fixture *f = request_setup();
	struct fields fs = connect_udp("/");
	struct fields tcp = { .len = 0 };

	(void)state;
	fs.f[1] = (struct clv_http_field){ ":protocol", "websocket", 9 };
	request_send(f, &fs);
	assert_refused(f, 501, refusal);
	fields_add(&tcp, ":method", "CONNECT");
	fields_add(&tcp, ":authority", "t.example:443");
	request_send(f, &tcp);
	assert_refused(f, 501, refusal);
	request_teardown(f);
}

static void test_a_bad_scheme_and_too_many_fields_are_refused(void **state)
{
	static char big[9000];
	struct fixture *f = request_setup();
	struct fields fs = connect_udp(UDP "8.8.8.8/53/");
	static const char refusal[] = "\"culvert\"; error=http_request_error; status-code=400; "
				      "details=\":scheme is not https\"";

	(void)state;
	fs.f[2] = (struct clv_http_field){ ":scheme", "http", 4 };
	request_send(f, &fs);
	assert_refused(f, 400, refusal);
	memset(big, 'x', sizeof(big) - 1);
	fs = connect_udp(UDP "8.8.8.8/53/");
	fields_add(&fs, "a", big);
	fields_add(&fs, "b", big);
	request_send(f, &fs);
	assert_refused(f, 431, "\"culvert\"; error=http_request_error; status-code=431");
	request_teardown(f);
}

static void test_content_fields_make_the_request_malformed(void **state)
{
	static const char *const names[] = { "content-length", "content-type" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = request_setup();
		struct fields fs = connect_udp(UDP "8.8.8.8/53/");

		fields_add(&fs, names[i], i == 0 ? "0" : "text/plain");
		request_send(f, &fs);
		assert_int_equal(f->answer.status, 0);
		assert_int_equal(f->answer.reset_code, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(f->answer.stop_code, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(f->relay.opened, 0);
		assert_false(f->pipe.end[PIPE_SERVER].closed);
		request_teardown(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_literal_target_gets_its_tunnel),
		cmocka_unit_test(test_malformed_and_foreign_paths_are_refused),
		cmocka_unit_test(test_denied_targets_are_refused_in_every_disguise),
		cmocka_unit_test(test_what_the_host_cannot_do_is_said),
		cmocka_unit_test(test_names_are_resolved_and_an_address_is_chosen),
		cmocka_unit_test(test_an_ipv6_only_relay_reaches_ipv4_by_nat64),
		cmocka_unit_test(test_an_operators_allow_opens_a_target),
		cmocka_unit_test(test_tunnels_of_a_connection_are_limited),
		cmocka_unit_test(test_other_requests_get_a_page_or_a_refusal),
		cmocka_unit_test(test_other_protocols_are_not_implemented),
		cmocka_unit_test(test_a_bad_scheme_and_too_many_fields_are_refused),
		cmocka_unit_test(test_content_fields_make_the_request_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
