/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xdp_sink - the cheapest far end: drops UDP to one port in XDP and counts it.
 *
 *   xdp_sink IF PORT      says "ready"; on SIGTERM or SIGINT prints how many it dropped
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "xdp_sink.skel.h"

enum {
	CPUS_MAX = 1024,
};

static int say(const char *what)
{
	perror(what);
	return 1;
}

static unsigned long long dropped(struct xdp_sink_bpf *b)
{
	__u64 counts[CPUS_MAX] = { 0 }, sum = 0;
	__u32 zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(b->maps.dropped), &zero, counts))
		return 0;
	for (int i = 0; i < CPUS_MAX; i++)
		sum += counts[i];
	return sum;
}

int main(int argc, char **argv)
{
	struct xdp_sink_bpf *b;
	sigset_t set;
	int ifindex, number, err;

	if (argc != 3 || !(ifindex = (int)if_nametoindex(argv[1]))) {
		fprintf(stderr, "usage: xdp_sink IF PORT\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	b = xdp_sink_bpf__open();
	if (!b)
		return say("open");
	b->rodata->sink_port = (__u16)atoi(argv[2]);
	if (libbpf_num_possible_cpus() > CPUS_MAX || xdp_sink_bpf__load(b))
		return say("load");
	err = bpf_xdp_attach(ifindex, bpf_program__fd(b->progs.drop_udp), XDP_FLAGS_DRV_MODE, NULL);
	if (err)
		return say("attach");
	puts("ready");
	fflush(stdout);
	sigwait(&set, &number);
	printf("dropped %llu\n", dropped(b));
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	xdp_sink_bpf__destroy(b);
	return 0;
}
