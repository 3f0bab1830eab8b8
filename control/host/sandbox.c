/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/host/sandbox.h"

#include "datapath/base/err.h"
#include "datapath/base/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EXIT_VIOLATION = 128 + SIGSYS,
	SYSCALLS_MAX = 512, /* calls that are logged by name */
	NAME_MAX_LEN = 32,
};

/* Looked up in advance: a signal handler may not. */
static char names[SYSCALLS_MAX][NAME_MAX_LEN];

/* Allowed with any arguments. */
static const int allowed[] = {
	/* packets and events */
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(eventfd2),
	SCMP_SYS(pipe2),
	SCMP_SYS(pselect6),
	SCMP_SYS(select),
	/* sockets: families are filtered below */
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	/* files: opened only for reading, see below; those that are written are open already */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rmdir),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(flock),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(umask),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(munlock),
	SCMP_SYS(mbind),
	SCMP_SYS(get_mempolicy),
	SCMP_SYS(set_mempolicy),
	SCMP_SYS(membarrier),
	/* threads, signals, time */
	SCMP_SYS(futex),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(tgkill),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getattr),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(getcpu),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* the rest */
	SCMP_SYS(getrandom),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(capget),
};

/* Of the keeper: files, memory, time, its log (which may be a socket), and nothing else. */
static const int allowed_to_keeper[] = {
	SCMP_SYS(sendto),	  SCMP_SYS(poll),	  SCMP_SYS(ppoll),
	SCMP_SYS(read),		  SCMP_SYS(write),	  SCMP_SYS(open),
	SCMP_SYS(openat),	  SCMP_SYS(lseek),	  SCMP_SYS(close),
	SCMP_SYS(fstat),	  SCMP_SYS(newfstatat),	  SCMP_SYS(stat),
	SCMP_SYS(statx),	  SCMP_SYS(access),	  SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),	  SCMP_SYS(chmod),	  SCMP_SYS(fchmod),
	SCMP_SYS(fsync),	  SCMP_SYS(rename),	  SCMP_SYS(renameat),
	SCMP_SYS(renameat2),	  SCMP_SYS(unlink),	  SCMP_SYS(unlinkat),
	SCMP_SYS(mkdir),	  SCMP_SYS(mkdirat),	  SCMP_SYS(brk),
	SCMP_SYS(munmap),	  SCMP_SYS(mremap),	  SCMP_SYS(madvise),
	SCMP_SYS(futex),	  SCMP_SYS(getpid),	  SCMP_SYS(gettid),
	SCMP_SYS(tgkill),	  SCMP_SYS(sched_yield),  SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime),  SCMP_SYS(gettimeofday), SCMP_SYS(time),
	SCMP_SYS(getrandom),	  SCMP_SYS(exit),	  SCMP_SYS(exit_group),
	SCMP_SYS(uname),
};

/* Reading and writing maps, and attaching to an interface, but not loading programs. */
static const uint64_t bpf_commands[] = {
	BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,    BPF_MAP_DELETE_ELEM,  BPF_MAP_GET_NEXT_KEY,
	BPF_MAP_LOOKUP_BATCH, BPF_MAP_UPDATE_BATCH,   BPF_MAP_DELETE_BATCH, BPF_LINK_CREATE,
	BPF_LINK_DETACH,      BPF_OBJ_GET_INFO_BY_FD,
};

static const uint64_t prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_SET_TIMERSLACK };

static const uint64_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_XDP };

static const uint64_t ioctls[] = {
	FIONREAD,
	FIONBIO,
	FIOCLEX,
	FIONCLEX,
	TCGETS,
	0x8933 /* SIOCGIFINDEX */,
	0x8946 /* SIOCETHTOOL */,
	0x8913 /* SIOCGIFFLAGS */,
};

#define THREAD_FLAGS (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

/* ---- violations ---- */

/* The exit status shows what happened even if nobody reads this. */
static void write_error(const char *text)
{
	clv_output_write(STDERR_FILENO, text, strlen(text));
}

static void on_violation(int signal, siginfo_t *info, void *context)
{
	int number = info->si_syscall;

	(void)signal, (void)context;
	write_error("error sandbox_violation syscall=");
	write_error(number >= 0 && number < SYSCALLS_MAX && *names[number] ? names[number]
									   : "unknown");
	write_error("\n");
	_exit(EXIT_VIOLATION);
}

static int catch_violations(void)
{
	struct sigaction action = { .sa_sigaction = on_violation, .sa_flags = SA_SIGINFO };
	char *name;
	int i;

	for (i = 0; i < SYSCALLS_MAX; i++) {
		name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		if (name)
			snprintf(names[i], sizeof(names[i]), "%s", name);
		free(name);
	}
	return sigaction(SIGSYS, &action, NULL) ? -errno : 0;
}

/* ---- the filter ---- */

/* Allow a call when its argument number arg is one of values. */
static int allow_values(scmp_filter_ctx filter, int call, unsigned arg, const uint64_t *values,
			size_t n)
{
	size_t i;
	int err = 0;

	for (i = 0; i < n && !err; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				       SCMP_CMP(arg, SCMP_CMP_EQ, values[i]));
	return err;
}

/* Allow a call when the bits mask of its argument number arg are value. */
static int allow_masked(scmp_filter_ctx filter, int call, unsigned arg, uint64_t mask,
			uint64_t value)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1,
				SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value));
}

#define ALLOW_VALUES(filter, call, arg, values)                                                    \
	allow_values(filter, SCMP_SYS(call), arg, values, sizeof(values) / sizeof(values[0]))

/* Flags of open that read and nothing else; O_TMPFILE without O_DIRECTORY, which it contains. */
#define OPEN_MASK (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t n)
{
	size_t i;
	int err = 0;

	for (i = 0; i < n && !err; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return err;
}

/* Memory, but never with code in it. */
static int allow_data(scmp_filter_ctx filter)
{
	int err = allow_masked(filter, SCMP_SYS(mmap), 2, PROT_EXEC, 0);

	return err ? err : allow_masked(filter, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
}

static int add_keeper_rules(scmp_filter_ctx filter)
{
	static const uint64_t names_only[] = { PR_SET_VMA };
	int err = allow_all(filter, allowed_to_keeper,
			    sizeof(allowed_to_keeper) / sizeof(allowed_to_keeper[0]));

	err = err ? err : ALLOW_VALUES(filter, prctl, 0, names_only);
	return err ? err : allow_data(filter);
}

static int add_rules(scmp_filter_ctx filter)
{
	int err = allow_all(filter, allowed, sizeof(allowed) / sizeof(allowed[0]));

	err = err ? err : allow_data(filter);
	err = err ? err : ALLOW_VALUES(filter, bpf, 0, bpf_commands);
	err = err ? err : ALLOW_VALUES(filter, prctl, 0, prctls);
	err = err ? err : ALLOW_VALUES(filter, socket, 0, families);
	err = err ? err : ALLOW_VALUES(filter, ioctl, 1, ioctls);
	err = err ? err : allow_masked(filter, SCMP_SYS(open), 1, OPEN_MASK, O_RDONLY);
	err = err ? err : allow_masked(filter, SCMP_SYS(openat), 2, OPEN_MASK, O_RDONLY);
	/*
	 * Threads.  A filter cannot read clone3's flags, which are in memory, but glibc falls back
	 * to clone when clone3 fails with ENOSYS.
	 */
	err = err ? err : allow_masked(filter, SCMP_SYS(clone), 0, THREAD_FLAGS, THREAD_FLAGS);
	err = err ? err : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return err;
}

static int load(int (*add)(scmp_filter_ctx filter))
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int err;

	if (!filter)
		return -ENOMEM;
	err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
			       2); /* a binary tree: calls are frequent */
	if (err)
		err = 0; /* an older library has only the slower list */
	err = err ? err : add(filter);
	err = err ? err : seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_sanitized = true;
#else
static const bool is_sanitized = false;
#endif

static int close_in(int (*add)(scmp_filter_ctx filter), char *error, size_t error_len)
{
	int err;

	if (is_sanitized) {
		snprintf(error, error_len, "a build with sanitizers");
		return -EOPNOTSUPP;
	}
	err = catch_violations();
	err = err ? err : load(add);
	if (err)
		snprintf(error, error_len, "seccomp: %s (sandbox = false runs without)",
			 clv_strerror(err));
	return err;
}

int clv_sandbox_close(char *error, size_t error_len)
{
	return close_in(add_rules, error, error_len);
}

int clv_sandbox_close_keeper(char *error, size_t error_len)
{
	return close_in(add_keeper_rules, error, error_len);
}
