/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Credentials of CONNECT-UDP requests: what opens a tunnel, what is answered, what ends one. */
#include "tests/unit/check.h"

#include "control/admission/bearer.h"
#include "control/proxy/gate.h"
#include "datapath/base/err.h"
#include "tests/unit/proxy/request_fixture.h"

#define TARGET UDP "8.8.8.8/53/"
/* Of "password". */
#define HASH "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
#define WALL 1700000000

static const uint8_t key[CLV_BEARER_KEY_LEN] = { 1, 2, 3 };
static const uint64_t seed[2] = { 3, 5 };

/* A fixture whose relay has a gate; passwords are checked when the test says so. */
static struct {
	struct fixture *f;
	struct clv_access access;
	struct clv_users *users;
	struct clv_gate *gate;
	uint64_t wall_sec;
	void (*run)(void *job), (*done)(void *job);
	void *job; /* NULL: none is waiting */
} t;

static int offload(void *host, void (*run)(void *job), void (*done)(void *job), void *job)
{
	(void)host;
	assert_null(t.job);
	t.run = run;
	t.done = done;
	t.job = job;
	return 0;
}

static uint64_t wall_sec(void *host)
{
	(void)host;
	return t.wall_sec;
}

static const struct clv_host_ops gate_host_ops = { .offload = offload, .wall_sec = wall_sec };

static void set_users(const char *text)
{
	struct clv_users *old = t.users;
	char error[256];

	assert_int_equal(clv_users_parse("u", text, strlen(text), seed, &t.users, error, 256), 0);
	clv_access_set_users(&t.access, t.users);
	clv_users_free(old);
}

static int setup_with(enum clv_access_mode mode)
{
	struct clv_access_params params = {
		.mode = mode,
		.failures = { .host = clv_rate_of(1, 3), .net = clv_rate_of(1, 100) },
		.sources = 64,
		.checks_max = 8,
		.secret = { 9 },
	};
	struct clv_gate_params gate = { .access = &t.access, .host_ops = &gate_host_ops };

	memset(&t, 0, sizeof(t));
	t.wall_sec = WALL;
	memcpy(params.token_key, key, sizeof(key));
	t.f = request_setup();
	assert_int_equal(clv_access_init(&t.access, &params), 0);
	set_users("alice password=" HASH "\n");
	gate.counters = &t.f->relay.counters;
	gate.now_ns = &t.f->relay.now_ns;
	assert_int_equal(clv_gate_new(&gate, &t.gate), 0);
	t.f->relay.config.gate = t.gate;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(CLV_ACCESS_TOKEN);
}

static int teardown(void **state)
{
	(void)state;
	request_teardown(t.f);
	clv_gate_free(t.gate);
	if (t.job)
		t.done(t.job);
	clv_access_fini(&t.access);
	clv_users_free(t.users);
	return 0;
}

static void finish_check(void)
{
	void *job = t.job;

	assert_non_null(job);
	t.job = NULL;
	t.run(job);
	t.done(job);
	pipe_run(&t.f->pipe);
}

static void ask_with(const char *field, const char *value)
{
	struct fields fs = connect_udp(TARGET);

	if (field)
		fields_add(&fs, field, value);
	request_send(t.f, &fs);
}

static const char *bearer(const char *name, uint64_t expires_sec)
{
	static char text[CLV_BEARER_TEXT_MAX + 8] = "Bearer ";
	struct clv_bearer b = { .issued_sec = WALL, .expires_sec = expires_sec };

	strcpy(b.name, name);
	clv_client_limits_init(&b.limits);
	assert_int_equal(clv_bearer_make(key, &b, text + 7), 0);
	return text;
}

#define RIGHT  "Basic YWxpY2U6cGFzc3dvcmQ=" /* alice:password */
#define WRONG  "Basic YWxpY2U6d3Jvbmc="	    /* alice:wrong */
#define NOBODY "Basic bm9ib2R5Ondyb25n"	    /* nobody:wrong */

static uint64_t count(enum clv_counter which)
{
	return fake_relay_count(&t.f->relay, which);
}

/* ---- the tests ---- */

static void without_credentials_there_is_a_challenge_and_no_word_of_targets(void **state)
{
	static const char *const paths[] = { TARGET, UDP "127.0.0.1/53/", UDP "x/0/", "/nowhere" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		request_ask(t.f, paths[i]);
		assert_int_equal(t.f->answer.status, 407);
		assert_string_equal(t.f->answer.proxy_status, "");
		assert_true(t.f->answer.ended);
		assert_int_equal(t.f->answer.body_len, 0);
	}
	assert_string_equal(t.f->answer.authenticate, "Basic realm=\"culvert\", charset=\"UTF-8\"; "
						      "Bearer realm=\"culvert\"; ");
	assert_int_equal(count(CLV_COUNT_REFUSED_NO_CREDENTIALS), 4);
	assert_int_equal(t.f->relay.opened, 0);
}

static void the_page_needs_none(void **state)
{
	struct fields fs = { .len = 0 };

	(void)state;
	fields_add(&fs, ":method", "GET");
	fields_add(&fs, ":scheme", "https");
	fields_add(&fs, ":authority", "relay.example");
	fields_add(&fs, ":path", "/");
	request_send(t.f, &fs);
	assert_int_equal(t.f->answer.status, 200);
}

static void a_token_opens_a_tunnel_in_either_field(void **state)
{
	(void)state;
	ask_with("proxy-authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 200);
	ask_with("authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 200);
	assert_int_equal(t.f->relay.opened, 2);
}

static void a_field_that_comes_twice_counts_as_malformed(void **state)
{
	struct fields fs = connect_udp(TARGET);

	(void)state;
	fields_add(&fs, "proxy-authorization", bearer("zoe", 0));
	fields_add(&fs, "proxy-authorization", bearer("zoe", 0));
	request_send(t.f, &fs);
	assert_int_equal(t.f->answer.status, 407);
	assert_int_equal(count(CLV_COUNT_REFUSED_CREDENTIALS), 1);
}

static void a_request_waits_for_the_check_of_its_password(void **state)
{
	(void)state;
	ask_with("proxy-authorization", RIGHT);
	assert_int_equal(t.f->answer.status, 0);
	assert_int_equal(t.f->relay.opened, 0);
	request_body(t.f, "\x00\x06\x00hello", 8, false); /* sent meanwhile, and not lost */
	finish_check();
	assert_int_equal(t.f->answer.status, 200);
	assert_string_equal(t.f->relay.sent_text, "hello;");
}

static void a_wrong_password_and_an_unknown_name_get_the_same_answer(void **state)
{
	struct answer first;

	(void)state;
	ask_with("proxy-authorization", WRONG);
	finish_check();
	first = t.f->answer;
	ask_with("proxy-authorization", NOBODY);
	finish_check();
	assert_int_equal(first.status, 407);
	assert_memory_equal(&first, &t.f->answer, sizeof(first));
	assert_int_equal(count(CLV_COUNT_REFUSED_CREDENTIALS), 2);
	assert_int_equal(clv_requests_tunnels(t.f->relay.requests), 0);
}

static void a_client_that_leaves_during_the_check_leaves_nothing(void **state)
{
	(void)state;
	ask_with("proxy-authorization", RIGHT);
	clv_http_abort(t.f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&t.f->pipe);
	assert_int_equal(clv_requests_tunnels(t.f->relay.requests), 0);
	finish_check();
	assert_int_equal(t.f->relay.opened, 0);
}

static void too_many_failures_are_refused_unchecked(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		ask_with("proxy-authorization", WRONG);
		finish_check();
	}
	ask_with("proxy-authorization", RIGHT);
	assert_int_equal(t.f->answer.status, 429);
	assert_null(t.job);
	assert_int_equal(count(CLV_COUNT_REFUSED_FAILURES), 1);
	ask_with("proxy-authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 200);
}

static void a_second_check_of_one_source_has_to_wait(void **state)
{
	(void)state;
	ask_with("proxy-authorization", RIGHT);
	ask_with("proxy-authorization", RIGHT);
	assert_int_equal(t.f->answer.status, 503);
	assert_int_equal(count(CLV_COUNT_REFUSED_CHECKS), 1);
}

static void an_expired_token_ends_its_tunnels_only(void **state)
{
	(void)state;
	ask_with("proxy-authorization", bearer("zoe", 0));
	ask_with("proxy-authorization", bearer("yan", WALL + 10));
	assert_int_equal(t.f->answer.status, 200);
	assert_false(clv_gate_renew(t.gate, false));
	t.wall_sec = WALL + 10;
	assert_true(clv_gate_renew(t.gate, false));
	clv_connect_udp_access_changed(t.f->relay.requests, true);
	pipe_run(&t.f->pipe);
	assert_int_equal(t.f->answer.reset_code, CLV_H3_CONNECT_ERROR);
	assert_int_equal(t.f->relay.closed, 1);
	assert_int_equal(clv_requests_tunnels(t.f->relay.requests), 1);
	assert_int_equal(count(CLV_COUNT_ACCESS_ENDED), 1);
	assert_false(clv_gate_renew(t.gate, false)); /* nothing expires any more */
}

static void a_removed_user_loses_tunnels_and_tokens(void **state)
{
	(void)state;
	ask_with("proxy-authorization", bearer("zoe", 0));
	set_users("zoe revoked=1700000000\n");
	assert_true(clv_gate_renew(t.gate, true));
	clv_connect_udp_access_changed(t.f->relay.requests, true);
	pipe_run(&t.f->pipe);
	assert_int_equal(clv_requests_tunnels(t.f->relay.requests), 0);
	ask_with("proxy-authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 407);
	assert_int_equal(count(CLV_COUNT_REFUSED_REVOKED), 1);
}

static const char *limited(const char *name, const char *limits)
{
	static char text[CLV_BEARER_TEXT_MAX + 8] = "Bearer ";
	struct clv_bearer b = { .issued_sec = WALL };
	const char *why;

	strcpy(b.name, name);
	assert_int_equal(clv_client_limits_parse(limits, strlen(limits), &b.limits, &why), 0);
	assert_int_equal(clv_bearer_make(key, &b, text + 7), 0);
	return text;
}

/* A hog and a bystander on one connection: the limit is the hog's alone. */
static void tunnels_are_limited_for_each_client(void **state)
{
	(void)state;
	ask_with("proxy-authorization", limited("hog", "tunnels=1"));
	assert_int_equal(t.f->answer.status, 200);
	ask_with("proxy-authorization", limited("hog", "tunnels=1"));
	assert_int_equal(t.f->answer.status, 429);
	assert_non_null(strstr(t.f->answer.proxy_status, "too many tunnels of this client"));
	assert_int_equal(count(CLV_COUNT_REFUSED_CLIENT_LIMIT), 1);
	ask_with("proxy-authorization", limited("bystander", "tunnels=1"));
	assert_int_equal(t.f->answer.status, 200);
	clv_http_abort(t.f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&t.f->pipe);
	ask_with("proxy-authorization", limited("bystander", "tunnels=1"));
	assert_int_equal(t.f->answer.status, 200);
}

static void ask_bound_with(const char *value)
{
	struct fields fs = connect_udp(UDP "*/*/");

	fields_add(&fs, "connect-udp-bind", "?1");
	fields_add(&fs, "proxy-authorization", value);
	request_send(t.f, &fs);
}

static void bound_ports_are_limited_and_come_back(void **state)
{
	(void)state;
	ask_bound_with(limited("hog", "ports=0"));
	assert_int_equal(t.f->answer.status, 429);
	ask_bound_with(limited("bystander", "ports=1"));
	assert_int_equal(t.f->answer.status, 200);
	ask_bound_with(limited("bystander", "ports=1"));
	assert_int_equal(t.f->answer.status, 429);
	assert_int_equal(count(CLV_COUNT_REFUSED_CLIENT_LIMIT), 2);
	ask_with("proxy-authorization", limited("hog", "ports=0"));
	assert_int_equal(t.f->answer.status, 200);
}

static void a_client_without_connections_is_refused(void **state)
{
	(void)state;
	ask_with("proxy-authorization", limited("hog", "conns=0"));
	assert_int_equal(t.f->answer.status, 429);
	ask_with("proxy-authorization", limited("bystander", "conns=1"));
	ask_with("proxy-authorization", limited("bystander", "conns=1"));
	assert_int_equal(t.f->answer.status, 200);
}

static void an_open_relay_ignores_credentials_until_it_is_closed(void **state)
{
	(void)state;
	clv_access_set_rules(&t.access, CLV_ACCESS_OPEN, NULL);
	ask_with("proxy-authorization", WRONG);
	assert_int_equal(t.f->answer.status, 200);
	clv_access_set_rules(&t.access, CLV_ACCESS_TOKEN, NULL);
	assert_true(clv_gate_renew(t.gate, true));
	clv_connect_udp_access_changed(t.f->relay.requests, true);
	pipe_run(&t.f->pipe);
	assert_int_equal(clv_requests_tunnels(t.f->relay.requests), 0);
}

static void where_certificates_are_required_no_field_is_asked_for(void **state)
{
	(void)state;
	clv_access_set_rules(&t.access, CLV_ACCESS_CERTIFICATE, NULL);
	ask_with("proxy-authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 403);
	assert_string_equal(t.f->answer.authenticate, "");
}

static void a_client_outside_of_the_list_is_refused(void **state)
{
	struct clv_verdicts_rule rule = { { .prefix_bits = 128, .addr = { 7 } },
					  CLV_VERDICT_ALLOW };
	struct clv_verdicts *clients;

	(void)state;
	assert_int_equal(clv_verdicts_new(&rule, 1, &clients), 0);
	clv_access_set_rules(&t.access, CLV_ACCESS_TOKEN, clients);
	clv_verdicts_unref(clients);
	ask_with("proxy-authorization", bearer("zoe", 0));
	assert_int_equal(t.f->answer.status, 403);
	assert_int_equal(count(CLV_COUNT_REFUSED_ADDRESS), 1);
}

#define GATE_CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static int setup_certificate(void **state)
{
	(void)state;
	return setup_with(CLV_ACCESS_CERTIFICATE);
}

/* Name a key, or a CA, of bytes in the users file.  Returns the line. */
static const char *user_of(const char *word, const uint8_t sha256[32])
{
	static char line[128];
	char text[CLV_IDENTITY_TEXT_LEN + 1];
	struct clv_identity id;

	memcpy(id.bytes, sha256, sizeof(id.bytes));
	snprintf(line, sizeof(line), "alice %s=%s\n", word, clv_identity_format(&id, text));
	return line;
}

static void a_known_key_or_ca_of_a_certificate_opens_a_tunnel(void **state)
{
	struct clv_tls_facts *tls = &t.f->relay.tls;

	(void)state;
	memset(tls->client_key, 7, sizeof(tls->client_key));
	memset(tls->client_ca, 8, sizeof(tls->client_ca));
	tls->has_client_key = tls->has_client_ca = true;
	request_ask(t.f, TARGET);
	assert_int_equal(t.f->answer.status, 403);
	assert_non_null(strstr(t.f->answer.proxy_status, "http_request_denied"));

	set_users(user_of("key", tls->client_key));
	request_ask(t.f, TARGET);
	assert_int_equal(t.f->answer.status, 200);
	set_users(user_of("ca", tls->client_ca));
	assert_true(clv_gate_renew(t.gate, true)); /* the grant rested on the key */
	request_ask(t.f, TARGET);
	assert_int_equal(t.f->answer.status, 200);
	/* What a client did not prove is none, whatever the bytes are. */
	tls->has_client_ca = false;
	request_ask(t.f, TARGET);
	assert_int_equal(t.f->answer.status, 403);
	tls->has_client_key = false;
	ask_with("proxy-authorization", RIGHT);
	assert_int_equal(t.f->answer.status, 403);
	assert_int_equal(count(CLV_COUNT_REFUSED_NO_CREDENTIALS), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_CASE(without_credentials_there_is_a_challenge_and_no_word_of_targets),
		GATE_CASE(the_page_needs_none),
		GATE_CASE(a_token_opens_a_tunnel_in_either_field),
		GATE_CASE(a_field_that_comes_twice_counts_as_malformed),
		GATE_CASE(a_request_waits_for_the_check_of_its_password),
		GATE_CASE(a_wrong_password_and_an_unknown_name_get_the_same_answer),
		GATE_CASE(a_client_that_leaves_during_the_check_leaves_nothing),
		GATE_CASE(too_many_failures_are_refused_unchecked),
		GATE_CASE(a_second_check_of_one_source_has_to_wait),
		GATE_CASE(an_expired_token_ends_its_tunnels_only),
		GATE_CASE(a_removed_user_loses_tunnels_and_tokens),
		GATE_CASE(tunnels_are_limited_for_each_client),
		GATE_CASE(bound_ports_are_limited_and_come_back),
		GATE_CASE(a_client_without_connections_is_refused),
		GATE_CASE(an_open_relay_ignores_credentials_until_it_is_closed),
		GATE_CASE(where_certificates_are_required_no_field_is_asked_for),
		cmocka_unit_test_setup_teardown(a_known_key_or_ca_of_a_certificate_opens_a_tunnel,
						setup_certificate, teardown),
		GATE_CASE(a_client_outside_of_the_list_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
