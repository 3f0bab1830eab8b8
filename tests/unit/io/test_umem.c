/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/io/umem.h"

enum {
	FRAMES = 700, /* no multiple of a huge page */
};

static void every_frame_comes_out_once_and_goes_back(void **state)
{
	uint8_t seen[FRAMES] = { 0 };
	uint64_t frames[FRAMES];
	struct clv_umem u;
	unsigned i;

	(void)state;
	assert_int_equal(clv_umem_open(&u, FRAMES, -1), 0);
	assert_int_equal(u.len_bytes, FRAMES * CLV_UMEM_FRAME_BYTES);
	for (i = 0; i < FRAMES; i++) {
		frames[i] = clv_umem_take(&u, CLV_UMEM_HELD);
		assert_true(frames[i] < u.len_bytes);
		assert_int_equal(frames[i] % CLV_UMEM_FRAME_BYTES, 0);
		assert_int_equal(seen[frames[i] / CLV_UMEM_FRAME_BYTES]++, 0);
		/* All of it is memory of ours. */
		memset(clv_umem_data(&u, frames[i]), (int)i, CLV_UMEM_FRAME_BYTES);
	}
	assert_true(clv_umem_take(&u, CLV_UMEM_HELD) == CLV_UMEM_NO_FRAME);
	for (i = 0; i < FRAMES; i++) {
		assert_int_equal(*clv_umem_data(&u, frames[i]), i & 0xff);
		clv_umem_give(&u, frames[i], CLV_UMEM_HELD);
	}
	assert_int_equal(u.free_count, FRAMES);
	clv_umem_close(&u);
	clv_umem_close(&u); /* closed is zeroed, and closing that is nothing */
}

static void the_frame_given_last_comes_first(void **state)
{
	uint64_t a, b;
	struct clv_umem u;

	(void)state;
	assert_int_equal(clv_umem_open(&u, FRAMES, -1), 0);
	a = clv_umem_take(&u, CLV_UMEM_HELD);
	b = clv_umem_take(&u, CLV_UMEM_HELD);
	clv_umem_give(&u, b, CLV_UMEM_HELD);
	clv_umem_give(&u, a, CLV_UMEM_HELD);
	assert_true(clv_umem_take(&u, CLV_UMEM_HELD) == a);
	assert_true(clv_umem_take(&u, CLV_UMEM_HELD) == b);
	clv_umem_close(&u);
}

static void memory_is_page_aligned_on_any_node(void **state)
{
	struct clv_umem u;
	int node;

	(void)state;
	for (node = -1; node < 1; node++) {
		assert_int_equal(clv_umem_open(&u, 1, node), 0);
		assert_int_equal((uintptr_t)u.area % CLV_UMEM_FRAME_BYTES, 0);
		u.area[CLV_UMEM_FRAME_BYTES - 1] = 1;
		clv_umem_close(&u);
	}
	assert_int_equal(clv_umem_open(&u, 0, -1), -EINVAL);
}

static void addresses_within_a_frame_name_it(void **state)
{
	(void)state;
	assert_true(clv_umem_frame_of(0) == 0);
	assert_true(clv_umem_frame_of(CLV_UMEM_FRAME_BYTES - 1) == 0);
	assert_true(clv_umem_frame_of(CLV_UMEM_FRAME_BYTES + 256) == CLV_UMEM_FRAME_BYTES);
}

/* What a frame's keeper may do wrong; each must end the program in a debug build. */
static void give_twice(struct clv_umem *u)
{
	uint64_t frame = clv_umem_take(u, CLV_UMEM_HELD);

	clv_umem_give(u, frame, CLV_UMEM_HELD);
	clv_umem_give(u, frame, CLV_UMEM_HELD);
}

static void give_from_elsewhere(struct clv_umem *u)
{
	clv_umem_give(u, clv_umem_take(u, CLV_UMEM_FILL), CLV_UMEM_TX);
}

static void give_what_is_no_frame(struct clv_umem *u)
{
	clv_umem_give(u, clv_umem_take(u, CLV_UMEM_HELD) + 256, CLV_UMEM_HELD);
}

static void give_what_is_outside(struct clv_umem *u)
{
	clv_umem_give(u, (uint64_t)FRAMES * CLV_UMEM_FRAME_BYTES, CLV_UMEM_HELD);
}

static void misplaced_frames_are_caught_in_debug_builds(void **state)
{
	void (*const wrongs[])(struct clv_umem *) = { give_twice, give_from_elsewhere,
						      give_what_is_no_frame, give_what_is_outside };
	size_t i;

	(void)state;
#ifdef NDEBUG
	skip();
#endif
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		pid_t child = fork();
		struct clv_umem u;
		int status;

		assert_true(child >= 0);
		if (!child) {
			fclose(stderr); /* the assertion's own words */
			if (clv_umem_open(&u, FRAMES, -1))
				_exit(1);
			wrongs[i](&u);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_comes_out_once_and_goes_back),
		cmocka_unit_test(the_frame_given_last_comes_first),
		cmocka_unit_test(memory_is_page_aligned_on_any_node),
		cmocka_unit_test(addresses_within_a_frame_name_it),
		cmocka_unit_test(misplaced_frames_are_caught_in_debug_builds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
