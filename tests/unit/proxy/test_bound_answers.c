/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The relay's answers to requests for bound tunnels. */
#include "tests/unit/check.h"

#include "datapath/base/err.h"
#include "tests/unit/proxy/bound_fixture.h"

static void test_answer(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "?1");
	assert_string_equal(f->answer.capsule_protocol, "?1");
	assert_string_equal(f->answer.public_address,
			    "\"198.18.0.1:40000\", \"[2001:db8::a]:40001\"");
	EXPECT(f, "", "+tunnel " PORTS);
	assert_int_equal(f->relay.egress_held, 2);
	assert_int_equal(f->relay.tunnels[0].params.spec.remote.port, 0);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BOUND_TUNNELS), 1);
	clv_http_abort(f->stream, CLV_H3_REQUEST_CANCELLED);
	pipe_run(&f->pipe);
	EXPECT(f, "", "-port4 -port6 -tunnel ");
	assert_int_equal(f->relay.egress_held, 0);
	request_teardown(f);
}

static const struct {
	const char *name, *path, *values[3];
	unsigned status;
	bool is_bound;
} requests[] = {
	{ "* as it is", UDP "*/*/", { "?1" }, 200, true },
	{ "%2a in lower case", UDP "%2a/%2a/", { "?1" }, 200, true },
	{ "parameters are ignored", ANY, { "?1;q=\"x\"" }, 200, true },
	{ "Dates and Display Strings are ignored too",
	  ANY,
	  { "?1;d=@1659578233;u=%\"%c3%bc\"" },
	  200,
	  true },
	{ "a real target", UDP "8.8.8.8/53/", { "?1" }, 200, true },
	{ "a real target without the field", UDP "8.8.8.8/53/", { NULL }, 200, false },
	{ "false is not asked for", UDP "8.8.8.8/53/", { "?0" }, 200, false },
	{ "an integer is absent", UDP "8.8.8.8/53/", { "1" }, 200, false },
	{ "a token is absent", UDP "8.8.8.8/53/", { "true" }, 200, false },
	{ "a string is absent", UDP "8.8.8.8/53/", { "\"?1\"" }, 200, false },
	{ "a list is absent", UDP "8.8.8.8/53/", { "?1, ?1" }, 200, false },
	{ "a repeated field is absent", UDP "8.8.8.8/53/", { "?1", "?1" }, 200, false },
	{ "an empty field is absent", UDP "8.8.8.8/53/", { "" }, 200, false },
	{ "* without the field", ANY, { NULL }, 400, false },
	{ "* with the field twice", ANY, { "?1", "?1" }, 400, false },
	{ "only the host is *", UDP "%2A/53/", { "?1" }, 400, false },
	{ "only the port is *", UDP "8.8.8.8/%2A/", { "?1" }, 400, false },
	{ "only the host is *, as it is", UDP "*/53/", { "?1" }, 400, false },
	{ "a denied target", UDP "10.0.0.1/53/", { "?1" }, 502, false },
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(requests); i++) {
		struct fixture *f = bound_setup();

		bound_ask_with(f, requests[i].path, requests[i].values);
		CHECK_ROW(requests[i].name, f->answer.status == requests[i].status);
		CHECK_ROW(requests[i].name,
			  strcmp(f->answer.bind, requests[i].is_bound ? "?1" : "") == 0);
		CHECK_ROW(requests[i].name, !*f->answer.public_address == !requests[i].is_bound);
		CHECK_ROW(requests[i].name, f->relay.egress_held == (requests[i].status != 200 ? 0u
								     : requests[i].is_bound    ? 2u
											    : 1u));
		request_teardown(f);
	}
}

static void test_not_offered(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	f->relay.settings.is_offered = false;
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 501);
	bound_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "");
	assert_string_equal(f->answer.public_address, "");
	/* then the capsules mean nothing here */
	bound_send(f, "11020000 11020200 130100");
	EXPECT(f, "", "");
	assert_int_equal(f->answer.reset_code, 0);
	request_teardown(f);
}

static void test_families(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	f->relay.has_v6 = false;
	bound_ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"198.18.0.1:40000\"");
	EXPECT(f, "", "+tunnel +port4 ");
	bound_send(f, "11140206" G6_HEX);
	EXPECT(f, "130102", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_FAMILY), 1);
	bound_send(f, "11020400");
	EXPECT(f, "120104", "+ctx4* +port4* ");
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G6, 0);
	EXPECT(f, "", "-remote=" G6 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_FAMILY), 1);

	/* a route that comes later adds no port of that family */
	f->relay.has_v6 = true;
	f->relay.via = CLV_VIA_KERNEL;
	bound_send(f, "11140606" G6_HEX);
	EXPECT(f, "130106", "");
	f->relay.via = CLV_VIA_XSK;
	f->relay.has_v4 = false;
	bound_ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"[2001:db8::a]:40001\"");
	f->relay.has_v6 = false;
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 500);
	request_teardown(f);
}

static void test_public_address(void **state)
{
	static char *texts[] = { "9.9.9.5", "2001:db8:5::5" };
	static char *bad_texts[][2] = { { "9.9.9.5", "9.9.9.6" }, { "x", "9.9.9.6" } };
	struct fixture *f = bound_setup();
	const char *bad = NULL;

	(void)state;
	assert_int_equal(clv_bound_settings_set_public(&f->relay.settings, bad_texts[0], 2, &bad),
			 CLV_ESYNTAX);
	assert_string_equal(bad, "9.9.9.6");
	assert_int_equal(clv_bound_settings_set_public(&f->relay.settings, bad_texts[1], 2, &bad),
			 CLV_ESYNTAX);
	assert_string_equal(bad, "x");
	assert_false(f->relay.settings.has_public[0]);
	assert_int_equal(clv_bound_settings_set_public(&f->relay.settings, texts, 1, NULL), 0);
	bound_ask(f, ANY);
	assert_string_equal(f->answer.public_address, "\"9.9.9.5:40000\", \"[2001:db8::a]:40001\"");
	assert_int_equal(clv_bound_settings_set_public(&f->relay.settings, texts, 2, NULL), 0);
	bound_ask(f, ANY);
	assert_string_equal(f->answer.public_address,
			    "\"9.9.9.5:40002\", \"[2001:db8:5::5]:40003\"");
	EXPECT(f, "", "+tunnel " PORTS "+tunnel " PORTS);
	/* The other tunnel's port as everybody sees it, and as it is; no other port of that address. */
	bound_send(f, "11080204 09090905 9c40");
	EXPECT(f, "120102", "+ctx2=9.9.9.5:40000! ");
	bound_send(f, "11080404 c6120001 9c40");
	EXPECT(f, "120104", "+ctx4=198.18.0.1:40000! ");
	bound_send(f, "11080604 09090905 9c4a");
	EXPECT(f, "130106", "");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_CONTEXT_REFUSED_POLICY), 1);
	/* it is ours for an ordinary tunnel, too */
	bound_ask_with(f, UDP "9.9.9.5/53/", NULL);
	assert_int_equal(f->answer.status, 502);
	bound_ask_with(f, UDP "9.9.9.6/53/", NULL);
	assert_int_equal(f->answer.status, 200);
	request_teardown(f);
}

static void test_ceiling_of_tunnels(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	clv_accounts_set_max(&f->relay.accounts, CLV_RESOURCE_BOUND_TUNNELS, 1);
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_BIND_REFUSED), 1);
	/* with a real target an ordinary tunnel is what the client gets, by the route known */
	f->relay.routed = 0;
	bound_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->relay.routed, 1);
	assert_int_equal(f->answer.status, 200);
	assert_string_equal(f->answer.bind, "");
	assert_int_equal(f->relay.egress_held, 3);
	assert_null(f->relay.tunnels[1].params.ports);
	request_teardown(f);
}

static void test_without_ports(void **state)
{
	struct fixture *f = bound_setup();

	(void)state;
	f->relay.egress_err = CLV_EFULL;
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	f->relay.egress_err = 0;
	f->relay.open_err = CLV_EFULL;
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(f->relay.egress_held, 0);
	EXPECT(f, "", "");
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a bound tunnel is answered with its public addresses, and gives them back",
		     test_answer),
		CASE("the field is a Boolean item, and targets are both real or both *",
		     test_requests),
		CASE("where bound tunnels are not offered a real target gets an ordinary one",
		     test_not_offered),
		CASE("a relay with one family lists one and refuses the other", test_families),
		CASE("the operator's public address is advertised instead of ours",
		     test_public_address),
		CASE("bound tunnels have a ceiling", test_ceiling_of_tunnels),
		CASE("without ports, or a tunnel, nothing is held", test_without_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
