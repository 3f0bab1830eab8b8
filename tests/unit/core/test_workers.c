/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/core/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "datapath/base/err.h"

enum {
	WORKERS = 3,
	SLOTS = 4,
};

struct fixture {
	struct clv_control c;
	struct clv_control_worker workers[WORKERS];
};

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, (sizeof(*f) + 63) & ~(size_t)63);

	assert_non_null(f);
	memset(f, 0, sizeof(*f));
	for (int i = 0; i < WORKERS; i++)
		f->workers[i].commands = clv_mailbox_new(4096, -1);
	f->c.p.workers = f->workers;
	f->c.p.workers_len = WORKERS;
	f->c.p.limits.conns_max = f->c.p.limits.tunnels_max = SLOTS;
	assert_int_equal(workers_open(&f->c), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	workers_close(&f->c);
	for (int i = 0; i < WORKERS; i++)
		clv_mailbox_free(f->workers[i].commands);
	free(f);
	return 0;
}

/* The command that a worker receives next; asserts that there is one. */
static void expect_command(struct fixture *f, int worker, uint32_t type, const char *text)
{
	struct clv_mailbox *commands = f->workers[worker].commands;
	struct clv_record r;

	assert_true(clv_mailbox_peek(commands, &r));
	assert_int_equal(r.type, type);
	assert_int_equal(r.len, strlen(text));
	assert_memory_equal(r.body, text, r.len);
	clv_mailbox_release(commands);
}

static void expect_none(struct fixture *f, int worker)
{
	struct clv_record r;

	assert_false(clv_mailbox_peek(f->workers[worker].commands, &r));
}

static void test_slots(void **state)
{
	struct fixture *f = *state;
	struct slots *slots = &f->c.workers[1].tunnel_slots;
	struct clv_ref ref;

	for (uint32_t i = 0; i < SLOTS; i++) {
		assert_int_equal(slots_take(slots, &ref), 0);
		assert_int_equal(ref.slot, i);
		assert_int_equal(ref.generation, 1);
	}
	ref = (struct clv_ref){ .slot = 77, .generation = 88 };
	assert_int_equal(slots_take(slots, &ref), CLV_EFULL);
	assert_int_equal(ref.slot, 77);
	assert_int_equal(ref.generation, 88);
}

static void test_generations(void **state)
{
	struct fixture *f = *state;
	struct slots *slots = &f->c.workers[0].conn_slots;
	struct clv_ref first, second, third;

	assert_int_equal(slots_take(slots, &first), 0);
	assert_int_equal(slots_take(slots, &second), 0);
	slots_give(slots, first.slot);
	assert_int_equal(slots_take(slots, &third), 0);
	assert_int_equal(third.slot, first.slot);
	assert_int_equal(third.generation, first.generation + 1);
	assert_int_equal(second.generation, 1);
}

static void test_workers_have_their_own_slots(void **state)
{
	struct fixture *f = *state;
	struct clv_ref ref;

	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(slots_take(&f->c.workers[0].conn_slots, &ref), 0);
	assert_int_equal(slots_take(&f->c.workers[0].conn_slots, &ref), CLV_EFULL);
	assert_int_equal(slots_take(&f->c.workers[0].tunnel_slots, &ref), 0);
	assert_int_equal(slots_take(&f->c.workers[1].conn_slots, &ref), 0);
}

static void test_send(void **state)
{
	struct fixture *f = *state;

	workers_send(&f->c, 1, CLV_CMD_STREAM_WRITE, "head", 4, "tail", 4);
	workers_send(&f->c, 1, CLV_CMD_STOP, NULL, 0, NULL, 0);
	workers_flush(&f->c);
	expect_command(f, 1, CLV_CMD_STREAM_WRITE, "headtail");
	expect_command(f, 1, CLV_CMD_STOP, "");
	for (int i = 0; i < WORKERS; i++)
		expect_none(f, i);
}

static void test_broadcast(void **state)
{
	struct fixture *f = *state;

	workers_broadcast(&f->c, CLV_CMD_ICMP, "all", 3);
	workers_flush(&f->c);
	for (int i = 0; i < WORKERS; i++) {
		expect_command(f, i, CLV_CMD_ICMP, "all");
		expect_none(f, i);
	}
}

int main(void)
{
#define CASE(name, fn)                                                                             \
	{                                                                                          \
		name, fn, setup, teardown, NULL                                                    \
	}
	const struct CMUnitTest tests[] = {
		CASE("slots are handed out from the lowest, until none is left", test_slots),
		CASE("a slot's next tenant has another generation", test_generations),
		CASE("each worker has slots of its own, for each kind",
		     test_workers_have_their_own_slots),
		CASE("a command reaches its worker, in order, head and tail joined", test_send),
		CASE("a broadcast reaches every worker once", test_broadcast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
