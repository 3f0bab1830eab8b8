/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/held.h"

#include "control/host/forwarding.h"
#include "control/xdp/held.h"
#include "datapath/base/bucket.h"
#include "datapath/base/log.h"
#include "datapath/io/sock.h"

#include <linux/sock_diag.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void warn(struct clv_daemon *daemon)
{
	snprintf(daemon->no_held_why, sizeof(daemon->no_held_why), "%.*s", CLV_REASON_MAX - 1,
		 daemon->error);
	clv_log(CLV_LOG_WARN, "held_ports_unread",
		"because=\"%s\" hint=\"datagrams from targets in fragments, with IP options or by "
		"interfaces without XDP are dropped\"",
		daemon->no_held_why);
}

static int open_sockets(struct clv_daemon *daemon)
{
	struct clv_endpoint local;
	uint32_t number;
	int err = 0;

	for (uint16_t i = 0; i < daemon->workers_len && !err; i++) {
		struct clv_port *port = daemon->workers[i].sock;
		int *fd = &daemon->held_fds[i];

		err = clv_sock_open_any(daemon->config.socket_bytes, fd, &local);
		if (err)
			break;
		daemon->held_fds_len++;
		err = port->ops->add_socket(port, *fd, &local, &number);
	}
	return clv_daemon_fail(daemon, err, "socket for held ports");
}

/* It matters only where the host forwards: there flows that it masquerades may have a tunnel's port. */
static void tell_conntrack(const struct clv_daemon *daemon)
{
	const struct clv_bpf_gap *gap = clv_bpf_no_conntrack(daemon->bpf);

	if (gap)
		clv_log(daemon->host_forwards ? CLV_LOG_WARN : CLV_LOG_INFO, "no_xdp_conntrack",
			"because=\"%s\" hint=\"%s%s\"", gap->because, gap->hint,
			daemon->host_forwards ? "; else give egress ports that nothing else on "
						"this host uses"
					      : "");
}

void clv_daemon_held_tick(struct clv_daemon *daemon)
{
	bool forwards;

	if (!daemon->bpf)
		return;
	forwards = clv_host_forwards();
	if (forwards != daemon->host_forwards && !clv_maps_set_forwards(&daemon->maps, forwards)) {
		daemon->host_forwards = forwards;
		if (forwards)
			tell_conntrack(daemon);
	}
	daemon->held_lost = clv_daemon_held_lost(daemon);
}

int clv_daemon_held_open(struct clv_daemon *daemon)
{
	const uint32_t per_sec = daemon->config.slow_path_per_sec;
	const struct clv_rate rate = clv_rate_of(per_sec, per_sec);
	int err;

	if (!daemon->bpf)
		return 0;
	clv_daemon_held_tick(daemon);
	if (!daemon->host_forwards)
		tell_conntrack(daemon);
	if (clv_held_open(clv_bpf_maps(daemon->bpf), &rate, &daemon->held, daemon->error,
			  sizeof(daemon->error))) {
		warn(daemon);
		return 0;
	}
	clv_egress_set_filter(daemon->egress, clv_held_filter(daemon->held));
	err = open_sockets(daemon);
	if (err)
		return err;
	if (clv_held_attach(daemon->held, daemon->held_fds, daemon->held_fds_len, daemon->error,
			    sizeof(daemon->error)))
		warn(daemon);
	return 0;
}

uint64_t clv_daemon_held_lost(const struct clv_daemon *daemon)
{
	struct clv_count counts[CLV_XDP_COUNTER_MAX];
	uint32_t info[SK_MEMINFO_VARS];
	uint32_t drops = 0;

	for (size_t i = 0; i < daemon->held_fds_len; i++) {
		socklen_t len = sizeof(info);

		if (!getsockopt(daemon->held_fds[i], SOL_SOCKET, SO_MEMINFO, info, &len))
			drops += info[SK_MEMINFO_DROPS];
		else
			return daemon->held_lost;
	}
	if (!daemon->held_fds_len || clv_maps_counters(clv_bpf_maps(daemon->bpf), counts))
		return daemon->held_lost;
	return clv_held_lost_next(daemon->held_lost, drops, counts[CLV_XDP_HELD_RATE].packets);
}

void clv_daemon_held_close(struct clv_daemon *daemon)
{
	clv_held_close(daemon->held);
	daemon->held = NULL;
	while (daemon->held_fds_len)
		close(daemon->held_fds[--daemon->held_fds_len]);
}
