/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <pthread.h>
#include <sched.h>

#include "datapath/base/rand.h"
#include "datapath/base/spsc.h"

static bool put(struct clv_spsc *ring, uint32_t type, uint8_t fill, size_t len)
{
	uint8_t *body = clv_spsc_reserve(ring, type, len);

	if (!body)
		return false;
	memset(body, fill, len);
	clv_spsc_commit(ring);
	return true;
}

static void check_front(struct clv_spsc *ring, uint32_t type, uint8_t fill, size_t len)
{
	struct clv_record r;

	assert_true(clv_spsc_peek(ring, &r));
	assert_int_equal(r.type, type);
	assert_int_equal(r.len, len);
	assert_int_equal((uintptr_t)r.body % 8, 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(((const uint8_t *)r.body)[i], fill);
}

static void keeps_order(void **state)
{
	struct clv_spsc *ring = clv_spsc_new(1);
	struct clv_record r;

	(void)state;
	assert_int_equal(clv_spsc_body_max(ring), 1024);
	assert_true(clv_spsc_is_empty(ring));
	assert_false(clv_spsc_peek(ring, &r));
	assert_true(put(ring, 1, 0xaa, 0));
	assert_true(put(ring, 2, 0xbb, 13));
	assert_false(clv_spsc_is_empty(ring));
	check_front(ring, 1, 0, 0);
	check_front(ring, 1, 0, 0); /* peek is not take */
	clv_spsc_release(ring);
	check_front(ring, 2, 0xbb, 13);
	clv_spsc_release(ring);
	assert_false(clv_spsc_peek(ring, &r));
	assert_true(clv_spsc_is_empty(ring));
	clv_spsc_free(ring);
	clv_spsc_free(NULL);
}

static void replaces_an_uncommitted_record(void **state)
{
	struct clv_spsc *ring = clv_spsc_new(4096);
	struct clv_record r;

	(void)state;
	assert_non_null(clv_spsc_reserve(ring, 1, 100));
	assert_false(clv_spsc_peek(ring, &r));
	assert_true(put(ring, 2, 0xcc, 10));
	check_front(ring, 2, 0xcc, 10);
	clv_spsc_free(ring);
}

/* From every starting offset, a record of the largest size goes into the empty ring. */
static void takes_the_largest_anywhere(void **state)
{
	struct clv_spsc *ring = clv_spsc_new(4096);

	(void)state;
	for (size_t offset = 0; offset < 4096; offset += 8) {
		assert_true(put(ring, 3, 0xdd, clv_spsc_body_max(ring)));
		check_front(ring, 3, 0xdd, clv_spsc_body_max(ring));
		clv_spsc_release(ring);
		/* and on by 8 bytes at a time, so that it ends everywhere */
		assert_true(put(ring, 4, 0, 0));
		clv_spsc_release((check_front(ring, 4, 0, 0), ring));
	}
	clv_spsc_free(ring);
}

static void refuses_when_full(void **state)
{
	struct clv_spsc *ring = clv_spsc_new(4096);
	unsigned in = 0, out = 0;

	(void)state;
	while (put(ring, in, (uint8_t)in, 56))
		in++;
	assert_int_equal(in, 4096 / 64); /* not a byte is lost */
	for (int i = 0; i < 1000; i++) {
		check_front(ring, out, (uint8_t)out, 56);
		clv_spsc_release(ring);
		out++;
		assert_true(put(ring, in, (uint8_t)in, 56));
		in++;
		assert_false(put(ring, in, (uint8_t)in, 0));
	}
	clv_spsc_free(ring);
}

static void refuses_absurd_size(void **state)
{
	(void)state;
	assert_null(clv_spsc_new(SIZE_MAX));
	assert_null(clv_spsc_new(((size_t)1 << 31) + 1));
}

enum { RECORDS = 200000 };

/* Lengths and contents follow from the number, so the reader knows what must come. */
static size_t len_of(uint32_t number)
{
	return number * UINT32_C(2654435761) >> 22; /* below 1024 */
}

static void *produce(void *arg)
{
	struct clv_spsc *ring = arg;

	for (uint32_t i = 0; i < RECORDS; i++) {
		while (!put(ring, i, (uint8_t)i, len_of(i)))
			sched_yield();
	}
	return NULL;
}

static void passes_between_threads(void **state)
{
	struct clv_spsc *ring = clv_spsc_new(16384);
	pthread_t producer;

	(void)state;
	assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);
	for (uint32_t i = 0; i < RECORDS;) {
		struct clv_record r;

		if (!clv_spsc_peek(ring, &r)) {
			sched_yield();
			continue;
		}
		assert_int_equal(r.type, i);
		assert_int_equal(r.len, len_of(i));
		if (r.len) {
			assert_int_equal(((const uint8_t *)r.body)[0], (uint8_t)i);
			assert_int_equal(((const uint8_t *)r.body)[r.len - 1], (uint8_t)i);
		}
		clv_spsc_release(ring);
		i++;
	}
	pthread_join(producer, NULL);
	assert_true(clv_spsc_is_empty(ring));
	clv_spsc_free(ring);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("records come out in order with their bytes", keeps_order),
		CASE("a record that is not committed is never seen",
		     replaces_an_uncommitted_record),
		CASE("the largest record fits the empty ring at every offset",
		     takes_the_largest_anywhere),
		CASE("a full ring refuses and takes again after a release", refuses_when_full),
		CASE("a ring beyond 2 GiB is refused", refuses_absurd_size),
		CASE("two threads pass every record once and whole", passes_between_threads),
	};

	return cmocka_run_group_tests_name("spsc", cases, NULL, NULL);
}
