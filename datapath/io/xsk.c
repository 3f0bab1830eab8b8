/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/io/xsk.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "datapath/base/prefetch.h"
#include "datapath/io/packet.h"
#include "datapath/io/xsk_port.h"

enum {
	META_BYTES = sizeof(struct clv_meta),
	PAYLOAD_OFFSET = 128, /* in frames we send: room for headers, and aligned for the cipher */
	TX_RESERVE = CLV_PORT_BATCH, /* frames that receiving never takes from the pool */
	HEADERS_BYTES = 128,
	HEADERS_AHEAD = 4, /* frames before they are needed */
	KICKS_MAX =
		64, /* for one flush; bind asks the kernel to send 128 a kick, old ones send 32 */
};
_Static_assert((int)PAYLOAD_OFFSET >= (int)CLV_PACKET_HEADERS_MAX, "headers fit in front");

/* ---- frames to and from the kernel ---- */

static void wake_receiver(struct clv_xsk_sock *s)
{
	/* The result does not matter: what arrived is in the ring. */
	(void)recvfrom(s->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/*
 * Clear the magic word where metadata would be in front of a frame, whether that starts at the usual
 * place or earlier, with our own metadata: the chunk holds bytes of an earlier packet, which must not
 * pass for metadata.
 */
static void forget_metadata(uint8_t *chunk)
{
	memset(chunk + CLV_CHUNK_HEADROOM - META_BYTES, 0, 4);
	memset(chunk + CLV_CHUNK_HEADROOM - 2 * META_BYTES, 0, 4);
}

void clv_xsk_refill(struct clv_xsk_sock *s)
{
	struct clv_umem *u = &s->umem;
	uint32_t want = s->ring_size - s->receiving, at, i;
	uint32_t spare = u->free_count > TX_RESERVE ? u->free_count - TX_RESERVE : 0;

	if (want > spare)
		want = spare;
	if (!want || xsk_ring_prod__reserve(&s->fill, want, &at) != want)
		return;
	for (i = 0; i < want; i++) {
		uint64_t frame = clv_umem_take(u, CLV_UMEM_FILL);

		forget_metadata(clv_umem_data(u, frame));
		*xsk_ring_prod__fill_addr(&s->fill, at + i) = frame;
	}
	xsk_ring_prod__submit(&s->fill, want);
	s->receiving += want;
	if (xsk_ring_prod__needs_wakeup(&s->fill))
		wake_receiver(s);
}

static void reap(struct clv_xsk_sock *s)
{
	uint32_t at, i, got;

	if (!s->sending)
		return;
	got = xsk_ring_cons__peek(&s->completion, s->ring_size, &at);
	for (i = 0; i < got; i++) {
		uint64_t addr = *xsk_ring_cons__comp_addr(&s->completion, at + i);

		clv_umem_give(&s->umem, clv_umem_frame_of(addr), CLV_UMEM_TX);
	}
	xsk_ring_cons__release(&s->completion, got);
	s->sending -= got;
}

static uint32_t tx_unread(const struct clv_xsk_sock *s)
{
	return *s->tx.producer - __atomic_load_n(s->tx.consumer, __ATOMIC_ACQUIRE);
}

/*
 * Have the kernel send what is in the ring.  In copy mode a call sends up to a budget and fails
 * with EAGAIN when more is left, or with EBUSY when the device refused a frame, which is lost.
 */
static void kick(struct clv_xsk_port *x, struct clv_xsk_sock *s)
{
	uint32_t unread = tx_unread(s), before;
	unsigned i;

	s->is_stalled = false;
	for (i = 0; i < KICKS_MAX; i++) {
		if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			return;
		switch (errno) {
		case EBUSY:
			if (!s->is_zerocopy)
				clv_count(x->port.counters, CLV_COUNT_DROP_SEND_ERROR);
			break;
		case EAGAIN:
		case ENOBUFS:
		case EINTR:
			break;
		default: /* the link is down or gone: another kick does not help */
			return;
		}
		before = unread;
		unread = tx_unread(s);
		if (!unread)
			return;
		if (unread == before && errno != EBUSY)
			break;
	}
	s->is_stalled = true;
}

/* Hand what is queued to the kernel, and have it sent. */
static void submit(struct clv_xsk_port *x, struct clv_xsk_sock *s)
{
	/* Before the kick: in copy mode a full completion ring stops sending. */
	reap(s);
	if (s->queued) {
		xsk_ring_prod__submit(&s->tx, s->queued);
		s->sending += s->queued;
		s->queued = 0;
	} else if (!s->is_stalled) {
		return;
	}
	if (xsk_ring_prod__needs_wakeup(&s->tx) || s->is_busy_polled)
		kick(x, s);
}

/*
 * A place in the transmit ring.  A full one is submitted; if the kernel took nothing of it, it is
 * asked once more in each step: a link that was down when it was asked may be up again.  Returns
 * whether there is a place.
 */
static bool reserve(struct clv_xsk_port *x, struct clv_xsk_sock *s, uint32_t *at)
{
	if (xsk_ring_prod__reserve(&s->tx, 1, at) == 1)
		return true;
	if (s->queued) {
		submit(x, s);
	} else if (!s->has_retried) {
		s->has_retried = true;
		reap(s);
		kick(x, s);
	} else {
		return false;
	}
	return xsk_ring_prod__reserve(&s->tx, 1, at) == 1;
}

/* ---- port operations ---- */

static bool read_meta(const uint8_t *at, struct clv_rx *rx)
{
	struct clv_meta meta;

	memcpy(&meta, at, sizeof(meta));
	if (meta.magic != CLV_META_MAGIC || meta.kind > CLV_KIND_UNCOMPRESSED)
		return false;
	rx->kind = meta.kind;
	rx->ref = meta.ref;
	return true;
}

/*
 * Find the metadata that XDP wrote for a frame: in front of it, or else as its first bytes.
 * Returns how many bytes of the frame it takes.
 */
static uint32_t find_meta(const uint8_t *chunk, uint64_t offset, uint32_t len, struct clv_rx *rx)
{
	if (offset >= META_BYTES && read_meta(chunk + offset - META_BYTES, rx))
		return 0;
	if (len >= META_BYTES && read_meta(chunk + offset, rx))
		return META_BYTES;
	rx->kind = CLV_KIND_UNKNOWN;
	rx->ref = (struct clv_ref){ 0 };
	return 0;
}

/* Returns whether the frame holds a datagram for the worker. */
static bool read_frame(struct clv_xsk_port *x, const struct clv_xsk_sock *s,
		       const struct xdp_desc *desc, struct clv_rx *rx)
{
	uint64_t offset = desc->addr % CLV_UMEM_FRAME_BYTES;
	uint8_t *chunk = clv_umem_data(&s->umem, desc->addr - offset);
	uint32_t skip;

	if (offset + desc->len > CLV_UMEM_FRAME_BYTES)
		goto malformed;
	skip = find_meta(chunk, offset, desc->len, rx);
	if (clv_packet_decode(chunk + offset + skip, desc->len - skip, rx))
		goto malformed;
	rx->is_unverified = x->verify_checksum && rx->kind != CLV_KIND_CONN;
	rx->via = CLV_VIA_XSK;
	rx->lacks_tags = s->strips_tags;
	rx->link = s->link;
	rx->socket = 0;
	rx->frame = clv_umem_frame_of(desc->addr);
	return true;

malformed:
	clv_count(x->port.counters, CLV_COUNT_DROP_MALFORMED);
	return false;
}

static const struct xdp_desc *received(const struct clv_xsk_sock *s, uint32_t at)
{
	return xsk_ring_cons__rx_desc(&s->rx, at);
}

static void prefetch_headers(const struct clv_xsk_sock *s, uint32_t at)
{
	const uint8_t *p = clv_umem_data(&s->umem, received(s, at)->addr);

	clv_prefetch(p - sizeof(struct clv_meta), 1);
	clv_prefetch(p, HEADERS_BYTES);
}

/* Returns the datagrams put into batch; x->held_len counts frames, which may be more. */
static unsigned rx_socket(struct clv_xsk_port *x, struct clv_xsk_sock *s, struct clv_rx *batch,
			  unsigned max)
{
	unsigned good = 0;
	uint32_t at, i, got;

	got = xsk_ring_cons__peek(&s->rx, max, &at);
	if (!got) {
		if (s->is_busy_polled) /* with preferred busy polling we drive the driver */
			wake_receiver(s);
		return 0;
	}
	for (i = 0; i < got && i < HEADERS_AHEAD; i++)
		prefetch_headers(s, at + i);
	for (i = 0; i < got; i++) {
		const struct xdp_desc *desc = received(s, at + i);
		uint64_t frame = clv_umem_frame_of(desc->addr);

		if (i + HEADERS_AHEAD < got)
			prefetch_headers(s, at + i + HEADERS_AHEAD);
		clv_umem_move(&s->umem, frame, CLV_UMEM_FILL, CLV_UMEM_HELD);
		x->held[x->held_len++] = (struct clv_xsk_held){ s, frame };
		good += read_frame(x, s, desc, &batch[good]);
	}
	xsk_ring_cons__release(&s->rx, got);
	s->receiving -= got;
	return good;
}

static unsigned xsk_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	unsigned good = 0, i, at = x->next_rx;

	assert(!x->held_len);
	if (max > CLV_PORT_BATCH)
		max = CLV_PORT_BATCH;
	for (i = 0; i < x->count && x->held_len < max; i++) {
		good += rx_socket(x, x->socks[at], batch + good, max - x->held_len);
		at = at + 1 < x->count ? at + 1 : 0;
	}
	x->next_rx = x->next_rx + 1 < x->count ? x->next_rx + 1 : 0;
	return good;
}

static void xsk_rx_done(struct clv_port *port)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	unsigned i;

	for (i = 0; i < x->held_len; i++)
		clv_umem_give(&x->held[i].sock->umem, x->held[i].frame, CLV_UMEM_HELD);
	x->held_len = 0;
	for (i = 0; i < x->count; i++)
		clv_xsk_refill(x->socks[i]);
}

/* The socket by which a link sends, or NULL. */
static struct clv_xsk_sock *sender_of(const struct clv_xsk_port *x, uint16_t link)
{
	return link < CLV_LINKS_MAX ? x->senders[link] : NULL;
}

/* A frame of a socket's memory, or CLV_UMEM_NO_FRAME. */
static uint64_t take_frame(struct clv_xsk_port *x, struct clv_xsk_sock *s)
{
	uint64_t frame = clv_umem_take(&s->umem, CLV_UMEM_HELD);

	if (frame != CLV_UMEM_NO_FRAME)
		return frame;
	submit(x, s);
	reap(s);
	return clv_umem_take(&s->umem, CLV_UMEM_HELD);
}

static int xsk_tx_take(struct clv_port *port, struct clv_tx *tx)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	struct clv_xsk_sock *s = sender_of(x, tx->link);
	uint64_t frame;

	/* One for a link that is gone has to be written somewhere, too: sending it is what fails. */
	if (!s && x->count)
		s = x->senders[x->socks[0]->link];
	frame = s ? take_frame(x, s) : CLV_UMEM_NO_FRAME;
	if (frame == CLV_UMEM_NO_FRAME)
		return -ENOBUFS;
	tx->payload = clv_umem_data(&s->umem, frame) + PAYLOAD_OFFSET;
	tx->room = CLV_UMEM_FRAME_BYTES - PAYLOAD_OFFSET;
	tx->link = s->link;
	tx->frame = frame;
	return 0;
}

static void xsk_tx_give(struct clv_port *port, struct clv_tx *tx)
{
	clv_umem_give(&clv_xsk_of(port)->senders[tx->link]->umem, tx->frame, CLV_UMEM_HELD);
}

/* Copy what leaves by another link than expected into that one's memory.  Returns whether it fits. */
static bool change_link(struct clv_port *port, struct clv_tx *tx, size_t len, uint16_t link)
{
	struct clv_tx moved = { .link = link };

	if (xsk_tx_take(port, &moved))
		return false;
	memcpy(moved.payload, tx->payload, len);
	xsk_tx_give(port, tx);
	*tx = moved;
	return true;
}

static void xsk_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
			const struct clv_flow *flow, uint8_t ecn)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	struct clv_xsk_sock *s = sender_of(x, flow->hop.link);
	enum clv_counter why = CLV_COUNT_DROP_NO_ROUTE;
	size_t headers;
	uint32_t at;

	assert(len <= tx->room);
	if (!s)
		goto drop;
	if (flow->hop.mtu && clv_packet_ip_len(flow, len) > flow->hop.mtu) {
		why = CLV_COUNT_DROP_MTU;
		goto drop;
	}
	if (tx->link != s->link && !change_link(port, tx, len, s->link)) {
		why = CLV_COUNT_DROP_NO_FRAME;
		goto drop;
	}
	headers = clv_packet_encode(tx->payload, len, flow, ecn);
	if (!headers)
		goto drop;
	if (!reserve(x, s, &at)) {
		why = CLV_COUNT_DROP_TX_RING;
		goto drop;
	}
	*xsk_ring_prod__tx_desc(&s->tx, at) = (struct xdp_desc){
		.addr = tx->frame + PAYLOAD_OFFSET - headers,
		.len = (uint32_t)(headers + len),
	};
	clv_umem_move(&s->umem, tx->frame, CLV_UMEM_HELD, CLV_UMEM_TX);
	s->queued++;
	return;

drop:
	clv_count(port->counters, why);
	xsk_tx_give(port, tx);
}

static void xsk_flush(struct clv_port *port)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	unsigned i;

	for (i = 0; i < x->count; i++) {
		x->socks[i]->has_retried = false;
		submit(x, x->socks[i]);
	}
}

static int xsk_poll_fd(struct clv_port *port)
{
	return clv_xsk_of(port)->epoll_fd;
}

static bool xsk_may_sleep(struct clv_port *port)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	bool may = true;
	unsigned i;

	for (i = 0; i < x->count; i++) {
		struct clv_xsk_sock *s = x->socks[i];

		reap(s);
		/*
		 * Nothing would wake us to repeat a kick that failed for the moment, or to make one
		 * for a driver that went idle after our last look with descriptors left.
		 */
		if (s->is_stalled || (s->is_zerocopy && s->sending &&
				      xsk_ring_prod__needs_wakeup(&s->tx) && tx_unread(s)))
			kick(x, s);
		if (xsk_ring_prod__needs_wakeup(&s->fill))
			wake_receiver(s);
		if (s->is_stalled || xsk_cons_nb_avail(&s->rx, 1))
			may = false;
	}
	return may;
}

void clv_xsk_close_socket(struct clv_xsk_sock *s)
{
	xsk_socket__delete(s->xsk);
	xsk_umem__delete(s->memory);
	clv_umem_close(&s->umem);
}

void clv_xsk_unbind(struct clv_xsk_sock *sock)
{
	if (!sock)
		return;
	clv_xsk_close_socket(sock);
	free(sock);
}

uint32_t clv_xsk_left(struct clv_xsk_sock *s)
{
	return xsk_cons_nb_avail(&s->rx, s->ring_size) + s->queued + tx_unread(s);
}

static void xsk_close(struct clv_port *port)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	unsigned i;

	for (i = 0; i < x->count; i++) {
		struct clv_xsk_sock *s = x->socks[i];

		/* First of all, so that nothing is redirected to a socket that is closing. */
		if (s->xskmap_fd >= 0)
			bpf_map_delete_elem(s->xskmap_fd, &s->xskmap_key);
		clv_xsk_unbind(s);
	}
	close(x->epoll_fd);
	free(x);
}

const struct clv_port_ops clv_xsk_ops = {
	.name = "xsk",
	.rx = xsk_rx,
	.rx_done = xsk_rx_done,
	.tx_take = xsk_tx_take,
	.tx_send = xsk_tx_send,
	.tx_give = xsk_tx_give,
	.flush = xsk_flush,
	.poll_fd = xsk_poll_fd,
	.may_sleep = xsk_may_sleep,
	.close = xsk_close,
};

int clv_xsk_info(const struct clv_port *port, unsigned index, struct clv_xsk_info *out)
{
	const struct clv_xsk_port *x = (const struct clv_xsk_port *)port;
	struct xdp_statistics stats = { 0 };
	socklen_t len = sizeof(stats);
	const struct clv_xsk_sock *s;

	if (index >= x->count)
		return CLV_ERANGE;
	s = x->socks[index];
	if (getsockopt(s->fd, SOL_XDP, XDP_STATISTICS, &stats, &len))
		return -errno;
	*out = (struct clv_xsk_info){
		.link = s->link,
		.queue = s->queue,
		.mode = s->is_zerocopy ? CLV_XSK_ZEROCOPY : CLV_XSK_COPY,
		.rx_dropped = stats.rx_dropped,
		.rx_ring_full = stats.rx_ring_full,
		.rx_fill_empty = stats.rx_fill_ring_empty_descs,
		.rx_invalid = stats.rx_invalid_descs,
		.tx_invalid = stats.tx_invalid_descs,
	};
	return 0;
}

void clv_xsk_accounting(struct clv_port *port, struct clv_xsk_accounting *out)
{
	struct clv_xsk_port *x = clv_xsk_of(port);
	struct clv_xsk_accounting accounting = { 0 };
	unsigned i;

	for (i = 0; i < x->count; i++) {
		reap(x->socks[i]);
		accounting.pool += x->socks[i]->umem.free_count;
		accounting.receiving += x->socks[i]->receiving;
		accounting.sending += x->socks[i]->sending + x->socks[i]->queued;
	}
	*out = accounting;
}
