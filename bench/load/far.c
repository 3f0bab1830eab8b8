/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * far - the cheapest far end of a link: drops UDP to a port, or sends it back, in XDP.
 *
 *   far IF [--drop PORT] [--echo PORT] [--xsk FIRST-LAST] [--drain]
 *
 * --xsk: ports whose datagrams go to the AF_XDP socket that a load program puts into far_xsks.
 * --drain: that socket is here, and what comes is let go.
 * Says "ready".  Every line it reads is answered by what came so far, as JSON; it ends with its input.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <getopt.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "datapath/base/err.h"
#include "datapath/io/xsk.h"
#include "far.skel.h"

enum {
	CPUS_MAX = 1024,
	DRAIN_RING = 4096,
	DRAIN_MS = 100, /* longest sleep */
};

struct far_count { /* as in far.bpf.c */
	__u64 packets, bytes, handed, frame_bytes;
};

static int say(const char *what)
{
	perror(what);
	return 1;
}

static int usage(void)
{
	fprintf(stderr, "usage: far IF [--drop PORT] [--echo PORT] [--xsk FIRST-LAST] [--drain]\n");
	return 2;
}

static void answer(struct far_bpf *b)
{
	struct far_count counts[CPUS_MAX] = { 0 }, sum = { 0 };
	__u32 zero = 0;

	if (!bpf_map_lookup_elem(bpf_map__fd(b->maps.taken), &zero, counts))
		for (int i = 0; i < CPUS_MAX; i++) {
			sum.packets += counts[i].packets;
			sum.bytes += counts[i].bytes;
			sum.handed += counts[i].handed;
			sum.frame_bytes += counts[i].frame_bytes;
		}
	printf("{\"packets\": %llu, \"bytes\": %llu, \"handed\": %llu, \"frame_bytes\": %llu}\n",
	       sum.packets, sum.bytes, sum.handed, sum.frame_bytes);
}

/* ---- the drain: a thread that takes what comes, as a load program does ---- */

static struct drain {
	bool is_wanted, is_over;
	struct clv_worker_counters counters;
	struct clv_port *port;
	pthread_t thread;
} drain;

static void *drain_run(void *unused)
{
	struct clv_port *port = drain.port;
	struct pollfd fd = { .fd = port->ops->poll_fd(port), .events = POLLIN };
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned got;

	(void)unused;
	while (!__atomic_load_n(&drain.is_over, __ATOMIC_RELAXED)) {
		got = port->ops->rx(port, batch, CLV_PORT_BATCH);
		port->ops->rx_done(port);
		port->ops->flush(port);
		if (!got && port->ops->may_sleep(port))
			poll(&fd, 1, DRAIN_MS);
	}
	return NULL;
}

static int drain_start(const char *ifname, int xskmap)
{
	struct clv_xsk_port_params p = { .counters = &drain.counters,
					 .ring_size = DRAIN_RING,
					 .numa_node = -1 };
	const struct clv_xsk_params add = {
		.ifname = ifname,
		.mode = CLV_XSK_COPY,
		.xskmap_fd = xskmap,
	};
	int err = clv_xsk_open(&p, &drain.port);

	if (!err)
		err = clv_xsk_add(drain.port, &add);
	return err ? err : -pthread_create(&drain.thread, NULL, drain_run, NULL);
}

static void drain_stop(void)
{
	if (!drain.thread)
		return;
	__atomic_store_n(&drain.is_over, true, __ATOMIC_RELAXED);
	pthread_join(drain.thread, NULL);
	drain.port->ops->close(drain.port);
}

static int parse(int argc, char **argv, struct far_bpf *b)
{
	static const struct option options[] = {
		{ "drop", required_argument, NULL, 'd' },
		{ "echo", required_argument, NULL, 'e' },
		{ "xsk", required_argument, NULL, 'x' },
		{ "drain", no_argument, NULL, 'D' },
		{ 0 },
	};
	char *dash;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd') {
			b->rodata->drop_port = (__u16)atoi(optarg);
		} else if (c == 'e') {
			b->rodata->echo_port = (__u16)atoi(optarg);
		} else if (c == 'x') {
			b->rodata->xsk_first = (__u16)strtoul(optarg, &dash, 10);
			b->rodata->xsk_last = (__u16)atoi(*dash ? dash + 1 : optarg);
		} else if (c == 'D') {
			drain.is_wanted = true;
		} else {
			return -1;
		}
	}
	return optind == argc - 1 ? (int)if_nametoindex(argv[optind]) : 0;
}

int main(int argc, char **argv)
{
	struct far_bpf *b = far_bpf__open();
	char line[64];
	int ifindex, err;

	if (!b)
		return say("open");
	setvbuf(stdout, NULL, _IOLBF, 0);
	ifindex = parse(argc, argv, b);
	if (ifindex <= 0)
		return usage();
	if (libbpf_num_possible_cpus() > CPUS_MAX || far_bpf__load(b))
		return say("load");
	if (bpf_xdp_attach(ifindex, bpf_program__fd(b->progs.far_end), XDP_FLAGS_DRV_MODE, NULL))
		return say("attach");
	err = drain.is_wanted ? drain_start(argv[optind], bpf_map__fd(b->maps.far_xsks)) : 0;
	if (err) {
		fprintf(stderr, "far: drain: %s\n", clv_strerror(err));
		return 1;
	}
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		answer(b);
	drain_stop();
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	far_bpf__destroy(b);
	return 0;
}
