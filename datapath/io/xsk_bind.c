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
	x->ring_size = size;
	x->numa_node = params->numa_node;
	x->verify_checksum = params->verify_checksum;
	*out = &x->port;
	return 0;
}

static int register_memory(struct clv_xsk_sock *s)
{
	const struct xsk_umem_config config = {
		.fill_size = s->ring_size,
		.comp_size = s->ring_size,
		.frame_size = CLV_UMEM_FRAME_BYTES,
	};

	return xsk_umem__create(&s->memory, s->umem.area, s->umem.len_bytes, &s->fill,
				&s->completion, &config);
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

static int bind_socket(struct clv_xsk_sock *s, const struct clv_xsk_params *params)
{
	static const uint16_t mode_flags[] = {
		[CLV_XSK_AUTO] = 0,
		[CLV_XSK_ZEROCOPY] = XDP_ZEROCOPY,
		[CLV_XSK_COPY] = XDP_COPY,
	};
	const struct timespec wait = { .tv_nsec = BIND_WAIT_MS * 1000000L };
	struct xsk_socket_config config = {
		.rx_size = s->ring_size,
		.tx_size = s->ring_size,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = (uint16_t)(XDP_USE_NEED_WAKEUP | mode_flags[params->mode]),
	};
	int err, i;

	/* The kernel unbinds closed sockets in the background, so a restart may find them still. */
	for (i = 0;; i++) {
		err = xsk_socket__create_shared(&s->xsk, params->ifname, params->queue, s->memory,
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

static void tune(struct clv_xsk_sock *s, const struct clv_xsk_params *params)
{
	uint32_t budget = s->ring_size < TX_BUDGET ? s->ring_size : TX_BUDGET;
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

/* Memory, and a socket that is bound with it.  On failure nothing is left. */
static int open_socket(struct clv_xsk_sock *s, uint32_t frames, int numa_node,
		       const struct clv_xsk_params *params)
{
	int err;

	err = clv_umem_open(&s->umem, frames, numa_node);
	if (err)
		return err;
	err = register_memory(s);
	if (err)
		goto close_umem;
	err = bind_socket(s, params);
	if (err)
		goto unregister;
	s->fd = xsk_socket__fd(s->xsk);
	return 0;

unregister:
	xsk_umem__delete(s->memory);
close_umem:
	clv_umem_close(&s->umem);
	return err;
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
	struct clv_xsk_sock s = { .ring_size = PROBE_FRAMES };
	int err = open_socket(&s, PROBE_FRAMES, -1, &params);

	if (!err)
		clv_xsk_close_socket(&s);
	return err;
}

int clv_xsk_bind(const struct clv_port *port, const struct clv_xsk_params *params,
		 struct clv_xsk_sock **out)
{
	const struct clv_xsk_port *x = (const struct clv_xsk_port *)port;
	struct clv_xsk_sock *s;
	int err;

	if (params->link >= CLV_LINKS_MAX || params->mode > CLV_XSK_COPY)
		return CLV_ERANGE;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->ring_size = x->ring_size;
	s->queue = params->queue;
	s->link = params->link;
	s->strips_tags = params->strips_tags;
	s->xskmap_fd = params->xskmap_fd;
	s->xskmap_key = params->xskmap_key;
	err = open_socket(s, clv_xsk_frames(s->ring_size), x->numa_node, params);
	if (err)
		goto free_sock;
	err = read_mode(s);
	if (err)
		goto close_sock;
	tune(s, params);
	clv_xsk_refill(s);
	*out = s;
	return 0;

close_sock:
	clv_xsk_close_socket(s);
free_sock:
	free(s);
	return err;
}

/* ---- sockets of a port ---- */

/* A second socket on a queue would share rings with the first, which nobody here expects. */
static bool has_queue(const struct clv_xsk_port *x, uint16_t link, uint32_t queue)
{
	unsigned i;

	for (i = 0; i < x->count; i++)
		if (x->socks[i]->link == link && x->socks[i]->queue == queue)
			return true;
	return false;
}

int clv_xsk_attach(struct clv_port *port, struct clv_xsk_sock *sock)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	struct epoll_event event = { .events = EPOLLIN };

	if (x->count == CLV_XSKS_MAX)
		return CLV_EFULL;
	if (has_queue(x, sock->link, sock->queue))
		return -EBUSY;
	if (epoll_ctl(x->epoll_fd, EPOLL_CTL_ADD, sock->fd, &event))
		return -errno;
	if (sock->xskmap_fd >= 0 &&
	    bpf_map_update_elem(sock->xskmap_fd, &sock->xskmap_key, &sock->fd, BPF_ANY)) {
		int err = -errno;

		epoll_ctl(x->epoll_fd, EPOLL_CTL_DEL, sock->fd, NULL);
		return err;
	}
	if (!x->senders[sock->link])
		x->senders[sock->link] = sock;
	x->socks[x->count++] = sock;
	return 0;
}

unsigned clv_xsk_detach(struct clv_port *port, uint16_t link, struct clv_xsk_sock **out,
			unsigned room)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	unsigned i, kept = 0, taken = 0;

	assert(!x->held_len);
	for (i = 0; i < x->count; i++) {
		struct clv_xsk_sock *s = x->socks[i];

		if (s->link != link || taken == room) {
			x->socks[kept++] = s;
			continue;
		}
		/* First of all, so that nothing is redirected to a socket that is closing. */
		if (s->xskmap_fd >= 0)
			bpf_map_delete_elem(s->xskmap_fd, &s->xskmap_key);
		epoll_ctl(x->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
		clv_count_add(x->port.counters, CLV_COUNT_DROP_LINK_GONE, clv_xsk_left(s));
		out[taken++] = s;
	}
	x->count = kept;
	x->next_rx = 0;
	if (link < CLV_LINKS_MAX)
		x->senders[link] = NULL;
	return taken;
}

int clv_xsk_add(struct clv_port *port, const struct clv_xsk_params *params)
{
	const struct clv_xsk_port *x = clv_xsk_of(port);
	struct clv_xsk_sock *sock;
	int err;

	if (has_queue(x, params->link, params->queue))
		return -EBUSY;
	err = clv_xsk_bind(port, params, &sock);
	if (err)
		return err;
	err = clv_xsk_attach(port, sock);
	if (err)
		clv_xsk_unbind(sock);
	return err;
}
