/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of neighbours, fed with notifications as the kernel sends them; it asks nobody. */
#include "tests/unit/check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "control/host/neighbours.h"
#include "datapath/base/clock.h"

enum {
	MAX = 8,
	LINK = 3,
	SCANNED = 100,
	RETRIES = 50, /* more than there are */
};

struct fixture {
	struct clv_neighbours ns;
	struct clv_neigh_change change; /* the last one */
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .change = { .is_gateway = false } };
	*state = &f;
	return clv_neighbours_init(&f.ns, NULL, MAX, (const uint64_t[2]){ 1, 2 });
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	clv_neighbours_fini(&f->ns);
	return 0;
}

static struct clv_fib_answer answer_of(unsigned number, bool has_gateway)
{
	return (struct clv_fib_answer){
		.oif = LINK,
		.has_gateway = has_gateway,
		.next = { [10] = 0xff,
			  [11] = 0xff,
			  [12] = 198,
			  [13] = 18,
			  [14] = (uint8_t)(number >> 8),
			  [15] = (uint8_t)number },
	};
}

static uint8_t look_up(struct fixture *f, unsigned number)
{
	const struct clv_fib_answer answer = answer_of(number, false);

	return clv_neighbours_lookup(&f->ns, &answer)->state;
}

static bool is_known(struct fixture *f, unsigned number)
{
	const struct clv_fib_answer answer = answer_of(number, false);

	return clv_neighbours_is_known(&f->ns, &answer);
}

/* Returns whether a hop changed. */
static bool tell(struct fixture *f, uint16_t type, unsigned number, uint16_t nud, uint8_t mac)
{
	const struct clv_fib_answer answer = answer_of(number, false);
	const uint8_t lladdr[6] = { 2, 0, 0, 0, 0, mac };
	struct nlmsghdr *message;
	struct ndmsg *head;
	char buffer[256];

	message = mnl_nlmsg_put_header(buffer);
	message->nlmsg_type = type;
	head = mnl_nlmsg_put_extra_header(message, sizeof(*head));
	head->ndm_family = AF_INET;
	head->ndm_ifindex = LINK;
	head->ndm_state = nud;
	mnl_attr_put(message, NDA_DST, 4, answer.next + 12);
	if (mac)
		mnl_attr_put(message, NDA_LLADDR, sizeof(lladdr), lladdr);
	return clv_neighbours_take(&f->ns, message, &f->change);
}

static bool answers(struct fixture *f, unsigned number)
{
	return tell(f, RTM_NEWNEIGH, number, NUD_REACHABLE, 7);
}

static bool fails(struct fixture *f, unsigned number)
{
	return tell(f, RTM_NEWNEIGH, number, NUD_FAILED, 0);
}

static void test_a_scan_pushes_out_nobody_who_is_there(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= MAX / 2; i++) {
		assert_int_equal(look_up(f, i), CLV_NEIGH_RESOLVING);
		assert_true(answers(f, i));
	}
	for (unsigned i = 1000; i < 1000 + SCANNED; i++) {
		look_up(f, i);
		if (i % 2)
			fails(f, i);
	}
	assert_int_equal(f->ns.evicted, SCANNED - MAX / 2);
	for (unsigned i = 1; i <= MAX / 2; i++)
		assert_int_equal(look_up(f, i), CLV_NEIGH_READY);
	/* Those that were scanned last are known, too. */
	assert_true(is_known(f, 1000 + SCANNED - 1));
	assert_false(is_known(f, 1000 + SCANNED - 1 - MAX / 2));
}

static void test_who_was_looked_up_longest_ago_makes_room(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= MAX; i++) {
		look_up(f, i);
		answers(f, i);
	}
	look_up(f, 1);
	look_up(f, MAX + 1);
	answers(f, MAX + 1);
	assert_true(is_known(f, 1));
	assert_false(is_known(f, 2));
	assert_true(is_known(f, 3));
	assert_int_equal(f->ns.evicted, 1);
}

static void test_who_never_answered_stays_known_as_such(void **state)
{
	struct fixture *f = *state;
	uint64_t now_ns = CLV_SEC;

	look_up(f, 1);
	assert_true(fails(f, 1));
	assert_int_equal(look_up(f, 1), CLV_NEIGH_FAILED);
	/* The kernel forgets it, which changes nothing. */
	assert_false(tell(f, RTM_DELNEIGH, 1, NUD_FAILED, 0));
	assert_int_equal(look_up(f, 1), CLV_NEIGH_FAILED);
	for (int i = 0; i < RETRIES; i++, now_ns += 10 * CLV_SEC) {
		if (i == 10)
			assert_true(is_known(f, 1));
		clv_neighbours_retry(&f->ns, now_ns);
	}
	assert_false(is_known(f, 1));

	/* Who answered once is asked again at once: an operator may have flushed the kernel's table. */
	look_up(f, 2);
	assert_true(answers(f, 2));
	assert_true(fails(f, 2));
	assert_true(tell(f, RTM_DELNEIGH, 2, NUD_FAILED, 0));
	assert_int_equal(look_up(f, 2), CLV_NEIGH_RESOLVING);
}

static void test_changes_name_the_neighbour(void **state)
{
	const struct clv_fib_answer gateway = answer_of(2, true), host = answer_of(1, false);
	struct fixture *f = *state;

	look_up(f, 1);
	assert_true(answers(f, 1));
	assert_memory_equal(f->change.addr, host.next, 16);
	assert_false(f->change.is_gateway);
	assert_false(answers(f, 1));
	assert_true(tell(f, RTM_NEWNEIGH, 1, NUD_REACHABLE, 8)); /* another link address */
	assert_false(answers(f, 9));				 /* nobody asked for it */

	/* A target first, and then others are reached by it. */
	look_up(f, 2);
	clv_neighbours_lookup(&f->ns, &gateway);
	assert_true(answers(f, 2));
	assert_true(f->change.is_gateway);
	assert_true(tell(f, RTM_DELNEIGH, 2, NUD_REACHABLE, 7));
	assert_false(is_known(f, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		WITH(test_a_scan_pushes_out_nobody_who_is_there),
		WITH(test_who_was_looked_up_longest_ago_makes_room),
		WITH(test_who_never_answered_stays_known_as_such),
		WITH(test_changes_name_the_neighbour),
#undef WITH
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
