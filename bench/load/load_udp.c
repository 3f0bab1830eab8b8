/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * load_udp - an application that talks to a UDP echo service, open loop.
 *
 *   load_udp HOST:PORT
 *
 * Says "ready".  Reads lines and answers each with JSON:
 *   send SIZE RATE MSEC    so many a second, evenly, whatever comes back.  Times are round trips from
 *                          when each was due: a datagram that was sent late, because its sender was
 *                          kept from its core, is late.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "bench/load/hist.h"
#include "bench/load/pattern.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"

enum {
	SIZE_MAX_BYTES = 2048,
	LINGER_MS = 300, /* after the last was due */
};

/* All that belongs to one "send". */
struct run {
	uint8_t payload[SIZE_MAX_BYTES];
	size_t size;
	double gap_ns;
	uint64_t start_ns, sent, wanted, received, corrupted, late_ns_max;
	struct hist times;
};

static int fd;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static uint64_t due_ns(const struct run *r, uint64_t number)
{
	return r->start_ns + (uint64_t)((double)number * r->gap_ns);
}

static void send_due(struct run *r, uint64_t now_ns)
{
	uint64_t due;

	for (; r->sent < r->wanted && (due = due_ns(r, r->sent)) <= now_ns; r->sent++) {
		if (now_ns - due > r->late_ns_max)
			r->late_ns_max = now_ns - due;
		memcpy(r->payload, &due, sizeof(due));
		if (send(fd, r->payload, r->size, 0) < 0 && errno != EAGAIN &&
		    errno != ECONNREFUSED)
			die("send");
	}
}

static void receive(struct run *r)
{
	uint8_t got[SIZE_MAX_BYTES];
	uint64_t due;
	ssize_t len;

	while ((len = recv(fd, got, sizeof(got), MSG_DONTWAIT)) >= 0) {
		memcpy(&due, got, sizeof(due));
		if ((size_t)len != r->size || memcmp(got + 8, r->payload + 8, r->size - 8))
			r->corrupted++;
		else if (due >= r->start_ns) { /* else it was sent before this run */
			r->received++;
			hist_add(&r->times, clv_clock_now_ns() - due);
		}
	}
}

static void wait_until(uint64_t at_ns)
{
	uint64_t now = clv_clock_now_ns(), left = at_ns > now ? at_ns - now : 0;
	struct timespec t = { .tv_sec = (time_t)(left / CLV_SEC),
			      .tv_nsec = (long)(left % CLV_SEC) };
	struct pollfd in = { .fd = fd, .events = POLLIN };

	ppoll(&in, 1, &t, NULL);
}

static void carry(size_t size, double rate, uint64_t msec)
{
	static struct run run;
	uint64_t end;

	run = (struct run){
		.size = size,
		.gap_ns = 1e9 / rate,
		.start_ns = clv_clock_now_ns(),
		.wanted = (uint64_t)(rate * (double)msec / 1e3),
	};
	bench_pattern(run.payload, size);
	end = due_ns(&run, run.wanted) + LINGER_MS * CLV_MSEC;
	while (clv_clock_now_ns() < end && run.received + run.corrupted < run.wanted) {
		send_due(&run, clv_clock_now_ns());
		receive(&run);
		wait_until(run.sent < run.wanted ? due_ns(&run, run.sent) : end);
	}
	printf("{\"sent\": %llu, \"received\": %llu, \"corrupted\": %llu, \"late_us\": %.1f",
	       (unsigned long long)run.sent, (unsigned long long)run.received,
	       (unsigned long long)run.corrupted, (double)run.late_ns_max / 1e3);
	hist_print(&run.times, stdout);
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct sockaddr_storage sa;
	struct clv_endpoint target;
	unsigned long size, msec;
	socklen_t len;
	char line[128];
	double rate;

	if (argc != 2 || clv_endpoint_parse(argv[1], &target)) {
		fprintf(stderr, "usage: load_udp HOST:PORT\n");
		return 2;
	}
	len = clv_endpoint_to_sockaddr(&target, false, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, len))
		die(argv[1]);
	prctl(PR_SET_TIMERSLACK, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "send %lu %lf %lu", &size, &rate, &msec) == 3 && rate > 0 &&
		    size >= BENCH_STAMP_BYTES && size <= SIZE_MAX_BYTES)
			carry(size, rate, msec);
		else
			puts("{\"error\": \"send SIZE RATE MSEC\"}");
	}
	return 0;
}
