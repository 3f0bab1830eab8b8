/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * xsk_forward - the floor: what a core pays for a UDP packet in and out by AF_XDP, nothing else.
 *
 *   xsk_forward [-b BATCH] [-c PACKETS] [-s SECONDS] [-m auto|zerocopy|copy] [-g]
 *               IF_A MAC_A IF_B MAC_B
 *
 * Forwards UDP between two interfaces through the relay's own port (rx, tx_take, tx_send, one flush
 * for a batch): the payload is copied to a frame of its own and all headers and checksums are
 * written anew, as for a relayed datagram; only the cipher is missing.  Addresses and ports stay,
 * MAC_X is the next hop on IF_X.  It sleeps when nothing comes, so its CPU time is work.
 *
 * Prints one line: packets, CPU time of the thread for each, packets in a batch, packets lost.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/xsk.h"
#include "xsk_forward.skel.h"

enum {
	SIDES = 2,
	POLL_MS = 100,
};

struct side {
	const char *name;
	uint8_t own_mac[6], next_mac[6];
	int ifindex;
	unsigned queues;
	struct xsk_forward_bpf *program;
};

struct options {
	unsigned batch;
	uint64_t packets, seconds;
	enum clv_xsk_mode mode;
	uint32_t xdp_flags;
};

struct totals {
	uint64_t packets, batches;
	uint64_t start_ns, start_cpu_ns; /* of the first packet */
};

static struct side sides[SIDES];
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "xsk_forward: %s: %s\n", what, clv_strerror(err));
	exit(EXIT_FAILURE);
}

static void usage(void)
{
	fprintf(stderr, "usage: xsk_forward [-b BATCH] [-c PACKETS] [-s SECONDS]"
			" [-m auto|zerocopy|copy] [-g] IF_A MAC_A IF_B MAC_B\n");
	exit(EXIT_FAILURE);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CLV_SEC + (uint64_t)t.tv_nsec;
}

static unsigned count_queues(const char *name)
{
	char path[128];
	unsigned n;

	for (n = 0;; n++) {
		snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-%u", name, n);
		if (access(path, F_OK))
			return n ? n : 1;
	}
}

static void read_own_mac(struct side *side)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", side->name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		die(side->name, -errno);
	memcpy(side->own_mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
}

static void open_side(struct side *side, const char *name, const char *mac, uint32_t xdp_flags)
{
	struct ether_addr next;
	int err;

	side->name = name;
	side->ifindex = (int)if_nametoindex(name);
	if (!side->ifindex)
		die(name, -errno);
	if (!ether_aton_r(mac, &next))
		die(mac, CLV_ESYNTAX);
	memcpy(side->next_mac, &next, sizeof(side->next_mac));
	read_own_mac(side);
	side->program = xsk_forward_bpf__open_and_load();
	if (!side->program)
		die("load the XDP program", -errno);
	err = bpf_xdp_attach(side->ifindex, bpf_program__fd(side->program->progs.redirect_udp),
			     xdp_flags, NULL);
	if (err)
		die("attach the XDP program", err);
	side->queues = count_queues(name); /* attaching may add some */
}

static struct clv_port *open_port(const struct options *options,
				  struct clv_worker_counters *counters)
{
	struct clv_xsk_port_params params = { .counters = counters, .numa_node = -1 };
	struct clv_port *port;
	unsigned s, q;
	int err;

	err = clv_xsk_open(&params, &port);
	if (err)
		die("packet memory", err);
	for (s = 0; s < SIDES; s++)
		for (q = 0; q < sides[s].queues; q++) {
			const struct clv_xsk_params add = {
				.ifname = sides[s].name,
				.queue = q,
				.link = (uint16_t)s,
				.mode = options->mode,
				.xskmap_fd = bpf_map__fd(sides[s].program->maps.xsks),
				.xskmap_key = q,
			};

			err = clv_xsk_add(port, &add);
			if (err)
				die(sides[s].name, err);
		}
	return port;
}

/* Out on the other side as it came: only the link layer is new. */
static void forward(struct clv_port *port, const struct clv_rx *rx)
{
	const struct side *out = &sides[!rx->link];
	struct clv_flow flow = { .local = rx->remote, .remote = rx->local };
	struct clv_tx tx = { .link = !rx->link };

	if (port->ops->tx_take(port, &tx)) {
		clv_count(port->counters, CLV_COUNT_DROP_NO_FRAME);
		return;
	}
	flow.hop.link = !rx->link;
	memcpy(flow.hop.l2.dst_mac, out->next_mac, 6);
	memcpy(flow.hop.l2.src_mac, out->own_mac, 6);
	memcpy(tx.payload, rx->payload, rx->payload_len);
	port->ops->tx_send(port, &tx, rx->payload_len, &flow, rx->ecn);
}

static bool step(struct clv_port *port, unsigned max, struct totals *totals)
{
	struct clv_rx batch[CLV_PORT_BATCH];
	unsigned i, got = port->ops->rx(port, batch, max);

	if (got && !totals->packets) {
		totals->start_ns = clv_clock_now_ns();
		totals->start_cpu_ns = cpu_ns();
	}
	for (i = 0; i < got; i++)
		forward(port, &batch[i]);
	port->ops->rx_done(port);
	port->ops->flush(port);
	totals->packets += got;
	totals->batches += got > 0;
	return got;
}

static void run(struct clv_port *port, const struct options *options, struct totals *totals)
{
	struct pollfd fd = { .fd = port->ops->poll_fd(port), .events = POLLIN };
	const uint64_t limit_ns = options->seconds * CLV_SEC;

	while (!interrupted && (!options->packets || totals->packets < options->packets)) {
		if (!step(port, options->batch, totals) && port->ops->may_sleep(port))
			poll(&fd, 1, POLL_MS);
		if (limit_ns && totals->packets &&
		    clv_clock_now_ns() - totals->start_ns >= limit_ns)
			return;
	}
}

static uint64_t lost(struct clv_port *port)
{
	struct clv_xsk_info info;
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; !clv_xsk_info(port, i, &info); i++)
		sum += info.rx_dropped + info.rx_ring_full;
	for (i = CLV_COUNT_DROP_MALFORMED; i <= CLV_COUNT_DROP_SEND_ERROR; i++)
		sum += clv_count_read(port->counters, i);
	return sum;
}

static void report(struct clv_port *port, const struct totals *totals)
{
	uint64_t used = cpu_ns() - totals->start_cpu_ns;
	uint64_t took = clv_clock_now_ns() - totals->start_ns;
	struct clv_xsk_info info = { 0 };

	if (!totals->packets) {
		printf("packets=0\n");
		return;
	}
	clv_xsk_info(port, 0, &info);
	printf("packets=%llu cpu_ns_per_packet=%.0f packets_per_batch=%.1f packets_per_sec=%.0f "
	       "lost=%llu mode=%s\n",
	       (unsigned long long)totals->packets, (double)used / (double)totals->packets,
	       (double)totals->packets / (double)totals->batches,
	       (double)totals->packets * 1e9 / (double)took, (unsigned long long)lost(port),
	       info.mode == CLV_XSK_ZEROCOPY ? "zerocopy" : "copy");
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const char *const modes[] = { "auto", "zerocopy", "copy" };
	int c;

	while ((c = getopt(argc, argv, "b:c:s:m:g")) != -1) {
		if (c == 'b') {
			options->batch = (unsigned)strtoul(optarg, NULL, 10);
		} else if (c == 'c') {
			options->packets = strtoull(optarg, NULL, 10);
		} else if (c == 's') {
			options->seconds = strtoull(optarg, NULL, 10);
		} else if (c == 'g') {
			options->xdp_flags = XDP_FLAGS_SKB_MODE;
		} else if (c == 'm') {
			while (options->mode <= CLV_XSK_COPY &&
			       strcmp(optarg, modes[options->mode]))
				options->mode++;
		} else {
			usage();
		}
	}
	if (argc - optind != 4 || !options->batch || options->batch > CLV_PORT_BATCH ||
	    options->mode > CLV_XSK_COPY)
		usage();
}

int main(int argc, char **argv)
{
	struct options options = { .batch = 32, .xdp_flags = XDP_FLAGS_DRV_MODE };
	struct sigaction action = { .sa_handler = on_signal };
	static struct clv_worker_counters counters;
	struct totals totals = { 0 };
	struct clv_port *port;
	unsigned s;

	parse_options(argc, argv, &options);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	for (s = 0; s < SIDES; s++)
		open_side(&sides[s], argv[optind + 2 * s], argv[optind + 2 * s + 1],
			  options.xdp_flags);
	port = open_port(&options, &counters);
	fprintf(stderr, "forwarding\n");
	run(port, &options, &totals);
	report(port, &totals);

	/* Sockets first: drivers that lose queues on detach cannot unbind from them any more. */
	port->ops->close(port);
	for (s = 0; s < SIDES; s++) {
		bpf_xdp_detach(sides[s].ifindex, options.xdp_flags, NULL);
		xsk_forward_bpf__destroy(sides[s].program);
	}
	return EXIT_SUCCESS;
}
