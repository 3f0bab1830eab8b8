/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "datapath/base/budget.h"

enum { MAX = 1000, HOLDERS = 4 };

struct fixture {
	struct clv_budget budget;
	struct clv_budget_holder h[HOLDERS];
};

static void setup(struct fixture *f)
{
	*f = (struct fixture){ .budget.max = MAX };
	for (int i = 0; i < HOLDERS; i++)
		clv_budget_join(&f->budget, &f->h[i]);
}

static void nobody_goes_below_three_quarters(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_true(clv_budget_take(&f.h[0], 700));
	assert_true(clv_budget_take(&f.h[1], 50));
	assert_null(clv_budget_give_up(&f.budget));
	assert_int_equal(f.budget.refused, 0);
}

/* A hog takes all it can; a bystander's bytes are had, and the hog goes. */
static void the_largest_goes_first(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_true(clv_budget_take(&f.h[0], 100));
	assert_true(clv_budget_take(&f.h[1], 400));
	assert_true(clv_budget_take(&f.h[2], 250));
	assert_true(clv_budget_take(&f.h[3], 20)); /* this one exceeds three quarters */
	assert_ptr_equal(clv_budget_give_up(&f.budget), &f.h[1]);
	assert_null(clv_budget_give_up(&f.budget)); /* it is about to go: that is enough */
	assert_int_equal(f.budget.used, 770);
	assert_false(clv_budget_take(&f.h[1], 1));
	assert_true(clv_budget_take(&f.h[3], 1));
	clv_budget_leave(&f.h[1]);
	assert_int_equal(f.budget.used, 371);
	assert_int_equal(f.budget.given_up, 0);
	assert_int_equal(f.budget.refused, 2);
}

static void as_many_go_as_it_takes(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	for (int i = 0; i < HOLDERS; i++)
		clv_budget_charge(&f.h[i], 500 + (uint64_t)i); /* beyond the limit */
	assert_ptr_equal(clv_budget_give_up(&f.budget), &f.h[3]);
	assert_ptr_equal(clv_budget_give_up(&f.budget), &f.h[2]);
	assert_ptr_equal(clv_budget_give_up(&f.budget), &f.h[1]);
	assert_null(clv_budget_give_up(&f.budget));
	clv_budget_give(&f.h[3], 503);
	clv_budget_charge(&f.h[3], 7); /* what it is charged now is no reason for others to go */
	assert_null(clv_budget_give_up(&f.budget));
	for (int i = 0; i < HOLDERS; i++)
		clv_budget_leave(&f.h[i]);
	assert_int_equal(f.budget.used, 0);
	assert_int_equal(f.budget.given_up, 0);
}

/* Whatever came and went before, and in whatever order. */
static void the_order_of_coming_does_not_matter(void **state)
{
	enum { MANY = 200 };
	static struct clv_budget_holder h[MANY];
	struct clv_budget b = { .max = MANY * 1000 };

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		clv_budget_join(&b, &h[i]);
		assert_true(clv_budget_take(&h[i], 1 + (i * 37) % 500));
	}
	assert_true(clv_budget_take(&h[77], 70000));
	assert_true(clv_budget_take(&h[78], 60000));
	clv_budget_give(&h[78], 59000);
	assert_null(clv_budget_give_up(&b));
	clv_budget_charge(&h[79], 60000);
	assert_ptr_equal(clv_budget_give_up(&b), &h[77]);
	assert_null(clv_budget_give_up(&b));
	for (unsigned i = 0; i < MANY; i++)
		clv_budget_leave(&h[i]);
	assert_int_equal(b.used, 0);
	assert_int_equal(b.given_up, 0);
}

static void the_limits_hold(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	f.budget.holder_max = 600;
	assert_false(clv_budget_take(&f.h[0], 601));
	assert_true(clv_budget_take(&f.h[0], 600));
	assert_false(clv_budget_take(&f.h[0], 1));
	assert_false(clv_budget_take(&f.h[1], 401));
	assert_false(clv_budget_take(&f.h[1], UINT64_MAX));
	assert_true(clv_budget_take(&f.h[1], 400));
	assert_int_equal(f.budget.used, MAX);
	assert_int_equal(f.budget.refused, 4);
}

static void without_a_budget_there_is_no_limit(void **state)
{
	struct clv_budget_holder none = { 0 };

	(void)state;
	assert_true(clv_budget_take(NULL, UINT64_MAX));
	clv_budget_give(NULL, UINT64_MAX);
	assert_true(clv_budget_take(&none, UINT64_MAX));
	clv_budget_give(&none, UINT64_MAX);
	clv_budget_leave(&none);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("up to three quarters nobody is given up", nobody_goes_below_three_quarters),
		CASE("beyond them the largest holder is, not who came last",
		     the_largest_goes_first),
		CASE("as many are given up as it takes", as_many_go_as_it_takes),
		CASE("many holders that come and go", the_order_of_coming_does_not_matter),
		CASE("the limits of all and of one holder hold", the_limits_hold),
		CASE("without a budget there is no limit", without_a_budget_there_is_no_limit),
	};

	return cmocka_run_group_tests_name("budget", cases, NULL, NULL);
}
