/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * freeze TID - stop one thread of another process, and no other, until standard input ends.
 *
 * Prints "ready" when it has stopped.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "freeze: %s: %s\n", what, strerror(errno));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	char byte;
	pid_t tid;

	if (argc != 2) {
		fprintf(stderr, "usage: freeze TID\n");
		return 2;
	}
	tid = (pid_t)atoi(argv[1]);
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return fail("attach");
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) || waitpid(tid, NULL, __WALL) != tid)
		return fail("stop");
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return ptrace(PTRACE_DETACH, tid, NULL, NULL) ? fail("detach") : EXIT_SUCCESS;
}
