/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/admission/access_fixture.h"

#include "bpf/guard.h"
#include "datapath/base/addr.h"

static const uint64_t seed[2] = { 3, 5 };

const char access_file[] = "alice password=" HASH " mbit=20\n"
			   "bob key=" ALICE " tunnels=4\n"
			   "carol ca=" BOB "\n"
			   "dan password=" HASH2 " expires=2027-01-31\n"
			   "eve revoked=1600000000\n"
			   "fay mbit=5 tunnels=9 expires=2027-01-31\n"
			   "gus\n";

struct clv_access_params access_params;
struct clv_access access_under_test;
static struct clv_users *users;
struct clv_access_outcome access_out;
struct clv_access_check access_check;
uint64_t access_now_ns, access_wall_sec;
uint8_t access_addr[16], access_neighbour[16], access_elsewhere[16];

void access_load_users(const char *text)
{
	struct clv_users *old = users;
	char error[300];

	assert_int_equal(clv_users_parse("file", text, strlen(text), seed, &users, error, 300), 0);
	clv_access_set_users(&access_under_test, users);
	clv_users_free(old);
}

void access_reopen(void)
{
	clv_access_fini(&access_under_test);
	assert_int_equal(clv_access_init(&access_under_test, &access_params), 0);
	clv_access_set_users(&access_under_test, users);
}

int access_setup(void **state)
{
	(void)state;
	memset(&access_params, 0, sizeof(access_params));
	memset(access_params.token_key, 0x11, sizeof(access_params.token_key));
	memset(access_params.secret, 0x22, sizeof(access_params.secret));
	access_params.failures.host = clv_rate_of(1, 3);
	access_params.failures.net = clv_rate_of(1, 100);
	access_params.sources = 1024;
	access_params.checks_max = 16;
	access_params.remember_ns = 60 * SEC;
	users = NULL;
	access_now_ns = 1000 * SEC;
	access_wall_sec = WALL;
	clv_addr_parse("192.0.2.1", access_addr);
	clv_addr_parse("192.0.2.2", access_neighbour);
	clv_addr_parse("2001:db8::1", access_elsewhere);
	memset(&access_check, 0, sizeof(access_check));
	if (clv_access_init(&access_under_test, &access_params))
		return -1;
	access_load_users(access_file);
	return 0;
}

int access_teardown(void **state)
{
	(void)state;
	clv_access_fini(&access_under_test);
	clv_users_free(users);
	return 0;
}

enum clv_access_result access_begin(const uint8_t *from, const struct clv_authorization *presented,
				    const char *key, const char *ca)
{
	struct clv_identity key_id, ca_id;
	struct clv_access_request r = { .addr = from, .authorization = presented };

	if (key) {
		assert_int_equal(clv_identity_parse(key, strlen(key), &key_id), 0);
		r.key = &key_id;
	}
	if (ca) {
		assert_int_equal(clv_identity_parse(ca, strlen(ca), &ca_id), 0);
		r.ca = &ca_id;
	}
	memset(&access_out, 0x5a, sizeof(access_out));
	return clv_access_begin(&access_under_test, &r, access_now_ns, access_wall_sec, &access_out,
				&access_check);
}

enum clv_access_result access_begin_basic(const uint8_t *from, const char *name,
					  const char *password)
{
	struct clv_authorization presented = {
		.scheme = CLV_AUTHORIZATION_BASIC,
		.name = name,
		.name_len = strlen(name),
		.password = password,
		.password_len = strlen(password),
	};

	return access_begin(from, &presented, NULL, NULL);
}

/* As the caller does it, all at once. */
enum clv_access_result access_basic(const uint8_t *from, const char *name, const char *password)
{
	enum clv_access_result result = access_begin_basic(from, name, password);

	if (result != CLV_ACCESS_CHECK)
		return result;
	assert_int_equal(access_out.reason, CLV_ACCESS_BECAUSE_PENDING);
	return clv_access_finish(&access_under_test, &access_check,
				 clv_password_check(access_check.encoded, access_check.password,
						    access_check.password_len),
				 access_now_ns, access_wall_sec, &access_out);
}

enum clv_access_result access_bearer(const uint8_t *from, const char *text)
{
	struct clv_authorization presented = {
		.scheme = CLV_AUTHORIZATION_BEARER,
		.token = text,
		.token_len = strlen(text),
	};

	return access_begin(from, &presented, NULL, NULL);
}

const char *access_token(const char *name, uint64_t issued_sec, uint64_t expires_sec,
			 const char *limits)
{
	struct clv_bearer b = { .issued_sec = issued_sec, .expires_sec = expires_sec };
	static char text[CLV_BEARER_TEXT_MAX];

	strcpy(b.name, name);
	assert_int_equal(clv_client_limits_parse(limits, strlen(limits), &b.limits, NULL), 0);
	assert_int_equal(clv_bearer_make(access_params.token_key, &b, text), 0);
	return text;
}

bool access_has_limits(const char *text)
{
	char buf[CLV_CLIENT_LIMITS_TEXT_MAX];

	return strcmp(clv_client_limits_format(&access_out.grant.limits, buf), text) == 0;
}
