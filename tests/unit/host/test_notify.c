/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/host/notify.h"
#include "datapath/base/clock.h"

static int manager_fd;

/* A socket like systemd's; its address is put in the environment. */
static int open_manager(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char name[64];

	(void)state;
	snprintf(name, sizeof(name), "@culvert-notify-%d", (int)getpid());
	memcpy(sa.sun_path + 1, name + 1, strlen(name) - 1);
	manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(manager_fd, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			 0);
	setenv("NOTIFY_SOCKET", name, 1);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return 0;
}

static int close_manager(void **state)
{
	(void)state;
	close(manager_fd);
	return 0;
}

/* The next message, or "". */
static const char *heard(void)
{
	static char text[64];
	ssize_t n = recv(manager_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = 0;
	return text;
}

static void without_a_manager_nothing_is_said(void **state)
{
	struct clv_notify n;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	clv_notify_open(&n);
	clv_notify(&n, "READY=1");
	clv_notify_alive(&n, CLV_SEC);
	clv_notify_close(&n);
	assert_string_equal(heard(), "");
}

static void a_state_is_one_message(void **state)
{
	struct clv_notify n;

	(void)state;
	clv_notify_open(&n);
	assert_null(getenv("NOTIFY_SOCKET"));
	clv_notify(&n, "READY=1");
	clv_notify(&n, "STOPPING=1");
	assert_string_equal(heard(), "READY=1");
	assert_string_equal(heard(), "STOPPING=1");
	clv_notify_alive(&n, 1000 * CLV_SEC); /* no watchdog is configured */
	assert_string_equal(heard(), "");
	clv_notify_close(&n);
}

static void the_watchdog_hears_twice_in_its_time(void **state)
{
	struct clv_notify n;
	unsigned sent = 0;
	uint64_t at;

	(void)state;
	setenv("WATCHDOG_USEC", "10000000", 1);
	clv_notify_open(&n);
	for (at = 100 * CLV_SEC; at < 120 * CLV_SEC; at += CLV_SEC) {
		clv_notify_alive(&n, at);
		sent += strcmp(heard(), "WATCHDOG=1") == 0;
	}
	assert_int_equal(sent, 4);
	clv_notify_close(&n);
}

static void anothers_watchdog_is_not_ours(void **state)
{
	struct clv_notify n;

	(void)state;
	setenv("WATCHDOG_USEC", "10000000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	clv_notify_open(&n);
	clv_notify_alive(&n, 100 * CLV_SEC);
	assert_string_equal(heard(), "");
	clv_notify_close(&n);
}

static void a_socket_that_is_no_address_is_refused(void **state)
{
	static const char *const bad[] = { "", "x", "/", "relative/path", "@" };
	struct clv_notify n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		setenv("NOTIFY_SOCKET", bad[i], 1);
		clv_notify_open(&n);
		assert_int_equal(n.fd, -1);
	}
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, open_manager, close_manager)
	const struct CMUnitTest tests[] = {
		CASE(without_a_manager_nothing_is_said),      CASE(a_state_is_one_message),
		CASE(the_watchdog_hears_twice_in_its_time),   CASE(anothers_watchdog_is_not_ours),
		CASE(a_socket_that_is_no_address_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
