/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/datapath.h"

#include "control/daemon/threads.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/xsk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
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
	LAST_STEPS = 16, /* of a worker whose sockets are about to be closed */
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

/*
 * Record and log that an interface falls back to a lesser mode.  What is open in the old one is closed.
 * why: copies.
 */
static void fall_back(struct clv_interface *interface, enum clv_datapath_mode to, const char *why)
{
	const enum clv_datapath_mode from = interface->mode;

	snprintf(interface->why[from], sizeof(interface->why[from]), "%.*s", CLV_REASON_MAX - 1,
		 why);
	interface->mode = to;
	clv_log(CLV_LOG_WARN, "datapath_fallback", "if=%s from=%s to=%s because=\"%s\"",
		interface->nic.name, clv_datapath_mode_name(from), clv_datapath_mode_name(to), why);
}

static void detach_program(struct clv_interface *interface)
{
	clv_bpf_detach(interface->link_fd);
	interface->link_fd = -1;
	interface->has_fragments = false;
	interface->queues = 0;
}

/* What is for want of file descriptors is tried again when there are some. */
static void note_want(struct clv_interface *interface, int err)
{
	if (err == -EMFILE || err == -ENFILE)
		interface->awaits_files = true;
}

/* Returns as clv_bpf_attach. */
static int attach(const struct clv_daemon *daemon, struct clv_interface *interface,
		  enum clv_xdp_mode mode, char why[static CLV_REASON_MAX])
{
	struct clv_bpf_attachment got;
	int err = clv_bpf_attach(daemon->bpf, interface->nic.ifindex, mode, interface->nic.mtu,
				 &got, why, CLV_REASON_MAX);

	if (err) {
		note_want(interface, err);
		return err;
	}
	interface->link_fd = got.link_fd;
	interface->has_fragments = got.has_fragments;
	return 0;
}

static void attach_generic(struct clv_daemon *daemon, struct clv_interface *interface)
{
	char why[CLV_REASON_MAX];

	interface->mode = CLV_DATAPATH_GENERIC;
	if (attach(daemon, interface, CLV_XDP_GENERIC, why))
		fall_back(interface, CLV_DATAPATH_KERNEL, why);
}

/* The mode is zero-copy until a bind fails: what a driver advertises is no promise. */
static void attach_native(struct clv_daemon *daemon, struct clv_interface *interface)
{
	char why[CLV_REASON_MAX];

	interface->mode = CLV_DATAPATH_ZEROCOPY;
	/* Their members run the program for them, with interface numbers and queues of their own. */
	if (strcmp(interface->nic.kind, "bond") == 0 || strcmp(interface->nic.kind, "team") == 0) {
		snprintf(why, sizeof(why),
			 "native XDP of a %s runs on its members, which have no AF_XDP sockets",
			 interface->nic.kind);
		fall_back(interface, CLV_DATAPATH_GENERIC, why);
		attach_generic(daemon, interface);
		return;
	}
	if (attach(daemon, interface, CLV_XDP_NATIVE, why)) {
		fall_back(interface, CLV_DATAPATH_GENERIC, why);
		attach_generic(daemon, interface);
	}
}

/* Count the queues after attaching the program: some drivers add queues for it. */
static void count_queues(const struct clv_daemon *daemon, struct clv_interface *interface)
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
		detach_program(interface);
		interface->awaits_queues = true;
		fall_back(interface, CLV_DATAPATH_KERNEL, why);
	} else if (interface->queues < daemon->xdp_workers) {
		/* A worker sends by sockets of its own. */
		snprintf(
			why, sizeof(why),
			"%u receive queue%s for %u workers: with workers = %u in the configuration, "
			"or more queues, it is served by XDP",
			interface->queues, interface->queues == 1 ? "" : "s", daemon->xdp_workers,
			interface->queues);
		detach_program(interface);
		interface->awaits_queues = true;
		fall_back(interface, CLV_DATAPATH_KERNEL, why);
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
		fall_back(interface, CLV_DATAPATH_COPY, why);
	}
}

/* ---- the sockets ---- */

int clv_datapath_open(struct clv_daemon *daemon)
{
	uint16_t w;
	int err;

	for (w = 0; w < daemon->workers_len; w++) {
		const struct clv_xsk_port_params params = {
			.counters = &daemon->workers[w].unused,
			.ring_size = daemon->config.ring_packets,
			.numa_node = daemon->plan.workers[w].numa_node,
			.verify_checksum = daemon->config.verify_checksum,
		};

		err = clv_xsk_open(&params, &daemon->workers[w].xsk);
		if (err)
			return clv_daemon_fail(daemon, err, "AF_XDP port");
	}
	return 0;
}

/* The port of the worker that a queue belongs to. */
static struct clv_port *port_of(const struct clv_daemon *daemon, uint32_t queue)
{
	return daemon->workers[queue % daemon->xdp_workers].xsk;
}

static int bind_queue(const struct clv_daemon *daemon, const struct clv_interface *interface,
		      uint32_t queue, enum clv_xsk_mode mode, struct clv_xsk_sock **out)
{
	const struct clv_xsk_params params = {
		.ifname = interface->nic.name,
		.queue = queue,
		.link = interface->number,
		.mode = mode,
		.strips_tags = interface->nic.strips_tags,
		.xskmap_fd = clv_bpf_maps(daemon->bpf)->xsks,
		.xskmap_key = (uint32_t)interface->number * CLV_QUEUES_MAX + queue,
		.busy_poll_usec = daemon->config.busy_poll_usec,
		.busy_poll_budget_packets = daemon->config.busy_poll_packets,
	};

	return clv_xsk_bind(port_of(daemon, queue), &params, out);
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

/* Workers have threads, which must stand still while their ports change. */
static bool is_running(const struct clv_daemon *daemon)
{
	return daemon->workers_len && daemon->workers[0].is_running;
}

/* Take the sockets of an interface from the workers; what came by them is processed before. */
static unsigned take_sockets(struct clv_daemon *daemon, const struct clv_interface *interface,
			     struct clv_xsk_sock *out[static CLV_QUEUES_MAX])
{
	const bool is_live = is_running(daemon);
	unsigned i, taken = 0;
	uint64_t now_ns;
	uint16_t w;

	if (is_live)
		clv_threads_park(daemon);
	now_ns = clv_clock_now_ns(); /* no earlier than the workers' last step */
	for (w = 0; w < daemon->workers_len; w++) {
		struct clv_worker_thread *thread = &daemon->workers[w];

		for (i = 0; is_live && i < LAST_STEPS && clv_worker_step(thread->worker, now_ns);
		     i++)
			;
		taken += clv_xsk_detach(thread->xsk, interface->number, out + taken,
					CLV_QUEUES_MAX - taken);
	}
	if (is_live)
		clv_threads_resume(daemon);
	return taken;
}

/* Give the workers their sockets of an interface.  Returns 0, or -errno when none has one of them. */
static int give_sockets(struct clv_daemon *daemon, const struct clv_interface *interface,
			struct clv_xsk_sock *socks[static CLV_QUEUES_MAX])
{
	struct clv_xsk_sock *back[CLV_QUEUES_MAX];
	const bool is_live = is_running(daemon);
	uint32_t queue;
	int err = 0;

	if (is_live)
		clv_threads_park(daemon);
	for (queue = 0; queue < interface->queues && !err; queue++) {
		err = clv_xsk_attach(port_of(daemon, queue), socks[queue]);
		if (!err)
			socks[queue] = NULL;
	}
	if (is_live)
		clv_threads_resume(daemon);
	if (err) {
		for (queue = take_sockets(daemon, interface, back); queue; queue--)
			clv_xsk_unbind(back[queue - 1]);
	}
	return err;
}

/* Whether a frame that the XDP program itself sends back arrives: see the option's help. */
static bool can_answer(const struct clv_daemon *daemon, const struct clv_interface *interface)
{
	if (daemon->config.reflect_xdp != CLV_CONFIG_REFLECT_AUTO)
		return daemon->config.reflect_xdp == CLV_CONFIG_REFLECT_ALWAYS;
	return interface->mode == CLV_DATAPATH_GENERIC || strcmp(interface->nic.driver, "veth");
}

/* Bind every queue of an interface in its mode.  Returns 0, or an error with the reason in why. */
static int bind_queues(struct clv_daemon *daemon, struct clv_interface *interface,
		       struct clv_xsk_sock *socks[static CLV_QUEUES_MAX],
		       char why[static CLV_REASON_MAX])
{
	uint32_t queue;
	int err;

	for (queue = 0; queue < interface->queues; queue++) {
		bool is_zerocopy = interface->mode == CLV_DATAPATH_ZEROCOPY;

		err = bind_queue(daemon, interface, queue,
				 is_zerocopy ? CLV_XSK_ZEROCOPY : CLV_XSK_COPY, &socks[queue]);
		if (err && is_zerocopy && !queue) {
			/* The usual case, in which no bound socket must be closed first. */
			snprintf(why, CLV_REASON_MAX, "the driver takes no zero-copy socket: %s",
				 clv_strerror(err));
			fall_back(interface, CLV_DATAPATH_COPY, why);
			err = bind_queue(daemon, interface, queue, CLV_XSK_COPY, &socks[queue]);
		}
		if (err) {
			explain_socket(queue, err, why);
			return err;
		}
	}
	return 0;
}

/* Open the sockets of an interface in its mode.  Returns 0, or an error with the reason in why. */
static int open_sockets(struct clv_daemon *daemon, struct clv_interface *interface,
			char why[static CLV_REASON_MAX])
{
	struct clv_xsk_sock *socks[CLV_QUEUES_MAX] = { 0 };
	uint32_t queue;
	int err;

	err = bind_queues(daemon, interface, socks, why);
	if (!err) {
		err = give_sockets(daemon, interface, socks);
		if (err)
			snprintf(why, CLV_REASON_MAX, "AF_XDP sockets: %s", clv_strerror(err));
	}
	for (queue = 0; queue < CLV_QUEUES_MAX; queue++)
		clv_xsk_unbind(socks[queue]);
	if (err)
		return err;
	err = clv_maps_set_link(&daemon->maps, interface->nic.ifindex,
				(uint32_t)interface->number * CLV_QUEUES_MAX,
				can_answer(daemon, interface) ? CLV_LINK_ANSWERS : 0);
	if (err)
		snprintf(why, CLV_REASON_MAX, "map links: %s", clv_strerror(err));
	return err;
}

/* Drivers release closed zero-copy sockets later, and only while a program is attached. */
static void wait_for_driver(const struct clv_interface *interface)
{
	uint32_t queue;
	int err;

	for (queue = 0; interface->mode == CLV_DATAPATH_ZEROCOPY && queue < interface->queues;
	     queue++) {
		err = clv_xsk_wait_unbound(interface->nic.name, queue);
		if (err)
			clv_log(CLV_LOG_WARN, "xsk_unbind", "if=%s queue=%u err=\"%s\"",
				interface->nic.name, queue, clv_strerror(err));
	}
}

static void close_sockets(struct clv_daemon *daemon, const struct clv_interface *interface)
{
	struct clv_xsk_sock *socks[CLV_QUEUES_MAX];
	unsigned n;

	/* The workers are closed already when the daemon stops, and their ports with them. */
	if (!daemon->workers_len || !daemon->workers[0].xsk)
		return;
	clv_maps_unset_link(&daemon->maps, interface->nic.ifindex);
	n = take_sockets(daemon, interface, socks);
	while (n)
		clv_xsk_unbind(socks[--n]);
}

/* Leave a mode for the next one that can be attached, the sockets closed. */
static void step_down(struct clv_daemon *daemon, struct clv_interface *interface, const char *why)
{
	switch (interface->mode) {
	case CLV_DATAPATH_ZEROCOPY:
		fall_back(interface, CLV_DATAPATH_COPY, why);
		break;
	case CLV_DATAPATH_COPY:
		detach_program(interface);
		fall_back(interface, CLV_DATAPATH_GENERIC, why);
		attach_generic(daemon, interface);
		count_queues(daemon, interface);
		break;
	default:
		detach_program(interface);
		fall_back(interface, CLV_DATAPATH_KERNEL, why);
		break;
	}
}

/* Open the sockets in the best mode that works, from the present one down. */
static void open_or_step_down(struct clv_daemon *daemon, struct clv_interface *interface)
{
	char why[CLV_REASON_MAX];
	int err;

	while (interface->link_fd >= 0 && (err = open_sockets(daemon, interface, why))) {
		note_want(interface, err);
		close_sockets(daemon, interface);
		wait_for_driver(interface);
		step_down(daemon, interface, why);
	}
	if (interface->link_fd >= 0) {
		interface->awaits_files = false;
		interface->tries = 0;
	}
	clv_log(CLV_LOG_INFO, "datapath", "if=%s mode=%s queues=%u", interface->nic.name,
		clv_datapath_mode_name(interface->mode), interface->queues);
	if (interface->link_fd >= 0 && interface->nic.strips_tags)
		clv_log(CLV_LOG_INFO, "rx_vlan_offload",
			"if=%s decided=\"a new path of a client keeps the VLAN of the old one\"",
			interface->nic.name);
}

/* ---- an interface ---- */

void clv_datapath_attach(struct clv_daemon *daemon, struct clv_interface *interface)
{
	memset(interface->why, 0, sizeof(interface->why));
	interface->awaits_queues = interface->awaits_files = false;
	if (daemon->config.datapath == CLV_CONFIG_DATAPATH_GENERIC)
		attach_generic(daemon, interface);
	else
		attach_native(daemon, interface);
	count_queues(daemon, interface);
	open_or_step_down(daemon, interface);
}

/*
 * Attach the program again in the mode that an interface has, its sockets closed, and look at its queues
 * and offloads anew.  A driver (veth) may give a queue that came later no program.
 */
static void attach_again(struct clv_daemon *daemon, struct clv_interface *interface)
{
	const enum clv_datapath_mode mode = interface->mode;
	struct clv_nic *nic = &interface->nic;

	detach_program(interface);
	nic->rx_queues = clv_nic_rx_queues(nic->ifindex, nic->name);
	nic->strips_tags = clv_nic_strips_tags(nic->name);
	if (mode == CLV_DATAPATH_GENERIC)
		attach_generic(daemon, interface);
	else
		attach_native(daemon, interface);
	if (mode == CLV_DATAPATH_COPY && interface->mode == CLV_DATAPATH_ZEROCOPY)
		interface->mode = CLV_DATAPATH_COPY;
	count_queues(daemon, interface);
}

void clv_datapath_remedy(struct clv_daemon *daemon, struct clv_interface *interface,
			 enum clv_interface_remedy remedy, const char *why)
{
	if (interface->link_fd < 0) {
		clv_nic_complete(&interface->nic);
		clv_datapath_attach(daemon, interface);
		return;
	}
	close_sockets(daemon, interface);
	wait_for_driver(interface);
	if (remedy == CLV_REMEDY_STEP_DOWN)
		step_down(daemon, interface, why);
	else
		attach_again(daemon, interface);
	open_or_step_down(daemon, interface);
}

void clv_datapath_detach(struct clv_daemon *daemon, struct clv_interface *interface)
{
	if (interface->link_fd < 0)
		return;
	close_sockets(daemon, interface);
	wait_for_driver(interface);
	detach_program(interface);
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

		if (!interface->nic.ifindex || is_sufficient(daemon, interface))
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
	return 0;
}
