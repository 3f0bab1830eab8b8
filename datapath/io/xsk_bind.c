/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/xsk.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "datapath/base/log.h"
#include "datapath/io/xsk_port.h"

/* Newer than the headers of the oldest system we build on; older kernels refuse them. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

enum {
	TX_BUDGET = 128, /* packets per kick in copy mode, where the kernel lets us set it */
	BIND_TRIES = 50,
	BIND_WAIT_MS = 20,
	PROBE_FRAMES = 16,	/* of a socket that only probes whether a queue is free */
	DESCRIPTORS_NEEDED = 4, /* by libxdp and the kernel for one socket */
};

int clv_xsk_open(const struct clv_xsk_port_params *params, struct clv_port **out)
{
	uint32_t size = params->ring_size ? params->ring_size : CLV_XSK_RING_DEFAULT;
	struct clv_xsk_port *x;
	int err;

	if (size & (size - 1))
		return CLV_ERANGE;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (x->epoll_fd < 0) {
		err = -errno;
		free(x);
		return err;
	}
	x->port = (struct clv_port){ .ops = &clv_xsk_ops, .counters = params->counters };
	x->umem = params->umem;
	x->ring_size = size;
	x->verify_checksum = params->verify_checksum;
	*out = &x->port;
	return 0;
}

/* Register the memory for the first socket of a link; the kernel pins it once more. */
static int register_memory(struct clv_xsk_port *x, struct clv_xsk_sock *s, struct xsk_umem **out)
{
	const struct xsk_umem_config config = {
		.fill_size = x->ring_size,
		.comp_size = x->ring_size,
		.frame_size = CLV_UMEM_FRAME_BYTES,
	};

	return xsk_umem__create(out, x->umem.area, x->umem.len_bytes, &s->fill, &s->completion,
				&config);
}

/* libxdp opens descriptors of its own, and returns ENOENT or the like when it gets none. */
static int or_no_descriptors(int err)
{
	int fds[DESCRIPTORS_NEEDED], i, found = err;

	for (i = 0; i < DESCRIPTORS_NEEDED; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC);
		if (fds[i] < 0) {
			found = errno == EMFILE || errno == ENFILE ? -errno : err;
			break;
		}
	}
	while (i--)
		close(fds[i]);
	return found;
}

static int bind_socket(const struct clv_xsk_port *x, struct xsk_umem *memory,
		       struct clv_xsk_sock *s, const struct clv_xsk_params *params)
{
	static const uint16_t mode_flags[] = {
		[CLV_XSK_AUTO] = 0,
		[CLV_XSK_ZEROCOPY] = XDP_ZEROCOPY,
		[CLV_XSK_COPY] = XDP_COPY,
	};
	const struct timespec wait = { .tv_nsec = BIND_WAIT_MS * 1000000L };
	struct xsk_socket_config config = {
		.rx_size = x->ring_size,
		.tx_size = x->ring_size,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | mode_flags[params->mode]),
	};
	int err, i;

	/* The kernel unbinds closed sockets in the background, so a restart may find them still. */
	for (i = 0;; i++) {
		err = xsk_socket__create_shared(&s->xsk, params->ifname, params->queue, memory,
						&s->rx, &s->tx, &s->fill, &s->completion, &config);
		if (err != -EBUSY || i == BIND_TRIES)
			return err ? or_no_descriptors(err) : 0;
		nanosleep(&wait, NULL);
	}
}

static int read_mode(struct clv_xsk_sock *s)
{
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);

	if (getsockopt(s->fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		return -errno;
	s->is_zerocopy = options.flags & XDP_OPTIONS_ZEROCOPY;
	return 0;
}

static void tune(const struct clv_xsk_port *x, struct clv_xsk_sock *s,
		 const struct clv_xsk_params *params)
{
	uint32_t budget = x->ring_size < TX_BUDGET ? x->ring_size : TX_BUDGET;
	const struct {
		int option;
		uint32_t value;
	} busy[] = {
		{ SO_PREFER_BUSY_POLL, 1 },
		{ SO_BUSY_POLL, params->busy_poll_usec },
		{ SO_BUSY_POLL_BUDGET, params->busy_poll_budget_packets },
	};
	unsigned i;

	/* Refused by kernels before 6.17, which send 32 a call; kick() knows. */
	(void)setsockopt(s->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	if (!params->busy_poll_usec)
		return;
	s->is_busy_polled = true;
	for (i = 0; i < sizeof(busy) / sizeof(busy[0]); i++) {
		if (!busy[i].value || !setsockopt(s->fd, SOL_SOCKET, busy[i].option, &busy[i].value,
						  sizeof(busy[i].value)))
			continue;
		clv_log(CLV_LOG_INFO, "xsk_busy_poll", "if=%s queue=%u option=%d err=\"%s\"",
			params->ifname, params->queue, busy[i].option, clv_strerror(-errno));
		if (busy[i].option == SO_PREFER_BUSY_POLL)
			s->is_busy_polled = false;
	}
}

/*
 * A copy-mode socket of our own can bind the queue once no other socket has it.  Binding and
 * closing it is between the kernel and us; the driver is not involved.
 */
int clv_xsk_wait_unbound(const char *ifname, uint32_t queue)
{
	const struct clv_xsk_params params = {
		.ifname = ifname,
		.queue = queue,
		.mode = CLV_XSK_COPY,
	};
	struct clv_xsk_port probe = { .ring_size = PROBE_FRAMES };
	struct clv_xsk_sock s = { 0 };
	struct xsk_umem *memory;
	int err;

	err = clv_umem_open(&probe.umem, PROBE_FRAMES, -1);
	if (err)
		return err;
	err = register_memory(&probe, &s, &memory);
	if (err)
		goto close_umem;
	err = bind_socket(&probe, memory, &s, &params);
	if (!err)
		xsk_socket__delete(s.xsk);
	xsk_umem__delete(memory);
close_umem:
	clv_umem_close(&probe.umem);
	return err;
}

/* From the bound socket to one that receives; joining the map comes last. */
static int go_live(struct clv_xsk_port *x, struct clv_xsk_sock *s,
		   const struct clv_xsk_params *params)
{
	struct epoll_event event = { .events = EPOLLIN };
	int err = read_mode(s);

	if (err)
		return err;
	tune(x, s, params);
	if (epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, s->fd, &event))
		return -errno;
	clv_xsk_refill(x, s);
	if (params->xskmap_fd < 0)
		return 0;
	if (!bpf_map_update_elem(params->xskmap_fd, &params->xskmap_key, &s->fd, BPF_ANY)) {
		s->xskmap_fd = params->xskmap_fd;
		return 0;
	}
	return -errno;
}

/* A second socket on a queue would share rings with the first, which nobody here expects. */
static bool has_queue(const struct clv_xsk_port *x, const struct clv_xsk_params *params)
{
	unsigned i;

	for (i = 0; i < x->count; i++) {
		if (x->socks[i]->link == params->link && x->socks[i]->queue == params->queue)
			return true;
	}
	return false;
}

int clv_xsk_add(struct clv_port *port, const struct clv_xsk_params *params)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	struct xsk_umem *memory;
	struct clv_xsk_link *link;
	struct clv_xsk_sock *s;
	int err;

	if (params->link >= CLV_LINKS_MAX || params->mode > CLV_XSK_COPY)
		return CLV_ERANGE;
	if (x->count == CLV_XSKS_MAX)
		return CLV_EFULL;
	if (has_queue(x, params))
		return -EBUSY;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->queue = params->queue;
	s->link = params->link;
	s->xskmap_fd = -1;
	s->xskmap_key = params->xskmap_key;

	link = &x->links[params->link];
	memory = link->memory;
	if (!memory) {
		err = register_memory(x, s, &memory);
		if (err)
			goto free_sock;
	}
	err = bind_socket(x, memory, s, params);
	if (err)
		goto unregister;
	s->fd = xsk_socket__fd(s->xsk);
	err = go_live(x, s, params);
	if (err)
		goto delete_socket;

	link->memory = memory;
	if (!link->first)
		link->first = s;
	x->socks[x->count++] = s;
	return 0;

delete_socket:
	/* Frames in its fill ring stay out of use: a driver may write to them until it unbinds. */
	xsk_socket__delete(s->xsk);
unregister:
	if (!link->memory)
		xsk_umem__delete(memory);
free_sock:
	free(s);
	return err;
}
