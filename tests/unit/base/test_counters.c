/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/counters.h"

static void counts(void **state)
{
	struct clv_counters c = { .slot = { 0 } };

	(void)state;
	clv_count(&c, CLV_COUNT_RX_PEER);
	clv_count_add(&c, CLV_COUNT_RX_PEER, 9);
	assert_int_equal(clv_count_read(&c, CLV_COUNT_RX_PEER), 10);
	assert_int_equal(clv_count_read(&c, CLV_COUNT_RX_PEER + 1), 0);
}

static void a_worker_counts_its_own_only(void **state)
{
	struct clv_worker_counters w = { { 0 } };
	struct clv_counters all = { .slot = { 0 } };

	(void)state;
	clv_count(&w, CLV_COUNT_TX_PEER);
	assert_int_equal(clv_count_read(&w, CLV_COUNT_TX_PEER), 1);
	assert_int_equal(clv_count_read(&w, CLV_COUNT_HANDSHAKES), 0);
	clv_count(&all.worker, CLV_COUNT_TX_PEER);
	clv_count(&all, CLV_COUNT_HANDSHAKES);
	assert_int_equal(clv_count_read(&all, CLV_COUNT_TX_PEER), 1);
	assert_int_equal(clv_count_read(&all, CLV_COUNT_HANDSHAKES), 1);
	assert_true(sizeof(w) < sizeof(all));
}

static void drops_are_named_after_their_reasons(void **state)
{
	(void)state;
	for (int i = 0; i < CLV_COUNTER_MAX; i++) {
		const char *name = clv_counter_name(i);

		assert_int_equal(clv_counter_class(i) == CLV_CLASS_DROP,
				 !strncmp(name, "drop_", 5));
		if (clv_counter_class(i) == CLV_CLASS_DROP)
			assert_string_equal(clv_counter_reason(i), name + 5);
	}
	assert_int_equal(clv_counter_class(CLV_COUNT_RX_PEER), CLV_CLASS_TRAFFIC);
	assert_int_equal(clv_counter_class(CLV_COUNT_REFUSED_RATE), CLV_CLASS_REFUSAL);
	assert_int_equal(clv_counter_class(CLV_COUNT_HANDSHAKES), CLV_CLASS_EVENT);
}

static void has_texts(void **state)
{
	(void)state;
	for (int i = 0; i < CLV_COUNTER_MAX; i++) {
		const char *name = clv_counter_name(i);

		assert_true(*name && *clv_counter_help(i));
		assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(name, clv_counter_name(j));
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("a counter moves alone", counts),
		CASE("a worker has room for its own counters only", a_worker_counts_its_own_only),
		CASE("drops are named after their reasons", drops_are_named_after_their_reasons),
		CASE("every counter has a help text and a metric name of its own", has_texts),
	};

	return cmocka_run_group_tests_name("counters", cases, NULL, NULL);
}
