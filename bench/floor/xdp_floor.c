/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xdp_floor - XDP on its own: drop, redirect, or IPv4 to IPv6 and redirect.
 *
 *   xdp_floor drop|redirect|rewrite IF_IN IF_OUT NEXT_MAC
 *
 * Says "ready".  Every line it reads is answered by JSON: packets so far, and the time the program
 * itself took, as the kernel counts it (which adds about 20 ns a packet).
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xdp_floor.skel.h"

static int say(const char *what)
{
	perror(what);
	return 1;
}

static struct bpf_program *program_of(struct xdp_floor_bpf *b, const char *what)
{
	if (!strcmp(what, "drop"))
		return b->progs.floor_drop;
	if (!strcmp(what, "redirect"))
		return b->progs.floor_redirect;
	return strcmp(what, "rewrite") ? NULL : b->progs.floor_rewrite;
}

static void answer(const struct xdp_floor_bpf *b, int fd)
{
	struct bpf_prog_info info = { 0 };
	__u32 len = sizeof(info);

	bpf_obj_get_info_by_fd(fd, &info, &len);
	printf("{\"packets\": %llu, \"run_ns\": %llu}\n", b->bss->packets, info.run_time_ns);
}

int main(int argc, char **argv)
{
	static const uint8_t net6[12] = { 0x20, 0x01, 0x0d, 0xb8, 0, 6 };
	struct xdp_floor_bpf *b = xdp_floor_bpf__open();
	struct bpf_program *program;
	struct ether_addr mac;
	int ifindex, fd, stats;
	char line[64];

	program = b && argc == 5 ? program_of(b, argv[1]) : NULL;
	ifindex = program ? (int)if_nametoindex(argv[2]) : 0;
	if (!ifindex || !ether_aton_r(argv[4], &mac)) {
		fprintf(stderr, "usage: xdp_floor drop|redirect|rewrite IF_IN IF_OUT NEXT_MAC\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	b->rodata->out_ifindex = if_nametoindex(argv[3]);
	memcpy((void *)b->rodata->next_mac, &mac, sizeof(mac));
	memcpy((void *)b->rodata->net6, net6, sizeof(net6));
	if (xdp_floor_bpf__load(b))
		return say("load");
	fd = bpf_program__fd(program);
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (bpf_xdp_attach(ifindex, fd, XDP_FLAGS_DRV_MODE, NULL))
		return say("attach");
	puts("ready");
	while (fgets(line, sizeof(line), stdin))
		answer(b, fd);
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	close(stats);
	xdp_floor_bpf__destroy(b);
	return 0;
}
