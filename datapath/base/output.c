/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 }; /* PIPE_BUF: a pipe takes it whole or not at all */

static uint64_t lost;
static bool is_non_blocking[STDERR_FILENO + 1]; /* set by open */

static void open_again(int fd)
{
	char path[32];
	struct stat st;
	int again;

	is_non_blocking[fd] = false;
	if (fstat(fd, &st) || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again < 0)
		return;
	is_non_blocking[fd] = dup2(again, fd) == fd;
	close(again);
}

void clv_output_open(void)
{
	open_again(STDOUT_FILENO);
	open_again(STDERR_FILENO);
}

/*
 * Where opening again was not permitted, a write waits only if another process fills the pipe
 * between the question and the write.  journald's socket has a flag for each call.
 */
static ssize_t write_at_once(int fd, const char *text, size_t len)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	ssize_t n = send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	if (!is_non_blocking[fd] && poll(&poll_fd, 1, 0) != 1)
		return -1;
	return write(fd, text, len);
}

bool clv_output_write(int fd, const char *text, size_t len)
{
	const int saved_errno = errno;
	bool is_written = write_at_once(fd, text, len) == (ssize_t)len;

	if (!is_written)
		__atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED);
	errno = saved_errno;
	return is_written;
}

bool clv_output_print(int fd, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (len >= (int)sizeof(line)) {
		len = sizeof(line) - 1;
		line[len - 1] = '\n';
	}
	return len < 0 ? false : clv_output_write(fd, line, (size_t)len);
}

uint64_t clv_output_lost(void)
{
	return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}
