/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which entries of the kernel's table are written when a policy of very many prefixes changes. */
#include "tests/unit/check.h"

#include <errno.h>

#include "control/xdp/maps.h"
#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/base/table.h"

enum {
	MANY = 20000,
	TABLE_FD = 4321, /* not open */
	TEXT_MAX = 32,
};

/* ---- a fake of the kernel's table ---- */

static struct clv_table table;
static size_t table_max;
static unsigned writes, deletes;

int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int __wrap_bpf_map_delete_elem(int fd, const void *key);

int __wrap_bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)
{
	uint32_t verdict;

	assert_int_equal(fd, TABLE_FD);
	assert_int_equal(flags, 0);
	writes++;
	if (!clv_table_find(&table, key, NULL) && table.count >= table_max) {
		errno = ENOSPC;
		return -1;
	}
	memcpy(&verdict, value, sizeof(verdict));
	clv_table_remove(&table, key);
	clv_table_insert(&table, key, verdict);
	return 0;
}

int __wrap_bpf_map_delete_elem(int fd, const void *key)
{
	assert_int_equal(fd, TABLE_FD);
	assert_true(clv_table_find(&table, key, NULL));
	deletes++;
	clv_table_remove(&table, key);
	return 0;
}

/* ---- policies ---- */

/* deny[0..len) are /32 prefixes from 11.0.0.0 + first on; allow may be NULL. */
static struct clv_policy *make(unsigned first, unsigned len, const char *allow)
{
	static char text[MANY + 1][TEXT_MAX];
	static const char *deny[MANY + 1];
	struct clv_policy *p;
	char error[128];

	assert_true(len <= MANY + 1);
	for (unsigned i = 0; i < len; i++) {
		/* not sorted */
		unsigned n = first + (i * 7919u) % len;

		snprintf(text[i], sizeof(text[i]), "11.%u.%u.%u", n >> 16, n >> 8 & 0xff, n & 0xff);
		deny[i] = text[i];
	}
	assert_int_equal(clv_policy_new(&allow, allow ? 1 : 0, deny, len, &p, error, sizeof(error)),
			 0);
	return p;
}

static void check_table(const struct clv_policy *p)
{
	const struct clv_policy_rule *rules;
	size_t n = clv_policy_rules(p, &rules);
	uint64_t verdict;

	assert_int_equal(table.count, n);
	for (size_t i = 0; i < n; i++) {
		assert_true(clv_table_find(&table, &rules[i].prefix, &verdict));
		assert_int_equal(verdict, rules[i].verdict);
	}
}

static void expect(struct clv_maps *m, struct clv_policy *p, unsigned want_writes,
		   unsigned want_deletes)
{
	writes = deletes = 0;
	assert_int_equal(clv_maps_set_policy(m, p), 0);
	assert_int_equal(writes, want_writes);
	assert_int_equal(deletes, want_deletes);
	check_table(p);
	clv_policy_free(p);
}

static int setup(void **state)
{
	static const uint64_t seed[2] = { 1, 2 };
	static struct clv_maps m;

	clv_maps_init(&m, NULL);
	m.fds.denied = TABLE_FD;
	table_max = 2 * MANY + 1000;
	*state = &m;
	return clv_table_init(&table, sizeof(struct clv_prefix), table_max, seed);
}

static int teardown(void **state)
{
	clv_maps_fini(*state);
	clv_table_fini(&table);
	return 0;
}

static void test_as_many_writes_as_changes(void **state)
{
	struct clv_maps *m = *state;
	struct clv_policy *p = make(0, MANY, NULL);
	const struct clv_policy_rule *rules;
	size_t n = clv_policy_rules(p, &rules);

	assert_true(n > MANY); /* includes the special-use table */
	expect(m, p, (unsigned)n, 0);
	expect(m, make(0, MANY, NULL), 0, 0);
	expect(m, make(0, MANY + 1, NULL), 1, 0);
	expect(m, make(0, MANY, NULL), 0, 1);
	expect(m, make(1, MANY, NULL), 1, 1);
	/* one more, and one with another verdict */
	expect(m, make(1, MANY, "12.0.0.0/8"), 1, 0);
	expect(m, make(1, MANY, "10.0.0.0/8"), 1, 1);
	expect(m, make(1, MANY, NULL), 1, 0);
	expect(m, make(100000, MANY, NULL), MANY, MANY);
	expect(m, make(0, 0, NULL), 0, MANY);
}

/* An operator's list may name a client twice; taking out one of the two takes out nothing. */
static void test_a_client_that_is_listed_twice(void **state)
{
	struct clv_maps *m = *state;
	struct clv_prefix list[3];

	assert_int_equal(clv_policy_parse_prefix("11.0.0.0/8", &list[0]), 0);
	assert_int_equal(clv_policy_parse_prefix("12.0.0.0/8", &list[1]), 0);
	list[2] = list[0];
	m->fds.clients = TABLE_FD;
	for (size_t len = 3; len >= 1; len--) {
		assert_int_equal(clv_maps_set_clients(m, list, len), 0);
		assert_true(clv_table_find(&table, &list[0], NULL));
		assert_int_equal(table.count, len > 1 ? 3 : 2); /* and the rule for all others */
	}
	assert_int_equal(clv_maps_set_clients(m, list, 0), 0);
}

static void test_what_does_not_fit(void **state)
{
	struct clv_maps *m = *state;
	struct clv_policy *small = make(0, 10, "10.0.0.0/8"), *large = make(5, MANY, NULL);
	const struct clv_policy_rule *rules;
	size_t n = clv_policy_rules(small, &rules);

	table_max = n + 100;
	assert_int_equal(clv_maps_set_policy(m, small), 0);
	writes = deletes = 0;
	assert_int_equal(clv_maps_set_policy(m, large), CLV_EFULL);
	check_table(small);
	assert_int_equal(deletes, 100);
	/* new rules that fitted and one that did not, the changed rule twice, the old ones at most */
	assert_in_range(writes, 101, 103 + n);
	expect(m, small, 0, 0);
	clv_policy_free(large);
}

static void test_one_judgement_for_all(void **state)
{
	struct clv_policy *p = make(0, MANY, "11.0.0.0/17");
	uint8_t addr[16];
	const char *why;

	(void)state;
	assert_int_equal(clv_addr_parse("11.0.0.0", addr), 0);
	for (unsigned n = 0; n < MANY + 100; n++) {
		int want = n < MANY ? CLV_EDENIED : 0;

		addr[13] = (uint8_t)(n >> 16);
		addr[14] = (uint8_t)(n >> 8);
		addr[15] = (uint8_t)n;
		assert_int_equal(clv_policy_check(p, addr, NULL, NULL, &why), want);
	}
	clv_policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a client that is listed twice stays while it is listed once",
		     test_a_client_that_is_listed_twice),
		CASE("a reload writes what is new, other or gone, and nothing else",
		     test_as_many_writes_as_changes),
		CASE("a policy that does not fit leaves the table as it was",
		     test_what_does_not_fit),
		CASE("each of very many prefixes decides", test_one_judgement_for_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
