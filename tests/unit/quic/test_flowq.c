/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/timers.h"
#include "datapath/quic/flowq.h"

enum {
	BUFFERS = 512,
	PACKETS = 256,
	/* The first byte of a prefix is the tunnel, the second the Context ID. */
	A = 1,
	B = 2,
};

static struct clv_pool pool;
static struct clv_flowq q;
static uint64_t now;

static const uint64_t seed[2] = { 1, 2 };

static int setup(void **state)
{
	const struct clv_flowq_limits limits = { .packets = PACKETS, .sojourn_ns = CLV_SEC };

	(void)state;
	now = CLV_SEC;
	clv_flowq_init(&q, &limits, seed);
	return clv_pool_init(&pool, BUFFERS, 2048);
}

static int teardown(void **state)
{
	(void)state;
	clv_flowq_fini(&q, &pool);
	assert_int_equal(q.count, 0);
	assert_int_equal(pool.free_len, pool.count); /* every buffer is back */
	clv_pool_fini(&pool);
	return 0;
}

static int push(uint8_t tunnel, uint8_t context, uint8_t mark, size_t len)
{
	const uint8_t prefix[2] = { tunnel, context };
	uint8_t payload[1500] = { mark };

	return clv_flowq_push(&q, &pool, NULL, prefix, sizeof(prefix), payload,
			      len - sizeof(prefix), now);
}

static void push_many(uint8_t tunnel, uint8_t context, unsigned n, size_t len)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(push(tunnel, context, (uint8_t)i, len), 0);
}

struct out {
	uint8_t tunnel, context, mark;
	size_t len;
	uint32_t dropped;
};

/* Take the next; a tunnel of 0: there is none. */
static struct out take(void)
{
	struct out out = { 0 };
	const uint8_t *data;

	if (!clv_flowq_next(&q, &pool, now, &data, &out.len, &out.dropped))
		return out;
	out.tunnel = data[0];
	out.context = data[1];
	out.mark = data[2];
	clv_flowq_pop(&q, &pool);
	return out;
}

/* Bytes of a tunnel among the next `bytes` bytes. */
static size_t share(uint8_t tunnel, size_t bytes)
{
	size_t all = 0, mine = 0;

	while (all < bytes) {
		struct out out = take();

		assert_int_not_equal(out.tunnel, 0);
		all += out.len;
		mine += out.tunnel == tunnel ? out.len : 0;
	}
	return mine;
}

static unsigned left_of(uint8_t tunnel)
{
	unsigned n = 0;
	struct out out;

	while ((out = take()).tunnel)
		n += out.tunnel == tunnel;
	return n;
}

static void test_order(void **state)
{
	(void)state;
	push_many(A, 0, 20, 1200);
	push_many(B, 0, 20, 100);
	for (uint8_t a = 0, b = 0; a < 20 || b < 20;) {
		struct out out = take();

		assert_int_equal(out.mark, out.tunnel == A ? a++ : b++);
	}
	assert_int_equal(take().tunnel, 0);
}

static void test_shares(void **state)
{
	(void)state;
	push_many(A, 0, 100, 1200);
	push_many(B, 0, 150, 300);
	assert_in_range(share(B, 60000), 28000, 32000);
	/* and so do two remotes of one tunnel */
	clv_flowq_fini(&q, &pool);
	push_many(A, 2, 100, 1200);
	push_many(A, 4, 20, 1200);
	for (unsigned i = 0, seen = 0; seen < 20; i++) {
		assert_in_range(i, 0, 41);
		seen += take().context == 4;
	}
}

static void test_new_flow(void **state)
{
	(void)state;
	push_many(A, 0, 200, 1200);
	assert_int_equal(take().tunnel, A);
	assert_int_equal(take().tunnel, A); /* its turn is used up */
	for (unsigned i = 0; i < 20; i++) {
		push_many(B, 0, 1, 200);
		assert_int_equal(take().tunnel, B);
		assert_int_equal(take().tunnel, A);
		assert_int_equal(take().tunnel, A);
	}
}

static void test_tunnels_share(void **state)
{
	(void)state;
	for (uint8_t context = 0; context < 20; context++)
		push_many(A, context, 8, 1000);
	push_many(B, 0, 90, 1000);
	assert_in_range(share(B, 160000), 65000, 95000);
}

static void test_longest_flow_loses(void **state)
{
	struct out out;

	(void)state;
	push_many(B, 0, 3, 1200);
	push_many(A, 0, PACKETS - 3, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(push(A, 0, 255, 100), CLV_EFULL);
	assert_int_equal(push(B, 0, 3, 100), CLV_EFULL); /* for it, not of it */
	assert_int_equal(q.count, PACKETS);
	while ((out = take()).tunnel != A)
		;
	assert_int_equal(out.mark, 101); /* the oldest left */
	assert_int_equal(left_of(A), PACKETS - 5);
}

static void test_longest_tunnel_loses(void **state)
{
	(void)state;
	push_many(B, 0, 5, 1200);
	for (uint8_t context = 0; context < 200; context++)
		push_many(A, context, 1, 200);
	while (q.count < PACKETS)
		push_many(A, 200, 1, 200);
	for (uint8_t context = 0; context < 100; context++)
		assert_int_equal(push(A, context, 0, 200), CLV_EFULL);
	assert_int_equal(left_of(B), 5);
}

static void test_empty_pool(void **state)
{
	void *taken[BUFFERS + 1];
	unsigned n = 0;

	(void)state;
	push_many(B, 0, 1, 1200);
	push_many(A, 0, 10, 1200);
	while ((taken[n] = clv_pool_take(&pool, NULL)))
		n++;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(push(A, 0, 0, 1200), -ENOBUFS);
	assert_int_equal(q.count, 11);
	assert_int_equal(left_of(B), 1);
	while ((taken[n] = clv_pool_take(&pool, NULL)))
		n++;
	assert_int_equal(push(A, 0, 0, 1200), -ENOBUFS);
	clv_pool_give(&pool, taken[--n]); /* one is not enough */
	assert_int_equal(push(A, 0, 0, 1200), -ENOBUFS);
	assert_int_equal(pool.free_len, 1);
	while (n)
		clv_pool_give(&pool, taken[--n]);
	assert_int_equal(push(A, 0, 0, 1200), 0);
	assert_int_equal(push(A, 0, 0, 2047), CLV_ERANGE);
}

static void test_sojourn(void **state)
{
	(void)state;
	assert_true(clv_flowq_next_ns(&q) == CLV_TIMER_NEVER);
	push_many(A, 0, 2, 100);
	now += 300;
	push_many(B, 0, 2, 100);
	assert_int_equal(clv_flowq_next_ns(&q), now - 300 + CLV_SEC);
	assert_int_equal(clv_flowq_expire(&q, &pool, now - 301 + CLV_SEC), 0);
	assert_int_equal(clv_flowq_expire(&q, &pool, now - 300 + CLV_SEC), 2);
	assert_int_equal(clv_flowq_next_ns(&q), now + CLV_SEC);
	assert_int_equal(take().tunnel, B);
	assert_int_equal(clv_flowq_expire(&q, &pool, now + CLV_SEC), 1);
	assert_int_equal(take().tunnel, 0);
}

/* One datagram comes and one leaves each millisecond; returns how many CoDel dropped. */
static unsigned drops_in(unsigned msec, unsigned *first_msec)
{
	unsigned dropped = 0;

	for (unsigned i = 0; i < msec; i++) {
		now += CLV_MSEC;
		push_many(A, 0, 1, 1000);
		dropped += take().dropped;
		if (dropped && !*first_msec)
			*first_msec = i;
	}
	return dropped;
}

static void test_codel(void **state)
{
	const struct clv_flowq_limits limits = {
		.packets = PACKETS,
		.sojourn_ns = CLV_SEC,
		.target_ns = 5 * CLV_MSEC,
		.interval_ns = 100 * CLV_MSEC,
	};
	unsigned first = 0;

	(void)state;
	clv_flowq_init(&q, &limits, seed);
	for (unsigned i = 0; i < 4; i++)
		push_many(A, 0, 1, 1000);
	assert_int_equal(drops_in(1000, &first), 0); /* all wait for 4 ms */
	for (unsigned i = 0; i < 10; i++)
		push_many(A, 0, 1, 1000); /* and now for 14 */
	/* after one interval, then after 1/sqrt(1), 1/sqrt(2)... of it, until the wait is short */
	assert_in_range(drops_in(1000, &first), 9, 11);
	assert_in_range(first, 95, 110);
	assert_int_equal(drops_in(1000, &first), 0);
}

static void test_no_codel(void **state)
{
	unsigned first = 0;

	(void)state;
	push_many(A, 0, 50, 1000);
	assert_int_equal(drops_in(5000, &first), 0);
}

static void test_more_flows_than_places(void **state)
{
	(void)state;
	/* one tunnel's flows leave places for others */
	for (uint8_t context = 0; context < 200; context++)
		push_many(A, context, 1, 1000);
	push_many(B, 0, 20, 1000);
	assert_in_range(share(B, 60000), 17000, 20000);
	clv_flowq_fini(&q, &pool);
	/* tunnels without a place share one, and none is lost */
	for (uint8_t tunnel = 1; tunnel < 60; tunnel++)
		push_many(tunnel, 0, 4, 1000);
	for (uint8_t tunnel = 1; tunnel < 60; tunnel++)
		assert_in_range(q.count, 1, PACKETS);
	assert_int_equal(left_of(59), 4);
}

int main(void)
{
#define WITH(sentence, function)                                                                   \
	{                                                                                          \
		.name = (sentence), .test_func = (function), .setup_func = setup,                  \
		.teardown_func = teardown                                                          \
	}
	const struct CMUnitTest tests[] = {
		WITH("datagrams of a flow leave in the order they came", test_order),
		WITH("flows get the same number of bytes", test_shares),
		WITH("a flow that is new goes before those that had their turn", test_new_flow),
		WITH("a tunnel of many flows gets no more than one of a single flow",
		     test_tunnels_share),
		WITH("beyond the limit the longest flow loses its oldest datagram",
		     test_longest_flow_loses),
		WITH("a tunnel with many short flows is long, too", test_longest_tunnel_loses),
		WITH("without buffers the longest flow gives one", test_empty_pool),
		WITH("a datagram that waited for the sojourn time is dropped", test_sojourn),
		WITH("a flow that keeps its datagrams waiting loses some, until it does not",
		     test_codel),
		WITH("without an interval CoDel drops none", test_no_codel),
		WITH("flows without a place of their own share one", test_more_flows_than_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
