/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * udpload - sends numbered datagrams with known content and checks what comes back.
 *
 *   udpload [options] HOST:PORT          to an echo server; checks every answer byte by byte
 *   udpload --oneway [options] HOST:PORT send only
 *   udpload --sink [options] [HOST:]PORT receive what --oneway sends; prints "ready PORT" first
 *
 * Prints one line of JSON.  Times are round trips, or in a sink of one direction (the sender's clock must be
 * the same: the same machine).  Payloads below 8 bytes carry no number: they are only counted, and
 * have no times; duplicates then show as fewer lost.  Exit 0 when it ran, whatever was lost.
 * SIGTERM and SIGINT end sending; what is in flight is still waited for, until a second signal.
 */
#include "tests/lab/udp.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	BATCH = 32,
	SOCKET_BUFFER = 16 << 20,
	STALL_MS = 200, /* without a rate: nothing came for this long, so what is out is lost */
};

static const char usage[] =
	"usage: udpload [--oneway] [options] HOST:PORT | --sink [options] [HOST:]PORT\n"
	"  --size N     bytes per payload, 0 to 65507 (default 1200)\n"
	"  --count N    datagrams (default 1000; a sink ends after them)\n"
	"  --rate N     datagrams per second (default 1000); 0: as answers come back, --window out\n"
	"  --window N   see --rate 0 (default 64)\n"
	"  --wait MS    how long to wait for more after the last (default 2000; a sink waits for\n"
	"               the first without end)\n"
	"  --seed N     of the content (default 1); a sink needs the sender's\n"
	"  --bind HOST:PORT  local address\n"
	"  --df         never fragment\n"
	"  --first      send the rest once the first came back, or after --wait\n";

static struct {
	bool oneway, sink, df, first;
	const char *bind, *remote;
	uint64_t size, count, rate, window, wait_ms, seed;
} opt = { .size = 1200, .count = 1000, .rate = 1000, .window = 64, .wait_ms = 2000, .seed = 1 };

static struct {
	uint64_t sent, send_errors, refused;
	uint64_t received, unique, duplicated, corrupted, payload_bytes;
	uint64_t first_ns, last_ns; /* first send (sink: receipt), last receipt (oneway: send) */
} result;

/* By sequence.  0: not sent yet, or in a sink not received yet. */
static uint64_t *sent_ns;
static bool *seen;
static uint32_t *time_ns; /* result.unique of them, in order of arrival */
static bool has_times;

static volatile sig_atomic_t stopping; /* signals so far: 1 ends sending, 2 the wait for the rest */
static sigset_t sink_waiting; /* a sink takes signals only while it waits: none is missed */

static void on_stop(int number)
{
	(void)number;
	stopping++;
}

static int open_socket(void)
{
	const int size = SOCKET_BUFFER, df = IP_PMTUDISC_DO, df6 = IPV6_PMTUDISC_DO;
	const char *local = opt.sink ? opt.remote : opt.bind;
	struct sockaddr_storage remote = { 0 }, at;
	socklen_t len = 0, at_len;
	int fd, family = 0;

	if (!opt.sink) {
		len = udp_resolve(opt.remote, 0, &remote);
		family = remote.ss_family;
	} else if (!strchr(local, ':')) { /* a bare port: both families where there are two */
		fd = socket(AF_INET6, SOCK_DGRAM, 0);
		family = fd < 0 ? AF_INET : AF_INET6;
		if (fd >= 0)
			close(fd);
	}
	if (local) {
		at_len = udp_resolve(local, family, &at);
		family = at.ss_family;
	}
	fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		udp_die("socket");
	if (opt.df) {
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &df, sizeof(df));
		if (family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &df6, sizeof(df6));
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (local && bind(fd, (struct sockaddr *)&at, at_len) < 0)
		udp_die(local);
	if (!opt.sink && connect(fd, (struct sockaddr *)&remote, len) < 0)
		udp_die(opt.remote);
	if (opt.sink) {
		at_len = sizeof(at);
		getsockname(fd, (struct sockaddr *)&at, &at_len);
		printf("ready %u\n", ntohs(((struct sockaddr_in *)&at)->sin_port));
		fflush(stdout);
	}
	return fd;
}

/* Send the next n datagrams; returns how many sequences were used up, 0 if the socket is full. */
static uint64_t send_batch(int fd, uint64_t sequence, uint64_t n, uint64_t now_ns)
{
	static uint8_t buf[BATCH][UDP_PAYLOAD_MAX + 8];
	struct mmsghdr msgs[BATCH] = { 0 };
	struct iovec iov[BATCH];
	uint64_t i;
	int done;

	for (i = 0; i < n && i < BATCH; i++) {
		udp_payload_write(buf[i], opt.size, opt.seed, sequence + i, now_ns);
		sent_ns[sequence + i] = now_ns;
		iov[i] = (struct iovec){ buf[i], opt.size };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	done = sendmmsg(fd, msgs, (unsigned)i, 0);
	if (done > 0) {
		result.sent += (uint64_t)done;
		return (uint64_t)done;
	}
	if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR)
		return 0;
	if (errno == ECONNREFUSED) { /* about an earlier one; this one was not tried */
		result.refused++;
		return 0;
	}
	result.send_errors++;
	return 1;
}

static void complain(const uint8_t *want, const uint8_t *got, size_t len, uint64_t sequence)
{
	size_t at = 0;

	if (result.corrupted++)
		return;
	while (len == opt.size && at < len && want[at] == got[at])
		at++;
	fprintf(stderr, "udpload: first wrong datagram: %zu bytes of %llu, number %llu, byte %zu\n",
		len, (unsigned long long)opt.size, (unsigned long long)sequence, at);
}

/* Judge one received payload. */
static void check(const uint8_t *got, size_t len, uint64_t now_ns)
{
	static uint8_t want[UDP_PAYLOAD_MAX + 8];
	const bool numbered = opt.size >= UDP_SEQUENCE_LEN;
	const uint64_t sequence = numbered && len >= UDP_SEQUENCE_LEN ? udp_payload_sequence(got)
								      : result.unique;
	uint64_t sent = 0;

	result.received++;
	result.last_ns = now_ns;
	if (opt.sink && !result.first_ns)
		result.first_ns = now_ns;
	if (len != opt.size || (numbered && sequence >= opt.count)) {
		complain(want, got, len, sequence);
		return;
	}
	if (!numbered && sequence >= opt.count) { /* more than were sent */
		result.duplicated++;
		return;
	}
	if (opt.size >= UDP_STAMPED_LEN)
		sent = opt.sink ? udp_payload_sent_ns(got) : sent_ns[sequence];
	else if (numbered)
		sent = sent_ns[sequence];
	udp_payload_write(want, opt.size, opt.seed, sequence, sent);
	if (memcmp(want, got, len) != 0 || (!opt.sink && numbered && !sent)) {
		complain(want, got, len, sequence);
		return;
	}
	if (numbered && seen[sequence]) {
		result.duplicated++;
		return;
	}
	seen[sequence] = true;
	result.payload_bytes += len;
	if (has_times)
		time_ns[result.unique] = now_ns < sent		      ? 0
					 : now_ns - sent > UINT32_MAX ? UINT32_MAX
								      : (uint32_t)(now_ns - sent);
	result.unique++;
}

static void receive(int fd)
{
	static uint8_t buf[BATCH][UDP_PAYLOAD_MAX];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint64_t now_ns;
	int i, n;

	do {
		memset(msgs, 0, sizeof(msgs));
		for (i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
			msgs[i].msg_hdr.msg_iov = &iov[i];
			msgs[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(fd, msgs, BATCH, 0, NULL);
		if (n < 0 && errno == ECONNREFUSED)
			result.refused++;
		now_ns = udp_clock_ns();
		for (i = 0; i < n; i++)
			check(buf[i], msgs[i].msg_len, now_ns);
	} while (n == BATCH);
}

/* How many may be sent now; *next_ns is when to look again if nothing happens before. */
static uint64_t allowance(uint64_t sequence, uint64_t now_ns, uint64_t *next_ns)
{
	static uint64_t written_off; /* of the window */
	uint64_t due, out;

	if (opt.rate) {
		due = (uint64_t)((double)(now_ns - result.first_ns) * (double)opt.rate / 1e9) + 1;
		*next_ns = result.first_ns + (uint64_t)((double)due * 1e9 / (double)opt.rate) + 1;
		if (due > opt.count)
			due = opt.count;
		return due > sequence ? due - sequence : 0;
	}
	if (opt.oneway)
		return opt.count - sequence;
	out = sequence - written_off;
	out = out > result.received ? out - result.received : 0;
	*next_ns = (result.last_ns ? result.last_ns : result.first_ns) + STALL_MS * 1000000u;
	if (out >= opt.window && now_ns >= *next_ns) {
		written_off += out;
		result.last_ns = now_ns;
		out = 0;
	}
	/* Half a window at a time: datagram by datagram would measure the waking up. */
	if (2 * out > opt.window)
		return 0;
	return opt.window - out < opt.count - sequence ? opt.window - out : opt.count - sequence;
}

static void wait_for(int fd, short events, uint64_t until_ns)
{
	struct pollfd poller = { .fd = fd, .events = events };
	uint64_t now_ns = udp_clock_ns(), left = until_ns > now_ns ? until_ns - now_ns : 0;
	struct timespec ts = { (time_t)(left / 1000000000u), (long)(left % 1000000000u) };

	ppoll(&poller, 1, &ts, opt.sink ? &sink_waiting : NULL);
}

/* Receive until all that was sent is back, nothing came for the time to wait, or a second signal. */
static void wait_for_rest(int fd)
{
	uint64_t now_ns = udp_clock_ns(), end_ns = now_ns + opt.wait_ms * 1000000u;

	while (result.unique < result.sent && now_ns < end_ns && stopping < 2) {
		uint64_t before = result.received;

		wait_for(fd, POLLIN, end_ns);
		receive(fd);
		now_ns = udp_clock_ns();
		if (result.received != before)
			end_ns = now_ns + opt.wait_ms * 1000000u;
	}
}

static void run_sender(int fd)
{
	uint64_t sequence = 0, now_ns = udp_clock_ns();

	if (opt.first) {
		while (!(sequence = send_batch(fd, 0, 1, udp_clock_ns())) && !stopping)
			wait_for(fd, POLLOUT, udp_clock_ns() + 1000000u);
		wait_for_rest(fd);
		now_ns = udp_clock_ns();
	}
	result.first_ns = now_ns;
	while (sequence < opt.count && !stopping) {
		uint64_t next_ns = now_ns + 1000000u, n = allowance(sequence, now_ns, &next_ns);
		uint64_t used = n ? send_batch(fd, sequence, n, now_ns) : 0;
		uint64_t before = result.received;

		sequence += used;
		if (!opt.oneway)
			receive(fd);
		/* What came may allow more: look again before waiting for what may not come. */
		if (n && !used)
			wait_for(fd, POLLIN | POLLOUT, now_ns + 1000000u);
		else if (used == n && result.received == before && sequence < opt.count)
			wait_for(fd, opt.oneway ? 0 : POLLIN, next_ns);
		now_ns = udp_clock_ns();
	}
	if (opt.oneway) {
		result.last_ns = now_ns;
		return;
	}
	wait_for_rest(fd);
}

static void run_sink(int fd)
{
	uint64_t end_ns = UINT64_MAX / 2, before;
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &sink_waiting);
	while (result.unique < opt.count && udp_clock_ns() < end_ns && !stopping) {
		before = result.received;
		wait_for(fd, POLLIN, end_ns);
		receive(fd);
		if (result.received != before)
			end_ns = result.last_ns + opt.wait_ms * 1000000u;
	}
}

static int by_value(const void *x, const void *y)
{
	const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static void print_time(const char *name, double part)
{
	uint64_t n = result.unique;

	if (!has_times || !n)
		printf(", \"%s\": null", name);
	else
		printf(", \"%s\": %.1f", name, time_ns[(uint64_t)((double)(n - 1) * part)] / 1e3);
}

static void print_result(void)
{
	uint64_t expected = opt.sink ? opt.count : result.sent;
	uint64_t span_ns = result.last_ns > result.first_ns ? result.last_ns - result.first_ns : 0;
	uint64_t bytes = opt.oneway ? result.sent * opt.size : result.payload_bytes;

	if (has_times)
		qsort(time_ns, result.unique, sizeof(*time_ns), by_value);
	printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"duplicated\": %llu, "
	       "\"corrupted\": %llu, \"refused\": %llu, \"send_errors\": %llu",
	       (unsigned long long)result.sent, (unsigned long long)result.received,
	       (unsigned long long)(opt.oneway || expected < result.unique
					    ? 0
					    : expected - result.unique),
	       (unsigned long long)result.duplicated, (unsigned long long)result.corrupted,
	       (unsigned long long)result.refused, (unsigned long long)result.send_errors);
	print_time("p50_us", 0.5);
	print_time("p90_us", 0.9);
	print_time("p99_us", 0.99);
	print_time("max_us", 1);
	printf(", \"goodput_bps\": %.0f, \"seconds\": %.6f}\n",
	       span_ns ? (double)bytes * 8e9 / (double)span_ns : 0, (double)span_ns / 1e9);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "size", 1, NULL, 's' },   { "count", 1, NULL, 'c' }, { "rate", 1, NULL, 'r' },
		{ "window", 1, NULL, 'w' }, { "wait", 1, NULL, 't' },  { "seed", 1, NULL, 'e' },
		{ "bind", 1, NULL, 'b' },   { "df", 0, NULL, 'd' },    { "oneway", 0, NULL, 'o' },
		{ "sink", 0, NULL, 'k' },   { "first", 0, NULL, 'f' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 's':
			opt.size = udp_number("size", optarg, UDP_PAYLOAD_MAX);
			break;
		case 'c':
			opt.count = udp_number("count", optarg, 100000000);
			break;
		case 'r':
			opt.rate = udp_number("rate", optarg, 100000000);
			break;
		case 'w':
			opt.window = udp_number("window", optarg, 1000000);
			break;
		case 't':
			opt.wait_ms = udp_number("wait", optarg, 3600000);
			break;
		case 'e':
			opt.seed = udp_number("seed", optarg, UINT64_MAX);
			break;
		case 'b':
			opt.bind = optarg;
			break;
		case 'd':
			opt.df = true;
			break;
		case 'o':
			opt.oneway = true;
			break;
		case 'k':
			opt.sink = true;
			break;
		case 'f':
			opt.first = true;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (argc - optind != 1 || (opt.oneway && opt.sink) ||
	    (opt.first && (opt.oneway || opt.sink)) || !opt.count || !opt.window) {
		fputs(usage, stderr);
		exit(2);
	}
	opt.remote = argv[optind];
}

int main(int argc, char **argv)
{
	const struct sigaction stop = { .sa_handler = on_stop };
	int fd;

	parse_options(argc, argv);
	has_times = !opt.oneway && opt.size >= (opt.sink ? UDP_STAMPED_LEN : UDP_SEQUENCE_LEN);
	sent_ns = calloc(opt.count, sizeof(*sent_ns));
	seen = calloc(opt.count, sizeof(*seen));
	time_ns = calloc(opt.count, sizeof(*time_ns));
	if (!sent_ns || !seen || !time_ns)
		udp_die("memory for so many");
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	prctl(PR_SET_TIMERSLACK, 1);
	fd = open_socket();
	if (opt.sink)
		run_sink(fd);
	else
		run_sender(fd);
	print_result();
	return 0;
}
