/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A hog and a bystander at the ceilings of names, bound tunnels and remotes. */
#include "tests/unit/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "datapath/base/err.h"
#include "tests/unit/proxy/bound_fixture.h"

enum {
	CEILING = 16,
	SHARES = 8,
	HOG_GETS = 12, /* all but two shares */
};

/* The rest of the ceiling is what a hog at another address has left. */
struct hog {
	struct fixture *f;
	struct clv_account *account;
	enum clv_resource resource;
};

static struct hog make_hog(struct fixture *f, enum clv_resource resource)
{
	static const uint8_t addr[16] = { 0x20, 0x01, 0x0d, 0xb8, 1 };
	struct hog hog = { f, clv_accounts_open(&f->relay.accounts, addr), resource };
	unsigned n = 0;

	assert_non_null(hog.account);
	f->relay.accounts.shares = SHARES;
	clv_accounts_set_max(&f->relay.accounts, resource, CEILING);
	while (!clv_accounts_take(&f->relay.accounts, hog.account, resource, CLV_ACCOUNTS_WHOLE))
		n++;
	assert_int_equal(n, HOG_GETS - f->relay.account->used[resource]);
	return hog;
}

/* The client of the fixture is the hog from now on. */
static void become(struct hog *hog)
{
	struct clv_account *account = hog->f->relay.account;

	hog->f->relay.account = hog->account;
	hog->account = account;
}

static void free_hog(struct hog *hog)
{
	while (hog->account->used[hog->resource])
		clv_accounts_give(&hog->f->relay.accounts, hog->account, hog->resource,
				  CLV_ACCOUNTS_WHOLE);
	clv_accounts_close(&hog->f->relay.accounts, hog->account);
}

static void test_names_of_a_hog_and_a_bystander(void **state)
{
	struct fixture *f = request_setup();
	struct hog hog = make_hog(f, CLV_RESOURCE_NAMES);

	(void)state;
	become(&hog);
	request_ask(f, UDP "silent.example/53/");
	assert_int_equal(f->answer.status, 503);
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_NAMES), 1);
	become(&hog);
	request_ask(f, UDP "t.example/53/");
	fake_relay_resolved(&f->relay, 0, "8.8.8.8");
	pipe_run(&f->pipe);
	assert_int_equal(f->answer.status, 200);
	free_hog(&hog);
	request_teardown(f);
}

static void test_requests_of_a_hog_and_a_bystander(void **state)
{
	struct fixture *f = request_setup();
	struct hog hog = make_hog(f, CLV_RESOURCE_REQUESTS);

	(void)state;
	become(&hog);
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 503);
	assert_non_null(strstr(f->answer.proxy_status, "too many requests"));
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_TUNNELS), 1);
	become(&hog);
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	free_hog(&hog);
	request_teardown(f);
}

static void test_bound_tunnels_of_a_hog_and_a_bystander(void **state)
{
	struct fixture *f = bound_setup();
	struct hog hog = make_hog(f, CLV_RESOURCE_BOUND_TUNNELS);

	(void)state;
	become(&hog);
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 503);
	become(&hog);
	bound_ask(f, ANY);
	assert_int_equal(f->answer.status, 200);
	free_hog(&hog);
	request_teardown(f);
}

static void test_remotes_of_a_hog_and_a_bystander(void **state)
{
	struct fixture *f = bound_setup_uncompressed();
	struct hog hog = make_hog(f, CLV_RESOURCE_REMOTES);

	(void)state;
	become(&hog);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "-remote=" G4 ",full ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REMOTE_REFUSED_FULL), 1);
	bound_send(f, "11080404" H4_HEX);
	EXPECT(f, "130104", "");
	become(&hog);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	free_hog(&hog);
	request_teardown(f);
}

/* Every target needs a look-up on the link; the hog has made all that it may in this second. */
static void test_look_ups_of_neighbours_of_a_hog_and_a_bystander(void **state)
{
	static const struct clv_rate each = { .interval_ns = 250000000, .burst_ns = 1000000000 };
	static const struct clv_rate all = { .interval_ns = 100000000, .burst_ns = 1000000000 };
	struct fixture *f = bound_setup_uncompressed();
	struct hog hog = make_hog(f, CLV_RESOURCE_NAMES);
	unsigned routed;

	(void)state;
	clv_accounts_set_lookups(&f->relay.accounts, &each, &all);
	f->relay.has_new_neighbours = true;
	become(&hog);
	while (clv_accounts_may_look_up(&f->relay.accounts, f->relay.account, f->relay.now_ns))
		;
	routed = f->relay.routed;
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 503);
	assert_non_null(strstr(f->answer.proxy_status, "too many new neighbours"));
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "-remote=" G4 " ");
	assert_int_equal(fake_relay_count(&f->relay, CLV_COUNT_REFUSED_NEIGHBOURS), 2);
	assert_int_equal(f->relay.routed, routed);
	become(&hog);
	bound_event(f, 0, CLV_EVT_REMOTE_NEW, G4, 0);
	EXPECT(f, "", "+remote=" G4 " ");
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	/* A neighbour that is known costs nothing. */
	become(&hog);
	f->relay.has_new_neighbours = false;
	request_ask(f, UDP "8.8.8.8/53/");
	assert_int_equal(f->answer.status, 200);
	request_body(f, NULL, 0, true);
	become(&hog);
	free_hog(&hog);
	request_teardown(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_requests_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_bound_tunnels_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_remotes_of_a_hog_and_a_bystander),
		cmocka_unit_test(test_look_ups_of_neighbours_of_a_hog_and_a_bystander),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
