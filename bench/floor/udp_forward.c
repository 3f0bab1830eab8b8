/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * udp_forward - what anybody would write first: plain UDP sockets, recvmmsg and sendmmsg, no crypto.
 *
 *   udp_forward [--gso] LISTEN:PORT OUT:PORT TARGET:PORT
 *
 * What comes to LISTEN goes to TARGET from OUT, what TARGET answers to whom LISTEN heard last.
 * --gso: UDP_GRO and UDP_SEGMENT, where datagrams that came together are of one size.
 * Says "ready"; on every line it reads, how many it forwarded, as JSON, with its CPU time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/addr.h"

enum {
	BATCH = 64,
	BUFFER_BYTES = 65536,
	SOCKET_BYTES = 4 << 20,
	CONTROL_BYTES = 64,
};

struct side {
	int fd;
	bool is_connected;
	struct sockaddr_storage to;
	socklen_t to_len;
	uint64_t packets, calls;
};

static struct side sides[2]; /* 0: toward the peer, 1: toward the target */
static bool gso;
static uint8_t buffers[BATCH][BUFFER_BYTES];

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static int open_socket(const char *local)
{
	const int size = SOCKET_BYTES, on = 1;
	struct sockaddr_storage sa;
	struct clv_endpoint ep;
	socklen_t len;
	int fd;

	if (clv_endpoint_parse(local, &ep)) {
		fprintf(stderr, "udp_forward: not an endpoint: %s\n", local);
		exit(EXIT_FAILURE);
	}
	len = clv_endpoint_to_sockaddr(&ep, false, &sa);
	fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len))
		die(local);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (gso && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)))
		die("UDP_GRO");
	return fd;
}

/* Size of the datagrams that the kernel put together in one buffer; 0: it is one. */
static uint16_t segment_of(struct msghdr *h)
{
	struct cmsghdr *c;
	int size;

	for (c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c))
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return (uint16_t)size;
		}
	return 0;
}

static void ask_segment(struct msghdr *h, uint8_t *control, uint16_t size)
{
	struct cmsghdr *c;

	h->msg_control = control;
	h->msg_controllen = CMSG_SPACE(sizeof(size));
	c = CMSG_FIRSTHDR(h);
	c->cmsg_level = IPPROTO_UDP;
	c->cmsg_type = UDP_SEGMENT;
	c->cmsg_len = CMSG_LEN(sizeof(size));
	memcpy(CMSG_DATA(c), &size, sizeof(size));
}

static bool forward(struct side *from, struct side *to)
{
	static struct sockaddr_storage names[BATCH];
	static uint8_t in_control[BATCH][CONTROL_BYTES], out_control[BATCH][CONTROL_BYTES];
	struct mmsghdr in[BATCH] = { 0 }, out[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int got, sent = 0, n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buffers[i], BUFFER_BYTES };
		in[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		if (!from->is_connected) {
			in[i].msg_hdr.msg_name = &names[i];
			in[i].msg_hdr.msg_namelen = sizeof(names[i]);
		}
		if (gso) {
			in[i].msg_hdr.msg_control = in_control[i];
			in[i].msg_hdr.msg_controllen = CONTROL_BYTES;
		}
	}
	got = recvmmsg(from->fd, in, BATCH, MSG_DONTWAIT, NULL);
	if (got <= 0)
		return false;
	if (!from->is_connected) {
		from->to = names[got - 1];
		from->to_len = in[got - 1].msg_hdr.msg_namelen;
	}
	for (int i = 0; i < got; i++) {
		uint16_t size = gso ? segment_of(&in[i].msg_hdr) : 0;

		iov[i].iov_len = in[i].msg_len;
		out[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
		if (!to->is_connected) {
			out[i].msg_hdr.msg_name = &to->to;
			out[i].msg_hdr.msg_namelen = to->to_len;
		}
		if (size && size < in[i].msg_len)
			ask_segment(&out[i].msg_hdr, out_control[i], size);
		to->packets += size ? (in[i].msg_len + size - 1) / size : 1;
	}
	while (sent < got) {
		n = sendmmsg(to->fd, out + sent, (unsigned)(got - sent), 0);
		if (n < 0 && errno != EAGAIN)
			n = 1; /* the kernel refused that one */
		if (n < 0) {
			struct pollfd p = { .fd = to->fd, .events = POLLOUT };

			poll(&p, 1, 10);
			n = 0;
		}
		sent += n;
	}
	to->calls++;
	return true;
}

static bool answer(void)
{
	struct timespec t;
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return false;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	printf("{\"to_target\": %llu, \"to_peer\": %llu, \"batches\": %llu, \"cpu_ns\": %llu}\n",
	       (unsigned long long)sides[1].packets, (unsigned long long)sides[0].packets,
	       (unsigned long long)(sides[0].calls + sides[1].calls),
	       (unsigned long long)t.tv_sec * 1000000000ull + (unsigned long long)t.tv_nsec);
	return true;
}

static void watch(int epoll, int fd, uint32_t number)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = number };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll");
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), n;
	struct epoll_event events[3];
	struct clv_endpoint target;

	gso = argc > 1 && !strcmp(argv[1], "--gso");
	if (argc - gso != 4 || clv_endpoint_parse(argv[gso + 3], &target)) {
		fprintf(stderr, "usage: udp_forward [--gso] LISTEN:PORT OUT:PORT TARGET:PORT\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	sides[0].fd = open_socket(argv[gso + 1]);
	sides[1].fd = open_socket(argv[gso + 2]);
	sides[1].to_len = clv_endpoint_to_sockaddr(&target, false, &sides[1].to);
	sides[1].is_connected = true;
	if (connect(sides[1].fd, (struct sockaddr *)&sides[1].to, sides[1].to_len))
		die("connect");
	watch(epoll, sides[0].fd, 0);
	watch(epoll, sides[1].fd, 1);
	watch(epoll, STDIN_FILENO, 2);
	puts("ready");
	for (;;) {
		n = epoll_wait(epoll, events, 3, -1);
		for (int i = 0; i < n; i++) {
			uint32_t which = events[i].data.u32;

			if (which == 2 && !answer())
				return 0;
			if (which < 2)
				forward(&sides[which], &sides[!which]);
		}
	}
}
