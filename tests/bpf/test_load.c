/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The kernel takes both objects of the XDP program: where it refuses one, the relay goes on with less.
 * A chain of calls may use 512 bytes of stack, and how much one uses depends on the compiler: some of
 * them stay free.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "culvert.skel.h"
#include "culvert_tracked.skel.h"

enum {
	STACK_BYTES = 512,   /* of a chain of calls, as the kernel allows */
	STACK_UNIT = 32,     /* to which it rounds each function up; later ones round less */
	STACK_ROOM_MIN = 32, /* what other compilers may take more */
	FUNCTIONS_MAX = 32,
	LOG_STATS = 4, /* BPF_LOG_STATS */
	LOG_BYTES = 1 << 16,
};

/* The functions of a program, the entry first, in the order of its instructions. */
struct functions {
	uint32_t start[FUNCTIONS_MAX];
	uint32_t stack[FUNCTIONS_MAX]; /* bytes */
	size_t len;
};

static bool is_call(const struct bpf_insn *insn)
{
	return insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_CALL;
}

static int compare_starts(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static size_t index_of(const struct functions *f, uint32_t start)
{
	size_t i = 0;

	while (i < f->len && f->start[i] != start)
		i++;
	return i;
}

static void find_functions(const struct bpf_program *program, struct functions *f)
{
	const struct bpf_insn *insns = bpf_program__insns(program);

	f->start[f->len++] = 0;
	for (uint32_t i = 0; i < bpf_program__insn_cnt(program); i++) {
		uint32_t target = i + 1 + (uint32_t)insns[i].imm;

		if (!is_call(&insns[i]) || index_of(f, target) < f->len)
			continue;
		assert_true(f->len < FUNCTIONS_MAX);
		f->start[f->len++] = target;
	}
	qsort(f->start, f->len, sizeof(f->start[0]), compare_starts);
}

/* "stack depth 192+24+8": of each function, in their order.  Returns whether the kernel says so. */
static bool read_stacks(const char *log, struct functions *f)
{
	static const char head[] = "stack depth ";
	const char *at = strstr(log, head);
	char *end;

	if (!at)
		return false;
	at += sizeof(head) - 1;
	for (size_t i = 0; i < f->len; i++, at = end + 1) {
		f->stack[i] = (uint32_t)strtoul(at, &end, 10);
		assert_ptr_not_equal(end, at);
		assert_true((*end == '+') == (i + 1 < f->len));
	}
	return true;
}

/* Bytes of the deepest chain of calls from function i on.  The kernel has refused recursion. */
static uint32_t deepest(const struct bpf_program *program, const struct functions *f, size_t i)
{
	const struct bpf_insn *insns = bpf_program__insns(program);
	const size_t end = i + 1 < f->len ? f->start[i + 1] : bpf_program__insn_cnt(program);
	const uint32_t own = f->stack[i] ? f->stack[i] : 1;
	uint32_t below = 0;

	for (uint32_t at = f->start[i]; at < end; at++) {
		uint32_t chain;

		if (!is_call(&insns[at]))
			continue;
		chain = deepest(program, f, index_of(f, at + 1 + (uint32_t)insns[at].imm));
		below = chain > below ? chain : below;
	}
	return below + (own + STACK_UNIT - 1) / STACK_UNIT * STACK_UNIT;
}

static void assert_room(const struct bpf_program *program, const char *log)
{
	struct functions f = { 0 };
	uint32_t used;

	find_functions(program, &f);
	if (!read_stacks(log, &f)) {
		print_message("%s: this kernel does not tell the stack\n",
			      bpf_program__name(program));
		return;
	}
	used = deepest(program, &f, 0);
	print_message("%s: %u bytes of stack in %zu functions, room for %d\n",
		      bpf_program__name(program), used, f.len, STACK_BYTES - (int)used);
	assert_true(used + STACK_ROOM_MIN <= STACK_BYTES);
}

/* Loads the object, with room on the stack of each program. */
static void assert_loads(const struct bpf_object_skeleton *skeleton)
{
	struct bpf_object *object = *skeleton->obj;
	struct bpf_program *program;
	char *log = calloc(2, LOG_BYTES);
	size_t n = 0;

	assert_non_null(log);
	bpf_object__for_each_program(program, object)
	{
		assert_true(n < 2);
		bpf_program__set_log_level(program, LOG_STATS);
		bpf_program__set_log_buf(program, log + LOG_BYTES * n++, LOG_BYTES);
	}
	assert_int_equal(bpf_object__load(object), 0);
	n = 0;
	bpf_object__for_each_program(program, object)
	{
		assert_room(program, log + LOG_BYTES * n++);
	}
	free(log);
}

static void the_plain_object(void **state)
{
	struct culvert_bpf *plain;

	(void)state;
	if (geteuid() != 0)
		skip();
	plain = culvert_bpf__open();
	assert_non_null(plain);
	assert_loads(plain->skeleton);
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
	tracked = culvert_tracked_bpf__open();
	assert_non_null(tracked);
	assert_loads(tracked->skeleton);
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
