/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/table.h"

static const uint64_t seed[2] = { 0x0123456789abcdef, 0xfedcba9876543210 };

static void finds_what_was_inserted(void **state)
{
	struct clv_table t;
	uint64_t value = 7;

	(void)state;
	assert_int_equal(clv_table_init(&t, 8, 10, seed), 0);
	assert_false(clv_table_find(&t, "12345678", &value));
	assert_int_equal(value, 7);
	assert_int_equal(clv_table_insert(&t, "12345678", 42), 0);
	assert_true(clv_table_find(&t, "12345678", &value));
	assert_int_equal(value, 42);
	assert_true(clv_table_find(&t, "12345678", NULL));
	assert_false(clv_table_find(&t, "12345679", &value));
	assert_int_equal(clv_table_insert(&t, "12345678", 43), 0);
	assert_int_equal(t.count, 1);
	assert_true(clv_table_find(&t, "12345678", &value));
	assert_int_equal(value, 43);
	assert_true(clv_table_remove(&t, "12345678"));
	assert_false(clv_table_remove(&t, "12345678"));
	assert_false(clv_table_find(&t, "12345678", NULL));
	assert_int_equal(t.count, 0);
	clv_table_fini(&t);
	clv_table_fini(&t);
}

static void refuses_above_limit(void **state)
{
	static const size_t limits[] = { 0, 1, 2, 3, 100 };
	struct clv_table t;

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		assert_int_equal(clv_table_init(&t, sizeof(size_t), limits[i], seed), 0);
		for (size_t key = 0; key < limits[i]; key++)
			assert_int_equal(clv_table_insert(&t, &key, key), 0);
		size_t more = limits[i];

		assert_int_equal(clv_table_insert(&t, &more, 1), CLV_EFULL);
		assert_false(clv_table_find(&t, &more, NULL));
		if (limits[i]) { /* replacing needs no room, and removing makes some */
			size_t first = 0;

			assert_int_equal(clv_table_insert(&t, &first, 9), 0);
			assert_true(clv_table_remove(&t, &first));
			assert_int_equal(clv_table_insert(&t, &more, 1), 0);
		}
		clv_table_fini(&t);
	}
	assert_int_equal(clv_table_init(&t, 8, SIZE_MAX, seed), -ENOMEM);
}

static void grows_with_all_that_is_in(void **state)
{
	enum { KEYS = 1000 };
	struct clv_table t;
	uint64_t value;

	(void)state;
	assert_int_equal(clv_table_init(&t, sizeof(size_t), 1, seed), 0);
	for (size_t key = 0; key < KEYS; key++) {
		if (clv_table_insert(&t, &key, key + 1) == CLV_EFULL) {
			assert_int_equal(clv_table_grow(&t, t.limit * 2), 0);
			assert_int_equal(clv_table_insert(&t, &key, key + 1), 0);
		}
		assert_int_equal(t.count, key + 1);
	}
	assert_int_equal(t.limit, 1024);
	assert_int_equal(clv_table_grow(&t, SIZE_MAX), -ENOMEM);
	for (size_t key = 0; key < KEYS; key++) {
		assert_true(clv_table_find(&t, &key, &value));
		assert_int_equal(value, key + 1);
		assert_true(clv_table_remove(&t, &key));
	}
	assert_int_equal(t.count, 0);
	clv_table_fini(&t);
}

/* A model of N keys, each there or not, beside the table: all lengths, long runs, much removal. */
static void behaves_like_a_model(void **state)
{
	enum { KEYS = 300, LIMIT = 250, STEPS = 60000, KEY_MAX = 64 };
	static const size_t key_lens[] = { 1, 8, 12, 20, 40, 44, 64 };
	static uint8_t keys[KEYS][KEY_MAX];
	struct clv_rand r;

	(void)state;
	clv_rand_init(&r, 1);
	for (size_t l = 0; l < COUNT(key_lens); l++) {
		size_t key_len = key_lens[l], keys_used = key_len == 1 ? 200 : KEYS;
		uint64_t model[KEYS] = { 0 }, value; /* 0: absent */
		struct clv_table t;
		size_t count = 0;

		for (size_t i = 0; i < keys_used; i++) {
			clv_rand_bytes(&r, keys[i], key_len);
			/* distinct, in the byte that counts last */
			keys[i][0] = (uint8_t)i;
			if (key_len > 1)
				keys[i][key_len - 1] = (uint8_t)(i >> 8);
		}
		assert_int_equal(clv_table_init(&t, key_len, LIMIT, seed), 0);
		for (int step = 0; step < STEPS; step++) {
			uint64_t x = clv_rand_u64(&r);
			size_t i = (size_t)((x >> 8) % keys_used);

			if (x % 3 == 0) {
				assert_int_equal(clv_table_remove(&t, keys[i]), model[i] != 0);
				count -= model[i] != 0;
				model[i] = 0;
			} else if (x % 3 == 1 && !model[i] && count == LIMIT) {
				assert_int_equal(clv_table_insert(&t, keys[i], x), CLV_EFULL);
			} else if (x % 3 == 1) {
				assert_int_equal(clv_table_insert(&t, keys[i], x), 0);
				count += model[i] == 0;
				model[i] = x;
			} else {
				value = 0;
				assert_int_equal(clv_table_find(&t, keys[i], &value),
						 model[i] != 0);
				assert_int_equal(value, model[i]);
			}
			assert_int_equal(t.count, count);
		}
		for (size_t i = 0; i < keys_used; i++)
			assert_int_equal(clv_table_find(&t, keys[i], NULL), model[i] != 0);
		clv_table_fini(&t);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("what was inserted is found, replaced and removed", finds_what_was_inserted),
		CASE("the limit is exact and refuses only new keys", refuses_above_limit),
		CASE("it grows with all that is in", grows_with_all_that_is_in),
		CASE("random use agrees with a plain model for all key lengths",
		     behaves_like_a_model),
	};

	return cmocka_run_group_tests_name("table", cases, NULL, NULL);
}
