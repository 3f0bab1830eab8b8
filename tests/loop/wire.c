/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/loop/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/err.h"

enum {
	FRAME_LEN = 4096,
	HEADERS = 28, /* of IPv4 and UDP, on a slow link */
};

volatile unsigned wire_depth;

/* ---- the wire ---- */

void wire_init(struct wire *w, uint64_t seed)
{
	*w = (struct wire){ .now_ns = 1000000000, .delay_ns = 5000000 };
	clv_rand_init(&w->rand, seed);
}

void wire_fini(struct wire *w)
{
	while (w->flying) {
		struct wire_packet *p = w->flying;

		w->flying = p->next;
		free(p);
	}
}

void wire_join(struct wire *w, struct wire_end *end)
{
	end->next = w->ends;
	w->ends = end;
}

static bool chance(struct wire *w, unsigned permille)
{
	return permille && clv_rand_u64(&w->rand) % 1000 < permille;
}

/* A host's own loopback: nothing is lost and nothing takes time. */
static bool is_loopback(const struct clv_endpoint *ep)
{
	return clv_addr_is_v4(ep->addr) && ep->addr[12] == 127;
}

/* Whether a packet that takes a slow link is lost; if not, *wait_ns is the time that takes. */
static bool slow_down(struct wire *w, const struct wire_packet *p, uint64_t *wait_ns)
{
	struct wire_link *link = &w->to_slow;
	uint64_t start;

	if (!memcmp(p->from.addr, w->slow_host, sizeof(w->slow_host)))
		link = &w->from_slow;
	else if (memcmp(p->to.addr, w->slow_host, sizeof(w->slow_host)))
		return false;
	if (!link->bits_per_sec)
		return false;
	start = link->free_ns > w->now_ns ? link->free_ns : w->now_ns;
	if ((start - w->now_ns) * link->bits_per_sec / 8000000000 + p->len > link->buffer) {
		link->lost++;
		return true;
	}
	link->free_ns = start + (p->len + HEADERS) * 8000000000 / link->bits_per_sec;
	*wait_ns = link->free_ns - w->now_ns;
	return false;
}

static void fly(struct wire *w, const struct wire_packet *sent, uint64_t wait_ns)
{
	struct wire_packet **at = &w->flying, *p = malloc(sizeof(*p) + sent->len);

	if (!p)
		abort();
	memcpy(p, sent, sizeof(*p) + sent->len);
	p->at_ns = w->now_ns + wait_ns + (is_loopback(&sent->to) ? 0 : w->delay_ns);
	if (w->jitter_ns && !is_loopback(&sent->to))
		p->at_ns += clv_rand_u64(&w->rand) % w->jitter_ns;
	while (*at && (*at)->at_ns <= p->at_ns)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

static void translate(const struct wire *w, struct wire_packet *p)
{
	if (!w->nat_outside.port)
		return;
	if (clv_endpoint_equal(&p->from, &w->nat_inside)) {
		p->from = w->nat_outside;
		if (!clv_addr_is_v4(p->from.addr) && clv_endpoint_equal(&p->to, &w->nat_far_inside))
			p->to = w->nat_far_outside;
	}
	if (clv_endpoint_equal(&p->to, &w->nat_outside) ||
	    (w->nat_former.port && clv_endpoint_equal(&p->to, &w->nat_former))) {
		p->to = w->nat_inside;
		if (w->nat_far_outside.port && clv_endpoint_equal(&p->from, &w->nat_far_outside))
			p->from = w->nat_far_inside;
	}
}

void wire_send(struct wire *w, const struct clv_endpoint *from, const struct clv_endpoint *to,
	       uint8_t ecn, const uint8_t *bytes, size_t len)
{
	struct wire_packet *p;
	uint64_t wait_ns = 0;

	wire_depth++;
	p = calloc(1, sizeof(*p) + len);
	if (!p)
		abort();
	p->from = *from;
	p->to = *to;
	translate(w, p);
	p->ecn = ecn;
	p->len = len;
	memcpy(p->bytes, bytes, len);
	if (is_loopback(to)) {
		fly(w, p, 0);
		goto out;
	}
	w->sent++;
	if ((w->tap && !w->tap(w->tap_user, p)) || chance(w, w->loss_permille) ||
	    (w->mtu && len > w->mtu) || slow_down(w, p, &wait_ns)) {
		w->lost++;
	} else {
		fly(w, p, wait_ns);
		if (chance(w, w->duplicate_permille))
			fly(w, p, wait_ns);
	}
out:
	free(p);
	wire_depth--;
}

void wire_run(struct wire *w)
{
	while (w->flying && w->flying->at_ns <= w->now_ns) {
		struct wire_packet *p = w->flying;
		struct wire_end *end = w->ends;

		w->flying = p->next;
		while (end && !end->deliver(end->self, p))
			end = end->next;
		if (end)
			w->delivered++;
		else
			w->unclaimed++;
		free(p);
	}
}

uint64_t wire_next_ns(const struct wire *w)
{
	return w->flying ? w->flying->at_ns : UINT64_MAX;
}

/* ---- the port ---- */

static unsigned port_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	struct wire_port *p = (struct wire_port *)port;
	unsigned n = p->len < max ? p->len : max;

	for (unsigned i = 0; i < n; i++)
		batch[i] = p->queue[(p->head + i) % WIRE_QUEUE_MAX];
	p->batch = n;
	return n;
}

static void port_rx_done(struct clv_port *port)
{
	struct wire_port *p = (struct wire_port *)port;

	for (; p->batch; p->batch--) {
		free((void *)(uintptr_t)p->queue[p->head].frame);
		p->head = (p->head + 1) % WIRE_QUEUE_MAX;
		p->len--;
	}
}

static int port_tx_take(struct clv_port *port, struct clv_tx *tx)
{
	struct wire_port *p = (struct wire_port *)port;

	if (p->refuse_frames)
		return -ENOBUFS;
	wire_depth++;
	tx->payload = malloc(FRAME_LEN);
	wire_depth--;
	if (!tx->payload)
		return -ENOBUFS;
	tx->room = FRAME_LEN;
	p->taken++;
	return 0;
}

static void port_tx_give(struct clv_port *port, struct clv_tx *tx)
{
	struct wire_port *p = (struct wire_port *)port;

	free(tx->payload);
	p->taken--;
}

static void port_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
			 const struct clv_flow *flow, uint8_t ecn)
{
	struct wire_port *p = (struct wire_port *)port;

	if (p->ring && p->queued++ >= p->ring)
		clv_count(port->counters, CLV_COUNT_DROP_TX_RING);
	else
		wire_send(p->wire, &flow->local, &flow->remote, ecn, tx->payload, len);
	port_tx_give(port, tx);
}

static void port_flush(struct clv_port *port)
{
	((struct wire_port *)port)->queued = 0;
}

static int port_add_socket(struct clv_port *port, int fd, const struct clv_endpoint *local,
			   uint32_t *number)
{
	struct wire_port *p = (struct wire_port *)port;

	(void)fd;
	for (uint32_t i = 0; i < WIRE_SOCKETS_MAX; i++) {
		if (i < p->sockets_end && p->sockets[i].port)
			continue;
		p->sockets[i] = *local;
		*number = i;
		if (p->sockets_end <= i)
			p->sockets_end = i + 1;
		return 0;
	}
	return CLV_EFULL;
}

static void port_remove_socket(struct clv_port *port, uint32_t number)
{
	struct wire_port *p = (struct wire_port *)port;

	p->sockets[number] = (struct clv_endpoint){ 0 };
	while (p->sockets_end > 0 && !p->sockets[p->sockets_end - 1].port)
		p->sockets_end--;
}

static int port_poll_fd(struct clv_port *port)
{
	(void)port;
	return -1;
}

static bool port_may_sleep(struct clv_port *port)
{
	return ((struct wire_port *)port)->len == 0;
}

static void port_close(struct clv_port *port)
{
	struct wire_port *p = (struct wire_port *)port;

	p->batch = p->len;
	port_rx_done(port);
}

static const struct clv_port_ops port_ops = {
	.name = "wire",
	.rx = port_rx,
	.rx_done = port_rx_done,
	.tx_take = port_tx_take,
	.tx_send = port_tx_send,
	.tx_give = port_tx_give,
	.flush = port_flush,
	.add_socket = port_add_socket,
	.remove_socket = port_remove_socket,
	.poll_fd = port_poll_fd,
	.may_sleep = port_may_sleep,
	.close = port_close,
};

void wire_port_init(struct wire_port *p, struct wire *w)
{
	memset(p, 0, offsetof(struct wire_port, queue));
	p->port.ops = &port_ops;
	p->wire = w;
}

void wire_port_push(struct wire_port *p, const struct wire_packet *packet, uint32_t socket,
		    enum clv_kind kind, const struct clv_ref *ref)
{
	struct clv_rx *rx = &p->queue[(p->head + p->len) % WIRE_QUEUE_MAX];
	uint8_t *copy;

	if (p->len == WIRE_QUEUE_MAX) {
		p->overflows++;
		return;
	}
	copy = malloc(packet->len + 1);
	if (!copy)
		abort();
	memcpy(copy, packet->bytes, packet->len);
	*rx = (struct clv_rx){
		.local = packet->to,
		.remote = packet->from,
		.payload = copy,
		.payload_len = (uint32_t)packet->len,
		.ecn = packet->ecn,
		.kind = (uint8_t)kind,
		.socket = socket,
		.frame = (uintptr_t)copy,
	};
	if (ref)
		rx->ref = *ref;
	p->len++;
}

int wire_port_socket(const struct wire_port *p, const struct clv_endpoint *local)
{
	for (uint32_t i = 0; i < p->sockets_end; i++) {
		const struct clv_endpoint *s = &p->sockets[i];

		if (s->port && s->port == local->port &&
		    (clv_addr_is_any(s->addr) || !memcmp(s->addr, local->addr, 16)))
			return (int)i;
	}
	return -1;
}
