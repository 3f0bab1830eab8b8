/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/datapath.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

const char *clv_datapath_mode_name(enum clv_datapath_mode mode)
{
	static const char *const names[] = { "zerocopy", "copy", "generic", "kernel" };

	return (unsigned)mode < CLV_DATAPATH_MODES ? names[mode] : "?";
}

enum {
	CIDS_PER_CONN = 8,	 /* at a time, including those being retired */
	LISTENER_ENTRIES = 4096, /* local addresses times ports */
	DENIED_ENTRIES = 65536,
	CLIENTS_ENTRIES = 65536,
};

struct clv_bpf_sizes clv_datapath_map_sizes(const struct clv_daemon *daemon)
{
	const struct clv_control_limits *limits = &daemon->config.limits;
	const uint16_t workers = daemon->plan.workers_len;
	const uint32_t tunnels = clv_control_tunnels_most(limits, workers);

	return (struct clv_bpf_sizes){
		.conn_ids = clv_control_conns_most(limits, workers) * CIDS_PER_CONN,
		.contexts = tunnels + daemon->config.bind.remotes_max * workers,
		.bindings = tunnels * CLV_BOUND_PORTS,
		.listeners = LISTENER_ENTRIES,
		.denied = DENIED_ENTRIES,
		.clients = CLIENTS_ENTRIES,
		.guard = limits->guard_sources,
	};
}

/* ---- the program ---- */

void clv_datapath_fall_back(struct clv_interface *interface, enum clv_datapath_mode from,
			    enum clv_datapath_mode to, const char *why)
{
	snprintf(interface->why[from], sizeof(interface->why[from]), "%.*s", CLV_REASON_MAX - 1,
		 why);
	interface->mode = to;
	clv_log(CLV_LOG_WARN, "datapath_fallback", "if=%s from=%s to=%s because=\"%s\"",
		interface->nic.name, clv_datapath_mode_name(from), clv_datapath_mode_name(to), why);
}

void clv_datapath_detach(struct clv_interface *interface)
{
	clv_bpf_detach(interface->link_fd);
	interface->link_fd = -1;
	interface->has_fragments = false;
	interface->queues = 0;
}

/* Returns as clv_bpf_attach. */
static int attach(const struct clv_daemon *daemon, struct clv_interface *interface,
		  enum clv_xdp_mode mode, char why[static CLV_REASON_MAX])
{
	struct clv_bpf_attachment got;
	int err = clv_bpf_attach(daemon->bpf, interface->nic.ifindex, mode, interface->nic.mtu,
				 &got, why, CLV_REASON_MAX);

	if (err)
		return err;
	interface->link_fd = got.link_fd;
	interface->has_fragments = got.has_fragments;
	return 0;
}

static void attach_generic(struct clv_daemon *daemon, struct clv_interface *interface)
{
	char why[CLV_REASON_MAX];

	interface->mode = CLV_DATAPATH_GENERIC;
	if (attach(daemon, interface, CLV_XDP_GENERIC, why))
		clv_datapath_fall_back(interface, CLV_DATAPATH_GENERIC, CLV_DATAPATH_KERNEL, why);
}

/* The mode is zero-copy until a bind fails: what a driver advertises is no promise. */
static void attach_native(struct clv_daemon *daemon, struct clv_interface *interface)
{
	char why[CLV_REASON_MAX];

	interface->mode = CLV_DATAPATH_ZEROCOPY;
	if (attach(daemon, interface, CLV_XDP_NATIVE, why)) {
		clv_datapath_fall_back(interface, CLV_DATAPATH_ZEROCOPY, CLV_DATAPATH_GENERIC, why);
		attach_generic(daemon, interface);
	}
}

/* Count the queues after attaching the program: some drivers add queues for it. */
static void count_queues(struct clv_interface *interface)
{
	uint32_t before = interface->nic.rx_queues;
	char why[CLV_REASON_MAX];

	if (interface->link_fd < 0)
		return;
	interface->queues = clv_nic_rx_queues(interface->nic.ifindex, interface->nic.name);
	if (interface->queues > CLV_QUEUES_MAX) {
		snprintf(why, sizeof(why),
			 "%u receive queues, more than %d: ethtool -L reduces them",
			 interface->queues, CLV_QUEUES_MAX);
		clv_datapath_detach(interface);
		clv_datapath_fall_back(interface, interface->mode, CLV_DATAPATH_KERNEL, why);
	} else if (interface->mode == CLV_DATAPATH_ZEROCOPY && interface->queues > before) {
		/*
		 * The driver removes these queues with the program.  When a process is killed, its
		 * program and sockets go together, and a driver that finds a socket on a removed
		 * queue crashes the kernel.
		 */
		snprintf(why, sizeof(why),
			 "%u of the %u receive queues exist only while XDP is attached: "
			 "ethtool -L with more of them avoids it",
			 interface->queues - before, interface->queues);
		clv_datapath_fall_back(interface, CLV_DATAPATH_ZEROCOPY, CLV_DATAPATH_COPY, why);
	}
}

void clv_datapath_attach(struct clv_daemon *daemon, struct clv_interface *interface)
{
	if (daemon->config.datapath == CLV_CONFIG_DATAPATH_GENERIC)
		attach_generic(daemon, interface);
	else
		attach_native(daemon, interface);
	count_queues(interface);
}

/* ---- the sockets ---- */

static int add_socket(struct clv_daemon *daemon, const struct clv_interface *interface,
		      uint32_t queue, enum clv_xsk_mode mode)
{
	struct clv_port *port = daemon->workers[queue % daemon->workers_len].xsk;
	const struct clv_xsk_params params = {
		.ifname = interface->nic.name,
		.queue = queue,
		.link = interface->number,
		.mode = mode,
		.xskmap_fd = clv_bpf_maps(daemon->bpf)->xsks,
		.xskmap_key = (uint32_t)interface->number * CLV_QUEUES_MAX + queue,
		.busy_poll_usec = daemon->config.busy_poll_usec,
		.busy_poll_budget_packets = daemon->config.busy_poll_packets,
	};

	return port ? clv_xsk_add(port, &params) : -ENOBUFS;
}

static void explain_socket(uint32_t queue, int err, char why[static CLV_REASON_MAX])
{
	struct rlimit limit = { 0 };

	/* The only known cause: the kernel may not lock the packet memory. */
	if (err == -ENOBUFS && getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		snprintf(why, CLV_REASON_MAX,
			 "AF_XDP socket on queue %u: no more than %" PRIu64
			 " KiB of packet memory may be locked (RLIMIT_MEMLOCK, CAP_IPC_LOCK)",
			 queue, (uint64_t)limit.rlim_cur / 1024);
	else
		snprintf(why, CLV_REASON_MAX, "AF_XDP socket on queue %u: %s", queue,
			 clv_strerror(err));
}

/* Bind every queue of an interface in its mode.  Returns 0, or an error with the reason in why. */
static int add_sockets(struct clv_daemon *daemon, struct clv_interface *interface,
		       char why[static CLV_REASON_MAX])
{
	uint32_t queue;
	int err;

	for (queue = 0; queue < interface->queues; queue++) {
		bool is_zerocopy = interface->mode == CLV_DATAPATH_ZEROCOPY;

		err = add_socket(daemon, interface, queue,
				 is_zerocopy ? CLV_XSK_ZEROCOPY : CLV_XSK_COPY);
		if (err && is_zerocopy && !queue) {
			/* The usual case, in which no bound socket must be closed first. */
			snprintf(why, CLV_REASON_MAX, "the driver takes no zero-copy socket: %s",
				 clv_strerror(err));
			clv_datapath_fall_back(interface, CLV_DATAPATH_ZEROCOPY, CLV_DATAPATH_COPY,
					       why);
			err = add_socket(daemon, interface, queue, CLV_XSK_COPY);
		}
		if (err) {
			explain_socket(queue, err, why);
			return err;
		}
	}
	err = clv_maps_set_link(&daemon->maps, interface->nic.ifindex,
				(uint32_t)interface->number * CLV_QUEUES_MAX);
	if (err)
		snprintf(why, CLV_REASON_MAX, "map links: %s", clv_strerror(err));
	return err;
}

void clv_datapath_recount(const struct clv_daemon *daemon, struct clv_interface *interface)
{
	struct clv_nic *nic = &interface->nic;
	/* Those that exist only while the program is attached: see count_queues. */
	uint32_t added = interface->queues > nic->rx_queues ? interface->queues - nic->rx_queues
							    : 0;
	char why[CLV_REASON_MAX];

	nic->rx_queues = clv_nic_rx_queues(nic->ifindex, nic->name);
	if (nic->rx_queues > added)
		nic->rx_queues -= added;
	count_queues(interface);
	if (interface->link_fd < 0 || interface->queues >= daemon->workers_len)
		return;
	snprintf(why, sizeof(why), "%u receive queues for %u workers: a restart makes a new plan",
		 interface->queues, daemon->workers_len);
	clv_datapath_detach(interface);
	clv_datapath_fall_back(interface, interface->mode, CLV_DATAPATH_KERNEL, why);
}

void clv_datapath_step_down(struct clv_daemon *daemon, struct clv_interface *interface,
			    const char *why)
{
	switch (interface->mode) {
	case CLV_DATAPATH_ZEROCOPY:
		clv_datapath_fall_back(interface, CLV_DATAPATH_ZEROCOPY, CLV_DATAPATH_COPY, why);
		break;
	case CLV_DATAPATH_COPY:
		clv_datapath_detach(interface);
		clv_datapath_fall_back(interface, CLV_DATAPATH_COPY, CLV_DATAPATH_GENERIC, why);
		attach_generic(daemon, interface);
		count_queues(interface);
		break;
	default:
		clv_datapath_detach(interface);
		clv_datapath_fall_back(interface, CLV_DATAPATH_GENERIC, CLV_DATAPATH_KERNEL, why);
		break;
	}
}

/* Open one port with packet memory for each worker, for the queues it will get. */
static int open_ports(struct clv_daemon *daemon)
{
	uint32_t queue, sockets[CLV_WORKERS_MAX] = { 0 };
	size_t i;
	uint16_t w;
	int err;

	for (i = 0; i < daemon->interfaces_len; i++)
		for (queue = 0; queue < daemon->interfaces[i].queues; queue++)
			sockets[queue % daemon->workers_len]++;
	for (w = 0; w < daemon->workers_len; w++) {
		struct clv_xsk_port_params params = {
			.counters = &daemon->workers[w].unused,
			.ring_size = daemon->config.ring_packets,
			.verify_checksum = daemon->config.verify_checksum,
		};

		if (!sockets[w])
			continue;
		err = clv_umem_open(&params.umem, sockets[w] * clv_xsk_frames(params.ring_size),
				    daemon->plan.workers[w].numa_node);
		if (!err) {
			err = clv_xsk_open(&params, &daemon->workers[w].xsk);
			if (err)
				clv_umem_close(&params.umem);
		}
		if (err) {
			snprintf(daemon->error, sizeof(daemon->error),
				 "packet memory of worker %u: %s", w, clv_strerror(err));
			return err;
		}
	}
	return 0;
}

void clv_datapath_close_sockets(struct clv_daemon *daemon)
{
	uint16_t w;

	for (w = 0; w < daemon->workers_len; w++) {
		if (daemon->workers[w].xsk)
			daemon->workers[w].xsk->ops->close(daemon->workers[w].xsk);
		daemon->workers[w].xsk = NULL;
	}
}

/* Drivers release closed zero-copy sockets later, and only while a program is attached. */
void clv_datapath_wait_for_drivers(const struct clv_daemon *daemon)
{
	uint32_t queue;
	size_t i;
	int err;

	for (i = 0; i < daemon->interfaces_len; i++) {
		const struct clv_interface *interface = &daemon->interfaces[i];

		for (queue = 0;
		     interface->mode == CLV_DATAPATH_ZEROCOPY && queue < interface->queues;
		     queue++) {
			err = clv_xsk_wait_unbound(interface->nic.name, queue);
			if (err)
				clv_log(CLV_LOG_WARN, "xsk_unbind", "if=%s queue=%u err=\"%s\"",
					interface->nic.name, queue, clv_strerror(err));
		}
	}
}

/*
 * Open the sockets of each worker's queues.  When an interface does not get all of its sockets, it
 * falls back, and all sockets are closed and opened again: they cannot be removed from a port.
 */
int clv_datapath_open_sockets(struct clv_daemon *daemon)
{
	char why[CLV_REASON_MAX];
	size_t i;
	int err;

again:
	err = open_ports(daemon);
	if (err)
		return err;
	for (i = 0; i < daemon->interfaces_len; i++) {
		struct clv_interface *interface = &daemon->interfaces[i];

		if (interface->link_fd < 0 || !add_sockets(daemon, interface, why))
			continue;
		clv_datapath_close_sockets(daemon);
		clv_datapath_wait_for_drivers(daemon);
		clv_datapath_step_down(daemon, interface, why);
		goto again;
	}
	return 0;
}

/* ---- what the configuration requires ---- */

/* Whether an interface reached the mode that the configuration requires. */
static bool is_sufficient(const struct clv_daemon *daemon, const struct clv_interface *interface)
{
	switch (daemon->config.datapath) {
	case CLV_CONFIG_DATAPATH_ZEROCOPY:
		return interface->mode == CLV_DATAPATH_ZEROCOPY;
	case CLV_CONFIG_DATAPATH_XDP:
		return interface->mode <= CLV_DATAPATH_COPY;
	case CLV_CONFIG_DATAPATH_GENERIC:
		return interface->mode == CLV_DATAPATH_GENERIC;
	default:
		return true;
	}
}

int clv_datapath_check_required(struct clv_daemon *daemon)
{
	const char *required = clv_config_datapath_name(
		(enum clv_config_datapath)daemon->config.datapath);
	size_t i;
	int mode;

	for (i = 0; i < daemon->interfaces_len; i++) {
		const struct clv_interface *interface = &daemon->interfaces[i];
		int n;

		if (is_sufficient(daemon, interface))
			continue;
		n = snprintf(daemon->error, sizeof(daemon->error),
			     "datapath = %s, but %s only supports %s", required,
			     interface->nic.name, clv_datapath_mode_name(interface->mode));
		for (mode = 0; mode < CLV_DATAPATH_MODES; mode++)
			if (*interface->why[mode] && n > 0 && (size_t)n < sizeof(daemon->error))
				n += snprintf(daemon->error + n, sizeof(daemon->error) - (size_t)n,
					      "; %s", interface->why[mode]);
		return -EOPNOTSUPP;
	}
	if (!daemon->interfaces_len && daemon->config.datapath != CLV_CONFIG_DATAPATH_AUTO &&
	    daemon->config.datapath != CLV_CONFIG_DATAPATH_SOCK) {
		snprintf(daemon->error, sizeof(daemon->error),
			 "datapath = %s, but no Ethernet interface is up", required);
		return -ENODEV;
	}
	return 0;
}
