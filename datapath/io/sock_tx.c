/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/sock_port.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/io/packet.h"

#define NO_GROUP CLV_SOCK_FRAMES

/* ---- frames ---- */

void clv_sock_tx_init(struct clv_sock_port *k)
{
	unsigned i;

	for (i = 0; i < CLV_SOCK_FRAMES; i++)
		k->free_frames[i] = (uint16_t)(CLV_SOCK_FRAMES - 1 - i);
	k->free_frame_count = CLV_SOCK_FRAMES;
}

int clv_sock_tx_take(struct clv_port *port, struct clv_tx *tx)
{
	struct clv_sock_port *k = clv_sock_of(port);

	if (!k->free_frame_count)
		clv_sock_flush(port);
	if (!k->free_frame_count)
		return -ENOBUFS;
	tx->frame = k->free_frames[--k->free_frame_count];
	tx->payload = k->tx_area + tx->frame * CLV_SOCK_PAYLOAD_MAX;
	tx->room = CLV_SOCK_PAYLOAD_MAX;
	return 0;
}

static void give_frame(struct clv_sock_port *k, uint16_t frame)
{
	k->free_frames[k->free_frame_count++] = frame;
}

void clv_sock_tx_give(struct clv_port *port, struct clv_tx *tx)
{
	give_frame(clv_sock_of(port), (uint16_t)tx->frame);
}

/* ---- groups ---- */

static bool is_flow_of(const struct clv_sock_group *g, const struct clv_flow *flow, uint8_t ecn)
{
	return g->socket == flow->socket && g->ecn == ecn &&
	       clv_endpoint_equal(&g->remote, &flow->remote) &&
	       clv_endpoint_equal(&g->local, &flow->local);
}

/*
 * The newest group of a flow, if it can take one more datagram.  Older groups of the same flow are
 * never joined, so its order holds.  What UDP_SEGMENT asks: one size for all, only the last may be
 * shorter, none is empty.
 */
static struct clv_sock_group *find_group(struct clv_sock_port *k, const struct clv_flow *flow,
					 size_t len, uint8_t ecn)
{
	unsigned i, oldest = 0;

	if (!len || k->socks[flow->socket].no_gso)
		return NULL;
	if (k->group_count > CLV_SOCK_GROUP_WINDOW)
		oldest = k->group_count - CLV_SOCK_GROUP_WINDOW;
	for (i = k->group_count; i-- > oldest;) {
		struct clv_sock_group *g = &k->groups[i];

		if (!is_flow_of(g, flow, ecn))
			continue;
		if (g->is_closed || len > g->segment_len || g->count == CLV_SOCK_SEGMENTS_MAX ||
		    g->bytes + len > CLV_PACKET_PAYLOAD_MAX)
			return NULL;
		return g;
	}
	return NULL;
}

static struct clv_sock_group *new_group(struct clv_sock_port *k, const struct clv_flow *flow,
					size_t len, uint8_t ecn)
{
	struct clv_sock *s = &k->socks[flow->socket];
	uint16_t index = (uint16_t)k->group_count++;
	struct clv_sock_group *g = &k->groups[index];

	*g = (struct clv_sock_group){
		.socket = flow->socket,
		.segment_len = (uint16_t)len,
		.next_group = NO_GROUP,
		.ecn = ecn,
		.is_closed = !len,
		.local = flow->local,
		.remote = flow->remote,
	};
	if (s->first_group == NO_GROUP) {
		s->first_group = index;
		s->next_dirty = k->first_dirty;
		k->first_dirty = flow->socket;
	} else {
		k->groups[s->last_group].next_group = index;
	}
	s->last_group = index;
	return g;
}

void clv_sock_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
		      const struct clv_flow *flow, uint8_t ecn)
{
	struct clv_sock_port *k = clv_sock_of(port);
	uint16_t frame = (uint16_t)tx->frame;
	struct clv_sock_group *g;

	assert(len <= tx->room);
	if (flow->socket >= k->sockets_max || k->socks[flow->socket].fd < 0) {
		clv_count(port->counters, CLV_COUNT_DROP_STALE);
		give_frame(k, frame);
		return;
	}
	k->frame_len[frame] = (uint16_t)len;
	g = find_group(k, flow, len, ecn & 3);
	if (g) {
		k->next_frame[g->last] = frame;
	} else {
		g = new_group(k, flow, len, ecn & 3);
		g->first = frame;
	}
	g->last = frame;
	g->count++;
	g->bytes += (uint32_t)len;
	if (len < g->segment_len)
		g->is_closed = true;
}

/* ---- to the kernel ---- */

static void put_control(struct msghdr *header, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)header->msg_control +
					       header->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	header->msg_controllen += CMSG_SPACE(len);
}

/* The source address, where the socket leaves it open and the flow names one. */
static void put_source(const struct clv_sock *s, const struct clv_sock_group *g, bool is_v4,
		       struct msghdr *header)
{
	struct in6_pktinfo info6 = { 0 };
	struct in_pktinfo info4 = { 0 };

	if (!s->is_wildcard)
		return;
	/* All zero, the wildcard itself, leaves the choice to the kernel. */
	if (is_v4) {
		memcpy(&info4.ipi_spec_dst, g->local.addr + 12, 4);
		put_control(header, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else {
		memcpy(&info6.ipi6_addr, g->local.addr, 16);
		put_control(header, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

/* On an IPv6 socket too, IPv4 options are the ones that count for v4-mapped destinations. */
static void fill_header(const struct clv_sock_port *k, const struct clv_sock_group *g,
			struct msghdr *header, uint16_t segment_len)
{
	bool is_v4 = clv_addr_is_v4(g->remote.addr);
	int ecn = g->ecn;

	header->msg_controllen = 0;
	put_source(&k->socks[g->socket], g, is_v4, header);
	if (ecn)
		put_control(header, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TOS : IPV6_TCLASS,
			    &ecn, sizeof(ecn));
	if (segment_len)
		put_control(header, SOL_UDP, UDP_SEGMENT, &segment_len, sizeof(segment_len));
	header->msg_flags = 0;
}

/* Fill slot i of the arrays for one group.  Returns the next free place in the iovecs. */
static unsigned fill_group(struct clv_sock_port *k, const struct clv_sock_group *g, unsigned i,
			   unsigned iov_at)
{
	struct msghdr *header = &k->tx_headers[i].msg_hdr;
	uint16_t frame = g->first;
	unsigned n;

	header->msg_name = &k->tx_names[i];
	header->msg_namelen = clv_endpoint_to_sockaddr(&g->remote, k->socks[g->socket].is_v6,
						       &k->tx_names[i]);
	header->msg_iov = &k->tx_iov[iov_at];
	header->msg_iovlen = g->count;
	header->msg_control = k->tx_control[i];
	for (n = 0; n < g->count; n++, frame = k->next_frame[frame])
		k->tx_iov[iov_at + n] = (struct iovec){
			.iov_base = k->tx_area + (size_t)frame * CLV_SOCK_PAYLOAD_MAX,
			.iov_len = k->frame_len[frame],
		};
	fill_header(k, g, header, g->count > 1 ? g->segment_len : 0);
	return iov_at + g->count;
}

/* Returns 0, or the error for this message after one more try: some errors are of earlier ones. */
static int send_again(int fd, const struct msghdr *header)
{
	int tries;

	for (tries = 0; tries < 2; tries++) {
		if (sendmsg(fd, header, MSG_DONTWAIT) >= 0)
			return 0;
	}
	return errno;
}

static void count_refused(struct clv_sock_port *k, int err, unsigned datagrams)
{
	clv_count_add(k->port.counters,
		      err == EMSGSIZE ? CLV_COUNT_DROP_MTU : CLV_COUNT_DROP_SEND_ERROR, datagrams);
}

/* One by one what the kernel would not take as a whole. */
static void send_singly(struct clv_sock_port *k, const struct clv_sock_group *g,
			struct msghdr *header)
{
	struct iovec *iov = header->msg_iov;
	unsigned n, count = g->count;
	int err;

	fill_header(k, g, header, 0);
	header->msg_iovlen = 1;
	for (n = 0; n < count; n++) {
		header->msg_iov = iov + n;
		err = send_again(k->socks[g->socket].fd, header);
		if (err)
			count_refused(k, err, 1);
	}
}

/* The kernel refused a message: retry it where that can help, else count it. */
static void handle_refused(struct clv_sock_port *k, const struct clv_sock_group *g,
			   struct msghdr *header)
{
	struct clv_sock *s = &k->socks[g->socket];
	int err = send_again(s->fd, header);

	if (!err)
		return;
	if (g->count == 1) {
		count_refused(k, err, 1);
		return;
	}
	switch (err) {
	case EIO: /* the egress device has no checksum offload, so no segmentation either */
	case EOPNOTSUPP:
	case ENOPROTOOPT:
		s->no_gso = true;
		/* fall through */
	case EINVAL: /* one segment does not fit the link, or more than this kernel takes */
	case EMSGSIZE:
		send_singly(k, g, header);
		return;
	default:
		count_refused(k, err, g->count);
	}
}

/* Everything queued on one socket, in order. */
static void send_socket(struct clv_sock_port *k, struct clv_sock *s)
{
	const struct clv_sock_group *queue[CLV_SOCK_FRAMES];
	unsigned count = 0, done = 0, iov_at = 0;
	uint16_t g;
	int got;

	for (g = s->first_group; g != NO_GROUP; g = k->groups[g].next_group) {
		queue[count] = &k->groups[g];
		iov_at = fill_group(k, &k->groups[g], count++, iov_at);
	}
	while (done < count) {
		got = sendmmsg(s->fd, k->tx_headers + done, count - done, MSG_DONTWAIT);
		if (got > 0) {
			done += (unsigned)got;
			continue;
		}
		if (errno == EAGAIN) { /* buffer full: the rest would find it so too */
			for (; done < count; done++)
				count_refused(k, EAGAIN, queue[done]->count);
			break;
		}
		handle_refused(k, queue[done], &k->tx_headers[done].msg_hdr);
		done++;
	}
	s->first_group = NO_GROUP;
}

void clv_sock_flush(struct clv_port *port)
{
	struct clv_sock_port *k = clv_sock_of(port);
	unsigned i, n;

	while (k->first_dirty != CLV_SOCK_NONE) {
		struct clv_sock *s = &k->socks[k->first_dirty];

		k->first_dirty = s->next_dirty;
		send_socket(k, s);
	}
	for (i = 0; i < k->group_count; i++) {
		uint16_t frame = k->groups[i].first;

		for (n = 0; n < k->groups[i].count; n++) {
			uint16_t next = k->next_frame[frame];

			give_frame(k, frame);
			frame = next;
		}
	}
	k->group_count = 0;
}
