/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control socket, with the test's own commands, and clients on the same loop. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/admin/ctl.h"

static json_t *answer_echo(void *user, const json_t *request)
{
	return json_pack("{s:i,s:O*}", "user", *(int *)user, "got",
			 json_object_get(request, "say"));
}

/* More than a socket buffer holds. */
static json_t *answer_big(void *user, const json_t *request)
{
	json_t *array = json_array();
	int i;

	(void)user, (void)request;
	for (i = 0; i < 100000; i++)
		json_array_append_new(array, json_integer(i));
	return json_pack("{s:o}", "big", array);
}

static json_t *answer_nothing(void *user, const json_t *request)
{
	(void)user, (void)request;
	return NULL;
}

static const struct clv_ctl_command commands[] = {
	{ "echo", answer_echo },
	{ "big", answer_big },
	{ "nothing", answer_nothing },
};

enum {
	COMMANDS_LEN = sizeof(commands) / sizeof(commands[0]),
};

static int seven = 7;

/* ---- one request, one response ---- */

static const struct {
	const char *request, *answer;
} exchanges[] = {
	{ "{\"cmd\":\"echo\",\"say\":\"x\"}", "{\"user\":7,\"got\":\"x\"}\n" },
	{ "{\"cmd\":\"echo\"}", "{\"user\":7}\n" },
	{ "{\"cmd\":\"other\"}", "{\"error\":\"unknown command\"}\n" },
	{ "{\"cmd\":7}", "{\"error\":\"no \\\"cmd\\\" in it\"}\n" },
	{ "{}", "{\"error\":\"no \\\"cmd\\\" in it\"}\n" },
	{ "[]", "{\"error\":\"no \\\"cmd\\\" in it\"}\n" },
	{ "", "{\"error\":\"not JSON: " },
	{ "nonsense", "{\"error\":\"not JSON: " },
	{ "{\"cmd\":\"echo\",\"cmd\":\"big\"}", "{\"error\":\"not JSON: duplicate object key" },
	{ "{\"cmd\":\"ec", "{\"error\":\"not JSON: " },
};

static void requests_get_their_answers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
		const char *want = exchanges[i].answer;
		char *got = clv_ctl_answer(commands, COMMANDS_LEN, &seven, exchanges[i].request,
					   strlen(exchanges[i].request));

		assert_non_null(got);
		if (strncmp(got, want, strlen(want)) != 0)
			fail_msg("%s: %s", exchanges[i].request, got);
		assert_int_equal(got[strlen(got) - 1], '\n');
		free(got);
	}
	assert_null(clv_ctl_answer(commands, COMMANDS_LEN, &seven, "{\"cmd\":\"nothing\"}", 17));
}

/* ---- the socket ---- */

struct server {
	char dir[64], path[104];
	uv_loop_t loop;
	struct clv_ctl *ctl;
};

static void open_server(struct server *s)
{
	strcpy(s->dir, "/tmp/clv-test-ctl-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, CLV_CTL_SOCKET);
	assert_int_equal(uv_loop_init(&s->loop), 0);
	assert_int_equal(clv_ctl_open(&s->loop, s->dir, commands, COMMANDS_LEN, &seven, &s->ctl),
			 0);
}

static void close_server(struct server *s)
{
	clv_ctl_close(s->ctl);
	while (uv_run(&s->loop, UV_RUN_NOWAIT))
		;
	assert_int_equal(uv_loop_close(&s->loop), 0);
	assert_int_equal(access(s->path, F_OK), -1);
	assert_int_equal(rmdir(s->dir), 0);
}

static void turn(struct server *s)
{
	int i;

	for (i = 0; i < 4; i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
}

static int dial(struct server *s)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", s->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	turn(s);
	return fd;
}

static void say(struct server *s, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turn(s);
}

/* Read up to the want-th newline, or the end.  Returns the newlines seen. */
static unsigned receive(struct server *s, int fd, char *buf, size_t room, unsigned want)
{
	unsigned lines = 0, rounds;
	size_t len = 0;
	ssize_t n;

	for (rounds = 0; rounds < 10000 && lines < want && len < room - 1; rounds++) {
		uv_run(&s->loop, UV_RUN_NOWAIT);
		n = recv(fd, buf + len, room - 1 - len, 0);
		if (n == 0)
			break;
		for (; n > 0; n--)
			lines += buf[len++] == '\n';
	}
	buf[len] = 0;
	return lines;
}

static void clients_are_answered(void **state)
{
	static char buf[1 << 20];
	struct server s;
	struct stat st;
	int a, b;

	(void)state;
	open_server(&s);
	assert_int_equal(stat(s.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	a = dial(&s);
	b = dial(&s);

	say(&s, a, "{\"cmd\":\"echo\",");
	say(&s, b, "{\"cmd\":\"echo\",\"say\":2}\n");
	say(&s, a, "\"say\":1}\n");
	assert_int_equal(receive(&s, a, buf, sizeof(buf), 1), 1);
	assert_string_equal(buf, "{\"user\":7,\"got\":1}\n");
	assert_int_equal(receive(&s, b, buf, sizeof(buf), 1), 1);
	assert_string_equal(buf, "{\"user\":7,\"got\":2}\n");

	/* Several requests at once; the first response exceeds the socket buffer. */
	say(&s, a, "{\"cmd\":\"big\"}\n{\"cmd\":\"echo\"}\n\n");
	assert_int_equal(receive(&s, a, buf, sizeof(buf), 3), 3);
	assert_non_null(strstr(buf, ",99999]}\n{\"user\":7}\n{\"error\":\"not JSON: "));

	close(a);
	turn(&s);
	say(&s, b, "{\"cmd\":\"echo\"}\n");
	assert_int_equal(receive(&s, b, buf, sizeof(buf), 1), 1);
	close_server(&s);
	close(b);
}

static void long_requests_are_refused(void **state)
{
	char request[CLV_CTL_REQUEST_MAX + 2], buf[256];
	struct server s;
	int fd;

	(void)state;
	memset(request, ' ', sizeof(request));
	request[sizeof(request) - 1] = 0;
	open_server(&s);
	fd = dial(&s);
	say(&s, fd, request);
	assert_int_equal(receive(&s, fd, buf, sizeof(buf), 2), 1); /* then it closes */
	assert_string_equal(buf, "{\"error\":\"request too long\"}\n");
	close_server(&s);
	close(fd);
}

static void the_oldest_client_makes_room(void **state)
{
	int fds[CLV_CTL_CLIENTS_MAX + 1];
	struct server s;
	char buf[256];
	size_t i;

	(void)state;
	open_server(&s);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = dial(&s);
	assert_int_equal(recv(fds[0], buf, sizeof(buf), 0), 0);
	say(&s, fds[1], "{\"cmd\":\"echo\"}\n");
	assert_int_equal(receive(&s, fds[1], buf, sizeof(buf), 1), 1);
	say(&s, fds[CLV_CTL_CLIENTS_MAX], "{\"cmd\":\"echo\"}\n");
	assert_int_equal(receive(&s, fds[CLV_CTL_CLIENTS_MAX], buf, sizeof(buf), 1), 1);
	close_server(&s);
	for (i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
}

static void closing_amid_an_answer_leaves_nothing(void **state)
{
	struct server s;
	int fd;

	(void)state;
	open_server(&s);
	fd = dial(&s);
	say(&s, fd, "{\"cmd\":\"big\"}\n");
	close_server(&s);
	close(fd);
}

static void clients_that_leave_amid_an_answer_are_forgotten(void **state)
{
	struct server s;
	char buf[256];
	int fd;

	(void)state;
	open_server(&s);
	fd = dial(&s);
	say(&s, fd, "{\"cmd\":\"big\"}\n");
	close(fd);
	turn(&s);
	fd = dial(&s);
	say(&s, fd, "{\"cmd\":\"echo\"}\n");
	assert_int_equal(receive(&s, fd, buf, sizeof(buf), 1), 1);
	close_server(&s);
	close(fd);
}

static void a_leftover_socket_is_replaced(void **state)
{
	struct server s;
	struct clv_ctl *again;
	char dir[200];

	(void)state;
	open_server(&s);
	assert_int_equal(clv_ctl_open(&s.loop, s.dir, commands, COMMANDS_LEN, &seven, &again), 0);
	clv_ctl_close(again);
	close_server(&s);

	memset(dir, 'x', sizeof(dir) - 1);
	dir[sizeof(dir) - 1] = 0;
	assert_int_equal(uv_loop_init(&s.loop), 0);
	assert_int_equal(clv_ctl_open(&s.loop, dir, commands, COMMANDS_LEN, &seven, &again),
			 -ENAMETOOLONG);
	assert_int_equal(
		clv_ctl_open(&s.loop, "/nonexistent", commands, COMMANDS_LEN, &seven, &again),
		-EACCES); /* libuv maps ENOENT to it */
	while (uv_run(&s.loop, UV_RUN_NOWAIT))
		;
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_get_their_answers),
		cmocka_unit_test(clients_are_answered),
		cmocka_unit_test(long_requests_are_refused),
		cmocka_unit_test(the_oldest_client_makes_room),
		cmocka_unit_test(closing_amid_an_answer_leaves_nothing),
		cmocka_unit_test(clients_that_leave_amid_an_answer_are_forgotten),
		cmocka_unit_test(a_leftover_socket_is_replaced),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
