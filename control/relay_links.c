/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interfaces, and the ladder each of them walks down: zero-copy, copy, generic, kernel. */
#include "control/relay.h"

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
	CIDS_PER_CONN = 8,	 /* active at a time, with those being retired */
	LISTENER_ENTRIES = 4096, /* local addresses times ports */
	DENIED_ENTRIES = 65536,
	LAST_STEPS = 16, /* of a worker whose sockets are about to go */
};

const char *clv_rung_name(enum clv_rung rung)
{
	static const char *const names[] = { "zerocopy", "copy", "generic", "kernel" };

	return (unsigned)rung < CLV_RUNG_MAX ? names[rung] : "?";
}

/* ---- which interfaces ---- */

static int add_link(struct clv_relay *relay, const struct clv_nic *nic)
{
	struct clv_relay_link *link = &relay->links[relay->links_len];

	if (relay->links_len == CLV_LINKS_MAX)
		return CLV_EFULL;
	*link = (struct clv_relay_link){
		.nic = *nic,
		.rung = CLV_RUNG_KERNEL,
		.link_fd = -1,
		.number = (uint16_t)relay->links_len,
	};
	relay->links_len++;
	return 0;
}

/* VLAN devices and members of bridges and bonds are served by the device below or above. */
static bool is_candidate(const struct clv_nic *nic)
{
	return nic->flags & IFF_UP && !(nic->flags & IFF_LOOPBACK) &&
	       nic->arp_type == ARPHRD_ETHER && !nic->parent && !nic->master;
}

static int choose_named(struct clv_relay *relay, const struct clv_nic *nics, int n)
{
	const struct clv_config_list *names = &relay->config.interfaces;
	size_t i;
	int k;

	for (i = 0; i < names->len; i++) {
		for (k = 0; k < n; k++)
			if (strcmp(nics[k].name, names->items[i]) == 0)
				break;
		if (k == n) {
			snprintf(relay->error, sizeof(relay->error), "interfaces: there is no %s",
				 names->items[i]);
			return -ENODEV;
		}
		if (add_link(relay, &nics[k])) {
			snprintf(relay->error, sizeof(relay->error), "interfaces: more than %d",
				 CLV_LINKS_MAX);
			return CLV_EFULL;
		}
	}
	return 0;
}

int clv_relay_choose_links(struct clv_relay *relay)
{
	struct clv_nic *nics;
	int err = 0, i, n;

	relay->links_len = 0;
	if (relay->config.datapath == CLV_DATAPATH_SOCK)
		return 0;
	nics = calloc(CLV_NIC_MAX, sizeof(*nics));
	if (!nics)
		return -ENOMEM;
	n = clv_nic_list(nics, CLV_NIC_MAX);
	if (n < 0) {
		snprintf(relay->error, sizeof(relay->error), "cannot list the interfaces: %s",
			 clv_strerror(n));
		err = n;
	} else if (relay->config.interfaces.len) {
		err = choose_named(relay, nics, n);
	} else {
		for (i = 0; i < n; i++)
			if (is_candidate(&nics[i]) && add_link(relay, &nics[i]))
				clv_log(CLV_LOG_WARN, "interface_left_out",
					"if=%s because=\"more than %d\" hint=\"list them in the "
					"configuration\"",
					nics[i].name, CLV_LINKS_MAX);
	}
	free(nics);
	return err;
}

int clv_relay_make_plan(struct clv_relay *relay)
{
	struct clv_plan_request request = {
		.workers = relay->config.workers_max,
		.numa_node = -1,
	};
	size_t i;
	int err;

	/*
	 * A worker sends from sockets of its own, so it needs a queue of every interface: the one
	 * with the fewest bounds them all.
	 */
	for (i = 0; i < relay->links_len; i++) {
		const struct clv_nic *nic = &relay->links[i].nic;

		if (request.numa_node < 0)
			request.numa_node = nic->numa_node;
		if (request.queues && nic->rx_queues >= request.queues)
			continue;
		request.queues = nic->rx_queues;
		snprintf(request.queues_of, sizeof(request.queues_of), "%s", nic->name);
	}
	if (!relay->is_steered) {
		request.queues = 1;
		snprintf(request.queues_of, sizeof(request.queues_of), "an unprivileged process");
	}
	err = clv_plan_machine(&request, &relay->plan);
	if (err)
		snprintf(relay->error, sizeof(relay->error), "cannot plan the cores: %s",
			 clv_strerror(err));
	return err;
}

/* ---- the ladder ---- */

static void step_down(struct clv_relay_link *link, enum clv_rung from, enum clv_rung to,
		      const char *why)
{
	snprintf(link->why[from], sizeof(link->why[from]), "%.*s", CLV_RELAY_WHY_MAX - 1, why);
	link->rung = to;
	clv_log(CLV_LOG_WARN, "datapath_step_down", "if=%s from=%s to=%s because=\"%s\"",
		link->nic.name, clv_rung_name(from), clv_rung_name(to), why);
}

static void detach(struct clv_relay_link *link)
{
	clv_bpf_detach(link->link_fd);
	link->link_fd = -1;
	link->queues = 0;
}

static void attach_generic(struct clv_relay *relay, struct clv_relay_link *link)
{
	char why[CLV_RELAY_WHY_MAX];

	link->rung = CLV_RUNG_GENERIC;
	if (clv_bpf_attach(relay->bpf, link->nic.ifindex, CLV_XDP_GENERIC, &link->link_fd, why,
			   sizeof(why)))
		step_down(link, CLV_RUNG_GENERIC, CLV_RUNG_KERNEL, why);
}

/* The rung is zero-copy until a bind says otherwise: a driver's own word is no promise. */
static void attach_native(struct clv_relay *relay, struct clv_relay_link *link)
{
	char why[CLV_RELAY_WHY_MAX];

	link->rung = CLV_RUNG_ZEROCOPY;
	if (clv_bpf_attach(relay->bpf, link->nic.ifindex, CLV_XDP_NATIVE, &link->link_fd, why,
			   sizeof(why))) {
		step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_GENERIC, why);
		attach_generic(relay, link);
	}
}

/* Queues are counted once the program is attached: some drivers add some for it, and receive there. */
static void count_queues(struct clv_relay_link *link)
{
	uint32_t before = link->nic.rx_queues;
	char why[CLV_RELAY_WHY_MAX];

	if (link->link_fd < 0)
		return;
	link->queues = clv_nic_rx_queues(link->nic.ifindex, link->nic.name);
	if (link->queues > CLV_QUEUES_MAX) {
		snprintf(why, sizeof(why),
			 "%u receive queues, more than %d: ethtool -L reduces them", link->queues,
			 CLV_QUEUES_MAX);
		detach(link);
		step_down(link, link->rung, CLV_RUNG_KERNEL, why);
	} else if (link->rung == CLV_RUNG_ZEROCOPY && link->queues > before) {
		/*
		 * Those queues go when the program does.  A process that is killed lets go of both at
		 * once, and drivers that find a socket on a queue that is gone break the kernel.
		 */
		snprintf(why, sizeof(why),
			 "%u of the %u receive queues are there only while XDP is: "
			 "ethtool -L with more of them avoids it",
			 link->queues - before, link->queues);
		step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
	}
}

/* Attach at the best mode allowed that works; link_fd stays -1 when none does. */
static void attach(struct clv_relay *relay, struct clv_relay_link *link)
{
	if (relay->config.datapath == CLV_DATAPATH_GENERIC)
		attach_generic(relay, link);
	else
		attach_native(relay, link);
	count_queues(link);
}

static int add_socket(struct clv_relay *relay, const struct clv_relay_link *link, uint32_t queue,
		      enum clv_xsk_mode mode)
{
	struct clv_port *port = relay->workers[queue % relay->workers_len].xsk;
	const struct clv_xsk_params params = {
		.ifname = link->nic.name,
		.queue = queue,
		.link = link->number,
		.mode = mode,
		.xskmap_fd = clv_bpf_maps(relay->bpf)->xsks,
		.xskmap_key = (uint32_t)link->number * CLV_QUEUES_MAX + queue,
		.busy_poll_usec = relay->config.busy_poll_usec,
		.busy_poll_budget_packets = relay->config.busy_poll_packets,
	};

	return port ? clv_xsk_add(port, &params) : -ENOBUFS;
}

static void explain_socket(uint32_t queue, int err, char why[static CLV_RELAY_WHY_MAX])
{
	struct rlimit limit = { 0 };

	/* What the kernel says when it may not lock the packet memory; no other cause is known. */
	if (err == -ENOBUFS && getrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		snprintf(why, CLV_RELAY_WHY_MAX,
			 "AF_XDP socket on queue %u: no more than %" PRIu64
			 " KiB of packet memory may be locked (RLIMIT_MEMLOCK, CAP_IPC_LOCK)",
			 queue, (uint64_t)limit.rlim_cur / 1024);
	else
		snprintf(why, CLV_RELAY_WHY_MAX, "AF_XDP socket on queue %u: %s", queue,
			 clv_strerror(err));
}

/* Bind every queue of a link at its rung.  Returns 0, or an error with the reason. */
static int add_sockets(struct clv_relay *relay, struct clv_relay_link *link,
		       char why[static CLV_RELAY_WHY_MAX])
{
	uint32_t queue;
	int err;

	for (queue = 0; queue < link->queues; queue++) {
		bool is_zerocopy = link->rung == CLV_RUNG_ZEROCOPY;

		err = add_socket(relay, link, queue, is_zerocopy ? CLV_XSK_ZEROCOPY : CLV_XSK_COPY);
		if (err && is_zerocopy && !queue) {
			/* The usual refusal: nothing is bound yet that would have to go first. */
			snprintf(why, CLV_RELAY_WHY_MAX, "the driver takes no zero-copy socket: %s",
				 clv_strerror(err));
			step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
			err = add_socket(relay, link, queue, CLV_XSK_COPY);
		}
		if (err) {
			explain_socket(queue, err, why);
			return err;
		}
	}
	err = clv_maps_set_link(&relay->maps, link->nic.ifindex,
				(uint32_t)link->number * CLV_QUEUES_MAX);
	if (err)
		snprintf(why, CLV_RELAY_WHY_MAX, "map links: %s", clv_strerror(err));
	return err;
}

/* From a rung whose sockets could not be had to the next one.  None of them is open any more. */
static void descend(struct clv_relay *relay, struct clv_relay_link *link, const char *why)
{
	switch (link->rung) {
	case CLV_RUNG_ZEROCOPY:
		step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
		break;
	case CLV_RUNG_COPY:
		detach(link);
		step_down(link, CLV_RUNG_COPY, CLV_RUNG_GENERIC, why);
		attach_generic(relay, link);
		count_queues(link);
		break;
	default:
		detach(link);
		step_down(link, CLV_RUNG_GENERIC, CLV_RUNG_KERNEL, why);
		break;
	}
}

/* Whether a link got as far as the configuration demands. */
static bool is_enough(const struct clv_relay *relay, const struct clv_relay_link *link)
{
	switch (relay->config.datapath) {
	case CLV_DATAPATH_ZEROCOPY:
		return link->rung == CLV_RUNG_ZEROCOPY;
	case CLV_DATAPATH_XDP:
		return link->rung <= CLV_RUNG_COPY;
	case CLV_DATAPATH_GENERIC:
		return link->rung == CLV_RUNG_GENERIC;
	default:
		return true;
	}
}

static int check_demands(struct clv_relay *relay)
{
	const char *asked = clv_datapath_name((enum clv_datapath)relay->config.datapath);
	size_t i;
	int rung;

	for (i = 0; i < relay->links_len; i++) {
		const struct clv_relay_link *link = &relay->links[i];
		int n;

		if (is_enough(relay, link))
			continue;
		n = snprintf(relay->error, sizeof(relay->error),
			     "datapath = %s, but %s only reaches %s", asked, link->nic.name,
			     clv_rung_name(link->rung));
		for (rung = 0; rung < CLV_RUNG_MAX; rung++)
			if (*link->why[rung] && n > 0 && (size_t)n < sizeof(relay->error))
				n += snprintf(relay->error + n, sizeof(relay->error) - (size_t)n,
					      "; %s", link->why[rung]);
		return -EOPNOTSUPP;
	}
	if (!relay->links_len && relay->config.datapath != CLV_DATAPATH_AUTO &&
	    relay->config.datapath != CLV_DATAPATH_SOCK) {
		snprintf(relay->error, sizeof(relay->error),
			 "datapath = %s, but no Ethernet interface is up", asked);
		return -ENODEV;
	}
	return 0;
}

/* One packet memory for each worker, for the queues that will be its. */
static int open_ports(struct clv_relay *relay)
{
	uint32_t queue, sockets[CLV_WORKERS_MAX] = { 0 };
	size_t i;
	uint16_t w;
	int err;

	for (i = 0; i < relay->links_len; i++)
		for (queue = 0; queue < relay->links[i].queues; queue++)
			sockets[queue % relay->workers_len]++;
	for (w = 0; w < relay->workers_len; w++) {
		struct clv_xsk_port_params params = {
			.counters = &relay->workers[w].unused,
			.ring_size = relay->config.ring_packets,
			.verify_checksum = relay->config.verify_checksum,
		};

		if (!sockets[w])
			continue;
		err = clv_umem_open(&params.umem, sockets[w] * clv_xsk_frames(params.ring_size),
				    relay->plan.workers[w].numa_node);
		if (!err) {
			err = clv_xsk_open(&params, &relay->workers[w].xsk);
			if (err)
				clv_umem_close(&params.umem);
		}
		if (err) {
			snprintf(relay->error, sizeof(relay->error),
				 "packet memory of worker %u: %s", w, clv_strerror(err));
			return err;
		}
	}
	return 0;
}

static void close_ports(struct clv_relay *relay)
{
	uint16_t w;

	for (w = 0; w < relay->workers_len; w++) {
		if (relay->workers[w].xsk)
			relay->workers[w].xsk->ops->close(relay->workers[w].xsk);
		relay->workers[w].xsk = NULL;
	}
}

/* Drivers let go of zero-copy sockets some time after they are closed, and only under a program. */
static void wait_for_drivers(const struct clv_relay *relay)
{
	uint32_t queue;
	size_t i;
	int err;

	for (i = 0; i < relay->links_len; i++) {
		const struct clv_relay_link *link = &relay->links[i];

		for (queue = 0; link->rung == CLV_RUNG_ZEROCOPY && queue < link->queues; queue++) {
			err = clv_xsk_wait_unbound(link->nic.name, queue);
			if (err)
				clv_log(CLV_LOG_WARN, "xsk_unbind", "if=%s queue=%u err=\"%s\"",
					link->nic.name, queue, clv_strerror(err));
		}
	}
}

/*
 * Give each worker the sockets of its queues.  Where a link does not get all of its own they are
 * all closed, it steps down, and they are opened anew: sockets cannot be taken out of a port.
 */
static int populate(struct clv_relay *relay)
{
	char why[CLV_RELAY_WHY_MAX];
	size_t i;
	int err;

again:
	err = open_ports(relay);
	if (err)
		return err;
	for (i = 0; i < relay->links_len; i++) {
		struct clv_relay_link *link = &relay->links[i];

		if (link->link_fd < 0 || !add_sockets(relay, link, why))
			continue;
		close_ports(relay);
		wait_for_drivers(relay);
		descend(relay, link, why);
		goto again;
	}
	return 0;
}

static int load(struct clv_relay *relay)
{
	const struct clv_control_limits *limits = &relay->config.limits;
	const struct clv_bpf_sizes sizes = {
		.conn_ids = limits->conns_max * CIDS_PER_CONN * relay->workers_len,
		.contexts = (limits->tunnels_max + limits->remotes_max) * relay->workers_len,
		.bindings = limits->tunnels_max * CLV_TUNNEL_ENDS * relay->workers_len,
		.listeners = LISTENER_ENTRIES,
		.denied = DENIED_ENTRIES,
		.guard = limits->guard_sources,
	};
	int err;

	err = clv_bpf_open(relay->options.run_dir, &sizes, &relay->bpf, relay->error,
			   sizeof(relay->error));
	if (!err) {
		clv_maps_init(&relay->maps, clv_bpf_maps(relay->bpf));
		return 0;
	}
	if (relay->config.datapath != CLV_DATAPATH_AUTO)
		return err;
	snprintf(relay->no_bpf_why, sizeof(relay->no_bpf_why), "%.*s", CLV_RELAY_WHY_MAX - 1,
		 relay->error);
	clv_log(CLV_LOG_WARN, "datapath_step_down", "from=xdp to=kernel because=\"%s\"",
		relay->no_bpf_why);
	relay->links_len = 0;
	return 0;
}

int clv_relay_open_links(struct clv_relay *relay)
{
	size_t i;
	int err;

	clv_maps_init(&relay->maps, NULL);
	if (!relay->links_len)
		return check_demands(relay);
	err = load(relay);
	if (err || !relay->bpf)
		return err;
	for (i = 0; i < relay->links_len; i++)
		attach(relay, &relay->links[i]);
	err = populate(relay);
	if (err)
		return err;
	for (i = 0; i < relay->links_len; i++)
		clv_log(CLV_LOG_INFO, "datapath", "if=%s rung=%s queues=%u",
			relay->links[i].nic.name, clv_rung_name(relay->links[i].rung),
			relay->links[i].queues);
	return check_demands(relay);
}

/* ---- interfaces that come and go ---- */

static const struct clv_nic *nic_by_index(const struct clv_nic *nics, int n, int ifindex)
{
	int i;

	for (i = 0; i < n; i++)
		if (nics[i].ifindex == ifindex)
			return &nics[i];
	return NULL;
}

static struct clv_relay_link *link_by_name(struct clv_relay *relay, const char *name)
{
	size_t i;

	for (i = 0; i < relay->links_len; i++)
		if (strcmp(relay->links[i].nic.name, name) == 0)
			return &relay->links[i];
	return NULL;
}

/* What may be another while the interface is the same: sockets are bound by its name. */
static void refresh(struct clv_relay *relay, const struct clv_nic *nics, int n)
{
	size_t i;

	for (i = 0; i < relay->links_len; i++) {
		struct clv_nic *mine = &relay->links[i].nic;
		const struct clv_nic *now = mine->ifindex ? nic_by_index(nics, n, mine->ifindex)
							  : NULL;

		if (!now)
			continue;
		if (strcmp(mine->name, now->name) != 0)
			clv_log(CLV_LOG_INFO, "interface_renamed", "if=%s to=%s", mine->name,
				now->name);
		memcpy(mine->name, now->name, sizeof(mine->name));
		mine->mtu = now->mtu;
	}
}

/* A link whose interface is gone keeps its number and its name, by which it may come back. */
static void forget(struct clv_relay *relay, struct clv_relay_link *link)
{
	clv_log(CLV_LOG_WARN, "interface_gone", "if=%s", link->nic.name);
	clv_maps_unset_link(&relay->maps, link->nic.ifindex);
	clv_routes_set_link(relay->routes, link->nic.ifindex, -1);
	detach(link);
	link->rung = CLV_RUNG_KERNEL;
	link->nic.ifindex = 0;
}

/* Every worker sends by a queue of its own on each interface. */
static void attach_late(struct clv_relay *relay, struct clv_relay_link *link,
			const struct clv_nic *nic)
{
	char why[CLV_RELAY_WHY_MAX];

	link->nic = *nic;
	memset(link->why, 0, sizeof(link->why));
	attach(relay, link);
	if (link->link_fd < 0 || link->queues >= relay->workers_len)
		return;
	snprintf(why, sizeof(why), "%u receive queues for %u workers: a restart plans anew",
		 link->queues, relay->workers_len);
	detach(link);
	step_down(link, link->rung, CLV_RUNG_KERNEL, why);
}

/* The link that an interface means: one of its name that lost its own, or a new one. */
static struct clv_relay_link *link_for(struct clv_relay *relay, const struct clv_nic *nic)
{
	struct clv_relay_link *link = link_by_name(relay, nic->name);

	if (link)
		return link->nic.ifindex ? NULL : link;
	if (relay->config.interfaces.len || !is_candidate(nic) || add_link(relay, nic))
		return NULL;
	return &relay->links[relay->links_len - 1];
}

static bool is_known(const struct clv_relay *relay, int ifindex)
{
	size_t i;

	for (i = 0; i < relay->links_len; i++)
		if (relay->links[i].nic.ifindex == ifindex)
			return true;
	return false;
}

/* What there is to do, before anything is done about it: standing still costs datagrams. */
static bool is_in_line(struct clv_relay *relay, const struct clv_nic *nics, int n)
{
	size_t i;
	int k;

	for (i = 0; i < relay->links_len; i++)
		if (relay->links[i].nic.ifindex &&
		    !nic_by_index(nics, n, relay->links[i].nic.ifindex))
			return false;
	for (k = 0; k < n; k++) {
		if (is_known(relay, nics[k].ifindex))
			continue;
		if (link_by_name(relay, nics[k].name) ||
		    (!relay->config.interfaces.len && is_candidate(&nics[k]) &&
		     relay->links_len < CLV_LINKS_MAX))
			return false;
	}
	return true;
}

static void bring_in_line(struct clv_relay *relay, const struct clv_nic *nics, int n)
{
	struct clv_relay_link *link;
	size_t i;
	int k;

	for (i = 0; i < relay->links_len; i++) {
		link = &relay->links[i];
		if (link->nic.ifindex && !nic_by_index(nics, n, link->nic.ifindex))
			forget(relay, link);
	}
	for (k = 0; k < n; k++) {
		if (is_known(relay, nics[k].ifindex))
			continue;
		link = link_for(relay, &nics[k]);
		if (link)
			attach_late(relay, link, &nics[k]);
	}
}

/* What the sockets have taken in is used; what comes while there are none, XDP drops and counts. */
static void take_sockets(struct clv_relay *relay)
{
	uint64_t now_ns = clv_clock_now_ns();
	uint16_t w;
	unsigned i;

	for (w = 0; w < relay->workers_len; w++) {
		for (i = 0; i < LAST_STEPS && clv_worker_step(relay->workers[w].worker, now_ns);
		     i++)
			;
		clv_worker_set_xsk(relay->workers[w].worker, NULL);
		relay->workers[w].xsk_seen = NULL;
	}
	wait_for_drivers(relay);
}

static void give_sockets(struct clv_relay *relay)
{
	uint16_t w;
	size_t i;

	for (w = 0; w < relay->workers_len; w++) {
		relay->workers[w].xsk_seen = relay->workers[w].xsk;
		clv_worker_set_xsk(relay->workers[w].worker, relay->workers[w].xsk);
		relay->workers[w].xsk = NULL;
	}
	for (i = 0; i < relay->links_len; i++) {
		const struct clv_relay_link *link = &relay->links[i];

		clv_routes_set_link(relay->routes, link->nic.ifindex,
				    link->rung < CLV_RUNG_KERNEL ? link->number : -1);
		clv_log(CLV_LOG_INFO, "datapath", "if=%s rung=%s queues=%u", link->nic.name,
			clv_rung_name(link->rung), link->queues);
	}
}

bool clv_relay_follow_links(struct clv_relay *relay)
{
	struct clv_nic *nics;
	size_t i;
	int n;

	if (!relay->bpf)
		return false;
	nics = calloc(CLV_NIC_MAX, sizeof(*nics));
	n = nics ? clv_nic_list(nics, CLV_NIC_MAX) : -ENOMEM;
	if (n < 0) {
		clv_log(CLV_LOG_ERROR, "interfaces_not_followed",
			"err=\"%s\" hint=\"tried again in a second\"", clv_strerror(n));
		relay->loop.has_new_links = true;
	} else {
		refresh(relay, nics, n);
	}
	if (n < 0 || is_in_line(relay, nics, n)) {
		free(nics);
		return false;
	}
	clv_relay_park_workers(relay);
	take_sockets(relay);
	bring_in_line(relay, nics, n);
	if (populate(relay)) {
		clv_log(CLV_LOG_ERROR, "datapath_lost", "err=\"%s\" hint=\"restart\"",
			relay->error);
		close_ports(relay);
		for (i = 0; i < relay->links_len; i++) {
			detach(&relay->links[i]);
			relay->links[i].rung = CLV_RUNG_KERNEL;
		}
	}
	give_sockets(relay);
	clv_relay_unpark_workers(relay);
	free(nics);
	return true;
}

void clv_relay_close_links(struct clv_relay *relay)
{
	size_t i;

	wait_for_drivers(relay);
	for (i = 0; i < relay->links_len; i++)
		detach(&relay->links[i]);
	clv_maps_fini(&relay->maps);
	clv_bpf_close(relay->bpf);
	relay->bpf = NULL;
}
