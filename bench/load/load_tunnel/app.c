/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <arpa/inet.h>
#include <string.h>

#include "bench/load/load_tunnel/load.h"
#include "bench/load/pattern.h"
#include "datapath/base/clock.h"

enum {
	APP_NET = 10, /* 10.a.b.c is tunnel a.b.c */
	APP_PORT = 1000,
};

static struct app_port *app_of(struct clv_port *port)
{
	return (struct app_port *)port;
}

void app_endpoint(uint32_t index, struct clv_endpoint *out)
{
	*out = (struct clv_endpoint){
		.addr = { [10] = 0xff,
			  [11] = 0xff,
			  APP_NET,
			  (uint8_t)(index >> 16),
			  (uint8_t)(index >> 8),
			  (uint8_t)index },
		.port = htons(APP_PORT),
	};
}

void app_local(struct clv_endpoint *out)
{
	*out = (struct clv_endpoint){
		.addr = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
		.port = htons(APP_PORT),
	};
}

static uint32_t index_of(const struct clv_endpoint *ep)
{
	return (uint32_t)ep->addr[13] << 16 | (uint32_t)ep->addr[14] << 8 | ep->addr[15];
}

static void put_stamp(uint8_t *payload, size_t size, uint64_t due_ns, uint32_t tunnel)
{
	uint8_t stamp[BENCH_STAMP_BYTES] = { 0 };

	memcpy(stamp, &due_ns, sizeof(due_ns));
	memcpy(stamp + sizeof(due_ns), &tunnel, sizeof(tunnel));
	memcpy(payload, stamp, size < sizeof(stamp) ? size : sizeof(stamp));
}

/* All that is due now, each with the time it was due. */
static unsigned app_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	struct app_port *a = app_of(port);
	uint64_t now, due;
	unsigned n;

	if (a->gap_ns == 0)
		return 0;
	now = clv_clock_now_ns();
	if (now >= a->until_ns) { /* what is late by now is not offered any more */
		a->gap_ns = 0;
		return 0;
	}
	for (n = 0; n < max; n++) {
		due = app_port_next_ns(a);
		if (due > now)
			break;
		if (now - due > a->late_ns_max)
			a->late_ns_max = now - due;
		batch[n] = (struct clv_rx){
			.payload = a->payload[n],
			.payload_len = (uint32_t)a->size,
			.kind = CLV_KIND_UNKNOWN,
			.socket = LOAD_APP_SOCKET,
		};
		app_local(&batch[n].local);
		app_endpoint(a->next, &batch[n].remote);
		put_stamp(a->payload[n], a->size, due, a->next);
		a->next = a->next + 1 < a->load->tunnels_len ? a->next + 1 : 0;
		a->offered++;
	}
	return n;
}

static void app_rx_done(struct clv_port *port)
{
	(void)port;
}

static int app_tx_take(struct clv_port *port, struct clv_tx *tx)
{
	*tx = (struct clv_tx){ .payload = app_of(port)->out, .room = LOAD_PAYLOAD_MAX };
	return 0;
}

static bool is_whole(const struct app_port *a, const uint8_t *payload, size_t len, uint32_t index)
{
	uint64_t due = 0;
	uint32_t tunnel = index;

	if (len >= BENCH_STAMP_BYTES) {
		memcpy(&due, payload, sizeof(due));
		if (due) /* 0: from a sender that knows no tunnels */
			memcpy(&tunnel, payload + sizeof(due), sizeof(tunnel));
		if (tunnel != index)
			return false;
		return !memcmp(payload + BENCH_STAMP_BYTES, a->pattern + BENCH_STAMP_BYTES,
			       len - BENCH_STAMP_BYTES);
	}
	return true;
}

static void app_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
			const struct clv_flow *flow, uint8_t ecn)
{
	struct app_port *a = app_of(port);
	uint64_t due = 0;

	(void)ecn;
	a->received++;
	a->ever_received++;
	a->received_bytes += len;
	if (!is_whole(a, tx->payload, len, index_of(&flow->remote))) {
		a->corrupted++;
		a->ever_corrupted++;
	}
	if (len >= sizeof(due))
		memcpy(&due, tx->payload, sizeof(due));
	if (due)
		hist_add(&a->times, clv_clock_now_ns() - due);
}

static void app_tx_give(struct clv_port *port, struct clv_tx *tx)
{
	(void)port;
	(void)tx;
}

static void app_flush(struct clv_port *port)
{
	(void)port;
}

static int app_add_socket(struct clv_port *port, int fd, const struct clv_endpoint *local,
			  uint32_t *number)
{
	(void)port;
	(void)fd;
	(void)local;
	*number = LOAD_APP_SOCKET;
	return 0;
}

static void app_remove_socket(struct clv_port *port, uint32_t number)
{
	(void)port;
	(void)number;
}

static int app_poll_fd(struct clv_port *port)
{
	(void)port;
	return -1;
}

static bool app_may_sleep(struct clv_port *port)
{
	return app_port_next_ns(app_of(port)) > clv_clock_now_ns();
}

static void app_close(struct clv_port *port)
{
	(void)port; /* part of the load */
}

static const struct clv_port_ops app_ops = {
	.name = "applications",
	.rx = app_rx,
	.rx_done = app_rx_done,
	.tx_take = app_tx_take,
	.tx_send = app_tx_send,
	.tx_give = app_tx_give,
	.flush = app_flush,
	.add_socket = app_add_socket,
	.remove_socket = app_remove_socket,
	.poll_fd = app_poll_fd,
	.may_sleep = app_may_sleep,
	.close = app_close,
};

void app_port_init(struct app_port *a, struct load *load)
{
	memset(a, 0, sizeof(*a));
	a->port.ops = &app_ops;
	a->port.counters = &a->counters;
	a->load = load;
	bench_pattern(a->pattern, sizeof(a->pattern));
	for (unsigned i = 0; i < CLV_PORT_BATCH; i++)
		bench_pattern(a->payload[i], LOAD_PAYLOAD_MAX);
}

void app_port_offer(struct app_port *a, size_t size, double rate, uint64_t msec, uint64_t now_ns)
{
	a->size = size;
	a->gap_ns = rate > 0 && a->load->tunnels_len ? 1e9 / rate : 0;
	a->start_ns = now_ns;
	a->until_ns = now_ns + msec * CLV_MSEC;
	a->offered = a->received = a->received_bytes = a->corrupted = a->late_ns_max = 0;
	memset(&a->times, 0, sizeof(a->times));
}

uint64_t app_port_next_ns(const struct app_port *a)
{
	if (a->gap_ns == 0)
		return CLV_TIMER_NEVER;
	return a->start_ns + (uint64_t)((double)a->offered * a->gap_ns);
}
