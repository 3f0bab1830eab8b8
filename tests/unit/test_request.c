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

#include "control/masque/capsule.h"
#include "control/masque/proxy_status.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "fake_relay.h"

#define UDP "/.well-known/masque/udp/"

/* What the client saw of the answer to its one request. */
struct answer {
	unsigned status;
	char proxy_status[CLV_PROXY_STATUS_MAX];
	char capsule_protocol[16], allow[32], content_type[64];
	uint8_t body[16384];
	size_t body_len;
	bool ended, closed;
	uint64_t reset_code, stop_code;
};

struct fixture {
	struct pipe pipe;
	struct clv_rand rand;
	struct clv_h3 *client;
	struct fake_relay relay;
	struct clv_h3_stream *stream;
	struct answer answer;
};

static void copy_field(const struct clv_h3_head *head, const char *name, char *buf, size_t len)
{
	for (size_t i = 0; i < head->len; i++) {
		if (strcmp(head->fields[i].name, name) == 0)
			snprintf(buf, len, "%s", head->fields[i].value);
	}
}

static void on_settings(void *user, const struct clv_h3_settings *settings)
{
	(void)user;
	(void)settings;
}

static void on_headers(void *user, struct clv_h3_stream *s, const struct clv_h3_head *head)
{
	struct answer *a = &((struct fixture *)user)->answer;

	(void)s;
	a->status = head->status;
	copy_field(head, "proxy-status", a->proxy_status, sizeof(a->proxy_status));
	copy_field(head, "capsule-protocol", a->capsule_protocol, sizeof(a->capsule_protocol));
	copy_field(head, "allow", a->allow, sizeof(a->allow));
	copy_field(head, "content-type", a->content_type, sizeof(a->content_type));
}

static void on_body(void *user, struct clv_h3_stream *s, const uint8_t *data, size_t len)
{
	struct answer *a = &((struct fixture *)user)->answer;

	(void)s;
	assert_true(a->body_len + len < sizeof(a->body));
	memcpy(a->body + a->body_len, data, len);
	a->body_len += len;
	a->body[a->body_len] = '\0';
}

static void on_end(void *user, struct clv_h3_stream *s)
{
	(void)s;
	((struct fixture *)user)->answer.ended = true;
}

static void on_reset(void *user, struct clv_h3_stream *s, uint64_t code)
{
	(void)s;
	((struct fixture *)user)->answer.reset_code = code;
}

static void on_stop(void *user, struct clv_h3_stream *s, uint64_t code)
{
	(void)s;
	((struct fixture *)user)->answer.stop_code = code;
}

static void on_closed(void *user, struct clv_h3_stream *s, uint64_t code)
{
	struct fixture *f = user;

	(void)code;
	f->answer.closed = true;
	if (f->stream == s)
		f->stream = NULL;
}

static const struct clv_h3_event_ops event_ops = {
	.on_settings = on_settings,
	.on_headers = on_headers,
	.on_body = on_body,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_stop = on_stop,
	.on_closed = on_closed,
};

static struct fixture *setup_with(bool quic_datagrams, const char *allow)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct clv_h3_params params = {
		.role = CLV_H3_CLIENT,
		.transport_ops = &pipe_ops,
		.transport = &f->pipe.end[PIPE_CLIENT],
		.event_ops = &event_ops,
		.user = f,
		.streams_max = FAKE_STREAMS,
		.rand = &f->rand,
	};

	assert_non_null(f);
	pipe_init(&f->pipe, 11);
	clv_rand_init(&f->rand, 5);
	fake_relay_init(&f->relay, &f->pipe, quic_datagrams, allow);
	assert_int_equal(clv_h3_new(&params, &f->client), 0);
	f->pipe.end[PIPE_CLIENT].h3 = f->client;
	assert_int_equal(clv_h3_start(f->client), 0);
	return f;
}

static struct fixture *setup(void)
{
	return setup_with(true, NULL);
}

static void teardown(struct fixture *f)
{
	/* Credit for every byte went back, unless somebody closed the connection. */
	if (!f->pipe.end[PIPE_SERVER].closed)
		assert_int_equal(f->pipe.end[PIPE_SERVER].received,
				 f->pipe.end[PIPE_SERVER].consumed);
	fake_relay_fini(&f->relay);
	clv_h3_free(f->client);
	pipe_fini(&f->pipe);
	free(f);
}

#define FIELDS 16

struct fields {
	struct clv_h3_field f[FIELDS];
	size_t len;
};

static void add(struct fields *fs, const char *name, const char *value)
{
	fs->f[fs->len++] = (struct clv_h3_field){ name, value, strlen(value) };
}

static void send_fields(struct fixture *f, const struct fields *fs)
{
	f->answer = (struct answer){ 0 };
	assert_int_equal(clv_h3_request(f->client, fs->f, fs->len, &f->stream), 0);
	pipe_run(&f->pipe);
}

static struct fields connect_udp(const char *path)
{
	struct fields fs = { .len = 0 };

	add(&fs, ":method", "CONNECT");
	add(&fs, ":protocol", "connect-udp");
	add(&fs, ":scheme", "https");
	add(&fs, ":authority", "relay.example");
	add(&fs, ":path", path);
	add(&fs, "capsule-protocol", "?1");
	return fs;
}

static void ask(struct fixture *f, const char *path)
{
	struct fields fs = connect_udp(path);

	send_fields(f, &fs);
}

static void send_body(struct fixture *f, const void *data, size_t len, bool fin)
{
	assert_int_equal(clv_h3_send(f->client, f->stream, data, len, NULL, 0, fin), 0);
	pipe_run(&f->pipe);
}

static void assert_status(struct fixture *f, unsigned status, const char *proxy_status)
{
	if (f->answer.status != status || strcmp(f->answer.proxy_status, proxy_status) != 0)
		fail_msg("%u \"%s\", not %u \"%s\"", f->answer.status, f->answer.proxy_status,
			 status, proxy_status);
}

/* A refusal ends the stream, asks for nothing more, and holds nothing. */
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

	clv_endpoint_format(&f->relay.tunnels[tunnel].params.target, text, sizeof(text));
	assert_string_equal(text, want);
}

/* ---- what is answered ---- */

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
		struct fixture *f = setup();

		ask(f, cases[i].path);
		assert_status(f, 200, cases[i].proxy_status);
		assert_string_equal(f->answer.capsule_protocol, "?1");
		assert_string_equal(f->answer.content_type, "");
		assert_false(f->answer.ended);
		assert_int_equal(f->relay.opened, 1);
		assert_target(f, 0, cases[i].target);
		assert_int_equal(f->relay.tunnels[0].params.stream_id, 0);
		assert_false(f->relay.tunnels[0].params.capsules);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REQUESTS), 1);
		teardown(f);
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
		struct fixture *f = setup();

		ask(f, cases[i].path);
		assert_refused(f, cases[i].status, cases[i].proxy_status);
		assert_true(f->answer.closed == false || f->stream == NULL);
		teardown(f);
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
		struct fixture *f = setup();

		assert_int_equal(clv_addr_parse("9.9.9.9", f->relay.own), 0);
		ask(f, cases[i].path);
		assert_refused(f, 502, cases[i].proxy_status);
		teardown(f);
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
		{ "broken resolver", false, 0, 0, 0, -ENOMEM, UDP "t.example/53/", 500,
		  "\"culvert\"; error=proxy_internal_error; next-hop=\"t.example\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = setup();

		f->relay.has_v4 = !cases[i].no_v4;
		f->relay.hop_state = cases[i].hop_state;
		f->relay.egress_err = cases[i].egress_err;
		f->relay.open_err = cases[i].open_err;
		f->relay.resolve_err = cases[i].resolve_err;
		ask(f, cases[i].path);
		assert_refused(f, cases[i].status, cases[i].proxy_status);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_TUNNELS),
				 cases[i].open_err == CLV_EFULL);
		assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_NAMES),
				 cases[i].resolve_err == CLV_EFULL);
		teardown(f);
	}
}

static void test_names_are_resolved_and_an_address_is_chosen(void **state)
{
	static const struct {
		const char *name;
		int err;
		const char *addrs;
		bool no_v4, no_v6;
		unsigned status;
		const char *target; /* of 200 */
		const char *proxy_status;
	} cases[] = {
		{ "both families", 0, "8.8.8.8 2606:4700::1", false, false, 200,
		  "[2606:4700::1]:53", "\"culvert\"; next-hop=\"2606:4700::1\"" },
		{ "IPv4 only here", 0, "2606:4700::1 8.8.8.8", false, true, 200, "8.8.8.8:53",
		  "\"culvert\"; next-hop=\"8.8.8.8\"" },
		{ "IPv4 only there", 0, "8.8.8.8", false, false, 200, "8.8.8.8:53",
		  "\"culvert\"; next-hop=\"8.8.8.8\"" },
		{ "a denied one among them", 0, "::1 10.0.0.1 8.8.4.4", false, false, 200,
		  "8.8.4.4:53", "\"culvert\"; next-hop=\"8.8.4.4\"" },
		{ "all denied", 0, "::1 127.0.0.1", false, false, 502, NULL,
		  "\"culvert\"; error=destination_ip_prohibited; next-hop=\"::1\"; "
		  "details=\"loopback\"" },
		{ "one denied, one unroutable", 0, "::1 8.8.8.8", true, false, 502, NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"8.8.8.8\"; "
		  "details=\"no IPv4 route\"" },
		{ "one unroutable, one denied", 0, "2606:4700::1 127.0.0.1", false, true, 502, NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"2606:4700::1\"; "
		  "details=\"no IPv6 route\"" },
		{ "wrong family", 0, "2606:4700::1", false, true, 502, NULL,
		  "\"culvert\"; error=destination_ip_unroutable; next-hop=\"2606:4700::1\"; "
		  "details=\"no IPv6 route\"" },
		{ "no such name", CLV_ENONAME, "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"NXDOMAIN\"; next-hop=\"t.example\"" },
		{ "no addresses", 0, "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"NXDOMAIN\"; next-hop=\"t.example\"" },
		{ "timeout", CLV_ENAMETIME, "", false, false, 504, NULL,
		  "\"culvert\"; error=dns_timeout; next-hop=\"t.example\"" },
		{ "resolver failed", -EIO, "", false, false, 502, NULL,
		  "\"culvert\"; error=dns_error; rcode=\"SERVFAIL\"; next-hop=\"t.example\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = setup();

		f->relay.has_v4 = !cases[i].no_v4;
		f->relay.has_v6 = !cases[i].no_v6;
		ask(f, UDP "t.example/53/");
		assert_string_equal(f->relay.resolving, "t.example");
		/* RFC 9298 section 3.1: no answer before the name is resolved. */
		assert_int_equal(f->answer.status, 0);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
		fake_relay_resolved(&f->relay, cases[i].err, cases[i].addrs);
		pipe_run(&f->pipe);
		if (cases[i].status == 200) {
			assert_status(f, 200, cases[i].proxy_status);
			assert_target(f, 0, cases[i].target);
		} else {
			assert_refused(f, cases[i].status, cases[i].proxy_status);
		}
		teardown(f);
	}
}

static void test_an_operators_allow_opens_a_target(void **state)
{
	struct fixture *f = setup_with(true, "198.18.0.0/15");

	(void)state;
	ask(f, UDP "198.18.5.5/7/");
	assert_status(f, 200, "\"culvert\"; next-hop=\"198.18.5.5\"");
	teardown(f);
}

static void test_tunnels_of_a_connection_are_limited(void **state)
{
	struct fixture *f = setup();

	(void)state;
	for (int i = 0; i < 4; i++) {
		ask(f, UDP "8.8.8.8/53/");
		assert_int_equal(f->answer.status, 200);
	}
	ask(f, UDP "8.8.8.8/53/");
	assert_status(f, 429,
		      "\"culvert\"; error=http_request_error; status-code=429; "
		      "next-hop=\"8.8.8.8\"; details=\"too many tunnels of one connection\"");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_TUNNELS_CONN), 1);
	assert_int_equal(f->relay.opened, 4);
	clv_request_tunnel_gone(f->relay.tunnels[0].rq, CLV_ETIMEOUT);
	f->relay.closed++;
	f->relay.egress_held--;
	ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	teardown(f);
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
		struct fixture *f = setup();
		struct fields fs = { .len = 0 };

		add(&fs, ":method", cases[i].method);
		add(&fs, ":scheme", "https");
		add(&fs, ":authority", "relay.example");
		add(&fs, ":path", cases[i].path);
		send_fields(f, &fs);
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
		teardown(f);
	}
}

static void test_other_protocols_are_not_implemented(void **state)
{
	static const char refusal[] = "\"culvert\"; error=proxy_internal_response; "
				      "details=\"only connect-udp is offered\"";
	struct fixture *f = setup();
	struct fields fs = connect_udp("/");
	struct fields tcp = { .len = 0 };

	(void)state;
	fs.f[1] = (struct clv_h3_field){ ":protocol", "websocket", 9 };
	send_fields(f, &fs);
	assert_refused(f, 501, refusal);
	add(&tcp, ":method", "CONNECT");
	add(&tcp, ":authority", "t.example:443");
	send_fields(f, &tcp);
	assert_refused(f, 501, refusal);
	teardown(f);
}

static void test_a_bad_scheme_and_too_many_fields_are_refused(void **state)
{
	static char big[9000];
	struct fixture *f = setup();
	struct fields fs = connect_udp(UDP "8.8.8.8/53/");
	static const char refusal[] = "\"culvert\"; error=http_request_error; status-code=400; "
				      "details=\":scheme is not https\"";

	(void)state;
	fs.f[2] = (struct clv_h3_field){ ":scheme", "http", 4 };
	send_fields(f, &fs);
	assert_refused(f, 400, refusal);
	memset(big, 'x', sizeof(big) - 1);
	fs = connect_udp(UDP "8.8.8.8/53/");
	add(&fs, "a", big);
	add(&fs, "b", big);
	send_fields(f, &fs);
	assert_refused(f, 431, "\"culvert\"; error=http_request_error; status-code=431");
	teardown(f);
}

static void test_content_fields_make_the_request_malformed(void **state)
{
	static const char *const names[] = { "content-length", "content-type" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = setup();
		struct fields fs = connect_udp(UDP "8.8.8.8/53/");

		add(&fs, names[i], i == 0 ? "0" : "text/plain");
		send_fields(f, &fs);
		assert_int_equal(f->answer.status, 0);
		assert_int_equal(f->answer.reset_code, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(f->answer.stop_code, CLV_H3_MESSAGE_ERROR);
		assert_int_equal(f->relay.opened, 0);
		assert_false(f->pipe.end[PIPE_SERVER].closed);
		teardown(f);
	}
}

/* ---- datagrams or capsules ---- */

static void test_a_request_that_overtakes_settings_waits_for_them(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->pipe.end[PIPE_CLIENT].hold_control = true;
	ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 0);
	assert_int_equal(f->relay.opened, 0);
	f->pipe.end[PIPE_CLIENT].hold_control = false;
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	assert_false(f->relay.tunnels[0].params.capsules);
	teardown(f);
}

static void test_a_peer_without_datagram_frames_gets_capsules(void **state)
{
	struct fixture *f = setup_with(false, NULL);

	(void)state;
	ask(f, UDP "8.8.8.8/53/");
	assert_true(f->relay.tunnels[0].params.capsules);
	clv_request_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0hello", 6);
	clv_request_datagram_up(f->relay.tunnels[0].rq, (const uint8_t *)"\0", 1);
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.body_len, 11);
	assert_memory_equal(f->answer.body, "\x00\x06\x00hello\x00\x01\x00", 11);
	teardown(f);
}

static void test_a_slow_reader_of_capsules_loses_what_exceeds_the_backlog(void **state)
{
	struct fixture *f = setup_with(false, NULL);
	uint8_t datagram[1000] = { 0 };

	(void)state;
	ask(f, UDP "8.8.8.8/53/");
	f->pipe.end[PIPE_SERVER].hold_acks = true;
	for (int i = 0; i < 6; i++)
		clv_request_datagram_up(f->relay.tunnels[0].rq, datagram, sizeof(datagram));
	pipe_run(&f->pipe);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CAPSULE_BACKLOG), 2);
	assert_int_equal(f->answer.body_len, 4 * 1003);
	clv_h3_acked(clv_requests_h3(f->relay.requests), 0, 4 * 1006);
	clv_request_datagram_up(f->relay.tunnels[0].rq, datagram, sizeof(datagram));
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_CAPSULE_BACKLOG), 2);
	pipe_run(&f->pipe);
	teardown(f);
}

static void test_datagram_capsules_reach_the_tunnel(void **state)
{
	static const char wire[] = "\x00\x06\x00hello" /* context 0 */
				   "\x17\x02xx"	       /* an unknown capsule */
				   "\x00\x01\x00"      /* an empty payload */
				   "\x00\x03\x02no"    /* a context nobody registered */
				   "\x00\x06\x00world";
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "8.8.8.8/53/");
	send_body(f, wire, sizeof(wire) - 1, false);
	assert_string_equal(f->relay.sent_text, "hello;;world;");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	teardown(f);
}

static void test_capsules_larger_than_the_way_are_skipped_and_counted(void **state)
{
	static const uint8_t head[] = { 0x00, 0x80, 0x01, 0x00, 0x00, 0x00 };	 /* 65536 bytes */
	static const uint8_t foreign[] = { 0x00, 0x80, 0x02, 0x00, 0x00, 0x02 }; /* context 2 */
	uint8_t zeros[4096] = { 0 };
	struct fixture *f = setup();

	(void)state;
	f->pipe.chunk = 1000;
	ask(f, UDP "8.8.8.8/53/");
	/* 65535 bytes of payload are more than any UDP packet has: that ends the tunnel. */
	send_body(f, head, sizeof(head), false);
	send_body(f, zeros, CLV_CAPSULE_PEEK_MAX, false);
	assert_int_equal(f->answer.reset_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->answer.stop_code, CLV_H3_DATAGRAM_ERROR);
	assert_int_equal(f->relay.closed, 1);

	/* A large one on an unknown context, and one that is only too large for the link. */
	ask(f, UDP "8.8.8.8/53/");
	send_body(f, foreign, sizeof(foreign), false);
	for (int left = 131072 - 1; left > 0; left -= (int)sizeof(zeros))
		send_body(f, zeros, left < (int)sizeof(zeros) ? (size_t)left : sizeof(zeros),
			  false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_UNKNOWN_CONTEXT), 1);
	send_body(f, "\x00\x50\x00\x00", 4, false); /* 4096 bytes */
	send_body(f, zeros, 4095, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_TOO_BIG_TARGET), 1);
	send_body(f, "\x00\x03\x00ok", 5, false);
	assert_string_equal(f->relay.sent_text, "ok;");
	assert_int_equal(f->answer.reset_code, 0);
	teardown(f);
}

static void test_a_full_size_payload_passes_where_the_link_allows(void **state)
{
	static uint8_t capsule[5 + 65528] = { 0x00, 0x80, 0x00, 0xff, 0xf8, 0x00, 'x' };
	struct fixture *f = setup();

	(void)state;
	f->pipe.chunk = 5000;
	f->relay.mtu = 0; /* the kernel's way did not say */
	ask(f, UDP "8.8.8.8/53/");
	send_body(f, capsule, sizeof(capsule), false);
	assert_int_equal(f->relay.sent, 1);
	assert_int_equal(f->relay.last_sent_len, 65527);
	assert_int_equal(f->relay.last_sent[0], 'x');
	teardown(f);
}

static void test_capsules_before_the_tunnel_are_kept_within_a_bound(void **state)
{
	uint8_t big[9003] = { 0x00, 0x63, 0x28 }; /* 9000 bytes */
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "t.example/53/");
	send_body(f, "\x00\x03\x00hi\x00\x06\x00there", 13, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_EARLY_HELD), 2);
	send_body(f, big, sizeof(big), false);
	send_body(f, big, sizeof(big), false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_EARLY_HELD), 3);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_FULL), 1);
	assert_int_equal(f->relay.sent, 0);
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.sent, 3);
	assert_string_equal(f->relay.sent_text, "hi;there;");

	/* Without a tunnel they are counted as lost. */
	ask(f, UDP "t.example/53/");
	send_body(f, "\x00\x03\x00hi", 5, false);
	fake_relay_resolved(&f->relay, CLV_ENONAME, "");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 502);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_EXPIRED), 1);
	teardown(f);
}

static void test_bytes_that_wait_draw_on_one_budget(void **state)
{
	uint8_t capsule[403] = { 0x00, 0x41, 0x90 }; /* 400 bytes */
	struct clv_budget budget = { .max = 300 };
	struct fixture *f = setup();

	(void)state;
	f->pipe.chunk = 1000;
	f->relay.config.budget = &budget;
	/* for a tunnel to come */
	ask(f, UDP "t.example/53/");
	send_body(f, "\x00\x03\x00hi", 5, false);
	assert_true(budget.used > 0);
	send_body(f, capsule, sizeof(capsule), false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BUFFERED_FULL), 1);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_DROP_EARLY_FULL), 1);
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_string_equal(f->relay.sent_text, "hi;");
	assert_int_equal(budget.used, 0);
	/* for its own rest: room for 200 bytes, not for 400 */
	send_body(f, "\x00\x40\xc8\x00x", 5, false);
	assert_int_equal(budget.used, 200);
	ask(f, UDP "8.8.8.8/53/");
	send_body(f, capsule, 5, false);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BUFFERED_FULL), 2);
	assert_int_equal(f->answer.reset_code, CLV_H3_EXCESSIVE_LOAD);
	assert_int_equal(budget.used, 200); /* the other's, which goes on */
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
	clv_requests_free(f->relay.requests);
	f->relay.requests = NULL;
	f->pipe.end[PIPE_SERVER].h3 = NULL;
	assert_int_equal(budget.used, 0);
	teardown(f);
}

/* ---- how requests end ---- */

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
		struct fixture *f = setup();

		ask(f, UDP "8.8.8.8/53/");
		send_body(f, malformed[i].wire, malformed[i].len, malformed[i].fin);
		if (f->answer.reset_code != CLV_H3_MESSAGE_ERROR)
			fail_msg("%s: code %llx", malformed[i].name,
				 (unsigned long long)f->answer.reset_code);
		assert_int_equal(f->relay.closed, 1);
		assert_int_equal(clv_requests_tunnels(f->relay.requests), 0);
		assert_false(f->pipe.end[PIPE_SERVER].closed);
		ask(f, UDP "8.8.8.8/53/");
		assert_int_equal(f->answer.status, 200);
		teardown(f);
	}
}

static void test_the_tunnel_ends_with_the_request(void **state)
{
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "8.8.8.8/53/");
	send_body(f, NULL, 0, true);
	assert_int_equal(f->relay.closed, 1);
	assert_true(f->answer.ended);
	assert_true(f->answer.closed);
	assert_int_equal(f->answer.reset_code, 0);

	ask(f, UDP "8.8.8.8/53/");
	clv_h3_abort(f->client, f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.closed, 2);
	assert_true(f->answer.closed);

	ask(f, UDP "8.8.8.8/53/");
	clv_h3_stop(f->client, f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.closed, 3);

	/* The connection ends under an open tunnel: free closes it. */
	ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->relay.opened, 4);
	teardown(f);
}

static void test_a_request_may_end_while_its_name_is_resolved(void **state)
{
	struct fixture *f = setup();

	(void)state;
	ask(f, UDP "t.example/53/");
	clv_h3_abort(f->client, f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	assert_int_equal(f->relay.cancelled, 1);
	assert_true(f->answer.closed);

	ask(f, UDP "t.example/53/");
	send_body(f, NULL, 0, true);
	assert_int_equal(f->relay.cancelled, 2);
	assert_int_equal(f->answer.reset_code, CLV_H3_REQUEST_CANCELLED);

	ask(f, UDP "t.example/53/");
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 1);
	teardown(f);
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
		struct fixture *f = setup();

		ask(f, UDP "8.8.8.8/53/");
		clv_request_tunnel_gone(f->relay.tunnels[0].rq, cases[i].err);
		f->relay.closed++;
		f->relay.egress_held--;
		pipe_run(&f->pipe);
		assert_int_equal(f->answer.ended, cases[i].ended);
		assert_int_equal(f->answer.reset_code, cases[i].reset_code);
		assert_int_equal(f->answer.stop_code, cases[i].stop_code);
		assert_true(f->answer.closed);
		teardown(f);
	}
}

static void test_a_lost_connection_frees_what_waits(void **state)
{
	struct fixture *f = setup();

	(void)state;
	f->pipe.end[PIPE_CLIENT].hold_control = true;
	ask(f, UDP "8.8.8.8/53/");
	ask(f, UDP "t.example/53/");
	assert_int_equal(clv_requests_tunnels(f->relay.requests), 2);
	clv_h3_close(clv_requests_h3(f->relay.requests), CLV_H3_NO_ERROR, "bye");
	assert_true(f->pipe.end[PIPE_SERVER].closed);
	teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_literal_target_gets_its_tunnel),
		cmocka_unit_test(test_malformed_and_foreign_paths_are_refused),
		cmocka_unit_test(test_denied_targets_are_refused_in_every_disguise),
		cmocka_unit_test(test_what_the_host_cannot_do_is_said),
		cmocka_unit_test(test_names_are_resolved_and_an_address_is_chosen),
		cmocka_unit_test(test_an_operators_allow_opens_a_target),
		cmocka_unit_test(test_tunnels_of_a_connection_are_limited),
		cmocka_unit_test(test_other_requests_get_a_page_or_a_refusal),
		cmocka_unit_test(test_other_protocols_are_not_implemented),
		cmocka_unit_test(test_a_bad_scheme_and_too_many_fields_are_refused),
		cmocka_unit_test(test_content_fields_make_the_request_malformed),
		cmocka_unit_test(test_a_request_that_overtakes_settings_waits_for_them),
		cmocka_unit_test(test_a_peer_without_datagram_frames_gets_capsules),
		cmocka_unit_test(test_a_slow_reader_of_capsules_loses_what_exceeds_the_backlog),
		cmocka_unit_test(test_datagram_capsules_reach_the_tunnel),
		cmocka_unit_test(test_capsules_larger_than_the_way_are_skipped_and_counted),
		cmocka_unit_test(test_a_full_size_payload_passes_where_the_link_allows),
		cmocka_unit_test(test_capsules_before_the_tunnel_are_kept_within_a_bound),
		cmocka_unit_test(test_bytes_that_wait_draw_on_one_budget),
		cmocka_unit_test(test_malformed_capsules_reset_the_stream_only),
		cmocka_unit_test(test_the_tunnel_ends_with_the_request),
		cmocka_unit_test(test_a_request_may_end_while_its_name_is_resolved),
		cmocka_unit_test(test_the_request_ends_with_its_tunnel),
		cmocka_unit_test(test_a_lost_connection_frees_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
