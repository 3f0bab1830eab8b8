/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/share.h"

static uint32_t take_all(struct clv_stock *stock, struct clv_share *share)
{
	uint32_t n = 0;

	while (clv_share_take(stock, share))
		n++;
	return n;
}

static void one_gets_half(void **state)
{
	struct clv_stock stock = { .max = 1000 };
	struct clv_share hog = { 0 };

	(void)state;
	assert_int_equal(take_all(&stock, &hog), 500);
	for (int i = 0; i < 500; i++)
		clv_share_give(&stock, &hog);
	assert_int_equal(stock.used, 0);
	assert_int_equal(take_all(&stock, NULL), 1000); /* nobody's account: all there is */
}

static void many_leave_one_share(void **state)
{
	struct clv_stock stock = { .max = 1000 };
	struct clv_share hogs[9] = { { 0 } }, bystander = { 0 };

	(void)state;
	for (int round = 0; round < 1000; round++)
		for (int i = 0; i < 9; i++)
			(void)clv_share_take(&stock, &hogs[i]);
	for (int i = 0; i < 9; i++)
		assert_in_range(hogs[i].held, 99, 101);
	assert_in_range(take_all(&stock, &bystander), 49, 51); /* half of the tenth that is left */
}

static void floors_stop_short(void **state)
{
	struct clv_stock stock = { .max = 800 };
	struct clv_share source = { 0 }, hogs[800] = { { 0 } }, bystander = { 0 };

	(void)state;
	for (int round = 0; round < 10; round++)
		for (int i = 0; i < 800; i++) {
			hogs[i].group = &source;
			(void)clv_share_take(&stock, &hogs[i]);
		}
	/* the source has more than its half, since each of its holders has its floor ... */
	assert_true(source.held > 400);
	/* ... but not the last eighth */
	assert_int_equal(stock.max - stock.used, 100);
	assert_int_equal(take_all(&stock, &bystander), 50);
}

static void moves_with_its_holder(void **state)
{
	struct clv_stock stock = { .max = 100 };
	struct clv_share old = { 0 }, new = { 0 }, share = { 0 };

	(void)state;
	clv_share_join(&share, &old);
	for (int i = 0; i < 10; i++)
		assert_true(clv_share_take(&stock, &share));
	assert_int_equal(old.held, 10);
	clv_share_join(&share, &new);
	assert_int_equal(old.held, 0);
	assert_int_equal(new.held, 10);
	for (int i = 0; i < 10; i++)
		clv_share_give(&stock, &share);
	assert_int_equal(new.held, 0);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("a hog alone gets half", one_gets_half),
		CASE("of nine hogs each gets a tenth, and a bystander something",
		     many_leave_one_share),
		CASE("the floors of a thousand hogs leave the last eighth", floors_stop_short),
		CASE("what is held moves to another group with its holder", moves_with_its_holder),
	};

	return cmocka_run_group_tests_name("share", cases, NULL, NULL);
}
