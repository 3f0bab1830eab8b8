/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * load_tunnel - load on a CONNECT-UDP relay: many connections, many tunnels, open loop.
 *
 *   load_tunnel --if IF --from MAC,ADDR --relay MAC,HOST:PORT (--pin SHA256HEX | --ca FILE)
 *               [--profile pqc|hybrid] [--server-name NAME] [--template URI]
 *               [--conns N] [--tunnels N] [--target HOST:PORT] [--window N] [--queues N]
 *
 * Runs where the relay's link ends: `far IF --xsk 30000-31999` must be on IF.  Makes its connections
 * and tunnels (--tunnels for each connection), says "ready" with a line of JSON before it, and then
 * answers each line it reads by one of JSON:
 *   send SIZE RATE MSEC    offer RATE datagrams a second to all tunnels in turn, whatever comes of
 *                          it, and count what comes back; times are from when each was due
 *   listen MSEC            only count what comes
 *   shake MSEC             handshakes as fast as the window allows, each closed at once
 *   count                  the relay's counters, as they are here, and what the kernel lost of
 *                          what came
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/ether.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/load_tunnel/load.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/io/xsk.h"
#include "datapath/worker/worker.h"

enum {
	SETUP_SEC = 60,
	LINGER_MS = 300, /* after the last datagram was due */
};

static struct load load;
static struct load_options opt = { .conns = 1, .window = 32, .queues = 1 };

static void die(const char *what, int err)
{
	fprintf(stderr, "load_tunnel: %s: %s\n", what, clv_strerror(err));
	exit(EXIT_FAILURE);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CLV_SEC + (uint64_t)t.tv_nsec;
}

/* ---- what it says ---- */

static void print_counters(void)
{
	struct clv_xsk_info xsk = { 0 };
	uint64_t n;

	clv_xsk_info(load.xsk, 0, &xsk);
	printf("{\"lost_before_us\": %llu, \"received\": %llu, \"corrupted\": %llu",
	       (unsigned long long)(xsk.rx_dropped + xsk.rx_ring_full),
	       (unsigned long long)load.app.ever_received,
	       (unsigned long long)load.app.ever_corrupted);
	for (unsigned i = 0; i < CLV_COUNTER_MAX; i++) {
		n = clv_count_read(clv_worker_counters(load.worker), i) +
		    clv_count_read(clv_control_counters(load.control), i) +
		    clv_count_read(&load.request_counters, i);
		printf(", \"%s\": %llu", clv_counter_name((enum clv_counter)i),
		       (unsigned long long)n);
	}
	printf("}\n");
}

static void report(uint64_t took_ns, uint64_t start_cpu)
{
	const struct app_port *a = &load.app;

	printf("{\"offered\": %llu, \"received\": %llu, \"bytes\": %llu, \"corrupted\": %llu, "
	       "\"took_ns\": %llu, \"cpu_ns\": %llu, \"late_us\": %.1f, \"tunnels\": %u",
	       (unsigned long long)a->offered, (unsigned long long)a->received,
	       (unsigned long long)a->received_bytes, (unsigned long long)a->corrupted,
	       (unsigned long long)took_ns, (unsigned long long)(cpu_ns() - start_cpu),
	       (double)a->late_ns_max / 1e3, load.tunnels_open);
	hist_print(&a->times, stdout);
	printf("}\n");
}

/* ---- what it does ---- */

static void set_up(void)
{
	uint64_t start = clv_clock_now_ns(), until = start + SETUP_SEC * CLV_SEC;
	unsigned started = 0;
	int err;

	while (load.conns_up < opt.conns || load.tunnels_open < load.tunnels_len) {
		while (started < opt.conns && load.pending_conns < opt.window) {
			err = load_connect(&load, &load.conns[started++]);
			if (err)
				die("connect", err);
		}
		load_ask_tunnels(&load);
		load_turn(&load, clv_clock_now_ns() + 10 * CLV_MSEC);
		if (load.failures || clv_clock_now_ns() > until) {
			fprintf(stderr,
				"load_tunnel: %u connections and %u tunnels up, %llu failed\n",
				load.conns_up, load.tunnels_open,
				(unsigned long long)load.failures);
			exit(EXIT_FAILURE);
		}
	}
	printf("{\"connections\": %u, \"tunnels\": %u, \"took_ns\": %llu", load.conns_up,
	       load.tunnels_open, (unsigned long long)(clv_clock_now_ns() - start));
	hist_print(&load.handshakes, stdout);
	printf("}\nready\n");
}

static void carry(size_t size, double rate, uint64_t msec)
{
	uint64_t start = clv_clock_now_ns(), cpu = cpu_ns(), until;

	if (size > LOAD_PAYLOAD_MAX)
		die("size", CLV_ERANGE);
	app_port_offer(&load.app, size, rate, msec, start);
	until = load.app.until_ns + (rate > 0 ? LINGER_MS * CLV_MSEC : 0);
	while (clv_clock_now_ns() < until)
		load_turn(&load, until);
	report(msec * CLV_MSEC, cpu);
}

static void shake(uint64_t msec)
{
	uint64_t start = clv_clock_now_ns(), cpu = cpu_ns(), until = start + msec * CLV_MSEC;
	struct load_conn *slots = calloc(opt.window, sizeof(*slots));
	unsigned i;

	if (!slots)
		die("memory", -12);
	memset(&load.handshakes, 0, sizeof(load.handshakes));
	load.shaken = load.failures = 0;
	load.is_shaking = true;
	while (clv_clock_now_ns() < until) {
		for (i = 0; i < opt.window; i++)
			if (!slots[i].session && load_connect(&load, &slots[i]))
				load.failures++;
		load_turn(&load, until);
	}
	printf("{\"handshakes\": %llu, \"failed\": %llu, \"took_ns\": %llu, \"cpu_ns\": %llu",
	       (unsigned long long)load.shaken, (unsigned long long)load.failures,
	       (unsigned long long)(clv_clock_now_ns() - start),
	       (unsigned long long)(cpu_ns() - cpu));
	hist_print(&load.handshakes, stdout);
	printf("}\n");
	/* those under way come to an end before their slots go */
	for (until = clv_clock_now_ns() + 5 * CLV_SEC; clv_clock_now_ns() < until;) {
		for (i = 0; i < opt.window && !slots[i].session; i++)
			;
		if (i == opt.window)
			break;
		load_turn(&load, until);
	}
	load.is_shaking = false;
	free(slots);
}

/* Connections live on between the commands. */
static void wait_for_input(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	while (poll(&in, 1, 0) == 0)
		load_turn(&load, clv_clock_now_ns() + 10 * CLV_MSEC);
}

/* ---- options ---- */

static void bad(const char *what)
{
	fprintf(stderr, "load_tunnel: %s\n", what);
	exit(EXIT_FAILURE);
}

static const char *after_mac(const char *text, uint8_t mac[static 6])
{
	const char *comma = strchr(text, ',');
	struct ether_addr ether;

	if (!comma || !ether_aton_r(text, &ether))
		bad("an end is MAC,ADDRESS");
	memcpy(mac, &ether, 6);
	return comma + 1;
}

static void parse_target(const char *text)
{
	struct clv_endpoint ep;

	if (clv_endpoint_parse(text, &ep))
		bad("--target HOST:PORT");
	clv_addr_format(ep.addr, opt.target_host, sizeof(opt.target_host));
	opt.target_port = ntohs(ep.port);
}

static void parse_pin(const char *text, uint8_t pin[static 32])
{
	text += strncmp(text, "sha256:", 7) ? 0 : 7;
	for (unsigned i = 0; i < 32; i++)
		if (sscanf(text + 2 * i, "%2hhx", &pin[i]) != 1)
			bad("--pin sha256:HEX");
}

/* Long: one case for each option. */
static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "if", required_argument, NULL, 'i' },
		{ "from", required_argument, NULL, 'f' },
		{ "relay", required_argument, NULL, 'r' },
		{ "pin", required_argument, NULL, 'p' },
		{ "ca", required_argument, NULL, 'a' },
		{ "profile", required_argument, NULL, 'P' },
		{ "conns", required_argument, NULL, 'c' },
		{ "tunnels", required_argument, NULL, 't' },
		{ "target", required_argument, NULL, 'T' },
		{ "window", required_argument, NULL, 'w' },
		{ "server-name", required_argument, NULL, 'n' },
		{ "template", required_argument, NULL, 'u' },
		{ "queues", required_argument, NULL, 'q' },
		{ 0 },
	};
	struct clv_tls_client_params tls = { 0 };
	static uint8_t pin[32];
	char error[256] = "";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'i':
			opt.ifname = optarg;
			break;
		case 'f':
			if (clv_addr_parse(after_mac(optarg, opt.source_mac), opt.source.addr))
				bad("--from MAC,ADDRESS");
			break;
		case 'r':
			opt.authority = after_mac(optarg, opt.relay_mac);
			if (clv_endpoint_parse(opt.authority, &opt.relay))
				bad("--relay MAC,HOST:PORT");
			break;
		case 'p':
			parse_pin(optarg, pin);
			tls.ca_sha256 = pin;
			break;
		case 'a':
			tls.ca_file = optarg;
			break;
		case 'P':
			if (clv_profile_parse(optarg, &opt.profile))
				bad("--profile pqc|hybrid");
			break;
		case 'c':
			opt.conns = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			opt.tunnels = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'T':
			parse_target(optarg);
			break;
		case 'w':
			opt.window = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			opt.server_name = optarg;
			break;
		case 'u':
			opt.uri_template = optarg;
			break;
		case 'q':
			opt.queues = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			exit(EXIT_FAILURE);
		}
	}
	if (!opt.ifname || !opt.authority || !opt.window || !opt.queues ||
	    opt.queues > LOAD_QUEUES_MAX || (opt.tunnels && !opt.target_port))
		bad("--if, --from, --relay, a --window, and a --target where there are --tunnels");
	if (!opt.server_name)
		opt.server_name = "relay.test";
	tls.profile = opt.profile;
	if (clv_tls_client_context(&tls, &opt.tls, error, sizeof(error)))
		bad(error);
}

int main(int argc, char **argv)
{
	unsigned long msec, size;
	char line[128];
	double rate;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv);
	err = load_open(&load, &opt);
	if (err)
		die("open", err);
	set_up();
	setvbuf(stdin, NULL, _IONBF, 0); /* poll sees what has not been read */
	for (;;) {
		wait_for_input();
		if (!fgets(line, sizeof(line), stdin))
			break;
		if (sscanf(line, "send %lu %lf %lu", &size, &rate, &msec) == 3)
			carry(size, rate, msec);
		else if (sscanf(line, "listen %lu", &msec) == 1)
			carry(0, 0, msec);
		else if (sscanf(line, "shake %lu", &msec) == 1)
			shake(msec);
		else if (!strncmp(line, "count", 5))
			print_counters();
		else
			puts("{\"error\": \"send SIZE RATE MSEC, listen MSEC, shake MSEC or count\"}");
	}
	load_close(&load);
	clv_tls_context_free(opt.tls);
	return 0;
}
