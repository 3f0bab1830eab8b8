/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Why XDP cannot ask connection tracking, by what the kernel said to the object that would. */
#include "tests/unit/check.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/xdp/bpf.h"

struct bpf_object_skeleton;

/* ---- a fake of a kernel that offers less: what this one does not refuse it gets ---- */

static struct kernel {
	int errs[3];	   /* what it says to the objects, in order; 0: the real one is asked */
	bool has_function; /* of connection tracking */
	int modules_err;   /* to who looks at the modules' BTF */
} kernel;
static size_t loads;

int __real_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton);
const struct bpf_insn *__wrap_bpf_program__insns(const struct bpf_program *program);
int __wrap_bpf_btf_get_next_id(uint32_t id, uint32_t *next);

int __wrap_bpf_object__load_skeleton(struct bpf_object_skeleton *skeleton)
{
	int err = kernel.errs[loads++];

	return err ? err : __real_bpf_object__load_skeleton(skeleton);
}

const struct bpf_insn *__wrap_bpf_program__insns(const struct bpf_program *program)
{
	static const struct bpf_insn bound = { .code = BPF_JMP | BPF_CALL,
					       .src_reg = BPF_PSEUDO_KFUNC_CALL };
	static struct bpf_insn insns[65536];

	assert_true(bpf_program__insn_cnt(program) <= 65536);
	memset(insns, 0, sizeof(insns));
	if (kernel.has_function)
		insns[bpf_program__insn_cnt(program) - 1] = bound;
	return insns;
}

int __wrap_bpf_btf_get_next_id(uint32_t id, uint32_t *next)
{
	(void)id;
	(void)next;
	errno = kernel.modules_err;
	return kernel.modules_err ? -kernel.modules_err : 0;
}

/* ---- tests ---- */

static void the_hint_is_of_what_the_kernel_said(void **state)
{
	static const struct {
		struct kernel kernel;
		size_t loads;
		const char *because, *hint; /* parts of them; NULL: it can be asked */
	} cases[] = {
		{ { { 0 }, true, 0 }, 1, NULL, NULL },
		{ { { 0 }, false, 0 },
		  1,
		  "no bpf_xdp_ct_lookup",
		  "nf_conntrack built in or loaded" },
		{ { { 0 }, false, EPERM }, 1, "no bpf_xdp_ct_lookup", "CAP_SYS_ADMIN" },
		{ { { -ESRCH }, false, 0 }, 2, "XDP program", "CONFIG_DEBUG_INFO_BTF" },
		{ { { -EPERM }, false, 0 }, 2, "needs root, or CAP_BPF", "CAP_PERFMON" },
		{ { { -EACCES }, false, 0 }, 2, "refused by the kernel's verifier", "report it" },
		{ { { -EINVAL }, false, 0 }, 2, "XDP program", "report it" },
		{ { { -EMFILE }, false, 0 }, 2, "XDP program", "descriptors" },
		{ { { -EINVAL, -EINVAL }, false, 0 }, 3, "XDP program", "Linux 5.18" },
	};
	const struct clv_bpf_sizes sizes = {
		.conn_ids = 4,
		.contexts = 4,
		.bindings = 4,
		.listeners = 4,
		.denied = 4,
		.clients = 4,
		.guard = 64,
	};
	char run_dir[] = "/tmp/clv-test-conntrack-XXXXXX";

	(void)state;
	if (geteuid() != 0 || unshare(CLONE_NEWNET))
		skip();
	assert_non_null(mkdtemp(run_dir));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct clv_bpf_gap *gap;
		struct clv_bpf *bpf;
		char error[256];

		kernel = cases[i].kernel;
		loads = 0;
		assert_int_equal(clv_bpf_open(run_dir, &sizes, &bpf, error, sizeof(error)), 0);
		assert_int_equal(loads, cases[i].loads);
		gap = clv_bpf_no_conntrack(bpf);
		assert_true(!gap == !cases[i].hint);
		if (gap) {
			print_message("%s: %s\n", gap->because, gap->hint);
			assert_non_null(strstr(gap->because, cases[i].because));
			assert_non_null(strstr(gap->hint, cases[i].hint));
		}
		clv_bpf_close(bpf);
	}
	rmdir(run_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hint_is_of_what_the_kernel_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
