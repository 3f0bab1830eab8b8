/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Interfaces: which, from the start and later.  How each is served is the ladder's (relay_ladder.h). */
#include "control/daemon/daemon.h"

#include "control/daemon/ladder.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CIDS_PER_CONN = 8,	 /* active at a time, with those being retired */
	LISTENER_ENTRIES = 4096, /* local addresses times ports */
	DENIED_ENTRIES = 65536,
	LAST_STEPS = 16, /* of a worker whose sockets are about to go */
};

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
		return clv_ladder_check_demands(relay);
	err = load(relay);
	if (err || !relay->bpf)
		return err;
	for (i = 0; i < relay->links_len; i++)
		clv_ladder_attach(relay, &relay->links[i]);
	err = clv_ladder_populate(relay);
	if (err)
		return err;
	for (i = 0; i < relay->links_len; i++)
		clv_log(CLV_LOG_INFO, "datapath", "if=%s rung=%s queues=%u",
			relay->links[i].nic.name, clv_rung_name(relay->links[i].rung),
			relay->links[i].queues);
	return clv_ladder_check_demands(relay);
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
	clv_ladder_detach(link);
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
	clv_ladder_attach(relay, link);
	if (link->link_fd < 0 || link->queues >= relay->workers_len)
		return;
	snprintf(why, sizeof(why), "%u receive queues for %u workers: a restart plans anew",
		 link->queues, relay->workers_len);
	clv_ladder_detach(link);
	clv_ladder_step_down(link, link->rung, CLV_RUNG_KERNEL, why);
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
	clv_ladder_wait_for_drivers(relay);
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
	if (clv_ladder_populate(relay)) {
		clv_log(CLV_LOG_ERROR, "datapath_lost", "err=\"%s\" hint=\"restart\"",
			relay->error);
		clv_ladder_close_ports(relay);
		for (i = 0; i < relay->links_len; i++) {
			clv_ladder_detach(&relay->links[i]);
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

	clv_ladder_wait_for_drivers(relay);
	for (i = 0; i < relay->links_len; i++)
		clv_ladder_detach(&relay->links[i]);
	clv_maps_fini(&relay->maps);
	clv_bpf_close(relay->bpf);
	relay->bpf = NULL;
}
