/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/counters.h"

static void counts(void **state)
{
	struct clv_counters c = { { 0 } };

	(void)state;
	clv_count(&c, CLV_COUNT_RX_PEER);
	clv_count_add(&c, CLV_COUNT_RX_PEER, 9);
	assert_int_equal(clv_count_read(&c, CLV_COUNT_RX_PEER), 10);
	assert_int_equal(clv_count_read(&c, CLV_COUNT_RX_PEER + 1), 0);
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
		CASE("every counter has a help text and a metric name of its own", has_texts),
	};

	return cmocka_run_group_tests_name("counters", cases, NULL, NULL);
}
