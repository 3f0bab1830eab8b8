/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pipes, sockets and files as standard error, with readers that read, stand still and leave. */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/log.h"
#include "datapath/base/output.h"

enum { WRITES_MAX = 1 << 16, PIPE_BYTES = 8192 };

static int saved = -1;

/* fd becomes standard error; closed here. */
static void use(int fd)
{
	saved = dup(STDERR_FILENO);
	assert_true(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	close(fd);
}

static void use_a_pipe(int *reader)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) >= PIPE_BYTES);
	*reader = fds[0];
	use(fds[1]);
}

static int put_back(void **state)
{
	(void)state;
	if (saved >= 0) {
		dup2(saved, STDERR_FILENO);
		close(saved);
		saved = -1;
	}
	alarm(0);
	return 0;
}

/* Write lines until one does not fit; would wait for ever, and be ended, if it could wait. */
static unsigned fill(void)
{
	unsigned n = 0;

	alarm(20);
	while (n < WRITES_MAX && clv_output_print(STDERR_FILENO, "line %u\n", n))
		n++;
	assert_true(n < WRITES_MAX);
	return n;
}

static void check_a_full(int reader)
{
	uint64_t before = clv_output_lost();
	char text[1 << 16];
	ssize_t len;

	assert_true(fill() > 0);
	assert_int_equal(clv_output_lost(), before + 1);
	assert_false(clv_output_write(STDERR_FILENO, "x\n", 2));
	assert_int_equal(clv_output_lost(), before + 2);
	len = read(reader, text, sizeof(text));
	assert_true(len > 7);
	assert_memory_equal(text, "line 0\n", 7);
	assert_true(clv_output_write(STDERR_FILENO, "again\n", 6));
}

static void full_pipe(void **state)
{
	int reader;

	(void)state;
	use_a_pipe(&reader);
	check_a_full(reader);
	close(reader);
}

static void full_pipe_opened_again(void **state)
{
	int reader, other;

	(void)state;
	use_a_pipe(&reader);
	other = dup(STDERR_FILENO); /* of a process that must not notice */
	clv_output_open();
	assert_true(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(other, F_GETFL) & O_NONBLOCK);
	check_a_full(reader);
	close(other);
	close(reader);
}

static void full_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	use(fds[1]);
	clv_output_open();
	check_a_full(fds[0]);
	close(fds[0]);
}

static void reader_leaves(void **state)
{
	uint64_t before = clv_output_lost();
	int reader;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	use_a_pipe(&reader);
	close(reader);
	errno = ENOTDIR;
	assert_false(clv_output_write(STDERR_FILENO, "x\n", 2));
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(clv_output_lost(), before + 1);
}

static void files_are_written(void **state)
{
	char path[] = "/tmp/culvert-output-XXXXXX", text[8] = "";
	int fd = mkstemp(path), again = dup(fd);

	(void)state;
	unlink(path);
	use(fd);
	clv_output_open();
	assert_true(clv_output_print(STDERR_FILENO, "%s\n", "kept"));
	assert_int_equal(pread(again, text, sizeof(text), 0), 5);
	assert_string_equal(text, "kept\n");
	close(again);
}

static void log_tells_of_lost_lines(void **state)
{
	char text[1 << 16];
	unsigned long long lost = 0;
	char *notice;
	int reader;
	ssize_t len;

	(void)state;
	use_a_pipe(&reader);
	clv_output_open();
	clv_log(CLV_LOG_ERROR, "first", "a=%d", 1); /* tells of what the other cases lost */
	fill();
	assert_true(read(reader, text, sizeof(text)) > 0);
	fill();
	clv_log(CLV_LOG_ERROR, "lost", "a=%d", 1);
	clv_log(CLV_LOG_ERROR, "lost", "a=%d", 2);
	assert_true(read(reader, text, sizeof(text)) > 0);
	clv_log(CLV_LOG_ERROR, "back", "a=%d", 3);
	clv_log(CLV_LOG_ERROR, "back", "a=%d", 4);
	len = read(reader, text, sizeof(text) - 1);
	assert_true(len > 0);
	text[len] = '\0';
	notice = strstr(text, "warn log_lines_lost lines=");
	assert_non_null(notice);
	lost = strtoull(notice + strlen("warn log_lines_lost lines="), &notice, 10);
	assert_int_equal(lost, 4); /* one of each fill, and two */
	assert_string_equal(notice, "\nerror back a=3\nerror back a=4\n");
	close(reader);
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		{ .name = "a pipe that nobody reads: what does not fit is lost and counted",
		  .test_func = full_pipe,
		  .teardown_func = put_back },
		{ .name = "opened again, it is non-blocking for this process alone",
		  .test_func = full_pipe_opened_again,
		  .teardown_func = put_back },
		{ .name = "a socket that nobody reads",
		  .test_func = full_socket,
		  .teardown_func = put_back },
		{ .name = "a reader that is gone: lost, and errno survives",
		  .test_func = reader_leaves,
		  .teardown_func = put_back },
		{ .name = "a file is written",
		  .test_func = files_are_written,
		  .teardown_func = put_back },
		{ .name = "the first line that is written again tells of the lost ones",
		  .test_func = log_tells_of_lost_lines,
		  .teardown_func = put_back },
	};

	return cmocka_run_group_tests_name("output", cases, NULL, NULL);
}
