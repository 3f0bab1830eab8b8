/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	KIB = 1024,
	MAX = 1024 * KIB,
	MUCH = CLV_HEAP_OWN_FREE + 64 * KIB,
};

struct owner {
	struct clv_heap heap;
	struct clv_worker_counters counters;
};

static void open_owner(struct owner *o)
{
	*o = (struct owner){ 0 };
	o->heap = (struct clv_heap){ .max = MAX, .counters = &o->counters };
}

static void *have(struct clv_conn_heap *c, size_t size)
{
	return c->mem.malloc(size, c->mem.user_data);
}

static void give(struct clv_conn_heap *c, void *p)
{
	c->mem.free(p, c->mem.user_data);
}

static uint64_t refusals(const struct owner *o)
{
	return clv_count_read(&o->counters, CLV_COUNT_QUIC_MEMORY_FULL);
}

static void all_that_is_had_is_counted_and_comes_back(void **state)
{
	struct owner o;
	struct clv_conn_heap c;
	void *p, *q;

	(void)state;
	open_owner(&o);
	clv_heap_init(&c, &o.heap);
	p = have(&c, 1000);
	q = c.mem.calloc(10, 100, c.mem.user_data);
	assert_true(o.heap.used >= 2000 && o.heap.used < 2200);
	assert_int_equal(c.used, o.heap.used);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(((uint8_t *)q)[i], 0);
	memset(p, 7, 1000);
	p = c.mem.realloc(p, 5000, c.mem.user_data);
	assert_int_equal(((uint8_t *)p)[999], 7);
	assert_true(o.heap.used >= 6000 && o.heap.used < 6200);
	give(&c, p);
	give(&c, q);
	give(&c, NULL);
	assert_int_equal(o.heap.used, 0);
	assert_int_equal(c.used, 0);
	assert_null(c.mem.calloc(SIZE_MAX, 2, c.mem.user_data));
}

static void near_the_ceiling_only_who_holds_little_gets_more(void **state)
{
	struct owner o;
	struct clv_conn_heap much, little;
	void *p, *q, *r;

	(void)state;
	open_owner(&o);
	clv_heap_init(&much, &o.heap);
	clv_heap_init(&little, &o.heap);
	p = have(&much, MAX / 4 * 3 - KIB);
	assert_non_null(p);
	assert_null(have(&much, 4 * KIB));
	assert_null(much.mem.calloc(4, KIB, much.mem.user_data));
	assert_null(much.mem.realloc(p, MAX / 4 * 3 + 4 * KIB, much.mem.user_data));
	assert_int_equal(refusals(&o), 3);
	q = have(&little, 200 * KIB);
	assert_non_null(q);
	assert_null(have(&little, MAX / 4)); /* beyond the ceiling itself */
	assert_int_equal(refusals(&o), 4);
	give(&much, p);
	r = have(&much, MUCH);
	assert_non_null(r);
	give(&much, r);
	give(&little, q);
	assert_int_equal(o.heap.used, 0);
}

static void many_small_ones_of_one_source_leave_room_for_another(void **state)
{
	enum { HOGS = 64, PIECE = 16 * KIB, WHOLE = 64 * 1024 * KIB };
	struct owner o;
	struct clv_heap_source hog = { 0 }, bystander = { 0 };
	struct clv_conn_heap old, little, hogs[HOGS];
	void *full, *needs[HOGS], *pieces[HOGS] = { 0 }, *p;
	uint64_t left;

	(void)state;
	open_owner(&o);
	o.heap.max = WHOLE;
	clv_heap_init(&old, &o.heap);
	full = have(&old, WHOLE / 4 * 3);
	for (int i = 0; i < HOGS; i++) {
		clv_heap_init(&hogs[i], &o.heap);
		clv_heap_charge(&hogs[i], &hog);
		needs[i] = have(&hogs[i], 30 * KIB);
		assert_non_null(needs[i]);
	}
	/* Each stays below what one connection may have; together they would take all. */
	for (int i = 0; i < HOGS; i++)
		while ((p = have(&hogs[i], PIECE)) != NULL) {
			*(void **)p = pieces[i];
			pieces[i] = p;
		}
	left = WHOLE - o.heap.used;
	assert_true(left > WHOLE / 4 / 3);
	assert_true(refusals(&o) >= HOGS);

	clv_heap_init(&little, &o.heap);
	clv_heap_charge(&little, &bystander);
	p = have(&little, 200 * KIB);
	assert_non_null(p);
	give(&little, p);
	assert_int_equal(bystander.used, 0);

	/* It moves to an address of the bystander's: so does what it holds. */
	clv_heap_charge(&hogs[0], &bystander);
	assert_int_equal(bystander.used, hogs[0].used);
	for (int i = 0; i < HOGS; i++) {
		give(&hogs[i], needs[i]);
		while ((p = pieces[i]) != NULL) {
			pieces[i] = *(void **)p;
			give(&hogs[i], p);
		}
	}
	assert_int_equal(hog.used, 0);
	assert_int_equal(bystander.used, 0);
	give(&old, full);
	assert_int_equal(o.heap.used, 0);
}

static void a_connection_takes_what_it_holds_to_its_next_owner(void **state)
{
	struct owner from, to;
	struct clv_conn_heap c;
	uint64_t held;
	void *p;

	(void)state;
	open_owner(&from);
	open_owner(&to);
	clv_heap_init(&c, &from.heap);
	p = have(&c, MUCH);
	held = c.used;
	clv_heap_leave(&c);
	assert_int_equal(from.heap.used, 0);
	clv_heap_join(&c, &to.heap);
	assert_int_equal(to.heap.used, held);
	give(&c, p);
	assert_int_equal(to.heap.used, 0);
}

static void without_a_ceiling_nothing_is_refused(void **state)
{
	struct clv_conn_heap c;
	void *p;

	(void)state;
	clv_heap_init(&c, NULL);
	p = have(&c, 2 * MAX);
	assert_non_null(p);
	give(&c, p);
	assert_int_equal(c.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_had_is_counted_and_comes_back),
		cmocka_unit_test(near_the_ceiling_only_who_holds_little_gets_more),
		cmocka_unit_test(many_small_ones_of_one_source_leave_room_for_another),
		cmocka_unit_test(a_connection_takes_what_it_holds_to_its_next_owner),
		cmocka_unit_test(without_a_ceiling_nothing_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
