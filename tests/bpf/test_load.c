/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The kernel takes both objects of the XDP program: where it refuses one, the relay goes on with less. */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "culvert.skel.h"
#include "culvert_tracked.skel.h"

static void the_plain_object(void **state)
{
	struct culvert_bpf *plain;

	(void)state;
	if (geteuid() != 0)
		skip();
	plain = culvert_bpf__open_and_load();
	assert_non_null(plain);
	culvert_bpf__destroy(plain);
}

static void the_object_that_asks_conntrack(void **state)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	struct culvert_tracked_bpf *tracked;

	(void)state;
	if (geteuid() != 0 || !kernel)
		skip();
	btf__free(kernel);
	tracked = culvert_tracked_bpf__open_and_load();
	assert_non_null(tracked);
	culvert_tracked_bpf__destroy(tracked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_object),
		cmocka_unit_test(the_object_that_asks_conntrack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
