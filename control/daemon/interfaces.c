/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/interfaces.h"

#include "control/daemon/datapath.h"
#include "control/daemon/threads.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LAST_STEPS = 16, /* of a worker whose sockets are about to be closed */
};

/* ---- choice ---- */

static int add_interface(struct clv_daemon *daemon, const struct clv_nic *nic)
{
	struct clv_interface *interface = &daemon->interfaces[daemon->interfaces_len];

	if (daemon->interfaces_len == CLV_LINKS_MAX)
		return CLV_EFULL;
	*interface = (struct clv_interface){
		.nic = *nic,
		.mode = CLV_DATAPATH_KERNEL,
		.link_fd = -1,
		.number = (uint16_t)daemon->interfaces_len,
	};
	daemon->interfaces_len++;
	return 0;
}

/* VLAN devices and members of bridges and bonds are served by the underlying or master device. */
static bool is_candidate(const struct clv_nic *nic)
{
	return nic->flags & IFF_UP && !(nic->flags & IFF_LOOPBACK) &&
	       nic->arp_type == ARPHRD_ETHER && !nic->parent && !nic->master;
}

static int choose_named(struct clv_daemon *daemon, const struct clv_nic *nics, int n)
{
	const struct clv_config_list *names = &daemon->config.interfaces;
	size_t i;
	int k;

	for (i = 0; i < names->len; i++) {
		for (k = 0; k < n; k++)
			if (strcmp(nics[k].name, names->items[i]) == 0)
				break;
		if (k == n) {
			snprintf(daemon->error, sizeof(daemon->error),
				 "interfaces: %s does not exist", names->items[i]);
			return -ENODEV;
		}
		if (add_interface(daemon, &nics[k])) {
			snprintf(daemon->error, sizeof(daemon->error), "interfaces: more than %d",
				 CLV_LINKS_MAX);
			return CLV_EFULL;
		}
	}
	return 0;
}

int clv_interfaces_choose(struct clv_daemon *daemon)
{
	struct clv_nic *nics;
	int err = 0, i, n;

	daemon->interfaces_len = 0;
	if (daemon->config.datapath == CLV_CONFIG_DATAPATH_SOCK)
		return 0;
	nics = calloc(CLV_NIC_MAX, sizeof(*nics));
	if (!nics)
		return -ENOMEM;
	n = clv_nic_list(nics, CLV_NIC_MAX);
	if (n < 0) {
		snprintf(daemon->error, sizeof(daemon->error), "cannot list the interfaces: %s",
			 clv_strerror(n));
		err = n;
	} else if (daemon->config.interfaces.len) {
		err = choose_named(daemon, nics, n);
	} else {
		for (i = 0; i < n; i++)
			if (is_candidate(&nics[i]) && add_interface(daemon, &nics[i]))
				clv_log(CLV_LOG_WARN, "interface_left_out",
					"if=%s because=\"more than %d\" hint=\"list them in the "
					"configuration\"",
					nics[i].name, CLV_LINKS_MAX);
	}
	free(nics);
	return err;
}

int clv_interfaces_plan(struct clv_daemon *daemon)
{
	struct clv_plan_request request = {
		.workers = daemon->config.workers_max,
		.numa_node = -1,
		.cores = daemon->options.assume_cores,
	};
	size_t i;
	int err;

	/*
	 * A worker sends from sockets of its own, so it needs a queue on every interface: the
	 * interface with the fewest queues limits the number of workers.
	 */
	for (i = 0; i < daemon->interfaces_len; i++) {
		const struct clv_nic *nic = &daemon->interfaces[i].nic;

		if (request.numa_node < 0)
			request.numa_node = nic->numa_node;
		if (request.queues && nic->rx_queues >= request.queues)
			continue;
		request.queues = nic->rx_queues;
		snprintf(request.queues_of, sizeof(request.queues_of), "%s", nic->name);
	}
	if (daemon->options.assume_queues) {
		request.queues = daemon->options.assume_queues;
		snprintf(request.queues_of, sizeof(request.queues_of), "every interface");
	}
	if (!daemon->is_steered && !daemon->options.assume_cores) {
		request.queues = 1;
		snprintf(request.queues_of, sizeof(request.queues_of), "an unprivileged process");
	}
	err = clv_plan_machine(&request, &daemon->plan);
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "cannot plan the cores: %s",
			 clv_strerror(err));
	return err;
}

static int load(struct clv_daemon *daemon)
{
	const struct clv_bpf_sizes sizes = clv_datapath_map_sizes(daemon);
	int err;

	err = clv_bpf_open(daemon->options.run_dir, &sizes, &daemon->bpf, daemon->error,
			   sizeof(daemon->error));
	if (!err) {
		clv_maps_init(&daemon->maps, clv_bpf_maps(daemon->bpf));
		return 0;
	}
	if (daemon->config.datapath != CLV_CONFIG_DATAPATH_AUTO)
		return err;
	snprintf(daemon->no_bpf_why, sizeof(daemon->no_bpf_why), "%.*s", CLV_REASON_MAX - 1,
		 daemon->error);
	clv_log(CLV_LOG_WARN, "datapath_fallback", "from=xdp to=kernel because=\"%s\"",
		daemon->no_bpf_why);
	daemon->interfaces_len = 0;
	return 0;
}

int clv_interfaces_open(struct clv_daemon *daemon)
{
	size_t i;
	int err;

	clv_maps_init(&daemon->maps, NULL);
	if (!daemon->interfaces_len)
		return clv_datapath_check_required(daemon);
	err = load(daemon);
	if (err || !daemon->bpf)
		return err;
	for (i = 0; i < daemon->interfaces_len; i++)
		clv_datapath_attach(daemon, &daemon->interfaces[i]);
	err = clv_datapath_open_sockets(daemon);
	if (err)
		return err;
	for (i = 0; i < daemon->interfaces_len; i++)
		clv_log(CLV_LOG_INFO, "datapath", "if=%s mode=%s queues=%u",
			daemon->interfaces[i].nic.name,
			clv_datapath_mode_name(daemon->interfaces[i].mode),
			daemon->interfaces[i].queues);
	return clv_datapath_check_required(daemon);
}

/* ---- changes ---- */

static const struct clv_nic *nic_by_index(const struct clv_nic *nics, int n, int ifindex)
{
	int i;

	for (i = 0; i < n; i++)
		if (nics[i].ifindex == ifindex)
			return &nics[i];
	return NULL;
}

static struct clv_interface *interface_by_name(struct clv_daemon *daemon, const char *name)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (strcmp(daemon->interfaces[i].nic.name, name) == 0)
			return &daemon->interfaces[i];
	return NULL;
}

/* Update what may change on an interface: its name, by which sockets are bound, and its MTU. */
static void refresh(struct clv_daemon *daemon, const struct clv_nic *nics, int n)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++) {
		struct clv_nic *mine = &daemon->interfaces[i].nic;
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

/* An interface that is gone keeps its entry: it may come back under the same name. */
static void forget(struct clv_daemon *daemon, struct clv_interface *interface)
{
	clv_log(CLV_LOG_WARN, "interface_gone", "if=%s", interface->nic.name);
	clv_maps_unset_link(&daemon->maps, interface->nic.ifindex);
	clv_routes_set_link(daemon->routes, interface->nic.ifindex, -1);
	clv_datapath_detach(interface);
	interface->mode = CLV_DATAPATH_KERNEL;
	interface->nic.ifindex = 0;
}

static void attach_late(struct clv_daemon *daemon, struct clv_interface *interface,
			const struct clv_nic *nic)
{
	interface->nic = *nic;
	memset(interface->why, 0, sizeof(interface->why));
	clv_datapath_attach(daemon, interface);
	clv_datapath_recount(daemon, interface);
}

/* Returns the entry for an interface: the one of its name whose interface is gone, or a new one. */
static struct clv_interface *interface_for(struct clv_daemon *daemon, const struct clv_nic *nic)
{
	struct clv_interface *interface = interface_by_name(daemon, nic->name);

	if (interface)
		return interface->nic.ifindex ? NULL : interface;
	if (daemon->config.interfaces.len || !is_candidate(nic) || add_interface(daemon, nic))
		return NULL;
	return &daemon->interfaces[daemon->interfaces_len - 1];
}

static bool is_known(const struct clv_daemon *daemon, int ifindex)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].nic.ifindex == ifindex)
			return true;
	return false;
}

/* Whether nothing is to be attached or forgotten.  Checked first: a pause costs datagrams. */
static bool is_up_to_date(struct clv_daemon *daemon, const struct clv_nic *nics, int n)
{
	size_t i;
	int k;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].nic.ifindex &&
		    !nic_by_index(nics, n, daemon->interfaces[i].nic.ifindex))
			return false;
	for (k = 0; k < n; k++) {
		if (is_known(daemon, nics[k].ifindex))
			continue;
		if (interface_by_name(daemon, nics[k].name) ||
		    (!daemon->config.interfaces.len && is_candidate(&nics[k]) &&
		     daemon->interfaces_len < CLV_LINKS_MAX))
			return false;
	}
	return true;
}

static void attach_and_forget(struct clv_daemon *daemon, const struct clv_nic *nics, int n)
{
	struct clv_interface *interface;
	size_t i;
	int k;

	for (i = 0; i < daemon->interfaces_len; i++) {
		interface = &daemon->interfaces[i];
		if (interface->nic.ifindex && !nic_by_index(nics, n, interface->nic.ifindex))
			forget(daemon, interface);
	}
	for (k = 0; k < n; k++) {
		if (is_known(daemon, nics[k].ifindex))
			continue;
		interface = interface_for(daemon, &nics[k]);
		if (interface)
			attach_late(daemon, interface, &nics[k]);
	}
}

/* Process what the sockets have received; what arrives without sockets XDP drops and counts. */
static void take_sockets(struct clv_daemon *daemon)
{
	uint64_t now_ns = clv_clock_now_ns();
	uint16_t w;
	unsigned i;

	for (w = 0; w < daemon->workers_len; w++) {
		for (i = 0; i < LAST_STEPS && clv_worker_step(daemon->workers[w].worker, now_ns);
		     i++)
			;
		clv_worker_set_xsk(daemon->workers[w].worker, NULL);
		daemon->workers[w].xsk_seen = NULL;
	}
	clv_datapath_wait_for_drivers(daemon);
}

static void give_sockets(struct clv_daemon *daemon)
{
	uint16_t w;
	size_t i;

	for (w = 0; w < daemon->workers_len; w++) {
		daemon->workers[w].xsk_seen = daemon->workers[w].xsk;
		clv_worker_set_xsk(daemon->workers[w].worker, daemon->workers[w].xsk);
		daemon->workers[w].xsk = NULL;
	}
	for (i = 0; i < daemon->interfaces_len; i++) {
		const struct clv_interface *interface = &daemon->interfaces[i];

		clv_routes_set_link(daemon->routes, interface->nic.ifindex,
				    interface->mode < CLV_DATAPATH_KERNEL ? interface->number : -1);
		clv_log(CLV_LOG_INFO, "datapath", "if=%s mode=%s queues=%u", interface->nic.name,
			clv_datapath_mode_name(interface->mode), interface->queues);
	}
}

/* Give the workers new sockets, or without memory for them the kernel's alone. */
static void open_again(struct clv_daemon *daemon)
{
	size_t i;

	if (clv_datapath_open_sockets(daemon)) {
		clv_log(CLV_LOG_ERROR, "datapath_lost", "err=\"%s\" hint=\"restart\"",
			daemon->error);
		clv_datapath_close_sockets(daemon);
		for (i = 0; i < daemon->interfaces_len; i++) {
			clv_datapath_detach(&daemon->interfaces[i]);
			daemon->interfaces[i].mode = CLV_DATAPATH_KERNEL;
		}
	}
	give_sockets(daemon);
}

bool clv_interfaces_follow(struct clv_daemon *daemon)
{
	struct clv_nic *nics;
	int n;

	if (!daemon->bpf)
		return false;
	nics = calloc(CLV_NIC_MAX, sizeof(*nics));
	n = nics ? clv_nic_list(nics, CLV_NIC_MAX) : -ENOMEM;
	if (n < 0) {
		clv_log(CLV_LOG_ERROR, "interfaces_not_followed",
			"err=\"%s\" hint=\"retried in a second\"", clv_strerror(n));
		daemon->loop.has_interface_changes = true;
	} else {
		refresh(daemon, nics, n);
	}
	if (n < 0 || is_up_to_date(daemon, nics, n)) {
		free(nics);
		return false;
	}
	clv_threads_park(daemon);
	take_sockets(daemon);
	attach_and_forget(daemon, nics, n);
	open_again(daemon);
	clv_threads_resume(daemon);
	free(nics);
	return true;
}

void clv_interfaces_reopen(struct clv_daemon *daemon, struct clv_interface *interface,
			   enum clv_interface_remedy remedy, const char *why)
{
	clv_threads_park(daemon);
	take_sockets(daemon);
	if (remedy == CLV_REMEDY_STEP_DOWN)
		clv_datapath_step_down(daemon, interface, why);
	else
		clv_datapath_recount(daemon, interface);
	if (interface->link_fd < 0)
		clv_maps_unset_link(&daemon->maps, interface->nic.ifindex);
	open_again(daemon);
	clv_threads_resume(daemon);
}

void clv_interfaces_close(struct clv_daemon *daemon)
{
	size_t i;

	clv_datapath_wait_for_drivers(daemon);
	for (i = 0; i < daemon->interfaces_len; i++)
		clv_datapath_detach(&daemon->interfaces[i]);
	clv_maps_fini(&daemon->maps);
	clv_bpf_close(daemon->bpf);
	daemon->bpf = NULL;
}
