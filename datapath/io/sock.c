/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"
#include "datapath/io/sock_port.h"

static const size_t rx_area_bytes = (size_t)CLV_SOCK_MESSAGES * CLV_SOCK_MESSAGE_BYTES;
static const size_t tx_area_bytes = (size_t)CLV_SOCK_FRAMES * CLV_SOCK_PAYLOAD_MAX;

static void sock_rx_done(struct clv_port *port)
{
	(void)port; /* the next rx reuses the buffers that were given out, and no others */
}

/* Whether it is of clv_sock_open_any. */
static bool is_any(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return !getsockopt(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, &value, &len) && value;
}

static int sock_add_socket(struct clv_port *port, int fd, const struct clv_endpoint *local,
			   uint32_t *number)
{
	struct clv_sock_port *k = clv_sock_of(port);
	struct epoll_event event = { .events = EPOLLIN };
	int domain, on = 1;
	socklen_t len = sizeof(domain);
	uint32_t n;

	if (!k->free_count)
		return CLV_EFULL;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return -errno;
	/*
	 * Here and not at bind: who reads a socket with it must take datagrams apart, as we do.  Where
	 * others' drops are told from the filter's by subtraction, the kernel must count datagrams.
	 */
	if (!is_any(fd))
		(void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));

	n = k->free_numbers[k->free_count - 1];
	event.data.u32 = n;
	if (epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &event))
		return -errno;
	k->free_count--;
	k->count++;
	k->only = k->count == 1 ? n : CLV_SOCK_NONE;
	k->socks[n].fd = fd;
	k->socks[n].is_v6 = domain == AF_INET6;
	k->socks[n].is_wildcard = clv_addr_is_wildcard(local->addr);
	k->socks[n].no_gso = false;
	k->socks[n].lost = 0;
	k->socks[n].local = *local;
	*number = n;
	return 0;
}

static void sock_remove_socket(struct clv_port *port, uint32_t number)
{
	struct clv_sock_port *k = clv_sock_of(port);

	assert(number < k->sockets_max && k->socks[number].fd >= 0);
	clv_sock_flush(port); /* what was queued on it */
	clv_sock_forget(k, number);
	epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, k->socks[number].fd, NULL);
	k->socks[number].fd = -1;
	k->count--;
	k->only = CLV_SOCK_NONE;
	k->free_numbers[k->free_count++] = number;
}

static int sock_poll_fd(struct clv_port *port)
{
	return clv_sock_of(port)->epoll_fd;
}

static bool sock_may_sleep(struct clv_port *port)
{
	const struct clv_sock_port *k = clv_sock_of(port);

	/* What is still in the kernel makes poll_fd readable by itself. */
	return k->at == k->read && !k->ready_count;
}

static void sock_close(struct clv_port *port)
{
	struct clv_sock_port *k = clv_sock_of(port);

	clv_sock_flush(port);
	if (k->epoll_fd >= 0)
		close(k->epoll_fd);
	if (k->rx_area)
		munmap(k->rx_area, rx_area_bytes);
	if (k->tx_area)
		munmap(k->tx_area, tx_area_bytes);
	free(k->socks);
	free(k->free_numbers);
	free(k->ready);
	free(k);
}

static const struct clv_port_ops sock_ops = {
	.name = "sock",
	.rx = clv_sock_rx,
	.rx_done = sock_rx_done,
	.tx_take = clv_sock_tx_take,
	.tx_send = clv_sock_tx_send,
	.tx_give = clv_sock_tx_give,
	.flush = clv_sock_flush,
	.add_socket = sock_add_socket,
	.remove_socket = sock_remove_socket,
	.poll_fd = sock_poll_fd,
	.may_sleep = sock_may_sleep,
	.close = sock_close,
};

/* Pages are touched when used: a port that sees no coalesced traffic stays small. */
static uint8_t *map_area(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int clv_sock_open(const struct clv_sock_params *params, struct clv_port **out)
{
	struct clv_sock_port *k;
	uint32_t i, max = params->sockets_max;

	if (!max)
		return -EINVAL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->port = (struct clv_port){ .ops = &sock_ops, .counters = params->counters };
	k->sockets_max = max;
	k->only = CLV_SOCK_NONE;
	k->first_dirty = CLV_SOCK_NONE;
	k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	k->socks = calloc(max, sizeof(*k->socks));
	k->free_numbers = calloc(max, sizeof(*k->free_numbers));
	k->ready = calloc(max, sizeof(*k->ready));
	k->rx_area = map_area(rx_area_bytes);
	k->tx_area = map_area(tx_area_bytes);
	if (k->epoll_fd < 0 || !k->socks || !k->free_numbers || !k->ready || !k->rx_area ||
	    !k->tx_area) {
		sock_close(&k->port);
		return -ENOMEM;
	}
	for (i = 0; i < max; i++) {
		k->socks[i].fd = -1;
		k->socks[i].first_group = CLV_SOCK_FRAMES;
		k->free_numbers[i] = max - 1 - i;
	}
	k->free_count = max;
	clv_sock_tx_init(k);
	*out = &k->port;
	return 0;
}
