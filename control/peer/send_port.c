/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/send_port.h"

static struct clv_port *real_of(struct clv_port *port)
{
	return ((struct clv_send_port *)port)->real;
}

static unsigned send_rx(struct clv_port *port, struct clv_rx *batch, unsigned max)
{
	(void)port;
	(void)batch;
	(void)max;
	return 0;
}

static void send_rx_done(struct clv_port *port)
{
	(void)port;
}

static int send_tx_take(struct clv_port *port, struct clv_tx *tx)
{
	return real_of(port)->ops->tx_take(real_of(port), tx);
}

static void send_tx_send(struct clv_port *port, struct clv_tx *tx, size_t len,
			 const struct clv_flow *flow, uint8_t ecn)
{
	real_of(port)->ops->tx_send(real_of(port), tx, len, flow, ecn);
}

static void send_tx_give(struct clv_port *port, struct clv_tx *tx)
{
	real_of(port)->ops->tx_give(real_of(port), tx);
}

static void send_flush(struct clv_port *port)
{
	real_of(port)->ops->flush(real_of(port));
}

static const struct clv_port_ops send_ops = {
	.name = "send",
	.rx = send_rx,
	.rx_done = send_rx_done,
	.tx_take = send_tx_take,
	.tx_send = send_tx_send,
	.tx_give = send_tx_give,
	.flush = send_flush,
};

void clv_send_port_init(struct clv_send_port *s, struct clv_port *real)
{
	*s = (struct clv_send_port){ .port.ops = &send_ops, .real = real };
}
