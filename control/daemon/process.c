/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/process.h"

#include "control/host/sandbox.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	FDS_BESIDE_TUNNELS = 1024, /* for sockets, maps, files */
	LOW_PORTS_END = 1024,	   /* lower ports need a capability */
};

void clv_process_open_standard_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A tunnel over kernel sockets needs a descriptor, and so does a reserved port. */
void clv_process_raise_limits(const struct clv_daemon *daemon)
{
	const rlim_t wanted = clv_control_tunnels_most(&daemon->config.limits,
						       daemon->workers_len) +
			      2 * (rlim_t)daemon->config.bind.tunnels_max + FDS_BESIDE_TUNNELS;
	struct rlimit now, more = { wanted, wanted };

	if (getrlimit(RLIMIT_NOFILE, &now) || now.rlim_cur >= wanted)
		return;
	if (now.rlim_max >= wanted)
		more.rlim_max = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	now.rlim_cur = now.rlim_max;
	setrlimit(RLIMIT_NOFILE, &now);
	clv_log(CLV_LOG_INFO, "few_descriptors",
		"limit=%llu wanted=%llu hint=\"raise the limit of open files\"",
		(unsigned long long)now.rlim_cur, (unsigned long long)wanted);
}

/* Give what was made as root to the user the daemon is about to become. */
static int change_owner(struct clv_daemon *daemon)
{
	const struct clv_privs *privs = &daemon->privs;
	int err;

	err = clv_privs_own(privs, daemon->options.run_dir);
	if (!err && privs->is_change && daemon->bpf)
		err = clv_pins_own(clv_bpf_pins(daemon->bpf), privs->uid, privs->gid);
	return clv_daemon_fail(daemon, err, "run directory");
}

int clv_process_find_user(struct clv_daemon *daemon)
{
	return clv_privs_find(daemon->config.user, &daemon->privs, daemon->error,
			      sizeof(daemon->error));
}

int clv_process_drop_privileges(struct clv_daemon *daemon)
{
	bool low_ports = daemon->config.egress_port_min < LOW_PORTS_END;
	int err;

	err = change_owner(daemon);
	err = err ? err
		  : clv_privs_drop(&daemon->privs, low_ports, daemon->error, sizeof(daemon->error));
	if (err)
		return err;
	if (!daemon->config.sandbox)
		snprintf(daemon->no_sandbox_why, sizeof(daemon->no_sandbox_why), "sandbox = false");
	else
		err = clv_sandbox_close(daemon->no_sandbox_why, sizeof(daemon->no_sandbox_why));
	if (*daemon->no_sandbox_why)
		clv_log(CLV_LOG_WARN, "no_sandbox", "because=\"%s\"", daemon->no_sandbox_why);
	if (err && err != -EOPNOTSUPP)
		return clv_daemon_fail(daemon, err, daemon->no_sandbox_why);
	clv_log(CLV_LOG_INFO, "privileges", "user=%s capabilities=\"%s\" sandbox=%s",
		daemon->privs.user, daemon->privs.capabilities,
		*daemon->no_sandbox_why ? "off" : "on");
	return 0;
}
