/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the sandbox allows and what it stops, each tried in a separate process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/host/sandbox.h"
#include "control/host/slice.h"

enum {
	EXIT_HELD = 0, /* the act was completed */
	EXIT_NO_SANDBOX = 3,
	EXIT_SANITIZED = 4,
	EXIT_STOPPED = 128 + SIGSYS,
};

/* ---- acts ---- */

static void run_program(void)
{
	char *const argv[] = { "true", NULL };

	execv("/bin/true", argv);
}

static void write_a_file(void)
{
	(void)!open("/tmp/culvert-sandbox-test", O_WRONLY | O_CREAT, 0600);
}

static void make_a_file(void)
{
	(void)!open("/tmp/culvert-sandbox-test", O_RDONLY | O_CREAT, 0600);
}

static void empty_a_file(void)
{
	(void)!open("/dev/null", O_RDONLY | O_TRUNC);
}

static void append_to_a_file(void)
{
	(void)!open("/dev/null", O_RDONLY | O_APPEND);
}

static void make_a_nameless_file(void)
{
	(void)!open("/tmp", O_RDONLY | O_TMPFILE, 0600);
}

static void map_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_memory_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void list_a_folder(void)
{
	int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		_exit(1);
	close(fd);
}

static void replace_a_file(void)
{
	char path[] = "/tmp/culvert-sandbox-XXXXXX", other[sizeof(path) + 4];
	int fd = mkstemp(path);

	snprintf(other, sizeof(other), "%s.new", path);
	if (fd < 0 || fchmod(fd, 0600) || fsync(fd) || rename(path, other) || unlink(other))
		_exit(1);
	close(fd);
}

static void name_the_host(void)
{
	char name[256];

	if (gethostname(name, sizeof(name)))
		_exit(1);
}

static void make_a_process(void)
{
	syscall(SYS_fork);
}

static void trace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void load_a_program(void)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_XDP };

	syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static void open_a_packet_socket(void)
{
	(void)!socket(AF_PACKET, SOCK_RAW, 0);
}

static void mount_something(void)
{
	mount("none", "/mnt", "tmpfs", 0, NULL);
}

static void become_root(void)
{
	(void)!setuid(0);
}

static void *stopped_thread(void *arg)
{
	trace();
	return arg;
}

static void break_out_in_a_thread(void)
{
	pthread_t thread;

	if (!pthread_create(&thread, NULL, stopped_thread, NULL))
		pthread_join(thread, NULL);
}

static void serve_packets(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char byte;

	(void)!recv(fd, &byte, 1, MSG_DONTWAIT);
	close(fd);
}

static void read_a_file(void)
{
	char byte;
	int fd = open("/etc/hosts", O_RDONLY | O_CLOEXEC);

	(void)!read(fd, &byte, 1);
	close(fd);
}

static void update_a_map(void)
{
	union bpf_attr attr = { .map_fd = (uint32_t)-1 };

	syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr));
}

static void *idle_thread(void *arg)
{
	return arg;
}

static void make_a_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, idle_thread, NULL))
		_exit(1);
	pthread_join(thread, NULL);
}

static void take_short_turns(void)
{
	if (clv_slice_set(100000))
		_exit(1);
}

/* ---- trying them ---- */

/* Run act in a sandboxed process.  Returns its exit status; its error output is in output. */
static int try(int (*close_in)(char *error, size_t len), void (*act)(void), char *output,
	       size_t len)
{
	char why[256];
	int pipe_fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		int err;

		dup2(pipe_fds[1], STDERR_FILENO);
		err = close_in(why, sizeof(why));
		if (err)
			_exit(err == -EOPNOTSUPP ? EXIT_SANITIZED : EXIT_NO_SANDBOX);
		act();
		_exit(EXIT_HELD);
	}
	close(pipe_fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = read(pipe_fds[0], output, len - 1);
	output[n > 0 ? n : 0] = 0;
	close(pipe_fds[0]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct act {
	void (*act)(void);
	const char *name; /* of the system call that is stopped; NULL: allowed */
};

static const struct act acts[] = {
	{ run_program, "execve" },
	{ write_a_file, "openat" },
	{ make_a_file, "openat" },
	{ empty_a_file, "openat" },
	{ append_to_a_file, "openat" },
	{ make_a_nameless_file, "openat" },
	{ map_code, "mmap" },
	{ make_memory_code, "mprotect" },
	{ list_a_folder, NULL },
	{ make_a_process, "fork" },
	{ trace, "ptrace" },
	{ load_a_program, "bpf" },
	{ open_a_packet_socket, "socket" },
	{ mount_something, "mount" },
	{ become_root, "setuid" },
	{ break_out_in_a_thread, "ptrace" },
	{ serve_packets, NULL },
	{ read_a_file, NULL },
	{ update_a_map, NULL },
	{ make_a_thread, NULL },
	{ take_short_turns, NULL },
};

static const struct act keeper_acts[] = {
	{ read_a_file, NULL },	     { replace_a_file, NULL },	{ name_the_host, NULL },
	{ list_a_folder, NULL },     { run_program, "execve" }, { make_a_process, "fork" },
	{ serve_packets, "socket" }, { update_a_map, "bpf" },	{ trace, "ptrace" },
	{ become_root, "setuid" },   { map_code, "mmap" },	{ make_memory_code, "mprotect" },
};

static void try_all(int (*close_in)(char *error, size_t len), const struct act *list, size_t n)
{
	char output[256], expected[128];
	size_t i;
	int code;

	for (i = 0; i < n; i++) {
		code = try(close_in, list[i].act, output, sizeof(output));
		if (code == EXIT_SANITIZED) {
			print_message("a sanitizer's own calls do not fit the sandbox\n");
			skip();
		}
		*expected = 0;
		if (list[i].name)
			snprintf(expected, sizeof(expected), "error sandbox_violation syscall=%s\n",
				 list[i].name);
		assert_string_equal(output, expected);
		assert_int_equal(code, list[i].name ? EXIT_STOPPED : EXIT_HELD);
	}
}

static void what_serving_takes_goes_through_and_nothing_else(void **state)
{
	(void)state;
	try_all(clv_sandbox_close, acts, sizeof(acts) / sizeof(acts[0]));
}

static void the_keeper_has_files_and_nothing_else(void **state)
{
	(void)state;
	try_all(clv_sandbox_close_keeper, keeper_acts,
		sizeof(keeper_acts) / sizeof(keeper_acts[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_serving_takes_goes_through_and_nothing_else),
		cmocka_unit_test(the_keeper_has_files_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
