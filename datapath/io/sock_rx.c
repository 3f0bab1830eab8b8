/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/sock_port.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>

#include "datapath/base/addr.h"

enum {
	EVENTS_MAX = 64,
	SHARE_MESSAGES = 16, /* that one of several ready sockets may fill in one rx */
};

/* ---- ancillary data ---- */

static void read_local6(const struct in6_pktinfo *info, struct clv_endpoint *local)
{
	memcpy(local->addr, &info->ipi6_addr, 16);
}

static void read_local4(const struct in_pktinfo *info, struct clv_endpoint *local)
{
	memset(local->addr, 0, 10);
	local->addr[10] = local->addr[11] = 0xff;
	memcpy(local->addr + 12, &info->ipi_addr, 4);
}

/* lost: in all, of this socket. */
static void count_lost(struct clv_sock_port *k, struct clv_sock *s, uint32_t lost)
{
	/* Messages of one socket are read in order, so that it never goes back. */
	clv_count_add(k->port.counters, CLV_COUNT_DROP_SOCKET_FULL, lost - s->lost);
	s->lost = lost;
}

static void read_control(struct clv_sock_port *k, struct clv_sock *s, struct msghdr *header,
			 struct clv_sock_message *m)
{
	const bool want_local = s->is_wildcard;
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		const void *data = CMSG_DATA(c);
		uint32_t lost;
		int value;

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&lost, data, sizeof(lost));
			count_lost(k, s, lost);
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			m->first.ecn = *(const uint8_t *)data & 3;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			memcpy(&value, data, sizeof(value));
			m->first.ecn = value & 3;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&value, data, sizeof(value));
			if (value > 0)
				m->segment_len = (uint32_t)value;
		} else if (want_local && c->cmsg_level == IPPROTO_IPV6 &&
			   c->cmsg_type == IPV6_PKTINFO) {
			read_local6(data, &m->first.local);
		} else if (want_local && c->cmsg_level == IPPROTO_IP &&
			   c->cmsg_type == IP_PKTINFO) {
			read_local4(data, &m->first.local);
		} else if ((c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR) ||
			   (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR)) {
			/* of a socket of clv_sock_open_any alone */
			(void)clv_endpoint_from_sockaddr(data, &m->first.local);
		}
	}
}

/* Returns false, and counts it, when a worker cannot use it. */
static bool read_message(struct clv_sock_port *k, unsigned i, uint32_t number)
{
	struct clv_sock *s = &k->socks[number];
	struct clv_sock_message *m = &k->messages[i];
	struct mmsghdr *header = &k->rx_headers[i];

	*m = (struct clv_sock_message){
		.first = { .local = s->local,
			   .socket = number,
			   .kind = CLV_KIND_UNKNOWN,
			   .via = CLV_VIA_KERNEL },
		.len = header->msg_len,
		.segment_len = header->msg_len,
	};
	if (header->msg_hdr.msg_flags & MSG_TRUNC ||
	    clv_endpoint_from_sockaddr((const struct sockaddr *)&k->rx_names[i],
				       &m->first.remote)) {
		clv_count(k->port.counters, CLV_COUNT_DROP_MALFORMED);
		return false;
	}
	read_control(k, s, &header->msg_hdr, m);
	return true;
}

/* ---- from the kernel into messages ---- */

static int receive(struct clv_sock_port *k, int fd, unsigned from, unsigned max)
{
	unsigned i;
	int got, tries = 0;

	for (i = from; i < from + max; i++) {
		k->rx_iov[i] = (struct iovec){
			.iov_base = k->rx_area + (size_t)i * CLV_SOCK_MESSAGE_BYTES,
			.iov_len = CLV_SOCK_MESSAGE_BYTES,
		};
		k->rx_headers[i].msg_hdr = (struct msghdr){
			.msg_name = &k->rx_names[i],
			.msg_namelen = sizeof(k->rx_names[i]),
			.msg_iov = &k->rx_iov[i],
			.msg_iovlen = 1,
			.msg_control = k->rx_control[i],
			.msg_controllen = sizeof(k->rx_control[i]),
		};
	}
	/*
	 * An ICMP error pending on a connected socket is returned once and tells nothing about what
	 * can be read.
	 */
	do {
		got = recvmmsg(fd, k->rx_headers + from, max, MSG_DONTWAIT, NULL);
	} while (got < 0 && errno != EAGAIN && tries++ < 2);
	return got < 0 ? 0 : got;
}

/* Read up to max messages after those already read.  Returns whether the socket had that many. */
static bool read_socket(struct clv_sock_port *k, uint32_t number, unsigned max)
{
	unsigned from = k->read, i;
	int got = receive(k, k->socks[number].fd, from, max);

	for (i = from; i < from + (unsigned)got; i++) {
		if (!read_message(k, i, number))
			k->messages[i].first.socket = CLV_SOCK_NONE;
	}
	k->read += (unsigned)got;
	return (unsigned)got == max;
}

static void push_ready(struct clv_sock_port *k, uint32_t number)
{
	uint32_t slot = k->ready_at + k->ready_count;

	k->ready[slot < k->sockets_max ? slot : slot - k->sockets_max] = number;
	k->ready_count++;
	k->socks[number].is_ready = true;
}

static uint32_t pop_ready(struct clv_sock_port *k)
{
	uint32_t number = k->ready[k->ready_at];

	k->ready_at = k->ready_at + 1 < k->sockets_max ? k->ready_at + 1 : 0;
	k->ready_count--;
	k->socks[number].is_ready = false;
	return number;
}

static void find_ready(struct clv_sock_port *k)
{
	struct epoll_event events[EVENTS_MAX];
	int i, got = epoll_wait(k->epoll_fd, events, EVENTS_MAX, 0);

	for (i = 0; i < got; i++) {
		if (!k->socks[events[i].data.u32].is_ready)
			push_ready(k, events[i].data.u32);
		if (k->count == 1)
			k->only = events[i].data.u32;
	}
}

/* ---- from messages to datagrams ---- */

static unsigned give_out(struct clv_sock_port *k, struct clv_rx *batch, unsigned max)
{
	unsigned n = 0;

	for (; k->at < k->read; k->at++) {
		struct clv_sock_message *m = &k->messages[k->at];
		uint8_t *data = k->rx_area + (size_t)k->at * CLV_SOCK_MESSAGE_BYTES;

		if (m->first.socket == CLV_SOCK_NONE)
			continue;
		do {
			uint32_t left = m->len - m->offset;

			if (n == max)
				return n;
			batch[n] = m->first;
			batch[n].payload = data + m->offset;
			batch[n].payload_len = left < m->segment_len ? left : m->segment_len;
			m->offset += batch[n++].payload_len;
		} while (m->offset < m->len);
	}
	return n;
}

unsigned clv_sock_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	struct clv_sock_port *k = clv_sock_of(port);
	uint32_t turns;
	unsigned n;

	if (max > CLV_PORT_BATCH)
		max = CLV_PORT_BATCH;
	n = give_out(k, batch, max);
	if (n == max)
		return n;
	if (!n) /* none of the buffers is lent out */
		k->read = k->at = 0;
	if (!k->ready_count) {
		if (k->only != CLV_SOCK_NONE)
			push_ready(k, k->only);
		else
			find_ready(k);
	}
	for (turns = k->ready_count; turns && n < max && k->read < CLV_SOCK_MESSAGES; turns--) {
		uint32_t number = pop_ready(k);
		unsigned room = CLV_SOCK_MESSAGES - k->read;

		if (room > max - n)
			room = max - n;
		if (k->ready_count && room > SHARE_MESSAGES)
			room = SHARE_MESSAGES;
		if (read_socket(k, number, room))
			push_ready(k, number);
		n += give_out(k, batch + n, max - n);
	}
	return n;
}

void clv_sock_forget(struct clv_sock_port *k, uint32_t number)
{
	uint32_t kept, turns;
	unsigned i;

	for (i = k->at; i < k->read; i++) {
		struct clv_sock_message *m = &k->messages[i];
		uint32_t left = m->len - m->offset;

		if (m->first.socket != number)
			continue;
		clv_count_add(k->port.counters, CLV_COUNT_DROP_CLOSED,
			      left ? (left + m->segment_len - 1) / m->segment_len : 1);
		m->first.socket = CLV_SOCK_NONE;
	}
	if (!k->socks[number].is_ready)
		return;
	for (turns = k->ready_count; turns; turns--) {
		kept = pop_ready(k);
		if (kept != number)
			push_ready(k, kept);
	}
}
