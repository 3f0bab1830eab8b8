/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/daemon/estimate.h"

#include "control/daemon/datapath.h"
#include "control/daemon/threads.h"
#include "control/host/netfilter.h"
#include "datapath/io/umem.h"
#include "datapath/io/xsk.h"

static uint64_t to_mib(uint64_t bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

/*
 * The share of datagrams from targets that another worker receives than the one that has the tunnel.
 * The NIC spreads flows evenly over its queues, and connections are where their first packet came.
 */
static unsigned handoff_percent(unsigned queues, unsigned workers)
{
	double own = 0;
	unsigned w;

	if (!queues || workers < 2)
		return 0;
	for (w = 0; w < workers; w++) {
		double part = (double)(queues / workers + (w < queues % workers)) / queues;

		own += part * part;
	}
	return (unsigned)(100 * (1 - own) + 0.5);
}

void clv_estimate_make(const struct clv_daemon *daemon, struct clv_estimate *out)
{
	const struct clv_bpf_sizes sizes = clv_datapath_map_sizes(daemon);
	const unsigned workers = daemon->plan.workers_len, assumed = daemon->options.assume_queues;
	unsigned sockets = 0;
	size_t i;

	*out = (struct clv_estimate){ .interfaces = (unsigned)daemon->interfaces_len };
	for (i = 0; i < daemon->interfaces_len; i++) {
		unsigned queues = assumed ? assumed : daemon->interfaces[i].nic.rx_queues;

		/* Not there, or without a queue for each worker: no sockets. */
		if (!queues || queues < workers)
			continue;
		sockets += queues;
		if (!out->queues || queues < out->queues)
			out->queues = queues;
	}
	out->packets_bytes = (uint64_t)sockets * clv_xsk_frames(daemon->config.ring_packets) *
			     CLV_UMEM_FRAME_BYTES;
	/* Kernel sockets are steered by the connection IDs' map alone, which is small beside it. */
	out->maps_bytes = daemon->interfaces_len ? clv_bpf_sizes_bytes(&sizes) : 0;
	out->handoff_bytes = (uint64_t)workers * (workers - 1) * CLV_THREADS_HANDOFF_BYTES;
	out->mailbox_bytes = 2ull * workers * CLV_THREADS_MAILBOX_BYTES;
	out->handoff_percent = handoff_percent(out->queues ? out->queues : workers, workers);
}

static void print_bypassed(FILE *out)
{
	struct clv_netfilter found;

	fprintf(out, "netfilter: with XDP, no rule of nftables or tc applies to relayed packets\n");
	clv_netfilter_read(&found);
	for (size_t i = 0; i < found.len; i++)
		fprintf(out, "netfilter: not applied: chain %s %s %s, %s, %u rule%s\n",
			found.chains[i].family, found.chains[i].table, found.chains[i].name,
			found.chains[i].hook, found.chains[i].rules,
			found.chains[i].rules == 1 ? "" : "s");
}

void clv_estimate_print(const struct clv_daemon *daemon, FILE *out)
{
	struct clv_estimate e;

	clv_estimate_make(daemon, &e);
	fprintf(out,
		"memory    %6llu MiB for packets: %u interface%s of %u receive queues or more\n",
		(unsigned long long)to_mib(e.packets_bytes), e.interfaces,
		e.interfaces == 1 ? "" : "s", e.queues);
	fprintf(out, "memory    %6llu MiB for the kernel's maps\n",
		(unsigned long long)to_mib(e.maps_bytes));
	fprintf(out,
		"memory    %6llu MiB for hand-off between workers, when all rings were full once\n",
		(unsigned long long)to_mib(e.handoff_bytes));
	fprintf(out, "memory    %6llu MiB for messages between control and workers\n",
		(unsigned long long)to_mib(e.mailbox_bytes));
	fprintf(out,
		"hand-off  %6u %% of the datagrams from targets reach another worker than their tunnel's\n",
		e.handoff_percent);
	if (e.interfaces)
		print_bypassed(out);
}
