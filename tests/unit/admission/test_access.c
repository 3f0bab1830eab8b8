/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/admission/access_fixture.h"

#include <errno.h>

#include "bpf/guard.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"

static void an_open_relay_asks_for_nothing(void **state)
{
	(void)state;
	access_params.mode = CLV_ACCESS_OPEN;
	access_reopen();
	assert_int_equal(access_begin(access_addr, NULL, NULL, NULL), CLV_ACCESS_GRANTED);
	assert_string_equal(access_out.grant.name, "");
	assert_int_equal(access_out.grant.how, CLV_ACCESS_BY_NOTHING);
	assert_true(access_has_limits(""));
	for (int i = 0; i < 100; i++)
		assert_int_equal(access_basic(access_addr, "alice", "wrong"), CLV_ACCESS_GRANTED);
}

static void only_the_clients_of_the_list_may_come(void **state)
{
	struct clv_verdicts_rule rules[2] = {
		{ { .prefix_bits = 96 + 24 }, CLV_VERDICT_ALLOW },
		{ { .prefix_bits = 96 + 32 }, CLV_VERDICT_DENY },
	};

	(void)state;
	clv_addr_parse("192.0.2.0", rules[0].prefix.addr);
	clv_addr_parse("192.0.2.2", rules[1].prefix.addr);
	assert_int_equal(clv_verdicts_new(rules, 2, &access_params.clients), 0);
	for (int mode = CLV_ACCESS_TOKEN; mode <= CLV_ACCESS_OPEN; mode++) {
		access_params.mode = (enum clv_access_mode)mode;
		access_reopen();
		assert_true(clv_access_admits(&access_under_test, access_addr));
		assert_false(clv_access_admits(&access_under_test, access_neighbour));
		assert_int_equal(access_begin(access_elsewhere, NULL, ALICE, NULL),
				 CLV_ACCESS_FORBIDDEN);
		assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_ADDRESS);
		assert_int_equal(access_begin(access_neighbour, NULL, ALICE, NULL),
				 CLV_ACCESS_FORBIDDEN);
		assert_int_equal(access_begin(access_addr, NULL, ALICE, NULL), CLV_ACCESS_GRANTED);
	}
	/* A right credential changes nothing: it is not looked at. */
	access_params.mode = CLV_ACCESS_TOKEN;
	access_reopen();
	assert_int_equal(access_bearer(access_elsewhere, access_token("zoe", WALL, 0, "")),
			 CLV_ACCESS_FORBIDDEN);
	clv_verdicts_unref(access_params.clients);
}

static void a_token_needs_no_line_in_the_file(void **state)
{
	(void)state;
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL, WALL + 10, "mbit=7")),
			 CLV_ACCESS_GRANTED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_OK);
	assert_string_equal(access_out.grant.name, "zoe");
	assert_int_equal(access_out.grant.how, CLV_ACCESS_BY_BEARER);
	assert_int_equal(access_out.grant.expires_sec, WALL + 10);
	assert_true(access_has_limits("mbit=7"));
	clv_access_set_users(&access_under_test, NULL);
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL, 0, "")),
			 CLV_ACCESS_GRANTED);
	assert_int_equal(access_out.grant.expires_sec, 0);
}

static void of_a_tokens_limits_and_a_lines_the_lower_hold(void **state)
{
	(void)state;
	assert_int_equal(access_bearer(access_addr,
				       access_token("fay", WALL, 0, "mbit=7 ports=1 tunnels=2")),
			 CLV_ACCESS_GRANTED);
	assert_true(access_has_limits("mbit=5 tunnels=2 ports=1"));
	assert_int_equal(access_out.grant.expires_sec, 1801353600);
	assert_int_equal(access_bearer(access_addr, access_token("fay", WALL, WALL + 9, "mbit=4")),
			 CLV_ACCESS_GRANTED);
	assert_true(access_has_limits("mbit=4 tunnels=9"));
	assert_int_equal(access_out.grant.expires_sec, WALL + 9);
}

static void bad_tokens_have_one_answer_and_a_reason_each(void **state)
{
	const char *good = access_token("zoe", WALL, WALL + 10, "");
	char forged[CLV_BEARER_TEXT_MAX];

	(void)state;
	access_params.failures = (struct clv_guard_limits){ 0 };
	access_reopen();
	strcpy(forged, good);
	forged[10] ^= 1;
	assert_int_equal(access_bearer(access_addr, forged), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_FORGED);
	assert_int_equal(access_bearer(access_addr, "abc"), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_MALFORMED);
	assert_int_equal(access_bearer(access_addr, access_token("eve", 1600000000, 0, "")),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_REVOKED);
	assert_int_equal(access_bearer(access_addr, access_token("eve", 1600000001, 0, "")),
			 CLV_ACCESS_GRANTED);
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL + 100, 0, "")),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_EARLY);
	access_wall_sec = WALL + 10;
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL, WALL + 10, "")),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_EXPIRED);
	access_wall_sec = 1801353600;
	assert_int_equal(access_bearer(access_addr, access_token("fay", WALL, 0, "")),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_EXPIRED);
}

static void a_certificate_is_known_by_its_key_or_its_ca(void **state)
{
	static const enum clv_access_mode modes[] = { CLV_ACCESS_TOKEN, CLV_ACCESS_CERTIFICATE };

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		access_params.mode = modes[i];
		access_reopen();
		assert_int_equal(access_begin(access_addr, NULL, ALICE, NULL), CLV_ACCESS_GRANTED);
		assert_string_equal(access_out.grant.name, "bob");
		assert_int_equal(access_out.grant.how, CLV_ACCESS_BY_KEY);
		assert_true(access_has_limits("tunnels=4"));
		assert_int_equal(access_begin(access_addr, NULL, OTHER, BOB), CLV_ACCESS_GRANTED);
		assert_string_equal(access_out.grant.name, "carol");
		assert_int_equal(access_out.grant.how, CLV_ACCESS_BY_CA);
		assert_int_equal(access_begin(access_addr, NULL, ALICE, BOB), CLV_ACCESS_GRANTED);
		assert_string_equal(access_out.grant.name, "bob"); /* the key is nearer */
		/* A CA's key is no client's and the other way round. */
		assert_int_equal(access_begin(access_addr, NULL, BOB, ALICE),
				 CLV_ACCESS_UNAUTHORIZED);
		assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_KEY);
		assert_int_equal(access_begin(access_addr, NULL, NULL, NULL),
				 CLV_ACCESS_UNAUTHORIZED);
		assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_MISSING);
	}
	access_load_users("bob expires=2020-01-01 key=" ALICE);
	assert_int_equal(access_begin(access_addr, NULL, ALICE, NULL), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_EXPIRED);
}

static void where_certificates_are_asked_for_nothing_else_will_do(void **state)
{
	(void)state;
	access_params.mode = CLV_ACCESS_CERTIFICATE;
	access_reopen();
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL, 0, "")),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_basic(access_addr, "alice", "password"), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_MISSING);
}

static void credentials_that_are_presented_decide_and_not_the_certificate(void **state)
{
	struct clv_authorization presented = { .scheme = CLV_AUTHORIZATION_BEARER };

	(void)state;
	presented.token = "wrong";
	presented.token_len = 5;
	assert_int_equal(access_begin(access_addr, &presented, ALICE, NULL),
			 CLV_ACCESS_UNAUTHORIZED);
	presented.scheme = CLV_AUTHORIZATION_OTHER;
	assert_int_equal(access_begin(access_addr, &presented, ALICE, NULL),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_SCHEME);
	presented.scheme = CLV_AUTHORIZATION_MALFORMED;
	assert_int_equal(access_begin(access_addr, &presented, ALICE, NULL),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_MALFORMED);
	presented.scheme = CLV_AUTHORIZATION_NONE;
	assert_int_equal(access_begin(access_addr, &presented, ALICE, NULL), CLV_ACCESS_GRANTED);
}

static void a_password_is_checked_elsewhere_and_then_remembered(void **state)
{
	static const struct clv_access_check nothing;

	(void)state;
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	assert_string_equal(access_check.encoded, HASH);
	assert_int_equal(access_check.password_len, 8);
	assert_int_equal(clv_access_finish(&access_under_test, &access_check, 0, access_now_ns,
					   access_wall_sec, &access_out),
			 CLV_ACCESS_GRANTED);
	assert_memory_equal(&access_check, &nothing, sizeof(access_check));
	assert_string_equal(access_out.grant.name, "alice");
	assert_int_equal(access_out.grant.how, CLV_ACCESS_BY_PASSWORD);
	assert_true(access_has_limits("mbit=20"));

	access_now_ns += 60 * SEC - 1;
	assert_int_equal(access_begin_basic(access_elsewhere, "alice", "password"),
			 CLV_ACCESS_GRANTED);
	assert_true(access_has_limits("mbit=20"));
	assert_int_equal(access_begin_basic(access_addr, "alice", "Password"), CLV_ACCESS_CHECK);
	clv_access_cancel(&access_under_test, &access_check);
	access_now_ns += 1;
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	clv_access_cancel(&access_under_test, &access_check);
	assert_memory_equal(&access_check, &nothing, sizeof(access_check));
}

static void a_changed_password_is_not_remembered(void **state)
{
	(void)state;
	assert_int_equal(access_basic(access_addr, "alice", "password"), CLV_ACCESS_GRANTED);
	access_load_users("alice password=" HASH2);
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	assert_string_equal(access_check.encoded, HASH2);
	clv_access_cancel(&access_under_test, &access_check);
	access_load_users("alice password=" HASH " expires=2020-01-01");
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	clv_access_cancel(&access_under_test, &access_check);
	access_load_users("alice");
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	clv_access_cancel(&access_under_test, &access_check);
}

static void users_may_change_while_a_password_is_checked(void **state)
{
	static const char *const changes[] = {
		"alice password=" HASH2,
		"alice",
		"bob",
		"alice password=" HASH " expires=2020-01-01",
	};

	(void)state;
	access_params.failures = (struct clv_guard_limits){ 0 };
	access_reopen();
	for (size_t i = 0; i < COUNT(changes); i++) {
		access_load_users(access_file);
		assert_int_equal(access_begin_basic(access_addr, "alice", "password"),
				 CLV_ACCESS_CHECK);
		access_load_users(changes[i]);
		assert_int_equal(clv_access_finish(&access_under_test, &access_check, 0,
						   access_now_ns, access_wall_sec, &access_out),
				 CLV_ACCESS_UNAUTHORIZED);
	}
	access_load_users(access_file);
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	access_load_users("\nalice password=" HASH " mbit=1");
	assert_int_equal(clv_access_finish(&access_under_test, &access_check, 0, access_now_ns,
					   access_wall_sec, &access_out),
			 CLV_ACCESS_GRANTED);
	assert_true(access_has_limits("mbit=1"));
}

static void an_unknown_name_takes_the_steps_of_a_wrong_password(void **state)
{
	static const char *const names[] = {
		"alice", /* wrong password */
		"dan",	 /* right password, but expired */
		"gus",	 /* has no password */
		"eve",	 /* is gone */
		"nobody", "Not A Name", "\xc3\xa4",
	};

	(void)state;
	access_wall_sec = 1801353600;
	access_params.failures = (struct clv_guard_limits){ 0 };
	access_reopen();
	for (size_t i = 0; i < COUNT(names); i++) {
		const char *password = strcmp(names[i], "alice") ? "password" : "wrong";

		CHECK_ROW(names[i],
			  access_begin_basic(access_addr, names[i], password) == CLV_ACCESS_CHECK);
		/* One of the file's hashes, so that all names cost what those of the file cost. */
		CHECK_ROW(names[i], !strcmp(access_check.encoded, HASH) ||
					    !strcmp(access_check.encoded, HASH2));
		CHECK_ROW(names[i], access_check.password_len == strlen(password));
		CHECK_ROW(names[i], clv_access_finish(&access_under_test, &access_check,
						      clv_password_check(access_check.encoded,
									 access_check.password,
									 access_check.password_len),
						      access_now_ns, access_wall_sec,
						      &access_out) == CLV_ACCESS_UNAUTHORIZED);
	}
	/* The same name gets the same hash, or its time would tell. */
	for (int i = 0; i < 20; i++) {
		char name[16], first[CLV_PASSWORD_TEXT_MAX];

		snprintf(name, sizeof(name), "name%d", i);
		access_begin_basic(access_addr, name, "x");
		strcpy(first, access_check.encoded);
		clv_access_cancel(&access_under_test, &access_check);
		access_begin_basic(access_neighbour, name, "y");
		assert_string_equal(access_check.encoded, first);
		clv_access_cancel(&access_under_test, &access_check);
	}
	access_load_users("");
	assert_int_equal(access_begin_basic(access_addr, "alice", "password"), CLV_ACCESS_CHECK);
	assert_string_equal(access_check.encoded, clv_password_dummy);
	/* Nobody's password is right, even when the hash says so. */
	assert_int_equal(clv_access_finish(&access_under_test, &access_check, 0, access_now_ns,
					   access_wall_sec, &access_out),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_PASSWORD);
}

static void a_source_has_so_many_failures_and_others_have_theirs(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(access_basic(access_addr, "alice", "wrong"),
				 CLV_ACCESS_UNAUTHORIZED);
		assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_PASSWORD);
	}
	/* The right one does not pass now: else guessing would go on. */
	assert_int_equal(access_basic(access_addr, "alice", "password"), CLV_ACCESS_FAILURES);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_FAILURES);
	assert_int_equal(access_bearer(access_addr, "guess"), CLV_ACCESS_FAILURES);
	assert_int_equal(access_basic(access_neighbour, "alice", "wrong"), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_basic(access_elsewhere, "alice", "password"), CLV_ACCESS_GRANTED);
	/* Nobody guesses a token or a key, and a remembered password was right before. */
	assert_int_equal(access_bearer(access_addr, access_token("zoe", WALL, 0, "")),
			 CLV_ACCESS_GRANTED);
	assert_int_equal(access_begin(access_addr, NULL, ALICE, NULL), CLV_ACCESS_GRANTED);
	assert_int_equal(access_basic(access_addr, "alice", "password"), CLV_ACCESS_GRANTED);
	access_now_ns += SEC;
	assert_int_equal(access_basic(access_addr, "alice", "wrong"), CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_basic(access_addr, "alice", "wrong"), CLV_ACCESS_FAILURES);
}

static void a_network_has_so_many_failures_too(void **state)
{
	int refused = 0, limited = 0;

	(void)state;
	access_params.failures.net = clv_rate_of(1, 10);
	access_reopen();
	for (int i = 0; i < 100; i++) {
		uint8_t from[16];

		memcpy(from, access_addr, sizeof(from));
		from[15] = (uint8_t)(i + 1);
		switch (access_basic(from, "alice", "wrong")) {
		case CLV_ACCESS_UNAUTHORIZED:
			refused++;
			break;
		case CLV_ACCESS_FAILURES:
			limited++;
			break;
		default:
			fail();
		}
	}
	assert_int_equal(refused, 10);
	assert_int_equal(limited, 90);
}

static void a_right_password_costs_no_failure(void **state)
{
	(void)state;
	access_params.remember_ns = 0;
	access_reopen();
	for (int i = 0; i < 20; i++)
		assert_int_equal(access_basic(access_addr, "alice", "password"),
				 CLV_ACCESS_GRANTED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(access_basic(access_addr, "alice", "wrong"),
				 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_basic(access_addr, "alice", "wrong"), CLV_ACCESS_FAILURES);
}

static void no_memory_to_check_is_no_failure(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"),
				 CLV_ACCESS_CHECK);
		assert_int_equal(clv_access_finish(&access_under_test, &access_check, -ENOMEM,
						   access_now_ns, access_wall_sec, &access_out),
				 CLV_ACCESS_BUSY);
		assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_MEMORY);
	}
}

static void tries_at_a_time_are_no_more_than_the_rate_allows(void **state)
{
	struct clv_access_check checks[3];

	(void)state;
	access_params.checks_max = 64;
	access_reopen();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"),
				 CLV_ACCESS_CHECK);
		checks[i] = access_check;
	}
	assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"), CLV_ACCESS_FAILURES);
	for (int i = 0; i < 3; i++)
		clv_access_cancel(&access_under_test, &checks[i]);
	assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"), CLV_ACCESS_FAILURES);
}

static void a_hog_of_checks_leaves_some_to_a_bystander(void **state)
{
	struct clv_access_check checks[16];
	int n = 0;

	(void)state;
	access_params.failures = (struct clv_guard_limits){ 0 };
	access_reopen();
	while (access_begin_basic(access_addr, "alice", "wrong") == CLV_ACCESS_CHECK)
		checks[n++] = access_check;
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_BUSY);
	assert_int_equal(n, 2); /* an eighth of 16 */
	assert_int_equal(access_basic(access_neighbour, "alice", "password"), CLV_ACCESS_GRANTED);
	clv_access_cancel(&access_under_test, &checks[--n]);
	assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"), CLV_ACCESS_CHECK);
	checks[n++] = access_check;

	/* All of them are out: the next source is told so, and no failure is counted. */
	for (int host = 10; n < 16; host++) {
		uint8_t from[16];

		memcpy(from, access_addr, sizeof(from));
		from[15] = (uint8_t)host;
		while (n < 16 && access_begin_basic(from, "bob", "x") == CLV_ACCESS_CHECK)
			checks[n++] = access_check;
	}
	assert_int_equal(access_begin_basic(access_elsewhere, "alice", "x"), CLV_ACCESS_BUSY);
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_BUSY);
	while (n)
		clv_access_cancel(&access_under_test, &checks[--n]);
	assert_int_equal(access_basic(access_elsewhere, "alice", "x"), CLV_ACCESS_UNAUTHORIZED);
}

static void a_refusal_for_want_of_a_check_is_no_failure(void **state)
{
	(void)state;
	access_params.checks_max = 0;
	access_reopen();
	for (int i = 0; i < 20; i++)
		assert_int_equal(access_begin_basic(access_addr, "alice", "wrong"),
				 CLV_ACCESS_BUSY);
	assert_int_equal(access_bearer(access_addr, "x"), CLV_ACCESS_UNAUTHORIZED);
}

static void what_no_user_can_have_is_refused_at_once(void **state)
{
	char longest[CLV_PASSWORD_MAX + 2];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[CLV_PASSWORD_MAX + 1] = '\0';
	assert_int_equal(access_begin_basic(access_addr, "alice", longest),
			 CLV_ACCESS_UNAUTHORIZED);
	assert_int_equal(access_begin_basic(access_addr, longest, "x"), CLV_ACCESS_UNAUTHORIZED);
	longest[CLV_PASSWORD_MAX] = '\0';
	assert_int_equal(access_basic(access_addr, "alice", longest), CLV_ACCESS_UNAUTHORIZED);
	longest[CLV_CLIENT_NAME_MAX] = '\0';
	assert_int_equal(access_basic(access_neighbour, longest, longest), CLV_ACCESS_UNAUTHORIZED);
}

static void reasons_have_names(void **state)
{
	(void)state;
	assert_string_equal(clv_access_reason_name(CLV_ACCESS_BECAUSE_OK), "ok");
	assert_string_equal(clv_access_reason_name(CLV_ACCESS_BECAUSE_MEMORY), "memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACCESS_CASE("an open relay asks for nothing", an_open_relay_asks_for_nothing),
		ACCESS_CASE("only the clients of the list may come",
			    only_the_clients_of_the_list_may_come),
		ACCESS_CASE("a token needs no line in the file", a_token_needs_no_line_in_the_file),
		ACCESS_CASE("of a token's limits and a line's the lower hold",
			    of_a_tokens_limits_and_a_lines_the_lower_hold),
		ACCESS_CASE("bad tokens have one answer and a reason each",
			    bad_tokens_have_one_answer_and_a_reason_each),
		ACCESS_CASE("a certificate is known by its key or its CA",
			    a_certificate_is_known_by_its_key_or_its_ca),
		ACCESS_CASE("where certificates are asked for nothing else will do",
			    where_certificates_are_asked_for_nothing_else_will_do),
		ACCESS_CASE("credentials that are presented decide and not the certificate",
			    credentials_that_are_presented_decide_and_not_the_certificate),
		ACCESS_CASE("a password is checked elsewhere and then remembered",
			    a_password_is_checked_elsewhere_and_then_remembered),
		ACCESS_CASE("a changed password is not remembered",
			    a_changed_password_is_not_remembered),
		ACCESS_CASE("users may change while a password is checked",
			    users_may_change_while_a_password_is_checked),
		ACCESS_CASE("an unknown name takes the steps of a wrong password",
			    an_unknown_name_takes_the_steps_of_a_wrong_password),
		ACCESS_CASE("a source has so many failures and others have theirs",
			    a_source_has_so_many_failures_and_others_have_theirs),
		ACCESS_CASE("a network has so many failures too",
			    a_network_has_so_many_failures_too),
		ACCESS_CASE("a right password costs no failure", a_right_password_costs_no_failure),
		ACCESS_CASE("no memory to check is no failure", no_memory_to_check_is_no_failure),
		ACCESS_CASE("tries at a time are no more than the rate allows",
			    tries_at_a_time_are_no_more_than_the_rate_allows),
		ACCESS_CASE("a hog of checks leaves some to a bystander",
			    a_hog_of_checks_leaves_some_to_a_bystander),
		ACCESS_CASE("a refusal for want of a check is no failure",
			    a_refusal_for_want_of_a_check_is_no_failure),
		ACCESS_CASE("what no user can have is refused at once",
			    what_no_user_can_have_is_refused_at_once),
		ACCESS_CASE("reasons have names", reasons_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
