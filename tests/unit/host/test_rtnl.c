/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests to the kernel while its tables change, in a separate network namespace with so many
 * interfaces that a list of them has several parts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/host/nic.h"
#include "control/host/routes.h"
#include "control/host/rtnl.h"

enum {
	PAIRS = 60,
	ROUNDS = 40,
};

static const uint8_t loopback[16] = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 };

static char why_not[128];
static struct mnl_socket *questions;

static void add_pairs(void)
{
	FILE *batch = popen("ip -batch -", "w");
	int i;

	assert_non_null(batch);
	fputs("link set lo up\n", batch);
	for (i = 0; i < PAIRS; i++)
		fprintf(batch, "link add p%d type veth peer name q%d\n", i, i);
	if (pclose(batch) && !*why_not)
		snprintf(why_not, sizeof(why_not), "no veth interfaces can be made here");
}

static int setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET)) {
		snprintf(why_not, sizeof(why_not), "needs root: %s", strerror(errno));
		return 0;
	}
	add_pairs();
	questions = clv_rtnl_open();
	return questions ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	if (questions)
		mnl_socket_close(questions);
	return 0;
}

static void need_namespace(void)
{
	if (!*why_not)
		return;
	print_message("%s\n", why_not);
	skip();
}

static void assert_answers(void)
{
	struct clv_fib_query query = { 0 };
	struct clv_fib_answer answer;

	memcpy(query.remote, loopback, sizeof(query.remote));
	assert_int_equal(clv_rtnl_route(questions, &query, &answer), 0);
	assert_true(answer.is_local);
	assert_memory_equal(answer.next, loopback, 16);
}

static int count(const struct nlmsghdr *message, void *user)
{
	(void)message;
	++*(int *)user;
	return MNL_CB_OK;
}

static int give_up(const struct nlmsghdr *message, void *user)
{
	count(message, user);
	errno = ECANCELED;
	return MNL_CB_ERROR;
}

/* Add a pair at the first message: the parts that follow belong to a changed list. */
static int disturb(const struct nlmsghdr *message, void *user)
{
	if (!*(int *)user)
		assert_int_equal(system("ip link add late0 type veth peer name late1"), 0);
	return count(message, user);
}

static void all_links_are_listed(void **state)
{
	int links = 0;

	(void)state;
	need_namespace();
	assert_int_equal(clv_rtnl_dump(questions, RTM_GETLINK, count, &links), 0);
	assert_in_range(links, 2 * PAIRS + 1,
			2 * PAIRS + 8); /* and lo and other devices of every namespace */
}

static void an_answer_that_was_given_up_is_not_taken_for_the_next_ones(void **state)
{
	int links = 0;

	(void)state;
	need_namespace();
	assert_int_equal(clv_rtnl_dump(questions, RTM_GETLINK, give_up, &links), -ECANCELED);
	assert_int_equal(links, 1);
	assert_answers();
	assert_answers();
}

static void a_list_that_changed_while_it_was_read_is_not_passed_off_as_whole(void **state)
{
	int links = 0;

	(void)state;
	need_namespace();
	assert_int_equal(clv_rtnl_dump(questions, RTM_GETLINK, disturb, &links), -EINTR);
	assert_answers();
	assert_int_equal(system("ip link del late0"), 0);
}

/* A process that creates and deletes interfaces continuously, until it is killed. */
static pid_t start_churn(void)
{
	pid_t pid = fork();
	FILE *batch;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	batch = popen("exec ip -batch - 2>/dev/null", "w");
	while (batch && fputs("link add c0 type veth peer name c1\nlink del c0\n", batch) >= 0)
		;
	_exit(0);
}

static void interfaces_are_listed_while_others_come_and_go(void **state)
{
	struct clv_nic *nics;
	struct clv_routes *routes;
	int i, n, listed = 0, opened = 0;
	pid_t churn;

	(void)state;
	need_namespace();
	churn = start_churn();
	assert_true(churn > 0);
	for (i = 0; i < ROUNDS; i++) {
		n = clv_nic_list(&nics);
		listed += n >= 2 * PAIRS + 1;
		if (n >= 0)
			free(nics);
		if (clv_routes_open(&routes) == 0) {
			opened++;
			clv_routes_close(routes);
		}
	}
	kill(churn, SIGKILL);
	assert_int_equal(waitpid(churn, NULL, 0), churn);
	assert_int_equal(listed, ROUNDS);
	assert_int_equal(opened, ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_links_are_listed),
		cmocka_unit_test(an_answer_that_was_given_up_is_not_taken_for_the_next_ones),
		cmocka_unit_test(a_list_that_changed_while_it_was_read_is_not_passed_off_as_whole),
		cmocka_unit_test(interfaces_are_listed_while_others_come_and_go),
	};

	return cmocka_run_group_tests_name("rtnl", tests, setup, teardown);
}
