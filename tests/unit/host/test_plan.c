/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans for synthetic topologies of hwloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "control/host/plan.h"

enum {
	CPUS_MAX = 16,
	END = 999,
};

static const struct plan_case {
	const char *name;
	const char *machine; /* hwloc's synthetic form */
	struct clv_plan_request request;
	unsigned workers[CPUS_MAX]; /* CPUs, up to END */
	unsigned control;
	const char *why;
} cases[] = {
	{ "one core is shared", "core:1 pu:1", { 0, 0, "", -1, 0 }, { 0, END }, 0, "shared" },
	{ "one core with two threads: control takes the second",
	  "core:1 pu:2",
	  { 0, 0, "", -1, 0 },
	  { 0, END },
	  1,
	  "one core" },
	{ "two cores: one worker and control",
	  "core:2 pu:1",
	  { 0, 0, "", -1, 0 },
	  { 0, END },
	  1,
	  "but one" },
	{ "four cores: three workers",
	  "core:4 pu:1",
	  { 0, 0, "", -1, 0 },
	  { 0, 1, 2, END },
	  3,
	  "but one" },
	{ "whole cores before second threads",
	  "core:4 pu:2",
	  { 0, 0, "", -1, 0 },
	  { 0, 2, 4, END },
	  6,
	  "but one" },
	{ "second threads when more workers are wanted",
	  "core:2 pu:2",
	  { 3, 0, "", -1, 0 },
	  { 0, 2, 1, END },
	  3,
	  "configured" },
	{ "no more workers than CPUs",
	  "core:2 pu:1",
	  { 9, 0, "", -1, 0 },
	  { 0, 1, END },
	  1,
	  "only 2 CPUs" },
	{ "queues bound the workers",
	  "core:8 pu:1",
	  { 0, 2, "eth7", -1, 0 },
	  { 0, 1, END },
	  2,
	  "eth7 has 2 receive queues" },
	{ "one queue",
	  "core:8 pu:1",
	  { 4, 1, "eth7", -1, 0 },
	  { 0, END },
	  1,
	  "eth7 has 1 receive queue" },
	{ "near cores first",
	  "numa:2 core:2 pu:1",
	  { 0, 0, "", 1, 0 },
	  { 2, 3, 0, END },
	  1,
	  "but one" },
	{ "near cores first, with threads",
	  "numa:2 core:2 pu:2",
	  { 2, 0, "", 1, 0 },
	  { 4, 6, END },
	  0,
	  "configured" },
	{ "no node known",
	  "numa:2 core:2 pu:1",
	  { 2, 0, "", -1, 0 },
	  { 0, 1, END },
	  2,
	  "configured" },
};

static void check_case(const struct plan_case *c)
{
	hwloc_topology_t topology;
	struct clv_plan plan;
	unsigned n;

	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_set_synthetic(topology, c->machine), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	assert_int_equal(clv_plan_make(topology, &c->request, &plan), 0);
	hwloc_topology_destroy(topology);

	for (n = 0; c->workers[n] != END; n++)
		if (n >= plan.workers_len || plan.workers[n].cpu != c->workers[n])
			fail_msg("%s: worker %u", c->name, n);
	if (plan.workers_len != n || plan.control.cpu != c->control)
		fail_msg("%s: %u workers, control on %u", c->name, plan.workers_len,
			 plan.control.cpu);
	if (!strstr(plan.why, c->why) && !strstr(plan.control.why, c->why))
		fail_msg("%s: %s", c->name, plan.why);
}

static void threads_go_where_the_rules_say(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_case(&cases[i]);
}

static void every_thread_has_a_reason(void **state)
{
	const struct clv_plan_request request = { .numa_node = 1 };
	hwloc_topology_t topology;
	struct clv_plan plan;

	(void)state;
	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_set_synthetic(topology, "numa:2 core:1 pu:2"), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	assert_int_equal(clv_plan_make(topology, &request, &plan), 0);
	hwloc_topology_destroy(topology);
	assert_string_equal(plan.workers[0].why, "core 1, NUMA node 1 (the interfaces')");
	assert_int_equal(plan.workers[0].numa_node, 1);
	assert_string_equal(plan.control.why, "left by the workers: core 0, NUMA node 0");
}

static void another_machine_has_a_plan(void **state)
{
	const struct clv_plan_request request = { .numa_node = -1, .cores = 64 };
	struct clv_plan plan;

	(void)state;
	assert_int_equal(clv_plan_machine(&request, &plan), 0);
	assert_int_equal(plan.workers_len, 63);
	assert_int_equal(plan.workers[62].cpu, 62);
	assert_int_equal(plan.control.cpu, 63);
}

static void this_machine_has_a_plan(void **state)
{
	const struct clv_plan_request request = { .numa_node = -1 };
	struct clv_plan plan;

	(void)state;
	assert_int_equal(clv_plan_machine(&request, &plan), 0);
	assert_true(plan.workers_len >= 1);
	assert_true(strlen(plan.why) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_go_where_the_rules_say),
		cmocka_unit_test(every_thread_has_a_reason),
		cmocka_unit_test(another_machine_has_a_plan),
		cmocka_unit_test(this_machine_has_a_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
