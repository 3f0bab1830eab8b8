/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * forward - a local UDP port that leads to a target; each local sender gets its own tunnel.
 *
 * Datagrams that arrive before a sender's tunnel is open are queued, up to a limit, and counted
 * when dropped.  A tunnel that the relay ended (idle) is requested again for the sender's next
 * datagram; a sender that was refused, or whose tunnel ended as soon as it was open, waits for
 * retry_ns.
 *
 * When every place is taken, the longest silent sender makes room: first one without a tunnel, then
 * one whose tunnel had no more than a short exchange (a query and its answer), and one with a
 * conversation only when there is no other.  RFC 4787 REQ-5 lets a mapping to port 53 go early.
 *
 * Order: 1. open  2. set_session when it changes; set_now before each step of the client  3. close
 * Threading: control.
 */
#ifndef CLV_PEER_FORWARD_H
#define CLV_PEER_FORWARD_H

#include "control/peer/relay_session.h"

#include <stddef.h>
#include <stdint.h>

struct clv_forward;

struct clv_forward_ops {
	/* A sender's tunnel is open. */
	void (*on_open)(void *user, const struct clv_client_result *result);
	/* A sender's tunnel was refused; result is NULL if it could not be requested. */
	void (*on_refused)(void *user, int error, const struct clv_client_result *result);
	/* A sender's open tunnel ended: idle, closed by the relay, or lost with the session. */
	void (*on_ended)(void *user, int error);
	/* The first time that a sender's tunnel made room for another's; places: how many there are. */
	void (*on_full)(void *user, uint32_t places);
};

struct clv_forward_params {
	const char *host; /* target; copies */
	uint16_t port;	  /* host order */
	uint32_t senders_max;
	uint32_t held_packets;		   /* of one sender, before its tunnel is open */
	uint64_t held_bytes;		   /* of all senders together */
	uint64_t retry_ns;		   /* after a refusal */
	const struct clv_forward_ops *ops; /* each function may be NULL */
	void *user;
};

struct clv_forward_stats {
	uint64_t opened, refused, ended;
	uint64_t evicted;	/* tunnels closed to make room */
	uint64_t held, dropped; /* datagrams before the tunnel was open: queued, and dropped */
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_forward_open(const struct clv_forward_params *params, struct clv_forward **out);
void clv_forward_close(struct clv_forward *f);

void clv_forward_set_now(struct clv_forward *f, uint64_t now_ns);

/* The session came up (rs), or was lost (NULL), which closed its tunnels. */
void clv_forward_set_session(struct clv_forward *f, struct clv_relay_session *rs);

/* A datagram from a sender without a tunnel; for clv_client_params.on_new_remote. */
void clv_forward_new_remote(struct clv_forward *f, const struct clv_evt_remote *evt,
			    const uint8_t *payload, size_t len);

const struct clv_forward_stats *clv_forward_stats(const struct clv_forward *f);

#endif
