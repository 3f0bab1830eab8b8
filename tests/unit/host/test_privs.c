/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/host/privs.h"

static const struct {
	const char *map;
	unsigned id;
	bool is_mapped;
} rows[] = {
	{ "         0          0 4294967295\n", 65534, true },
	{ "         0          0 4294967295\n", 4294967295u, false },
	{ "0 1000 1\n", 0, true }, /* of unshare --map-root-user */
	{ "0 1000 1\n", 1, false },
	{ "0 1000 1\n", 65534, false },
	{ "0 1000 1\n1 100000 65536\n", 65534, true },
	{ "0 1000 1\n1 100000 65536\n", 65537, false },
	{ "10 0 5\n", 9, false },
	{ "10 0 5\n", 14, true },
	{ "", 0, false }, /* not written yet */
};

static void maps_are_read_as_the_kernel_writes_them(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		FILE *map = *rows[i].map ? fmemopen((void *)rows[i].map, strlen(rows[i].map), "r")
					 : fopen("/dev/null", "r");

		assert_non_null(map);
		assert_int_equal(clv_privs_is_mapped(map, rows[i].id), rows[i].is_mapped);
		fclose(map);
	}
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("whom a user namespace has", maps_are_read_as_the_kernel_writes_them),
	};

	return cmocka_run_group_tests_name("privs", cases, NULL, NULL);
}
