/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hop - carries Ethernet frames between two interfaces, badly on purpose.
 *
 *   hop [options] A B
 *
 * Every frame of interface A leaves on B and vice versa, after it was subjected to loss,
 * limited rate, delay, jitter, reordering, duplication and an MTU, each direction on its own.
 * What happens to the n-th frame of a direction depends on the seed and n only.
 * The interfaces need their offloads off; one thread, one epoll loop.
 *
 * Prints "ready", then the counters as one line of JSON on SIGUSR1 and at the end (SIGTERM, SIGINT).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/lab/too_big.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 32,
	FRAME_MAX = 16384,
	VLAN_LEN = 4,
	/* In front of a received frame: room for a tag, and the IP header at a multiple of 4. */
	HEADROOM = 6,
	REORDER_HOLD_MS = 5, /* a held-back frame lets those of this time overtake it */
	SOCKET_BUFFER = 16 << 20,
};

static const char usage[] =
	"usage: hop [options] A B\n"
	"  --loss P        drop with this probability, 0 to 1\n"
	"  --delay MS      later by this much\n"
	"  --jitter MS     and by up to this much more or less; frames stay in order\n"
	"  --reorder P     hold back with this probability, for 5 ms, so that others overtake\n"
	"  --duplicate P   send twice with this probability\n"
	"  --mtu N         drop frames whose IP packet is longer than N bytes\n"
	"  --icmp          and answer those with ICMP or ICMPv6 too-big in the destination's name\n"
	"  --rate BPS      bottleneck in bits per second of Ethernet frames; suffixes k, M, G\n"
	"  --queue N       hold up to N frames per direction (default 4096), drop the rest\n"
	"  --seed N        of the dice (default 1)\n";

static struct {
	double loss, reorder, duplicate;
	uint64_t delay_ns, jitter_ns, rate_bps;
	size_t mtu;
	bool icmp;
	unsigned queue;
	uint64_t seed;
} opt = { .queue = 4096, .seed = 1 };

/* X(name): one list for the struct and its JSON.  received is the sum of what can become of a
 * frame (lost, over_mtu, queue_full, forwarded, queued), forwarded counts duplicates too. */
#define COUNTERS(X)                                                                                \
	X(received)                                                                                \
	X(received_bytes)                                                                          \
	X(forwarded)                                                                               \
	X(forwarded_bytes)                                                                         \
	X(lost)                                                                                    \
	X(duplicated)                                                                              \
	X(reordered)                                                                               \
	X(over_mtu)                                                                                \
	X(icmp_sent)                                                                               \
	X(queue_full)                                                                              \
	X(send_errors)                                                                             \
	X(missed)

struct counters {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
};

struct frame {
	uint64_t due_ns;
	uint64_t order; /* of arrival, in its direction */
	size_t len;
	uint8_t data[];
};

struct direction {
	int from, to;  /* packet sockets */
	uint64_t dice; /* state of splitmix64 */
	uint64_t next_order, highest_sent;
	uint64_t last_due_ns;
	uint64_t wire_free_ns; /* when the bottleneck has sent all it took */
	struct frame **heap;   /* by due_ns, then order; opt.queue + 1 places */
	unsigned queued;
	struct counters counters;
};

static struct direction dirs[2]; /* a to b, b to a */

static void die(const char *what)
{
	fprintf(stderr, "hop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The next throw, 0 <= x < 1. */
static double throw_dice(struct direction *d)
{
	uint64_t z = (d->dice += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static bool earlier(const struct frame *x, const struct frame *y)
{
	return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->order < y->order;
}

static void heap_push(struct direction *d, struct frame *f)
{
	unsigned i = d->queued++;

	for (; i > 0 && earlier(f, d->heap[(i - 1) / 2]); i = (i - 1) / 2)
		d->heap[i] = d->heap[(i - 1) / 2];
	d->heap[i] = f;
}

static struct frame *heap_pop(struct direction *d)
{
	struct frame *top = d->heap[0], *last = d->heap[--d->queued];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < d->queued) {
		if (child + 1 < d->queued && earlier(d->heap[child + 1], d->heap[child]))
			child++;
		if (!earlier(d->heap[child], last))
			break;
		d->heap[i] = d->heap[child];
		i = child;
	}
	d->heap[i] = last;
	return top;
}

static void enqueue(struct direction *d, const uint8_t *data, size_t len, uint64_t due_ns,
		    uint64_t order)
{
	struct frame *f;

	if (d->queued >= opt.queue) {
		d->counters.queue_full++;
		return;
	}
	f = malloc(sizeof(*f) + len);
	if (!f)
		die("memory for a frame");
	f->due_ns = due_ns;
	f->order = order;
	f->len = len;
	memcpy(f->data, data, len);
	heap_push(d, f);
}

/* Where the IP packet begins and its ethertype in host order, or 0 if it is cut off. */
static size_t ip_offset(const uint8_t *frame, size_t len, uint16_t *type)
{
	size_t at = 12;

	for (; at + 2 <= len; at += VLAN_LEN) {
		*type = (uint16_t)(frame[at] << 8 | frame[at + 1]);
		if (*type != ETHERTYPE_VLAN && *type != 0x88a8)
			return at + 2;
	}
	return 0;
}

static void answer_too_big(struct direction *d, const uint8_t *frame, size_t len)
{
	uint8_t space[64 + TOO_BIG_MAX] __attribute__((aligned(8)));
	uint8_t *reply = space + 2; /* so that IP after 14, 18 or 22 bytes is aligned */
	uint16_t type;
	size_t l2 = ip_offset(frame, len, &type), l3 = 0;

	if (l2 == 0 || l2 > 62)
		return;
	memcpy(reply, frame + ETH_ALEN, ETH_ALEN);
	memcpy(reply + ETH_ALEN, frame, ETH_ALEN);
	memcpy(reply + 2 * ETH_ALEN, frame + 2 * ETH_ALEN, l2 - 2 * ETH_ALEN);
	if (type == ETHERTYPE_IP)
		l3 = too_big_v4(opt.mtu, (const void *)(frame + l2), len - l2, reply + l2);
	else if (type == ETHERTYPE_IPV6)
		l3 = too_big_v6(opt.mtu, (const void *)(frame + l2), len - l2, reply + l2);
	if (l3 && send(d->from, reply, l2 + l3, MSG_DONTWAIT) > 0)
		d->counters.icmp_sent++;
}

/* Decide what becomes of one frame. */
static void take_frame(struct direction *d, const uint8_t *frame, size_t len, uint64_t now_ns)
{
	/* All dice are thrown for every frame, so that one option does not shift another. */
	double lose = throw_dice(d), twice = throw_dice(d);
	double hold = throw_dice(d), jitter = throw_dice(d);
	uint64_t order = d->next_order++, due_ns = now_ns;
	uint16_t type;
	size_t l2 = ip_offset(frame, len, &type);

	d->counters.received++;
	d->counters.received_bytes += len;
	if (opt.mtu && len - l2 > opt.mtu) {
		d->counters.over_mtu++;
		if (opt.icmp)
			answer_too_big(d, frame, len);
		return;
	}
	if (lose < opt.loss) {
		d->counters.lost++;
		return;
	}
	if (opt.rate_bps) {
		if (d->wire_free_ns > due_ns)
			due_ns = d->wire_free_ns;
		due_ns += (uint64_t)((double)len * 8e9 / (double)opt.rate_bps);
		if (d->queued < opt.queue)
			d->wire_free_ns = due_ns;
	}
	/* From -jitter to +jitter around the delay, never before the frame came. */
	due_ns += opt.delay_ns + (uint64_t)(2 * jitter * (double)opt.jitter_ns);
	due_ns -= opt.jitter_ns < opt.delay_ns ? opt.jitter_ns : opt.delay_ns;
	if (hold < opt.reorder) {
		due_ns += REORDER_HOLD_MS * 1000000u;
	} else {
		if (due_ns < d->last_due_ns)
			due_ns = d->last_due_ns;
		d->last_due_ns = due_ns;
	}
	enqueue(d, frame, len, due_ns, order);
	if (twice < opt.duplicate) {
		d->counters.duplicated++;
		enqueue(d, frame, len, due_ns, order);
	}
}

/* A VLAN tag that the kernel took out of the frame goes back in; data has room in front. */
static uint8_t *restore_vlan(struct msghdr *msg, uint8_t *data, size_t *len)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct tpacket_auxdata aux;
		uint16_t tag[2];

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
			continue;
		tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
									 : ETHERTYPE_VLAN);
		tag[1] = htons(aux.tp_vlan_tci);
		memmove(data - VLAN_LEN, data, 2 * ETH_ALEN);
		data -= VLAN_LEN;
		memcpy(data + 2 * ETH_ALEN, tag, VLAN_LEN);
		*len += VLAN_LEN;
	}
	return data;
}

static void receive(struct direction *d, uint64_t now_ns)
{
	static uint8_t buf[BATCH][HEADROOM + FRAME_MAX + 2] __attribute__((aligned(8)));
	static char control[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct mmsghdr msgs[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int i, n;

	for (i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buf[i] + HEADROOM, FRAME_MAX };
		msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
						   .msg_iovlen = 1,
						   .msg_control = control[i],
						   .msg_controllen = sizeof(control[i]) };
	}
	n = recvmmsg(d->from, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (i = 0; i < n; i++) {
		uint8_t *data = buf[i] + HEADROOM;
		size_t len = msgs[i].msg_len;

		if (msgs[i].msg_hdr.msg_flags & MSG_TRUNC) {
			d->counters.received++;
			d->counters.over_mtu++;
			continue;
		}
		data = restore_vlan(&msgs[i].msg_hdr, data, &len);
		take_frame(d, data, len, now_ns);
	}
}

static void send_due(struct direction *d, uint64_t now_ns)
{
	while (d->queued && d->heap[0]->due_ns <= now_ns) {
		struct frame *f = heap_pop(d);

		if (send(d->to, f->data, f->len, MSG_DONTWAIT) < 0) {
			d->counters.send_errors++;
		} else {
			d->counters.forwarded++;
			d->counters.forwarded_bytes += f->len;
			if (f->order < d->highest_sent)
				d->counters.reordered++;
			else
				d->highest_sent = f->order;
		}
		free(f);
	}
}

static void arm_timer(int fd)
{
	struct itimerspec at = { 0 };
	uint64_t due_ns = UINT64_MAX;

	for (int i = 0; i < 2; i++)
		if (dirs[i].queued && dirs[i].heap[0]->due_ns < due_ns)
			due_ns = dirs[i].heap[0]->due_ns;
	if (due_ns != UINT64_MAX) {
		at.it_value.tv_sec = (time_t)(due_ns / 1000000000u);
		at.it_value.tv_nsec = (long)(due_ns % 1000000000u);
	}
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		die("timer");
}

static void print_counters(void)
{
	for (int i = 0; i < 2; i++) {
		struct direction *d = &dirs[i];
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);

		/* What the kernel dropped because we were slow; reading resets it. */
		if (getsockopt(d->from, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
			d->counters.missed += stats.tp_drops;
		printf("%s\"%s\": {", i ? ", " : "{", i ? "b_to_a" : "a_to_b");
#define X(name) printf("\"" #name "\": %llu, ", (unsigned long long)d->counters.name);
		COUNTERS(X)
#undef X
		printf("\"queued\": %u}", d->queued);
	}
	printf("}\n");
	fflush(stdout);
}

static int open_side(const char *name)
{
	const int on = 1, size = SOCKET_BUFFER;
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	at.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || at.sll_ifindex == 0)
		die(name);
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		die(name);
	return fd;
}

static double number(const char *name, const char *text, double max)
{
	char *end;
	double value = strtod(text, &end);

	if (end != text && *end && strchr("kMG", *end) && max > 1e9) {
		value *= *end == 'k' ? 1e3 : *end == 'M' ? 1e6 : 1e9;
		end++;
	}
	if (end == text || *end || !(value >= 0) || value > max) {
		fprintf(stderr, "hop: --%s %s: a number from 0 to %g\n", name, text, max);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "loss", 1, NULL, 'l' },      { "delay", 1, NULL, 'd' },
		{ "jitter", 1, NULL, 'j' },    { "reorder", 1, NULL, 'o' },
		{ "duplicate", 1, NULL, 'u' }, { "mtu", 1, NULL, 'm' },
		{ "icmp", 0, NULL, 'i' },      { "rate", 1, NULL, 'r' },
		{ "queue", 1, NULL, 'q' },     { "seed", 1, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	int c, which;

	while ((c = getopt_long(argc, argv, "", longopts, &which)) != -1) {
		const char *name = c == '?' ? "" : longopts[which].name;

		switch (c) {
		case 'l':
			opt.loss = number(name, optarg, 1);
			break;
		case 'd':
			opt.delay_ns = (uint64_t)(number(name, optarg, 60000) * 1e6);
			break;
		case 'j':
			opt.jitter_ns = (uint64_t)(number(name, optarg, 60000) * 1e6);
			break;
		case 'o':
			opt.reorder = number(name, optarg, 1);
			break;
		case 'u':
			opt.duplicate = number(name, optarg, 1);
			break;
		case 'm':
			opt.mtu = (size_t)number(name, optarg, 65535);
			break;
		case 'i':
			opt.icmp = true;
			break;
		case 'r':
			opt.rate_bps = (uint64_t)number(name, optarg, 1e12);
			break;
		case 'q':
			opt.queue = (unsigned)number(name, optarg, 1000000);
			break;
		case 's':
			opt.seed = strtoull(optarg, NULL, 0);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (argc - optind != 2) {
		fputs(usage, stderr);
		exit(2);
	}
}

static int watch(int ep, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	if (fd < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll");
	return fd;
}

int main(int argc, char **argv)
{
	int ep = epoll_create1(EPOLL_CLOEXEC), sides[2], signals, timer;
	sigset_t mask;

	parse_options(argc, argv);
	for (int i = 0; i < 2; i++)
		sides[i] = watch(ep, open_side(argv[optind + i]));
	for (int i = 0; i < 2; i++) {
		dirs[i] = (struct direction){ .from = sides[i], .to = sides[!i] };
		dirs[i].dice = opt.seed * 2 + (uint64_t)i;
		throw_dice(&dirs[i]);
		dirs[i].heap = calloc(opt.queue + 1, sizeof(struct frame *));
		if (!dirs[i].heap)
			die("memory for the queue");
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = watch(ep, signalfd(-1, &mask, SFD_CLOEXEC));
	timer = watch(ep, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	puts("ready");
	fflush(stdout);

	for (;;) {
		struct epoll_event evs[4];
		int n = epoll_wait(ep, evs, 4, -1);
		uint64_t now_ns = clock_ns(), ignored;

		for (int i = 0; i < n; i++) {
			struct signalfd_siginfo info;

			if (evs[i].data.fd == signals) {
				if (read(signals, &info, sizeof(info)) != sizeof(info))
					continue;
				print_counters();
				if (info.ssi_signo != SIGUSR1)
					return 0;
			} else if (evs[i].data.fd == timer) {
				/* Only rings; an empty read means it was armed anew since. */
				if (read(timer, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
					die("timer");
			} else {
				receive(&dirs[evs[i].data.fd == sides[1]], now_ns);
			}
		}
		for (int i = 0; i < 2; i++)
			send_due(&dirs[i], now_ns);
		arm_timer(timer);
	}
}
