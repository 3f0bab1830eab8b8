/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/interfaces.h"

#include "control/daemon/datapath.h"
#include "control/host/choice.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/base/timers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	NAMED_MAX = 8, /* interfaces that one log line lists */
};

/* Until then a worker may still have a hop that names the place and means who left it. */
#define PLACE_REST_NS (2 * CLV_SEC)

/* ---- places ---- */

static bool is_taken(const struct clv_daemon *daemon, uint16_t number)
{
	return clv_daemon_interface_at(daemon, number) != NULL;
}

/*
 * Find the place that has been free for longest.  Returns 0, CLV_EFULL, or -EAGAIN when those that
 * are free were left a moment ago.
 */
static int find_place(const struct clv_daemon *daemon, uint64_t now_ns, uint16_t *out)
{
	uint16_t n, best = CLV_LINKS_MAX;

	for (n = 0; n < CLV_LINKS_MAX; n++)
		if (!is_taken(daemon, n) &&
		    (best == CLV_LINKS_MAX ||
		     daemon->places_left_ns[n] < daemon->places_left_ns[best]))
			best = n;
	if (best == CLV_LINKS_MAX)
		return CLV_EFULL;
	if (daemon->places_left_ns[best] && now_ns - daemon->places_left_ns[best] < PLACE_REST_NS)
		return -EAGAIN;
	*out = best;
	return 0;
}

/* Returns 0 and fills *out with an entry that is not attached; lends.  Or as find_place. */
static int add_interface(struct clv_daemon *daemon, const struct clv_nic *nic,
			 struct clv_interface **out)
{
	uint16_t number;
	int err = find_place(daemon, clv_clock_now_ns(), &number);

	if (err)
		return err;
	*out = &daemon->interfaces[daemon->interfaces_len++];
	**out = (struct clv_interface){
		.nic = *nic,
		.mode = CLV_DATAPATH_KERNEL,
		.link_fd = -1,
		.number = number,
	};
	return 0;
}

static void remove_interface(struct clv_daemon *daemon, struct clv_interface *interface)
{
	struct clv_interface *end = daemon->interfaces + daemon->interfaces_len;

	daemon->places_left_ns[interface->number] = clv_clock_now_ns();
	memmove(interface, interface + 1, (size_t)(end - interface - 1) * sizeof(*interface));
	daemon->interfaces_len--;
}

/* ---- choice ---- */

static bool has_names(const struct clv_daemon *daemon)
{
	return daemon->config.interfaces.len;
}

static const struct clv_nic *nic_named(const struct clv_choice *host, const char *name)
{
	size_t i;

	for (i = 0; i < host->nics_len; i++)
		if (strcmp(host->nics[i].name, name) == 0)
			return &host->nics[i];
	return NULL;
}

/* A second entry would find the program of the first attached, and have the interface left to the kernel. */
static bool is_named_before(const struct clv_config_list *names, size_t at)
{
	size_t i;

	for (i = 0; i < at; i++)
		if (strcmp(names->items[i], names->items[at]) == 0)
			return true;
	return false;
}

static int choose_named(struct clv_daemon *daemon, const struct clv_choice *host)
{
	const struct clv_config_list *names = &daemon->config.interfaces;
	struct clv_interface *interface;
	size_t i;

	for (i = 0; i < names->len; i++) {
		const struct clv_nic *nic = nic_named(host, names->items[i]);
		struct clv_nic missing = { .numa_node = -1 };

		if (strlen(names->items[i]) >= sizeof(missing.name)) {
			snprintf(daemon->error, sizeof(daemon->error),
				 "interfaces: no interface can have the name %s", names->items[i]);
			return -EINVAL;
		}
		if (is_named_before(names, i)) {
			snprintf(daemon->error, sizeof(daemon->error),
				 "interfaces: %s is there twice", names->items[i]);
			return -EINVAL;
		}
		snprintf(missing.name, sizeof(missing.name), "%s", names->items[i]);
		if (!nic)
			clv_log(CLV_LOG_WARN, "interface_missing",
				"if=%s hint=\"it is served when it appears\"", missing.name);
		if (add_interface(daemon, nic ? nic : &missing, &interface)) {
			snprintf(daemon->error, sizeof(daemon->error), "interfaces: more than %d",
				 CLV_LINKS_MAX);
			return CLV_EFULL;
		}
		if (nic)
			clv_nic_complete(&interface->nic);
	}
	return 0;
}

/* Interfaces that are to be served and have no place: said when their number changes. */
static void tell_left_out(struct clv_daemon *daemon, unsigned count, const char *first)
{
	if (count && count != daemon->interfaces_left_out)
		clv_log(CLV_LOG_WARN, "interfaces_left_out",
			"count=%u first=%s because=\"more than %d\" hint=\"kernel sockets serve them; "
			"name those that matter under interfaces\"",
			count, first, CLV_LINKS_MAX);
	daemon->interfaces_left_out = count;
}

/* What carries others' packets, as bridges and the ends of containers' links do. */
static void tell_not_served(const struct clv_choice *host)
{
	char names[NAMED_MAX * (IF_NAMESIZE + 1)] = "";
	unsigned count = 0;
	size_t i, len = 0;

	for (i = 0; i < host->nics_len; i++) {
		if (!clv_choice_is_candidate(&host->nics[i]) ||
		    clv_choice_takes(host, &host->nics[i]))
			continue;
		if (count++ < NAMED_MAX)
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? "," : "", host->nics[i].name);
	}
	if (count)
		clv_log(CLV_LOG_INFO, "interfaces_not_chosen",
			"count=%u names=%s because=\"no device behind them, and no way to the Internet\" "
			"hint=\"kernel sockets serve them; name those that matter under interfaces\"",
			count, names);
}

static void choose_by_default(struct clv_daemon *daemon, const struct clv_choice *host)
{
	struct clv_interface *interface;
	const char *first = "";
	unsigned left_out = 0;
	size_t i;

	for (i = 0; i < host->nics_len; i++) {
		if (!clv_choice_takes(host, &host->nics[i]))
			continue;
		if (add_interface(daemon, &host->nics[i], &interface)) {
			first = left_out++ ? first : host->nics[i].name;
			continue;
		}
		clv_nic_complete(&interface->nic);
	}
	tell_left_out(daemon, left_out, first);
	tell_not_served(host);
	if (!daemon->interfaces_len)
		clv_log(CLV_LOG_WARN, "no_interface",
			"because=\"none is up with a device behind it or a way to the Internet\" "
			"hint=\"one that comes is served then\"");
}

int clv_interfaces_choose(struct clv_daemon *daemon)
{
	struct clv_choice host;
	int err;

	daemon->interfaces_len = 0;
	if (daemon->config.datapath == CLV_CONFIG_DATAPATH_SOCK)
		return 0;
	err = clv_choice_read(daemon->config.mark, &host);
	if (err)
		return clv_daemon_fail(daemon, err, "cannot list the interfaces");
	if (has_names(daemon))
		err = choose_named(daemon, &host);
	else
		choose_by_default(daemon, &host);
	clv_choice_fini(&host);
	return err;
}

/* ---- plan ---- */

/*
 * Whether an interface with so many receive queues decides on the number of workers, rather than the
 * one that did so far.
 *
 * A worker sends from sockets of its own, so it needs a queue on every interface that XDP serves.
 * Where the configuration requires XDP, the interface with the fewest queues limits the number of
 * workers.  Else that with the most does, and kernel sockets serve those that have too few: a bridge
 * with one queue must not take the workers from a card with many.
 */
static bool does_decide(const struct clv_daemon *daemon, uint32_t queues, uint32_t so_far)
{
	if (!so_far)
		return true;
	return daemon->config.datapath == CLV_CONFIG_DATAPATH_AUTO ? queues > so_far
								   : queues < so_far;
}

static void limit_by_queues(const struct clv_daemon *daemon, struct clv_plan_request *request)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++) {
		const struct clv_nic *nic = &daemon->interfaces[i].nic;

		if (!nic->ifindex)
			continue;
		if (request->numa_node < 0)
			request->numa_node = nic->numa_node;
		if (!does_decide(daemon, nic->rx_queues, request->queues))
			continue;
		request->queues = nic->rx_queues;
		snprintf(request->queues_of, sizeof(request->queues_of), "%s", nic->name);
	}
}

int clv_interfaces_plan(struct clv_daemon *daemon)
{
	struct clv_plan_request request = {
		.workers = daemon->config.workers_max,
		.numa_node = -1,
		.cores = daemon->options.assume_cores,
	};
	int err;

	limit_by_queues(daemon, &request);
	daemon->is_planned_blind = !request.queues;
	if (daemon->options.assume_queues) {
		request.queues = daemon->options.assume_queues;
		snprintf(request.queues_of, sizeof(request.queues_of), "every interface");
	}
	if (!daemon->is_steered && !daemon->options.assume_cores) {
		request.queues = 1;
		snprintf(request.queues_of, sizeof(request.queues_of), "an unprivileged process");
	}
	err = clv_plan_machine(&request, &daemon->plan);
	daemon->xdp_workers = daemon->plan.workers_len;
	if (err)
		snprintf(daemon->error, sizeof(daemon->error), "cannot plan the cores: %s",
			 clv_strerror(err));
	return err;
}

/* ---- start ---- */

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
	if (daemon->config.datapath == CLV_CONFIG_DATAPATH_SOCK)
		return 0;
	err = load(daemon);
	if (err || !daemon->bpf)
		return err;
	err = clv_datapath_open(daemon);
	if (err)
		return err;
	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].nic.ifindex)
			clv_datapath_attach(daemon, &daemon->interfaces[i]);
	return clv_datapath_check_required(daemon);
}

/* ---- changes ---- */

static const struct clv_nic *nic_by_index(const struct clv_choice *host, int ifindex)
{
	size_t i;

	for (i = 0; i < host->nics_len; i++)
		if (host->nics[i].ifindex == ifindex)
			return &host->nics[i];
	return NULL;
}

/* Update what may change on an interface: its name, by which sockets are bound, and its MTU. */
static void refresh(struct clv_interface *interface, const struct clv_nic *now)
{
	struct clv_nic *mine = &interface->nic;

	if (strcmp(mine->name, now->name) != 0)
		clv_log(CLV_LOG_INFO, "interface_renamed", "if=%s to=%s", mine->name, now->name);
	memcpy(mine->name, now->name, sizeof(mine->name));
	mine->mtu = now->mtu;
}

static void leave(struct clv_daemon *daemon, struct clv_interface *interface)
{
	clv_log(CLV_LOG_WARN, "interface_gone", "if=%s", interface->nic.name);
	clv_routes_set_link(daemon->routes, interface->nic.ifindex, -1);
	clv_datapath_detach(daemon, interface);
	interface->mode = CLV_DATAPATH_KERNEL;
	interface->nic.ifindex = 0;
}

/* Have what leaves by an interface take the way that its mode is now. */
static void set_way(struct clv_daemon *daemon, const struct clv_interface *interface)
{
	clv_routes_set_link(daemon->routes, interface->nic.ifindex,
			    interface->mode < CLV_DATAPATH_KERNEL ? interface->number : -1);
}

static void arrive(struct clv_daemon *daemon, struct clv_interface *interface,
		   const struct clv_nic *nic)
{
	interface->nic = *nic;
	interface->tries = 0;
	clv_nic_complete(&interface->nic);
	clv_datapath_attach(daemon, interface);
	set_way(daemon, interface);
	if (clv_datapath_check_required(daemon))
		clv_log(CLV_LOG_ERROR, "datapath_not_reached",
			"because=\"%s\" hint=\"kernel sockets serve it\"", daemon->error);
}

/* The interface that was attached, and not another that has its index and name since. */
static bool is_there(const struct clv_interface *interface, const struct clv_choice *host)
{
	return nic_by_index(host, interface->nic.ifindex) &&
	       (interface->link_fd < 0 || clv_bpf_is_attached(interface->link_fd));
}

/* Returns whether one went. */
static bool leave_gone(struct clv_daemon *daemon, const struct clv_choice *host)
{
	bool has_changed = false;
	size_t i;

	for (i = daemon->interfaces_len; i-- > 0;) {
		struct clv_interface *interface = &daemon->interfaces[i];

		if (!interface->nic.ifindex)
			continue;
		if (is_there(interface, host)) {
			refresh(interface, nic_by_index(host, interface->nic.ifindex));
			continue;
		}
		leave(daemon, interface);
		has_changed = true;
		if (!has_names(daemon))
			remove_interface(daemon, interface);
	}
	return has_changed;
}

static bool is_known(const struct clv_daemon *daemon, int ifindex)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (daemon->interfaces[i].nic.ifindex == ifindex)
			return true;
	return false;
}

/* The entry of an interface that is named and was not there. */
static struct clv_interface *missing_named(struct clv_daemon *daemon, const char *name)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		if (!daemon->interfaces[i].nic.ifindex &&
		    strcmp(daemon->interfaces[i].nic.name, name) == 0)
			return &daemon->interfaces[i];
	return NULL;
}

/* Whether an interface is to be served, and is not yet. */
static bool is_new(struct clv_daemon *daemon, const struct clv_choice *host,
		   const struct clv_nic *nic)
{
	if (is_known(daemon, nic->ifindex))
		return false;
	return has_names(daemon) ? missing_named(daemon, nic->name) != NULL
				 : clv_choice_takes(host, nic);
}

/*
 * The first interfaces come, after a start without any: if they have fewer queues than there are
 * workers, only so many get queues, and connections.
 */
static void fit_workers(struct clv_daemon *daemon, const struct clv_choice *host)
{
	uint32_t found = 0;
	size_t i;

	for (i = 0; i < host->nics_len; i++) {
		const struct clv_nic *nic = &host->nics[i];
		uint32_t queues;

		if (!is_new(daemon, host, nic))
			continue;
		queues = clv_nic_rx_queues(nic->ifindex, nic->name);
		if (does_decide(daemon, queues, found))
			found = queues;
	}
	if (!found)
		return;
	daemon->is_planned_blind = false;
	if (found >= daemon->workers_len)
		return;
	daemon->xdp_workers = (uint16_t)found;
	clv_log(CLV_LOG_WARN, "workers_idle",
		"used=%u of=%u because=\"the interfaces that came have no more receive queues\" "
		"hint=\"a restart makes a plan with them\"",
		daemon->xdp_workers, daemon->workers_len);
}

/* Returns whether one came. */
static bool attach_new(struct clv_daemon *daemon, const struct clv_choice *host)
{
	struct clv_interface *interface;
	const char *first = "";
	bool has_changed = false;
	unsigned left_out = 0;
	size_t i;

	if (daemon->is_planned_blind)
		fit_workers(daemon, host);
	for (i = 0; i < host->nics_len; i++) {
		const struct clv_nic *nic = &host->nics[i];
		int err = 0;

		if (!is_new(daemon, host, nic))
			continue;
		if (has_names(daemon))
			interface = missing_named(daemon, nic->name);
		else
			err = add_interface(daemon, nic, &interface);
		if (err == -EAGAIN) {
			daemon->loop.has_interface_changes = true;
		} else if (err) {
			first = left_out++ ? first : nic->name;
		} else {
			arrive(daemon, interface, nic);
			has_changed = true;
		}
	}
	tell_left_out(daemon, left_out, first);
	return has_changed;
}

bool clv_interfaces_follow(struct clv_daemon *daemon)
{
	struct clv_choice host;
	bool has_changed;
	int err;

	if (!daemon->bpf)
		return false;
	err = clv_choice_read(daemon->config.mark, &host);
	if (err) {
		clv_log(CLV_LOG_ERROR, "interfaces_not_followed",
			"err=\"%s\" hint=\"retried in a second\"", clv_strerror(err));
		daemon->loop.has_interface_changes = true;
		return false;
	}
	has_changed = leave_gone(daemon, &host);
	has_changed |= attach_new(daemon, &host);
	clv_choice_fini(&host);
	return has_changed;
}

void clv_interfaces_reopen(struct clv_daemon *daemon, struct clv_interface *interface,
			   enum clv_interface_remedy remedy, const char *why)
{
	clv_datapath_remedy(daemon, interface, remedy, why);
	set_way(daemon, interface);
}

void clv_interfaces_close(struct clv_daemon *daemon)
{
	size_t i;

	for (i = 0; i < daemon->interfaces_len; i++)
		clv_datapath_detach(daemon, &daemon->interfaces[i]);
	clv_maps_fini(&daemon->maps);
	clv_bpf_close(daemon->bpf);
	daemon->bpf = NULL;
}
