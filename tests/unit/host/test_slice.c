/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/sched/types.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sched_attr now(void)
{
	struct sched_attr attr = { 0 };

	assert_int_equal(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
	return attr;
}

static void a_slice_is_kept_where_the_system_knows_slices(void **state)
{
	uint64_t before_ns = now().sched_runtime;

	(void)state;
	assert_int_equal(clv_slice_set(200000), 0);
	if (!before_ns) {
		print_message("Linux before 6.12 does not report the slice\n");
		skip();
	}
	assert_int_equal(now().sched_runtime, 200000);
}

static void policy_and_priority_stay_as_they_are(void **state)
{
	struct sched_attr after;
	int nice;

	(void)state;
	/* Only root may take a better one than it was started with. */
	nice = getpriority(PRIO_PROCESS, 0) < 19 ? getpriority(PRIO_PROCESS, 0) + 1 : 19;
	assert_int_equal(setpriority(PRIO_PROCESS, 0, nice), 0);
	assert_int_equal(clv_slice_set(300000), 0);
	after = now();
	assert_int_equal(after.sched_policy, SCHED_NORMAL);
	assert_int_equal(after.sched_nice, nice);
}

static void zero_changes_nothing(void **state)
{
	uint64_t before_ns = now().sched_runtime;

	(void)state;
	assert_int_equal(clv_slice_set(0), 0);
	assert_int_equal(now().sched_runtime, before_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slice_is_kept_where_the_system_knows_slices),
		cmocka_unit_test(policy_and_priority_stay_as_they_are),
		cmocka_unit_test(zero_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
