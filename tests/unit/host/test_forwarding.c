/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The switches of a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "control/host/forwarding.h"

/* Returns whether the kernel has the family. */
static bool set(const char *family, const char *name, int value)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/forwarding", family, name);
	out = fopen(path, "w");
	if (!out)
		return false;
	fprintf(out, "%d\n", value);
	assert_int_equal(fclose(out), 0);
	return true;
}

static void test_each_interface_has_a_switch(void **state)
{
	static const char *const families[] = { "ipv4", "ipv6" };
	size_t i;

	(void)state;
	if (unshare(CLONE_NEWNET))
		skip();
	/* A new namespace has what the first one has. */
	for (i = 0; i < 2; i++) {
		set(families[i], "all", 0);
		set(families[i], "default", 0);
	}
	assert_false(clv_host_forwards());
	for (i = 0; i < 2; i++) {
		if (!set(families[i], "lo", 1))
			continue;
		assert_true(clv_host_forwards());
		set(families[i], "lo", 0);
		assert_false(clv_host_forwards());
		set(families[i], "all", 1);
		assert_true(clv_host_forwards());
		set(families[i], "all", 0);
		assert_false(clv_host_forwards());
	}
}

static void test_the_default_for_interfaces_to_come_is_none(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) || !set("ipv4", "all", 0))
		skip();
	set("ipv6", "all", 0);
	set("ipv4", "default", 1);
	assert_false(clv_host_forwards());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_interface_has_a_switch),
		cmocka_unit_test(test_the_default_for_interfaces_to_come_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
