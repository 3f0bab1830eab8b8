/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/ladder.h"

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

const char *clv_rung_name(enum clv_rung rung)
{
	static const char *const names[] = { "zerocopy", "copy", "generic", "kernel" };

	return (unsigned)rung < CLV_RUNG_MAX ? names[rung] : "?";
}

/* ---- the program ---- */

void clv_ladder_step_down(struct clv_relay_link *link, enum clv_rung from, enum clv_rung to,
			  const char *why)
{
	snprintf(link->why[from], sizeof(link->why[from]), "%.*s", CLV_RELAY_WHY_MAX - 1, why);
	link->rung = to;
	clv_log(CLV_LOG_WARN, "datapath_step_down", "if=%s from=%s to=%s because=\"%s\"",
		link->nic.name, clv_rung_name(from), clv_rung_name(to), why);
}

void clv_ladder_detach(struct clv_relay_link *link)
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
		clv_ladder_step_down(link, CLV_RUNG_GENERIC, CLV_RUNG_KERNEL, why);
}

/* The rung is zero-copy until a bind says otherwise: a driver's own word is no promise. */
static void attach_native(struct clv_relay *relay, struct clv_relay_link *link)
{
	char why[CLV_RELAY_WHY_MAX];

	link->rung = CLV_RUNG_ZEROCOPY;
	if (clv_bpf_attach(relay->bpf, link->nic.ifindex, CLV_XDP_NATIVE, &link->link_fd, why,
			   sizeof(why))) {
		clv_ladder_step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_GENERIC, why);
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
		clv_ladder_detach(link);
		clv_ladder_step_down(link, link->rung, CLV_RUNG_KERNEL, why);
	} else if (link->rung == CLV_RUNG_ZEROCOPY && link->queues > before) {
		/*
		 * Those queues go when the program does.  A process that is killed lets go of both at
		 * once, and drivers that find a socket on a queue that is gone break the kernel.
		 */
		snprintf(why, sizeof(why),
			 "%u of the %u receive queues are there only while XDP is: "
			 "ethtool -L with more of them avoids it",
			 link->queues - before, link->queues);
		clv_ladder_step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
	}
}

void clv_ladder_attach(struct clv_relay *relay, struct clv_relay_link *link)
{
	if (relay->config.datapath == CLV_DATAPATH_GENERIC)
		attach_generic(relay, link);
	else
		attach_native(relay, link);
	count_queues(link);
}

/* ---- the sockets ---- */

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
			clv_ladder_step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
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
		clv_ladder_step_down(link, CLV_RUNG_ZEROCOPY, CLV_RUNG_COPY, why);
		break;
	case CLV_RUNG_COPY:
		clv_ladder_detach(link);
		clv_ladder_step_down(link, CLV_RUNG_COPY, CLV_RUNG_GENERIC, why);
		attach_generic(relay, link);
		count_queues(link);
		break;
	default:
		clv_ladder_detach(link);
		clv_ladder_step_down(link, CLV_RUNG_GENERIC, CLV_RUNG_KERNEL, why);
		break;
	}
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

void clv_ladder_close_ports(struct clv_relay *relay)
{
	uint16_t w;

	for (w = 0; w < relay->workers_len; w++) {
		if (relay->workers[w].xsk)
			relay->workers[w].xsk->ops->close(relay->workers[w].xsk);
		relay->workers[w].xsk = NULL;
	}
}

/* Drivers let go of zero-copy sockets some time after they are closed, and only under a program. */
void clv_ladder_wait_for_drivers(const struct clv_relay *relay)
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
int clv_ladder_populate(struct clv_relay *relay)
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
		clv_ladder_close_ports(relay);
		clv_ladder_wait_for_drivers(relay);
		descend(relay, link, why);
		goto again;
	}
	return 0;
}

/* ---- how far ---- */

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

int clv_ladder_check_demands(struct clv_relay *relay)
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
