/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "control/admission/accounts.h"
#include "datapath/base/addr.h"

enum {
	SOURCES = 8000,
};

static const uint64_t seed[2] = { 1, 2 };

struct fixture {
	struct clv_accounts a;
};

static struct clv_account *open_text(struct fixture *f, const char *text)
{
	uint8_t addr[16];
	struct clv_account *account;

	assert_int_equal(clv_addr_parse(text, addr), 0);
	account = clv_accounts_open(&f->a, addr);
	assert_non_null(account);
	return account;
}

static void set_up(struct fixture *f, uint32_t shares, uint32_t max)
{
	assert_int_equal(clv_accounts_init(&f->a, shares, seed), 0);
	clv_accounts_set_max(&f->a, CLV_RESOURCE_NAMES, max);
}

static void tear_down(struct fixture *f)
{
	assert_int_equal(f->a.by_prefix.count, 0);
	clv_accounts_fini(&f->a);
}

static enum clv_accounts_verdict take(struct fixture *f, struct clv_account *account)
{
	return clv_accounts_take(&f->a, account, CLV_RESOURCE_NAMES, CLV_ACCOUNTS_WHOLE);
}

/* As many as there are for it.  Returns how many. */
static unsigned take_all(struct fixture *f, struct clv_account *account)
{
	unsigned n = 0;

	while (take(f, account) == CLV_ACCOUNTS_OK)
		n++;
	return n;
}

static void give(struct fixture *f, struct clv_account *account, unsigned n)
{
	while (n--)
		clv_accounts_give(&f->a, account, CLV_RESOURCE_NAMES, CLV_ACCOUNTS_WHOLE);
}

static void test_hogs_leave_something_to_whoever_comes_next(void **state)
{
	static const char *const hogs[] = { "192.0.2.1", "198.51.100.1", "203.0.113.1",
					    "2001:db8:1::1", "2001:db8:2::1" };
	static const unsigned get[] = { 768, 128, 64, 32, 16 };
	struct clv_account *accounts[5], *last;
	struct fixture f;

	(void)state;
	set_up(&f, 8, 1024);
	for (unsigned i = 0; i < 5; i++) {
		accounts[i] = open_text(&f, hogs[i]);
		assert_int_equal(take_all(&f, accounts[i]), get[i]);
		assert_int_equal(f.a.refused_source[CLV_RESOURCE_NAMES], i + 1);
	}
	last = open_text(&f, "9.9.9.9");
	assert_int_equal(take(&f, last), CLV_ACCOUNTS_OK);
	assert_int_equal(f.a.refused_full[CLV_RESOURCE_NAMES], 0);
	give(&f, last, 1);
	clv_accounts_close(&f.a, last);
	for (unsigned i = 0; i < 5; i++) {
		give(&f, accounts[i], get[i]);
		clv_accounts_close(&f.a, accounts[i]);
	}
	assert_int_equal(f.a.ceilings[CLV_RESOURCE_NAMES].used, 0);
	tear_down(&f);
}

/* Hosts of a hog's network have one share; a hog that is a whole network gets no other. */
static void test_a_network_leaves_the_last_share(void **state)
{
	struct clv_account *hog, *neighbours[100], *other;
	unsigned of_neighbours = 0, each[100];
	struct fixture f;

	(void)state;
	set_up(&f, 8, 1024);
	hog = open_text(&f, "2001:db8:1::1");
	assert_int_equal(take_all(&f, hog), 768);
	for (unsigned i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof(text), "2001:db8:1:%x::1", i + 1);
		neighbours[i] = open_text(&f, text);
		each[i] = take_all(&f, neighbours[i]);
		of_neighbours += each[i];
	}
	assert_int_equal(of_neighbours, 128);
	other = open_text(&f, "2001:db8:2::1");
	assert_int_equal(take_all(&f, other), 64);
	give(&f, other, 64);
	clv_accounts_close(&f.a, other);
	for (unsigned i = 0; i < 100; i++) {
		give(&f, neighbours[i], each[i]);
		clv_accounts_close(&f.a, neighbours[i]);
	}
	give(&f, hog, 768);
	clv_accounts_close(&f.a, hog);
	tear_down(&f);
}

static void test_what_is_nobodys_stays_out_of_the_last_shares(void **state)
{
	struct clv_account *victim;
	struct fixture f;

	(void)state;
	set_up(&f, 8, 1024);
	assert_int_equal(take_all(&f, NULL), 768);
	assert_true(clv_accounts_must_prove(&f.a, CLV_RESOURCE_NAMES));
	victim = open_text(&f, "192.0.2.1");
	assert_int_equal(take_all(&f, victim), 128);
	give(&f, victim, 128);
	give(&f, NULL, 1);
	assert_false(clv_accounts_must_prove(&f.a, CLV_RESOURCE_NAMES));
	give(&f, NULL, 767);
	clv_accounts_close(&f.a, victim);
	tear_down(&f);
}

static void test_without_shares_the_ceiling_alone_counts(void **state)
{
	static const struct {
		uint32_t shares, max;
	} cases[] = { { 0, 100 }, { 1, 100 }, { 8, 7 } };
	struct clv_account *account;
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		set_up(&f, cases[i].shares, cases[i].max);
		account = open_text(&f, "192.0.2.1");
		assert_int_equal(take_all(&f, account), cases[i].max);
		assert_int_equal(f.a.refused_full[CLV_RESOURCE_NAMES], 1);
		assert_int_equal(take(&f, NULL), CLV_ACCOUNTS_FULL);
		give(&f, account, cases[i].max);
		clv_accounts_close(&f.a, account);
		tear_down(&f);
	}
}

static void test_a_worker_has_a_ceiling_of_its_own(void **state)
{
	struct clv_account *hog, *other;
	struct fixture f;
	unsigned n = 0;

	(void)state;
	assert_int_equal(clv_accounts_init(&f.a, 8, seed), 0);
	clv_accounts_set_max(&f.a, CLV_RESOURCE_TUNNELS, 100000);
	clv_accounts_set_part_max(&f.a, CLV_RESOURCE_TUNNELS, 80, 2);
	assert_int_equal(f.a.ceilings[CLV_RESOURCE_TUNNELS].max, 160);
	hog = open_text(&f, "192.0.2.1");
	other = open_text(&f, "198.51.100.1");
	while (!clv_accounts_take(&f.a, hog, CLV_RESOURCE_TUNNELS, 1))
		n++;
	assert_int_equal(n, 60);
	assert_int_equal(clv_accounts_take(&f.a, hog, CLV_RESOURCE_TUNNELS, 0), CLV_ACCOUNTS_OK);
	assert_int_equal(clv_accounts_take(&f.a, other, CLV_RESOURCE_TUNNELS, 1), CLV_ACCOUNTS_OK);
	clv_accounts_give(&f.a, other, CLV_RESOURCE_TUNNELS, 1);
	clv_accounts_give(&f.a, hog, CLV_RESOURCE_TUNNELS, 0);
	while (n--)
		clv_accounts_give(&f.a, hog, CLV_RESOURCE_TUNNELS, 1);
	assert_int_equal(f.a.of_part[CLV_RESOURCE_TUNNELS][1].used, 0);
	clv_accounts_close(&f.a, hog);
	clv_accounts_close(&f.a, other);
	tear_down(&f);
}

static void test_sources_and_networks_may_have_limits_of_their_own(void **state)
{
	struct clv_account *one, *two, *other;
	struct fixture f;

	(void)state;
	set_up(&f, 0, 1024);
	clv_accounts_set_source_max(&f.a, CLV_RESOURCE_NAMES, 3, 5);
	one = open_text(&f, "192.0.2.1");
	two = open_text(&f, "192.0.2.2");
	other = open_text(&f, "192.0.3.1");
	assert_int_equal(take_all(&f, one), 3);
	assert_int_equal(take_all(&f, two), 2);
	assert_int_equal(take_all(&f, other), 3);
	give(&f, one, 3);
	give(&f, two, 2);
	give(&f, other, 3);
	clv_accounts_close(&f.a, one);
	clv_accounts_close(&f.a, two);
	clv_accounts_close(&f.a, other);
	tear_down(&f);
}

/* A source's charges outlive its references, and there are as many accounts as are needed. */
static void test_accounts_live_as_long_as_their_charges(void **state)
{
	static struct clv_account *accounts[SOURCES];
	struct fixture f;

	(void)state;
	set_up(&f, 8, 1 << 20);
	for (unsigned i = 0; i < SOURCES; i++) {
		uint8_t addr[16] = { 0x20, 0x01, 0x0d, 0xb8, (uint8_t)(i >> 8), (uint8_t)i };

		accounts[i] = clv_accounts_open(&f.a, addr);
		assert_non_null(accounts[i]);
		assert_int_equal(take(&f, accounts[i]), CLV_ACCOUNTS_OK);
		clv_accounts_close(&f.a, accounts[i]);
	}
	assert_int_equal(f.a.by_prefix.count, 2 * SOURCES);
	for (unsigned i = 0; i < SOURCES; i++)
		give(&f, accounts[i], 1);
	tear_down(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hogs_leave_something_to_whoever_comes_next),
		cmocka_unit_test(test_a_network_leaves_the_last_share),
		cmocka_unit_test(test_what_is_nobodys_stays_out_of_the_last_shares),
		cmocka_unit_test(test_without_shares_the_ceiling_alone_counts),
		cmocka_unit_test(test_a_worker_has_a_ceiling_of_its_own),
		cmocka_unit_test(test_sources_and_networks_may_have_limits_of_their_own),
		cmocka_unit_test(test_accounts_live_as_long_as_their_charges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
