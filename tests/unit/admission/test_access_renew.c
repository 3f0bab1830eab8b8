/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/admission/access_fixture.h"

static struct clv_access_grant grant_by(enum clv_access_how how)
{
	switch (how) {
	case CLV_ACCESS_BY_BEARER:
		access_bearer(access_addr, access_token("fay", WALL, WALL + 1000, "mbit=7"));
		break;
	case CLV_ACCESS_BY_PASSWORD:
		access_basic(access_addr, "alice", "password");
		break;
	case CLV_ACCESS_BY_KEY:
		access_begin(access_addr, NULL, ALICE, NULL);
		break;
	default:
		access_begin(access_addr, NULL, OTHER, BOB);
	}
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_OK);
	assert_int_equal(access_out.grant.how, how);
	return access_out.grant;
}

static const struct {
	enum clv_access_how how;
	const char *file;
	bool stands;
	const char *limits;
} renewals[] = {
	{ CLV_ACCESS_BY_BEARER, access_file, true, "mbit=5 tunnels=9" },
	{ CLV_ACCESS_BY_BEARER, "", true, "mbit=7" },
	{ CLV_ACCESS_BY_BEARER, "fay mbit=9 ports=0", true, "mbit=7 ports=0" },
	{ CLV_ACCESS_BY_BEARER, "fay revoked=1699999999", true, "mbit=7" },
	{ CLV_ACCESS_BY_BEARER, "fay revoked=1700000000", false, NULL },
	{ CLV_ACCESS_BY_BEARER, "fay expires=2020-01-01", false, NULL },
	{ CLV_ACCESS_BY_PASSWORD, access_file, true, "mbit=20" },
	{ CLV_ACCESS_BY_PASSWORD, "alice password=" HASH " mbit=1", true, "mbit=1" },
	{ CLV_ACCESS_BY_PASSWORD, "alice password=" HASH " revoked=1800000000", true, "" },
	{ CLV_ACCESS_BY_PASSWORD, "alice password=" HASH2, false, NULL },
	{ CLV_ACCESS_BY_PASSWORD, "alice", false, NULL },
	{ CLV_ACCESS_BY_PASSWORD, "", false, NULL },
	{ CLV_ACCESS_BY_KEY, access_file, true, "tunnels=4" },
	{ CLV_ACCESS_BY_KEY, "bob key=" BOB, false, NULL },
	{ CLV_ACCESS_BY_KEY, "bob ca=" ALICE, false, NULL },
	{ CLV_ACCESS_BY_KEY, "alice key=" ALICE, false, NULL }, /* another's now */
	{ CLV_ACCESS_BY_KEY, "bob key=" ALICE " expires=2020-01-01", false, NULL },
	{ CLV_ACCESS_BY_CA, access_file, true, "" },
	{ CLV_ACCESS_BY_CA, "carol key=" BOB, false, NULL },
	{ CLV_ACCESS_BY_CA, "carol ca=" OTHER, false, NULL },
};

static void a_grant_stands_as_long_as_what_it_was_proven_with(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(renewals); i++) {
		access_load_users(access_file);
		access_out.grant = grant_by(renewals[i].how);
		access_load_users(renewals[i].file);
		if (clv_access_renew(&access_under_test, &access_out.grant, access_wall_sec) !=
			    renewals[i].stands ||
		    (renewals[i].stands && !access_has_limits(renewals[i].limits)))
			fail_msg("row %zu: %s", i, renewals[i].file);
	}
}

static void a_grant_ends_with_its_time_its_key_or_its_mode(void **state)
{
	struct clv_access_grant bearer = grant_by(CLV_ACCESS_BY_BEARER), open;
	struct clv_access_grant password = grant_by(CLV_ACCESS_BY_PASSWORD);
	struct clv_access_grant key = grant_by(CLV_ACCESS_BY_KEY);

	(void)state;
	assert_true(clv_access_renew(&access_under_test, &bearer, WALL + 999));
	assert_int_equal(bearer.expires_sec, WALL + 1000);
	assert_false(clv_access_renew(&access_under_test, &bearer, WALL + 1000));

	access_params.mode = CLV_ACCESS_CERTIFICATE;
	access_reopen();
	assert_false(clv_access_renew(&access_under_test, &bearer, WALL));
	assert_false(clv_access_renew(&access_under_test, &password, WALL));
	assert_true(clv_access_renew(&access_under_test, &key, WALL));

	access_params.mode = CLV_ACCESS_OPEN;
	access_reopen();
	assert_true(clv_access_renew(&access_under_test, &bearer, WALL));
	access_begin(access_addr, NULL, NULL, NULL);
	open = access_out.grant;
	assert_true(clv_access_renew(&access_under_test, &open, WALL));

	access_params.mode = CLV_ACCESS_TOKEN;
	access_reopen();
	assert_false(clv_access_renew(&access_under_test, &open, WALL));
	assert_true(clv_access_renew(&access_under_test, &bearer, WALL));
	assert_true(clv_access_renew(&access_under_test, &password, WALL));
	access_params.token_key[0] ^= 1;
	access_reopen();
	assert_false(clv_access_renew(&access_under_test, &bearer, WALL));
	assert_true(clv_access_renew(&access_under_test, &password, WALL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ACCESS_CASE("a grant stands as long as what it was proven with",
			    a_grant_stands_as_long_as_what_it_was_proven_with),
		ACCESS_CASE("a grant ends with its time, its key or its mode",
			    a_grant_ends_with_its_time_its_key_or_its_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
