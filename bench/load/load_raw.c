/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * load_raw - plain UDP as fast as the machine makes it: live frames of XDP, or by AF_PACKET paced.
 *
 *   load_raw IF --from MAC,HOST:PORT --to MAC,HOST:PORT --size N [--hex PREFIX] [--ports FILE]
 *
 * --hex: the first bytes of the payload; the rest is the pattern that the other tools check.
 * --ports: destination ports to use in turn, one a line, instead of the one of --to.
 * Says "ready".  Reads lines and answers each with JSON:
 *   flood MSEC BURST SKIP   live frames: BURST of them, then as long a pause as SKIP more would take
 *   pace MSEC RATE          one by one, evenly; by a packet socket
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/pattern.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/packet.h"
#include "load_raw.skel.h"

enum {
	FRAME_MAX = 2048,
	PORTS_MAX = 16384,
	SIZE_MIN = 22,	 /* a frame of 64 bytes */
	SPIN_NS = 60000, /* gaps below are waited for awake */
};

static struct {
	struct clv_flow flow;
	uint8_t buffer[FRAME_MAX];
	uint8_t *frame;
	size_t frame_len, size;
	int ifindex, program, packet_fd;
	struct load_raw_bpf *skel;
	const char *hex;
	uint16_t ports[PORTS_MAX];
	uint32_t ports_len;
} load = { .size = 1200 };

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void parse_end(const char *text, struct clv_endpoint *ep, uint8_t mac[static 6])
{
	const char *comma = strchr(text, ',');
	struct ether_addr ether;

	if (!comma || !ether_aton_r(text, &ether) || clv_endpoint_parse(comma + 1, ep)) {
		fprintf(stderr, "load_raw: not MAC,HOST:PORT: %s\n", text);
		exit(EXIT_FAILURE);
	}
	memcpy(mac, &ether, 6);
}

static void read_ports(const char *path)
{
	FILE *in = fopen(path, "re");
	unsigned port;

	if (!in)
		die(path);
	while (load.ports_len < PORTS_MAX && fscanf(in, "%u", &port) == 1)
		load.ports[load.ports_len++] = htons((uint16_t)port);
	fclose(in);
}

static void build_frame(void)
{
	uint8_t *payload = load.buffer + 128;
	size_t headers;

	bench_pattern(payload, load.size);
	memset(payload, 0, load.size < BENCH_STAMP_BYTES ? load.size : BENCH_STAMP_BYTES);
	for (size_t i = 0; load.hex && load.hex[2 * i] && load.hex[2 * i + 1] && i < load.size; i++)
		sscanf(load.hex + 2 * i, "%2hhx", &payload[i]);
	headers = clv_packet_encode(payload, load.size, &load.flow, 0);
	if (!headers) {
		fprintf(stderr, "load_raw: both ends must be of one family\n");
		exit(EXIT_FAILURE);
	}
	load.frame = payload - headers;
	load.frame_len = headers + load.size;
}

static void open_program(void)
{
	struct load_raw_bpf *b = load_raw_bpf__open();

	if (!b)
		die("open");
	b->rodata->out_ifindex = (__u32)load.ifindex;
	b->rodata->ports_len = load.ports_len;
	memcpy((void *)b->rodata->header, load.frame, sizeof(b->rodata->header));
	if (load_raw_bpf__load(b))
		die("load");
	for (uint32_t i = 0; i < load.ports_len; i++)
		if (bpf_map_update_elem(bpf_map__fd(b->maps.ports), &i, &load.ports[i], BPF_ANY))
			die("ports");
	load.skel = b;
	load.program = bpf_program__fd(b->progs.load_out);
}

static void open_packet_socket(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = load.ifindex };
	const int on = 1, size = 8 << 20;

	load.packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (load.packet_fd < 0 || bind(load.packet_fd, (struct sockaddr *)&at, sizeof(at)))
		die("packet socket");
	setsockopt(load.packet_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
	setsockopt(load.packet_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CLV_SEC + (uint64_t)t.tv_nsec;
}

static void report(uint64_t sent, uint64_t start_ns, uint64_t start_cpu)
{
	printf("{\"sent\": %llu, \"took_ns\": %llu, \"cpu_ns\": %llu}\n", (unsigned long long)sent,
	       (unsigned long long)(clv_clock_now_ns() - start_ns),
	       (unsigned long long)(cpu_ns() - start_cpu));
}

static void on_alarm(int number)
{
	(void)number;
}

/* One run for all the time, ended by a signal: to begin and to end one takes the kernel 30 ms. */
static void flood(uint64_t msec, unsigned burst, unsigned skip)
{
	const struct itimerval timer = {
		.it_value = { (time_t)(msec / 1000), (suseconds_t)(msec % 1000 * 1000) },
	};
	uint64_t start = clv_clock_now_ns(), cpu = cpu_ns(), sent = load.skel->bss->sent;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = load.frame,
		    .data_size_in = (uint32_t)load.frame_len, .repeat = INT_MAX,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);

	load.skel->data->burst = burst;
	load.skel->bss->skip = skip;
	load.skel->bss->frame_number = 0;
	setitimer(ITIMER_REAL, &timer, NULL);
	if (bpf_prog_test_run_opts(load.program, &run) && errno != EINTR)
		die("live frames");
	report(load.skel->bss->sent - sent, start, cpu);
}

static void wait_until(uint64_t at_ns)
{
	struct timespec t = { .tv_sec = (time_t)(at_ns / CLV_SEC),
			      .tv_nsec = (long)(at_ns % CLV_SEC) };

	if (at_ns > clv_clock_now_ns() + SPIN_NS)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
	while (clv_clock_now_ns() < at_ns)
		;
}

/* RFC 1624, as in load_raw.bpf.c. */
static void set_port(uint16_t port)
{
	struct udphdr *udp = (struct udphdr *)(load.frame + load.frame_len - load.size) - 1;
	uint32_t sum;

	if (udp->check) {
		sum = (uint16_t)~udp->check + (uint32_t)(uint16_t)~udp->dest + port;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		udp->check = (uint16_t)~sum ? (uint16_t)~sum : 0xffff;
	}
	udp->dest = port;
}

static void pace(uint64_t msec, double rate)
{
	uint64_t start = clv_clock_now_ns(), cpu = cpu_ns(), n = (uint64_t)(rate * msec / 1000), i;
	uint64_t sent = 0;

	for (i = 0; i < n; i++) {
		if (load.ports_len)
			set_port(load.ports[i % load.ports_len]);
		wait_until(start + (uint64_t)((double)i * 1e9 / rate));
		sent += send(load.packet_fd, load.frame, load.frame_len, 0) > 0;
		if (clv_clock_now_ns() - start > 2 * msec * CLV_MSEC)
			break; /* this machine cannot do it: the caller sees it in took_ns */
	}
	report(sent, start, cpu);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'f' },  { "to", required_argument, NULL, 't' },
		{ "size", required_argument, NULL, 's' },  { "hex", required_argument, NULL, 'x' },
		{ "ports", required_argument, NULL, 'p' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			parse_end(optarg, &load.flow.local, load.flow.hop.l2.src_mac);
		else if (c == 't')
			parse_end(optarg, &load.flow.remote, load.flow.hop.l2.dst_mac);
		else if (c == 's')
			load.size = strtoul(optarg, NULL, 10);
		else if (c == 'x')
			load.hex = optarg;
		else if (c == 'p')
			read_ports(optarg);
		else
			exit(EXIT_FAILURE);
	}
	if (optind == argc - 1)
		load.ifindex = (int)if_nametoindex(argv[optind]);
	if (!load.ifindex || !load.flow.local.port || !load.flow.remote.port ||
	    load.size < SIZE_MIN || load.size > FRAME_MAX - 128) {
		fprintf(stderr, "usage: load_raw IF --from MAC,HOST:PORT --to MAC,HOST:PORT "
				"[--size N] [--hex PREFIX] [--ports FILE]\n");
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	const struct sigaction alarm_action = { .sa_handler = on_alarm };
	unsigned burst, skip;
	uint64_t msec;
	char line[128];
	double rate;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGALRM, &alarm_action, NULL);
	parse(argc, argv);
	build_frame();
	open_program();
	open_packet_socket();
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "flood %lu %u %u", &msec, &burst, &skip) == 3 && burst)
			flood(msec, burst, skip);
		else if (sscanf(line, "pace %lu %lf", &msec, &rate) == 2 && rate > 0)
			pace(msec, rate);
		else
			puts("{\"error\": \"flood MSEC BURST SKIP or pace MSEC RATE\"}");
	}
	return 0;
}
