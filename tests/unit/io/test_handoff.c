/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/io/handoff.h"

enum {
	WORKERS = 3,
	RING_BYTES = 65536,
};

static struct clv_worker_counters counters[WORKERS];
static int wake_fds[WORKERS];
static struct clv_handoff *handoff;

static int open_all(void **state)
{
	unsigned i;

	(void)state;
	memset(counters, 0, sizeof(counters));
	for (i = 0; i < WORKERS; i++)
		wake_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	handoff = clv_handoff_new(WORKERS, RING_BYTES, wake_fds);
	return handoff ? 0 : -1;
}

static int close_all(void **state)
{
	unsigned i;

	(void)state;
	clv_handoff_free(handoff);
	for (i = 0; i < WORKERS; i++)
		close(wake_fds[i]);
	return 0;
}

static struct clv_rx datagram(uint8_t *payload, uint32_t len, uint64_t number)
{
	struct clv_rx rx = {
		.local = { .addr = { [15] = 1 }, .port = 7 },
		.remote = { .addr = { [15] = 2 }, .port = 8 },
		.payload = payload,
		.payload_len = len,
		.ecn = 2,
		.kind = CLV_KIND_CONTEXT,
		.link = 3,
		.ref = { .slot = 4, .generation = 5, .worker = 1 },
		.frame = number,
		.l2 = { .dst_mac = { 2 }, .vlan_id = { 9 } },
	};

	memset(payload, (int)number, len);
	return rx;
}

static bool was_woken(unsigned worker)
{
	uint64_t count;

	return read(wake_fds[worker], &count, sizeof(count)) == sizeof(count);
}

static void all_of_a_datagram_arrives(void **state)
{
	static const uint32_t lens[] = { 0, 1, 7, 8, 1200, CLV_HANDOFF_PAYLOAD_MAX };
	uint8_t payload[CLV_HANDOFF_PAYLOAD_MAX], want[CLV_HANDOFF_PAYLOAD_MAX];
	struct clv_rx rx, out;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		rx = datagram(payload, lens[i], i + 1);
		memcpy(want, payload, lens[i]);
		assert_true(clv_handoff_send(handoff, 0, 1, &rx, &counters[0]));
		memset(payload, 0, sizeof(payload)); /* it was copied */
		assert_true(clv_handoff_peek(handoff, 1, &out));
		assert_int_equal(out.payload_len, lens[i]);
		assert_memory_equal(out.payload, want, lens[i]);
		rx.payload = out.payload;
		assert_memory_equal(&out, &rx, sizeof(out));
		memset(out.payload, 0xee, out.payload_len); /* as ciphers do */
		clv_handoff_release(handoff, 1);
		assert_false(clv_handoff_peek(handoff, 1, &out));
	}
	assert_int_equal(clv_count_read(&counters[0], CLV_COUNT_HANDOFF_OUT), i);
}

static void what_does_not_fit_is_counted(void **state)
{
	static uint8_t payload[CLV_HANDOFF_PAYLOAD_MAX + 1];
	struct clv_rx rx = datagram(payload, CLV_HANDOFF_PAYLOAD_MAX + 1, 1), out;
	unsigned sent = 0, heard = 0;

	(void)state;
	assert_false(clv_handoff_send(handoff, 0, 1, &rx, &counters[0]));
	assert_int_equal(clv_count_read(&counters[0], CLV_COUNT_DROP_HANDOFF_FULL), 1);

	rx = datagram(payload, 1200, 1);
	while (clv_handoff_send(handoff, 0, 1, &rx, &counters[0]))
		sent++;
	assert_true(sent >= RING_BYTES / 2 / 1500);
	assert_int_equal(clv_count_read(&counters[0], CLV_COUNT_DROP_HANDOFF_FULL), 2);
	/* Other pairs have room of their own. */
	assert_true(clv_handoff_send(handoff, 2, 1, &rx, &counters[2]));
	while (clv_handoff_peek(handoff, 1, &out)) {
		clv_handoff_release(handoff, 1);
		heard++;
	}
	assert_int_equal(heard, sent + 1);
	assert_true(clv_handoff_send(handoff, 0, 1, &rx, &counters[0]));
}

static void senders_take_turns(void **state)
{
	uint8_t payload[10];
	struct clv_rx rx, out;
	unsigned i;

	(void)state;
	for (i = 0; i < 8; i++) {
		rx = datagram(payload, sizeof(payload), i);
		assert_true(clv_handoff_send(handoff, i < 5 ? 0 : 2, 1, &rx, &counters[0]));
	}
	for (i = 0; i < 8; i++) {
		static const uint64_t order[] = { 0, 5, 1, 6, 2, 7, 3, 4 };

		assert_true(clv_handoff_peek(handoff, 1, &out));
		assert_int_equal(out.frame, order[i]);
		clv_handoff_release(handoff, 1);
	}
}

static void only_sleepers_are_woken_and_once(void **state)
{
	uint8_t payload[10];
	struct clv_rx rx = datagram(payload, sizeof(payload), 1), out;

	(void)state;
	assert_true(clv_handoff_send(handoff, 0, 1, &rx, &counters[0]));
	clv_handoff_flush(handoff, 0);
	assert_false(was_woken(1));			 /* awake */
	assert_false(clv_handoff_may_sleep(handoff, 1)); /* and must not sleep now */
	assert_true(clv_handoff_peek(handoff, 1, &out));
	clv_handoff_release(handoff, 1);

	assert_true(clv_handoff_may_sleep(handoff, 1));
	clv_handoff_flush(handoff, 0);
	assert_false(was_woken(1)); /* nothing was sent */
	assert_true(clv_handoff_send(handoff, 0, 1, &rx, &counters[0]));
	assert_true(clv_handoff_send(handoff, 2, 1, &rx, &counters[2]));
	assert_false(was_woken(1)); /* not before flush */
	clv_handoff_flush(handoff, 0);
	assert_true(was_woken(1));
	clv_handoff_flush(handoff, 2);
	assert_false(was_woken(1));
	assert_false(was_woken(0));
	assert_false(was_woken(2));
}

static void one_worker_needs_no_rings(void **state)
{
	const int fd = -1;
	struct clv_handoff *alone = clv_handoff_new(1, RING_BYTES, &fd);
	struct clv_rx out;

	(void)state;
	assert_non_null(alone);
	assert_false(clv_handoff_peek(alone, 0, &out));
	assert_true(clv_handoff_may_sleep(alone, 0));
	clv_handoff_free(alone);
	assert_null(clv_handoff_new(0, RING_BYTES, &fd));
	clv_handoff_free(NULL);
}

/* ---- threads: two senders, one owner that sleeps whenever it may ---- */

enum { EACH = 60000 };

static void *send_many(void *arg)
{
	uint16_t me = (uint16_t)(uintptr_t)arg;
	uint8_t payload[64];
	uint64_t i;

	for (i = 0; i < EACH;) {
		struct clv_rx rx = datagram(payload, (uint32_t)(i % sizeof(payload)), i);

		rx.link = me;
		if (clv_handoff_send(handoff, me, 1, &rx, &counters[me]))
			i++;
		if (i % 5 == 0)
			clv_handoff_flush(handoff, me);
		if (i % 1000 == 0)
			usleep(50); /* lets the owner fall asleep */
	}
	clv_handoff_flush(handoff, me);
	return NULL;
}

static void nothing_is_lost_between_threads_and_no_wakeup(void **state)
{
	struct pollfd fd = { .fd = wake_fds[1], .events = POLLIN };
	uint64_t next[WORKERS] = { 0 }, total = 0;
	unsigned slept = 0;
	pthread_t senders[2];
	struct clv_rx out;

	(void)state;
	pthread_create(&senders[0], NULL, send_many, (void *)0);
	pthread_create(&senders[1], NULL, send_many, (void *)2);
	while (total < 2 * EACH) {
		if (!clv_handoff_peek(handoff, 1, &out)) {
			if (!clv_handoff_may_sleep(handoff, 1))
				continue;
			assert_int_equal(poll(&fd, 1, 5000), 1); /* else a wake-up was lost */
			assert_true(was_woken(1));
			slept++;
			continue;
		}
		assert_int_equal(out.payload_len, out.frame % 64);
		if (out.payload_len)
			assert_int_equal(out.payload[out.payload_len - 1], out.frame & 0xff);
		assert_int_equal(out.frame, next[out.link]++);
		clv_handoff_release(handoff, 1);
		total++;
	}
	pthread_join(senders[0], NULL);
	pthread_join(senders[1], NULL);
	assert_int_equal(next[0], EACH);
	assert_int_equal(next[2], EACH);
	print_message("slept %u times\n", slept);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)
	const struct CMUnitTest tests[] = {
		CASE(all_of_a_datagram_arrives),
		CASE(what_does_not_fit_is_counted),
		CASE(senders_take_turns),
		CASE(only_sleepers_are_woken_and_once),
		CASE(one_worker_needs_no_rings),
		CASE(nothing_is_lost_between_threads_and_no_wakeup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
