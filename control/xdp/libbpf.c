/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/xdp/libbpf.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <bpf/libbpf.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The first message of libbpf after a failure names its cause; the rest is for debugging. */
static char libbpf_error[256];

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];

	if (level == LIBBPF_DEBUG && !clv_log_enabled(CLV_LOG_DEBUG))
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	if (level == LIBBPF_WARN && !*libbpf_error)
		snprintf(libbpf_error, sizeof(libbpf_error), "%.255s", line);
	clv_log(CLV_LOG_DEBUG, "libbpf", "message=\"%s\"", line);
	return 0;
}

void clv_libbpf_raise_memlock(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit now;

	if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0 || getrlimit(RLIMIT_MEMLOCK, &now))
		return;
	/* Without privilege, up to the hard limit. */
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_MEMLOCK, &now);
}

void clv_libbpf_begin(void)
{
	libbpf_set_print(print_libbpf);
	libbpf_error[0] = 0;
}

int clv_libbpf_explain(int err, const char *what, char *error, size_t error_len)
{
	const char *hint = "";

	if (err == -EPERM)
		hint = " (needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON)";
	else if (err == -EACCES) /* the verifier says so too, of a program that it does not like */
		hint = " (refused by the kernel's verifier, or CAP_BPF, CAP_NET_ADMIN or CAP_PERFMON "
		       "is missing)";
	snprintf(error, error_len, "%s: %s%s%s%s", what, clv_strerror(err), hint,
		 *libbpf_error ? "; " : "", libbpf_error);
	libbpf_error[0] = 0;
	return err;
}

int clv_libbpf_check_descriptors(const struct bpf_object_skeleton *object)
{
	enum { OTHERS = 4, /* BTF, and libbpf's tests of what the kernel can do */ MOST = 64 };
	int want = object->map_cnt + object->prog_cnt + OTHERS, n = 0, err = 0;
	int fds[MOST];

	if (want > MOST)
		want = MOST;
	while (n < want) {
		fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fds[n] < 0) {
			err = errno == EMFILE || errno == ENFILE ? -errno : 0;
			break;
		}
		n++;
	}
	while (n)
		close(fds[--n]);
	return err;
}
