/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/mailbox.h"
#include "datapath/base/rand.h"

static bool take(struct clv_mailbox *mb, uint32_t type, const void *body, size_t len)
{
	struct clv_record r;
	bool same;

	if (!clv_mailbox_peek(mb, &r))
		return false;
	same = r.type == type && r.len == len && (!len || !memcmp(r.body, body, len));
	clv_mailbox_release(mb);
	return same;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void joins_head_and_tail(void **state)
{
	struct clv_mailbox *mb = clv_mailbox_new(4096, -1);

	(void)state;
	assert_int_equal(clv_mailbox_send(mb, 1, "head", 4, "tail", 4), 0);
	assert_int_equal(clv_mailbox_send(mb, 2, "head", 4, NULL, 0), 0);
	assert_int_equal(clv_mailbox_send(mb, 3, NULL, 0, NULL, 0), 0);
	assert_false(clv_mailbox_flush(mb));
	assert_true(take(mb, 1, "headtail", 8));
	assert_true(take(mb, 2, "head", 4));
	assert_true(take(mb, 3, "", 0));
	assert_false(take(mb, 4, "", 0));
	clv_mailbox_free(mb);
	clv_mailbox_free(NULL);
}

static void refuses_too_large(void **state)
{
	struct clv_mailbox *mb = clv_mailbox_new(4096, -1);
	static const uint8_t body[2048];

	(void)state;
	assert_int_equal(clv_mailbox_send(mb, 1, body, 1024, body, 1), CLV_ERANGE);
	assert_int_equal(clv_mailbox_send(mb, 1, body, 1025, NULL, 0), CLV_ERANGE);
	assert_int_equal(clv_mailbox_send(mb, 1, body, 1, body, SIZE_MAX), CLV_ERANGE);
	assert_int_equal(clv_mailbox_send(mb, 2, body, 1000, body, 24), 0);
	assert_true(take(mb, 2, body, 1024));
	clv_mailbox_free(mb);
}

static void keeps_order_past_the_ring(void **state)
{
	enum { MESSAGES = 1000, LEN = 100 };
	struct clv_mailbox *mb = clv_mailbox_new(4096, -1);
	uint8_t body[LEN];
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < MESSAGES; i++) {
		memset(body, (int)i, sizeof(body));
		assert_int_equal(clv_mailbox_send(mb, i, body, LEN, NULL, 0), 0);
	}
	assert_true(clv_mailbox_flush(mb));
	assert_true(clv_mailbox_backlog(mb) > (MESSAGES - 50) * LEN);
	while (taken < MESSAGES) {
		for (unsigned i = 0; i < 7 && taken < MESSAGES; i++, taken++) {
			memset(body, (int)taken, sizeof(body));
			assert_true(take(mb, taken, body, LEN));
		}
		clv_mailbox_flush(mb);
	}
	assert_int_equal(clv_mailbox_backlog(mb), 0);
	assert_false(clv_mailbox_flush(mb));
	clv_mailbox_free(mb);
}

static void charges_the_list_to_its_owner(void **state)
{
	struct clv_mailbox *mb = clv_mailbox_new(4096, -1);
	struct clv_budget budget = { .max = 1 << 20 };
	struct clv_budget_holder one, other;
	static const uint8_t body[1000];
	struct clv_record r;
	uint32_t last = 0;

	(void)state;
	clv_budget_join(&budget, &one);
	clv_budget_join(&budget, &other);
	assert_int_equal(clv_mailbox_send_for(mb, &one, 1, body, sizeof(body), NULL, 0), 0);
	assert_int_equal(budget.used, 0); /* what is in the ring waits no more */
	while (!clv_mailbox_backlog(mb))
		assert_int_equal(clv_mailbox_send(mb, 1, body, sizeof(body), NULL, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(clv_mailbox_send_for(mb, &one, 2, body, sizeof(body), NULL, 0), 0);
	assert_int_equal(clv_mailbox_send_for(mb, &other, 3, body, sizeof(body), NULL, 0), 0);
	assert_true(one.used > 3 * sizeof(body));
	assert_true(other.used > sizeof(body));
	clv_mailbox_disown(mb, &one);
	assert_int_equal(one.used, 0);
	clv_budget_leave(&one);
	memset(&one, 0xff, sizeof(one)); /* not looked at any more */
	for (clv_mailbox_flush(mb); clv_mailbox_peek(mb, &r); clv_mailbox_flush(mb)) {
		last = r.type;
		clv_mailbox_release(mb);
	}
	assert_int_equal(last, 3);
	assert_int_equal(budget.used, 0);
	clv_mailbox_free(mb);
}

static void frees_what_nobody_took(void **state)
{
	struct clv_mailbox *mb = clv_mailbox_new(4096, -1);
	static const uint8_t body[1000];

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(clv_mailbox_send(mb, 1, body, sizeof(body), NULL, 0), 0);
	assert_true(clv_mailbox_backlog(mb) > 0);
	clv_mailbox_free(mb);
}

static void wakes_only_sleepers(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct clv_mailbox *mb = clv_mailbox_new(4096, fd);
	uint64_t count;

	(void)state;
	clv_mailbox_send(mb, 1, NULL, 0, NULL, 0);
	clv_mailbox_flush(mb);
	assert_false(is_readable(fd));		 /* nobody sleeps */
	assert_false(clv_mailbox_may_sleep(mb)); /* a message is there */
	assert_true(take(mb, 1, "", 0));
	assert_true(clv_mailbox_may_sleep(mb));
	clv_mailbox_flush(mb);
	assert_false(is_readable(fd)); /* nothing was sent */

	clv_mailbox_send(mb, 2, NULL, 0, NULL, 0);
	assert_false(is_readable(fd)); /* the wake-up comes with flush */
	for (int i = 0; i < 3; i++) {
		clv_mailbox_flush(mb);
		clv_mailbox_send(mb, 2, NULL, 0, NULL, 0);
	}
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1); /* one for each sleep */
	assert_false(clv_mailbox_may_sleep(mb));

	while (take(mb, 2, "", 0))
		;
	clv_mailbox_send(mb, 3, NULL, 0, NULL, 0);
	clv_mailbox_flush(mb);
	assert_false(is_readable(fd)); /* peek took the request back */
	clv_mailbox_free(mb);
	close(fd);
}

/* ---- two threads ---- */

struct stress {
	struct clv_mailbox *mb;
	int fd;
	uint64_t until_ns;
	uint32_t sent;
};

enum { LAST = UINT32_MAX };

/* Bursts and pauses of random length: the receiver falls asleep at every possible moment. */
static void *stress_send(void *arg)
{
	struct stress *s = arg;
	uint8_t body[512];
	struct clv_rand r;
	int err = 0;

	clv_rand_init(&r, 3);
	while (!err && clv_clock_now_ns() < s->until_ns) {
		uint64_t x = clv_rand_u64(&r);

		for (unsigned i = 0; i <= x % 40 && !err; i++) {
			size_t len = (size_t)(clv_rand_u64(&r) % sizeof(body));

			memset(body, (int)s->sent, len);
			err = clv_mailbox_send(s->mb, s->sent, body, len / 2, body, len - len / 2);
			s->sent += !err;
		}
		while (clv_mailbox_flush(s->mb))
			sched_yield();
		for (uint64_t pause = x >> 8 & 0x3ff; pause; pause--)
			__asm__ volatile("" ::: "memory");
	}
	while (!err && (err = clv_mailbox_send(s->mb, (uint32_t)LAST, NULL, 0, NULL, 0)))
		;
	while (clv_mailbox_flush(s->mb))
		sched_yield();
	return NULL;
}

static void loses_no_wake_up(void **state)
{
	struct stress s = { .fd = eventfd(0, EFD_NONBLOCK),
			    .until_ns = clv_clock_now_ns() + CLV_SEC };
	uint32_t next = 0, sleeps = 0;
	pthread_t sender;
	bool done = false;

	(void)state;
	s.mb = clv_mailbox_new(4096, s.fd);
	assert_int_equal(pthread_create(&sender, NULL, stress_send, &s), 0);
	while (!done) {
		struct clv_record r;
		uint64_t count;

		while (clv_mailbox_peek(s.mb, &r)) {
			done = r.type == (uint32_t)LAST;
			if (!done) {
				assert_int_equal(r.type, next);
				if (r.len)
					assert_int_equal(((const uint8_t *)r.body)[r.len - 1],
							 (uint8_t)next);
				next++;
			}
			clv_mailbox_release(s.mb);
		}
		if (!done && clv_mailbox_may_sleep(s.mb)) {
			struct pollfd p = { .fd = s.fd, .events = POLLIN };

			/* Ten seconds without a message mean that a wake-up was lost. */
			assert_int_equal(poll(&p, 1, 10000), 1);
			assert_int_equal(read(s.fd, &count, sizeof(count)), sizeof(count));
			sleeps++;
		}
	}
	pthread_join(sender, NULL);
	assert_int_equal(next, s.sent);
	print_message("%u messages, %u sleeps\n", next, sleeps);
	clv_mailbox_free(s.mb);
	close(s.fd);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("head and tail arrive as one record", joins_head_and_tail),
		CASE("a body beyond the ring's largest is refused", refuses_too_large),
		CASE("order holds when the ring overflows", keeps_order_past_the_ring),
		CASE("what waits outside the ring is charged to whom it is for",
		     charges_the_list_to_its_owner),
		CASE("messages nobody took are freed", frees_what_nobody_took),
		CASE("a sleeping receiver is woken once, a busy one never", wakes_only_sleepers),
		CASE("no message and no wake-up is lost between threads", loses_no_wake_up),
	};

	return cmocka_run_group_tests_name("mailbox", cases, NULL, NULL);
}
