/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interfaces, and the ladder each of them walks down: zero-copy, copy, generic, kernel. */
#include "control/relay.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CIDS_PER_CONN = 8,	 /* active at a time, with those being retired */
	LISTENER_ENTRIES = 4096, /* local addresses times ports */
	DENIED_ENTRIES = 65536,
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

static void step_down(struct clv_relay_link *link, enum clv_rung from, const char *why)
{
	snprintf(link->why[from], sizeof(link->why[from]), "%.*s", CLV_RELAY_WHY_MAX - 1, why);
	clv_log(CLV_LOG_WARN, "datapath_step_down", "if=%s from=%s because=\"%s\"", link->nic.name,
		clv_rung_name(from), why);
}

/* Attach at the best mode allowed that works; link_fd stays -1 when none does. */
static void attach(struct clv_relay *relay, struct clv_relay_link *link, enum clv_xdp_mode from)
{
	char why[CLV_RELAY_WHY_MAX];

	if (from == CLV_XDP_NATIVE && relay->config.datapath != CLV_DATAPATH_GENERIC) {
		if (clv_bpf_attach(relay->bpf, link->nic.ifindex, CLV_XDP_NATIVE, &link->link_fd,
				   why, sizeof(why)) == 0) {
			link->rung = CLV_RUNG_ZEROCOPY; /* until a bind says otherwise */
			goto attached;
		}
		step_down(link, CLV_RUNG_COPY, why);
	}
	if (clv_bpf_attach(relay->bpf, link->nic.ifindex, CLV_XDP_GENERIC, &link->link_fd, why,
			   sizeof(why))) {
		step_down(link, CLV_RUNG_GENERIC, why);
		link->rung = CLV_RUNG_KERNEL;
		link->queues = 0;
		return;
	}
	link->rung = CLV_RUNG_GENERIC;
attached:
	/* Counted now: some drivers add queues for XDP, and receive on them. */
	link->queues = clv_nic_rx_queues(link->nic.ifindex, link->nic.name);
	if (link->queues > CLV_QUEUES_MAX) {
		snprintf(why, sizeof(why),
			 "%u receive queues, more than %d: ethtool -L reduces them", link->queues,
			 CLV_QUEUES_MAX);
		clv_bpf_detach(link->link_fd);
		link->link_fd = -1;
		step_down(link, link->rung, why);
		link->rung = CLV_RUNG_KERNEL;
		link->queues = 0;
	}
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

/* Bind the first queue at the best mode, which then is that of the link. */
static int add_first_socket(struct clv_relay *relay, struct clv_relay_link *link)
{
	char why[CLV_RELAY_WHY_MAX];
	int err;

	if (link->rung == CLV_RUNG_GENERIC)
		return add_socket(relay, link, 0, CLV_XSK_COPY);
	err = add_socket(relay, link, 0, CLV_XSK_ZEROCOPY);
	if (!err)
		return 0;
	snprintf(why, sizeof(why), "the driver takes no zero-copy socket: %s", clv_strerror(err));
	step_down(link, CLV_RUNG_ZEROCOPY, why);
	link->rung = CLV_RUNG_COPY;
	return add_socket(relay, link, 0, CLV_XSK_COPY);
}

static int add_sockets(struct clv_relay *relay, struct clv_relay_link *link, uint32_t *failed_queue)
{
	enum clv_xsk_mode mode;
	uint32_t queue;
	int err;

	*failed_queue = 0;
	err = add_first_socket(relay, link);
	mode = link->rung == CLV_RUNG_ZEROCOPY ? CLV_XSK_ZEROCOPY : CLV_XSK_COPY;
	for (queue = 1; queue < link->queues && !err; queue++) {
		*failed_queue = queue;
		err = add_socket(relay, link, queue, mode);
	}
	return err ? err
		   : clv_maps_set_link(&relay->maps, link->nic.ifindex,
				       (uint32_t)link->number * CLV_QUEUES_MAX);
}

/* Give an attached link its sockets, stepping down where that fails. */
static void populate(struct clv_relay *relay, struct clv_relay_link *link)
{
	uint32_t queues = link->queues, failed;
	char why[CLV_RELAY_WHY_MAX];
	int err;

	while (link->link_fd >= 0) {
		err = add_sockets(relay, link, &failed);
		if (!err)
			return;
		snprintf(why, sizeof(why), "AF_XDP socket on queue %u: %s", failed,
			 clv_strerror(err));
		clv_bpf_detach(link->link_fd);
		link->link_fd = -1;
		step_down(link, link->rung, why);
		/* Sockets that were bound keep their queues: only a first one can be tried again. */
		if (link->rung == CLV_RUNG_GENERIC || failed) {
			link->rung = CLV_RUNG_KERNEL;
			link->queues = 0;
			return;
		}
		attach(relay, link, CLV_XDP_GENERIC);
		if (link->queues > queues)
			link->queues = queues; /* as much packet memory as there is */
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

static int load(struct clv_relay *relay)
{
	const struct clv_control_limits *limits = &relay->config.limits;
	const struct clv_bpf_sizes sizes = {
		.conn_ids = limits->conns_max * CIDS_PER_CONN * relay->workers_len,
		.contexts = limits->tunnels_max * relay->workers_len,
		.bindings = limits->tunnels_max * relay->workers_len,
		.listeners = LISTENER_ENTRIES,
		.denied = DENIED_ENTRIES,
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
		attach(relay, &relay->links[i], CLV_XDP_NATIVE);
	err = open_ports(relay);
	if (err)
		return err;
	for (i = 0; i < relay->links_len; i++) {
		struct clv_relay_link *link = &relay->links[i];

		populate(relay, link);
		clv_log(CLV_LOG_INFO, "datapath", "if=%s rung=%s queues=%u", link->nic.name,
			clv_rung_name(link->rung), link->queues);
	}
	return check_demands(relay);
}

void clv_relay_close_links(struct clv_relay *relay)
{
	size_t i;

	for (i = 0; i < relay->links_len; i++) {
		clv_bpf_detach(relay->links[i].link_fd);
		relay->links[i].link_fd = -1;
	}
	clv_maps_fini(&relay->maps);
	clv_bpf_close(relay->bpf);
	relay->bpf = NULL;
}
