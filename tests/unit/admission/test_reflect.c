/* SPDX-License-Identifier: GPL-3.0-or-later */
/* STUN where XDP does not answer: the same requests within the same limits. */
#include "tests/unit/check.h"

#include "control/admission/reflect.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

static struct clv_guard guard;
static struct clv_counters counters;

static int open_guard(void **state)
{
	const struct clv_guard_limits limits = { .stun = clv_rate_of(10, 20) };
	const uint64_t seed[2] = { 1, 2 };

	(void)state;
	counters = (struct clv_counters){ 0 };
	return clv_guard_init(&guard, &limits, 64, seed);
}

static int close_guard(void **state)
{
	(void)state;
	clv_guard_fini(&guard);
	return 0;
}

static size_t ask(const char *from, uint8_t type, uint64_t now_ns)
{
	uint8_t m[CLV_STUN_HEADER_LEN], answer[CLV_STUN_ANSWER_MAX];
	struct clv_rx rx = { .payload = m, .payload_len = sizeof(m) };

	clv_stun_request((const uint8_t *)"transaction", m);
	m[1] = type;
	assert_int_equal(clv_endpoint_parse(from, &rx.remote), 0);
	return clv_reflect_stun(&guard, &rx, now_ns, &counters, answer);
}

static unsigned answered(const char *from, unsigned n, uint64_t now_ns)
{
	unsigned got = 0;

	while (n--)
		got += ask(from, 1, now_ns) > 0;
	return got;
}

static void a_source_has_its_burst_and_then_its_rate(void **state)
{
	const uint64_t at = 1000 * CLV_SEC;

	(void)state;
	assert_int_equal(answered("192.0.2.7:4000", 100, at), 20);
	assert_int_equal(answered("192.0.2.7:4001", 100, at), 0); /* whatever its port */
	assert_int_equal(answered("192.0.2.8:4000", 100, at), 20);
	assert_int_equal(answered("192.0.2.7:4000", 100, at + CLV_SEC), 10);
	assert_int_equal(answered("[2001:db8::1]:4000", 15, at), 15);
	assert_int_equal(answered("[2001:db8::2]:4000", 15, at), 5); /* of the same /64 */
	assert_int_equal(answered("[2001:db8:0:1::2]:4000", 15, at), 15);
	assert_int_equal(clv_count_read(&counters, CLV_COUNT_STUN_ANSWERED), 85);
	assert_int_equal(clv_count_read(&counters, CLV_COUNT_DROP_STUN_LIMIT),
			 80 + 100 + 80 + 90 + 10);
}

static void what_is_not_answered_costs_no_token(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(ask("192.0.2.7:4000", 0x11, CLV_SEC), 0);
	assert_int_equal(clv_count_read(&counters, CLV_COUNT_DROP_STUN_MALFORMED), 50);
	assert_int_equal(answered("192.0.2.7:4000", 30, CLV_SEC), 20);
}

/* Without limits for handshakes there is still one for this. */
static void handshakes_have_other_buckets(void **state)
{
	uint8_t addr[16];

	(void)state;
	assert_int_equal(clv_addr_parse("192.0.2.7", addr), 0);
	assert_int_equal(answered("192.0.2.7:4000", 30, CLV_SEC), 20);
	for (int i = 0; i < 1000; i++)
		assert_true(clv_guard_take(&guard, addr, CLV_GUARD_INITIAL, CLV_SEC));
}

int main(void)
{
#define FRESH(name) cmocka_unit_test_setup_teardown(name, open_guard, close_guard)
	const struct CMUnitTest tests[] = {
		FRESH(a_source_has_its_burst_and_then_its_rate),
		FRESH(what_is_not_answered_costs_no_token),
		FRESH(handshakes_have_other_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
