/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * udpecho - sends every datagram back to where it came from, from the address it was sent to.
 *
 *   udpecho [--port N | --bind HOST:PORT] [-4 | -6] [--count N] [--sink] [--quiet]
 *
 * Prints "ready PORT", and counters as one line of JSON at the end: after --count datagrams,
 * SIGTERM or SIGINT.  Serves both families on one socket where the host has IPv6.
 */
#include "tests/lab/udp.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>

enum {
	BATCH = 32,
	SOCKET_BUFFER = 16 << 20,
};

static const char usage[] = "usage: udpecho [--port N | --bind HOST:PORT] [-4 | -6] [options]\n"
			    "  --count N   end after N datagrams\n"
			    "  --sink      count, do not answer\n"
			    "  --quiet     print nothing\n";

static struct {
	const char *bind;
	int family;
	uint64_t count;
	bool sink, quiet;
} opt = { .bind = "0" };

static struct {
	uint64_t received, received_bytes, sent, send_errors;
} counters;

static volatile sig_atomic_t stopping;

static void on_stop(int number)
{
	(void)number;
	stopping = 1;
}

static int open_socket(uint16_t *port)
{
	const int on = 1, off = 0, size = SOCKET_BUFFER;
	struct sockaddr_storage at;
	socklen_t len;
	int fd;

	/* A bare port means both families, or IPv4 where the host has no IPv6. */
	if (!opt.family && !strchr(opt.bind, ':')) {
		fd = socket(AF_INET6, SOCK_DGRAM, 0);
		opt.family = fd < 0 ? AF_INET : AF_INET6;
		len = udp_resolve(opt.bind, opt.family, &at);
		if (fd >= 0)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	} else {
		len = udp_resolve(opt.bind, opt.family, &at);
		fd = socket(at.ss_family, SOCK_DGRAM, 0);
		if (fd >= 0 && at.ss_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		udp_die("socket");
	if (at.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&at, len) < 0)
		udp_die(opt.bind);
	len = sizeof(at);
	getsockname(fd, (struct sockaddr *)&at, &len);
	*port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
					       : ((struct sockaddr_in *)&at)->sin_port);
	return fd;
}

/* The answer leaves by the route to its receiver, not by where the question came in. */
static void forget_interface(struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct in6_pktinfo info6;
		struct in_pktinfo info4;

		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(c), sizeof(info6));
			if (!IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr))
				info6.ipi6_ifindex = 0;
			memcpy(CMSG_DATA(c), &info6, sizeof(info6));
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(c), sizeof(info4));
			info4.ipi_ifindex = 0;
			memcpy(CMSG_DATA(c), &info4, sizeof(info4));
		}
	}
}

static void serve(int fd)
{
	static uint8_t buf[BATCH][UDP_PAYLOAD_MAX];
	static char control[BATCH][CMSG_SPACE(sizeof(struct in6_pktinfo))]
		__attribute__((aligned(8)));
	struct sockaddr_storage from[BATCH];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	unsigned want = BATCH;
	int i, n, sent;

	if (opt.count && opt.count - counters.received < want)
		want = (unsigned)(opt.count - counters.received);
	for (i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buf[i], sizeof(buf[i]) };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
						   .msg_namelen = sizeof(from[i]),
						   .msg_iov = &iov[i],
						   .msg_iovlen = 1,
						   .msg_control = control[i],
						   .msg_controllen = sizeof(control[i]) };
	}
	n = recvmmsg(fd, msgs, want, MSG_DONTWAIT, NULL);
	for (i = 0; i < n; i++) {
		iov[i].iov_len = msgs[i].msg_len;
		counters.received++;
		counters.received_bytes += msgs[i].msg_len;
		forget_interface(&msgs[i].msg_hdr);
	}
	for (i = 0; !opt.sink && i < n; i += sent) {
		sent = sendmmsg(fd, msgs + i, (unsigned)(n - i), 0);
		if (sent > 0) {
			counters.sent += (uint64_t)sent;
		} else { /* this one cannot leave: count it, go on with the next */
			counters.send_errors++;
			sent = 1;
		}
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "port", 1, NULL, 'p' }, { "bind", 1, NULL, 'b' },  { "count", 1, NULL, 'c' },
		{ "sink", 0, NULL, 's' }, { "quiet", 0, NULL, 'q' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "46", longopts, NULL)) != -1) {
		switch (c) {
		case 'p':
		case 'b':
			opt.bind = optarg;
			break;
		case 'c':
			opt.count = udp_number("count", optarg, UINT64_MAX);
			break;
		case 's':
			opt.sink = true;
			break;
		case 'q':
			opt.quiet = true;
			break;
		case '4':
			opt.family = AF_INET;
			break;
		case '6':
			opt.family = AF_INET6;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct sigaction stop = { .sa_handler = on_stop };
	sigset_t blocked, waiting;
	struct pollfd poller;
	uint16_t port;

	parse_options(argc, argv);
	/* The signals get through only while it waits, so none comes between test and wait. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	poller = (struct pollfd){ .fd = open_socket(&port), .events = POLLIN };
	if (!opt.quiet) {
		printf("ready %u\n", port);
		fflush(stdout);
	}
	while (!stopping && !(opt.count && counters.received >= opt.count))
		if (ppoll(&poller, 1, NULL, &waiting) > 0)
			serve(poller.fd);
	if (!opt.quiet)
		printf("{\"received\": %llu, \"received_bytes\": %llu, \"sent\": %llu, "
		       "\"send_errors\": %llu}\n",
		       (unsigned long long)counters.received,
		       (unsigned long long)counters.received_bytes,
		       (unsigned long long)counters.sent, (unsigned long long)counters.send_errors);
	return 0;
}
