/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/peer/nat.h"
#include "datapath/base/addr.h"

#define A     "198.51.100.1:443"
#define B     "198.51.100.2:443"
#define C     "203.0.113.3:443"
#define LOCAL "10.0.0.2:5000"

/* An observation is a relay and what it saw; "" : no answer. */
static const struct row {
	const char *name;
	const char *relays[4], *seen[4];
	enum clv_nat_class class;
	bool has_nat, keeps_port;
	int step_min, step_max;
} rows[] = {
	{ "nobody answered", { A, B }, { "", "" }, CLV_NAT_CLASS_UNKNOWN, false, false, 0, 0 },
	{ "nobody was asked", { NULL }, { NULL }, CLV_NAT_CLASS_UNKNOWN, false, false, 0, 0 },
	{ "one answered",
	  { A, B },
	  { "192.0.2.1:5000", "" },
	  CLV_NAT_CLASS_UNKNOWN,
	  true,
	  true,
	  0,
	  0 },
	{ "one relay at two ports is one address",
	  { A, "198.51.100.1:444" },
	  { "192.0.2.1:5000", "192.0.2.1:5000" },
	  CLV_NAT_CLASS_UNKNOWN,
	  true,
	  true,
	  0,
	  0 },
	{ "but two ports of it may differ",
	  { A, "198.51.100.1:444" },
	  { "192.0.2.1:5000", "192.0.2.1:5007" },
	  CLV_NAT_CLASS_SYMMETRIC_PORT,
	  true,
	  false,
	  7,
	  7 },
	{ "a cone",
	  { A, B },
	  { "192.0.2.1:5000", "192.0.2.1:5000" },
	  CLV_NAT_CLASS_CONE,
	  true,
	  true,
	  0,
	  0 },
	{ "a cone, one relay dead",
	  { A, B, C },
	  { "192.0.2.1:6000", "", "192.0.2.1:6000" },
	  CLV_NAT_CLASS_CONE,
	  true,
	  false,
	  0,
	  0 },
	{ "no NAT", { A, B }, { LOCAL, LOCAL }, CLV_NAT_CLASS_CONE, false, true, 0, 0 },
	{ "a port for each relay",
	  { A, B, C },
	  { "192.0.2.1:5000", "192.0.2.1:5001", "192.0.2.1:5002" },
	  CLV_NAT_CLASS_SYMMETRIC_PORT,
	  true,
	  false,
	  1,
	  1 },
	{ "ports by chance",
	  { A, B, C },
	  { "192.0.2.1:41000", "192.0.2.1:52000", "192.0.2.1:1100" },
	  CLV_NAT_CLASS_SYMMETRIC_PORT,
	  true,
	  false,
	  -50900,
	  11000 },
	{ "two of three agree",
	  { A, B, C },
	  { "192.0.2.1:5000", "192.0.2.1:5000", "192.0.2.1:5001" },
	  CLV_NAT_CLASS_SYMMETRIC_PORT,
	  true,
	  false,
	  0,
	  1 },
	{ "several addresses",
	  { A, B },
	  { "192.0.2.1:5000", "192.0.2.2:5000" },
	  CLV_NAT_CLASS_MULTIPLE,
	  true,
	  true,
	  0,
	  0 },
	{ "several of both",
	  { A, B, C },
	  { "192.0.2.1:5000", "192.0.2.2:5001", "192.0.2.1:5002" },
	  CLV_NAT_CLASS_MULTIPLE,
	  true,
	  false,
	  0,
	  0 },
};

static struct clv_endpoint endpoint(const char *text)
{
	struct clv_endpoint ep = { 0 };

	if (text && *text)
		assert_int_equal(clv_endpoint_parse(text, &ep), 0);
	return ep;
}

static void judges_by_the_table(void **state)
{
	const struct clv_endpoint local = endpoint(LOCAL);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct clv_nat_observation list[4];
		struct clv_nat_verdict v;
		size_t len = 0, answered = 0;

		for (; len < 4 && r->relays[len]; len++) {
			list[len] = (struct clv_nat_observation){ endpoint(r->relays[len]),
								  endpoint(r->seen[len]) };
			answered += list[len].seen.port != 0;
		}
		v = clv_nat_judge(list, len, &local, false);
		CHECK_ROW(r->name, v.class == r->class);
		CHECK_ROW(r->name, v.asked == len && v.answered == answered);
		CHECK_ROW(r->name, v.has_nat == r->has_nat && v.keeps_port == r->keeps_port);
		CHECK_ROW(r->name, v.step_min == r->step_min && v.step_max == r->step_max);
		CHECK_ROW(r->name, !answered == !v.seen.port);
	}
}

static void each_family_is_judged_by_itself(void **state)
{
	const struct clv_nat_observation list[] = {
		{ endpoint(A), endpoint("192.0.2.1:5000") },
		{ endpoint("[2001:db8::1]:443"), endpoint("[2001:db8:9::9]:7000") },
		{ endpoint(B), endpoint("192.0.2.1:5001") },
		{ endpoint("[2001:db8::2]:443"), endpoint("[2001:db8:9::9]:7000") },
	};
	const struct clv_endpoint local6 = endpoint("[2001:db8:9::9]:7000");
	struct clv_nat_verdict v;

	(void)state;
	v = clv_nat_judge(list, COUNT(list), &local6, true);
	assert_int_equal(v.class, CLV_NAT_CLASS_CONE);
	assert_int_equal(v.asked, 2);
	assert_false(v.has_nat);
	v = clv_nat_judge(list, COUNT(list), &local6, false);
	assert_int_equal(v.class, CLV_NAT_CLASS_SYMMETRIC_PORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_by_the_table),
		cmocka_unit_test(each_family_is_judged_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
