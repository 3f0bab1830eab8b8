/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The wall clock jumps.  Connections, tunnels, queues and limits go by the monotonic clock, which the
 * loop's own time stands for; only what is written down with a date goes by the other: certificates
 * and address tokens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "tests/loop/fixture.h"

enum {
	HOUR = 3600,
	DAY = 24 * HOUR,
	YEAR = 365 * DAY,
};

static int64_t skew_sec;

/* Replaces the C library's for this program, also where wolfSSL checks the validity of certificates. */
time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += skew_sec;
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

static void jump(struct world *w, int64_t sec)
{
	skew_sec = sec;
	w->wall_skew_sec = sec;
}

static void shut(struct world *w)
{
	world_free(w);
	skew_sec = 0;
}

static const int64_t jumps[] = { 3 * HOUR, -3 * HOUR, 5 * HOUR, 0, 300 * DAY, -2 * YEAR, 40 * YEAR };

static void test_tunnels_do_not_notice(void **state)
{
	struct world *w = world_new(&(struct world_params){ .workers = 2 });
	uint64_t sent = 0;

	(void)state;
	world_open_tunnel(w);
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		jump(w, jumps[i]);
		for (uint32_t k = 0; k < 20; k++, sent++) {
			world_app_send(w, 0, 0, 600, k);
			world_run(w, CLV_MSEC, NULL);
		}
		world_run(w, CLV_SEC, NULL);
		assert_int_equal(w->clients[0].apps[0].received, sent);
	}
	assert_int_equal(world_drops(w), 0);
	shut(w);
}

/* Idle timeouts neither expire at once nor never. */
static void test_idle_times_are_kept(void **state)
{
	struct world *w = world_new(
		&(struct world_params){ .limits = { .conn_idle_ns = 60 * CLV_SEC },
					.proxy = { .tunnel_idle_ns = 5 * CLV_SEC } });

	(void)state;
	world_open_tunnel(w);
	jump(w, 6 * HOUR);
	world_run(w, 4 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].closed, 0);
	jump(w, -6 * HOUR);
	world_run(w, 3 * CLV_SEC, NULL);
	assert_int_equal(w->clients[0].apps[0].closed, 1);
	assert_true(w->clients[0].is_up);
	shut(w);
}

static void test_handshakes_go_on(void **state)
{
	struct world *w = world_new(&(struct world_params){ .workers = 2, .clients = 2 });

	(void)state;
	assert_true(world_connect(w, 0));
	jump(w, 3 * HOUR);
	assert_true(world_connect(w, 1));
	shut(w);
}

static int64_t jump_after_retry;

/* As soon as the relay has sent a Retry. */
static bool on_retry(void *user, const struct wire_packet *p)
{
	struct world *w = user;

	if ((p->bytes[0] & 0xf0) == 0xf0)
		jump(w, jump_after_retry);
	return true;
}

static void connect_with_retry(struct world *w, int64_t sec)
{
	jump_after_retry = sec;
	w->wire.tap = on_retry;
	w->wire.tap_user = w;
	world_connect(w, 0);
	w->wire.tap = NULL;
	assert_true(world_count(w, CLV_COUNT_RETRY_SENT) >= 1);
}

static struct world *world_with_retry(void)
{
	return world_new(&(struct world_params){ .always_retry = true });
}

static void test_token_in_time(void **state)
{
	struct world *w = world_with_retry();

	(void)state;
	connect_with_retry(w, 0);
	assert_true(w->clients[0].is_up);
	shut(w);
}

static void test_token_of_hours_ago(void **state)
{
	struct world *w = world_with_retry();

	(void)state;
	connect_with_retry(w, 2 * HOUR);
	assert_false(w->clients[0].is_up);
	assert_true(world_count(w, CLV_COUNT_TOKEN_REFUSED) >= 1);
	assert_true(world_connect(w, 0)); /* and the next one is good */
	shut(w);
}

/* It was made later than it is now; the alternative would be to turn everybody away for hours. */
static void test_token_from_the_future(void **state)
{
	struct world *w = world_with_retry();

	(void)state;
	connect_with_retry(w, -2 * HOUR);
	assert_true(w->clients[0].is_up);
	assert_int_equal(world_count(w, CLV_COUNT_TOKEN_REFUSED), 0);
	shut(w);
}

static void refused_in(int64_t sec)
{
	struct world *w = world_new(&(struct world_params){ 0 });

	jump(w, sec);
	assert_false(world_connect(w, 0));
	assert_int_equal(w->clients[0].down.error, CLV_EUNTRUSTED);
	jump(w, 0);
	assert_true(world_connect(w, 0));
	shut(w);
}

static void test_certificate_is_over(void **state)
{
	(void)state;
	refused_in(40LL * YEAR);
}

static void test_certificate_is_to_come(void **state)
{
	(void)state;
	refused_in(-2 * YEAR);
}

#define CASE(text, function)                                                                       \
	{                                                                                          \
		text, function, NULL, NULL, NULL                                                   \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("tunnels do not notice a jump of the wall clock", test_tunnels_do_not_notice),
		CASE("idle times last as long as they should", test_idle_times_are_kept),
		CASE("a handshake works after a jump of hours", test_handshakes_go_on),
		CASE("an address token works in its time", test_token_in_time),
		CASE("an address token is refused hours later", test_token_of_hours_ago),
		CASE("an address token survives a clock set back", test_token_from_the_future),
		CASE("a certificate is refused after its time", test_certificate_is_over),
		CASE("a certificate is refused before its time", test_certificate_is_to_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
