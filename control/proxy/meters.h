/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * meters - what a client may send and receive, divided among the workers that carry its tunnels.
 *
 * The workers share nothing, so each has a meter of its own for the client.  A rate is divided by the
 * number of workers that have tunnels of the client now; a client with one connection has one worker
 * and the whole rate.  What is left of a total of bytes is known to each of them as of the last tick:
 * one worker never exceeds it, several may do so by what they carry in a tick.
 *
 * A meter is never freed while its worker runs, because a worker may still have a command about it.
 *
 * Threading: control.
 */
#ifndef CLV_PROXY_METERS_H
#define CLV_PROXY_METERS_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath/base/client_limits.h"
#include "datapath/tunnel/messages.h"
#include "datapath/tunnel/meter.h"

struct clv_worker_meter;

/* How new limits get to a worker. */
struct clv_meters_out {
	void (*send)(void *user, uint16_t worker, const struct clv_cmd_meter *cmd);
	void *user;
};

/* The meters of one client; zeroed, it has none and no limits were set. */
struct clv_meters {
	struct clv_worker_meter *first;
	uint32_t in_use; /* workers with tunnels */
	struct clv_client_limits limits;
};

/* What a client did since the relay started. */
struct clv_meters_sum {
	uint64_t packets[CLV_METER_WAYS], bytes[CLV_METER_WAYS], dropped[CLV_METER_WAYS];
};

/* The workers have ended. */
void clv_meters_free(struct clv_meters *ms);

/* Apply limits, also to tunnels that are open. */
void clv_meters_set_limits(struct clv_meters *ms, const struct clv_client_limits *limits,
			   const struct clv_meters_out *out);
/* Tell the workers what is left of the total of bytes, to be called about every second. */
void clv_meters_tick(struct clv_meters *ms, const struct clv_meters_out *out);
bool clv_meters_are_used_up(const struct clv_meters *ms);

/*
 * A tunnel of the client is about to be opened at a worker.
 * Returns the meter to give it, or NULL when out of memory.
 */
struct clv_worker_meter *clv_meters_open(struct clv_meters *ms, uint16_t worker,
					 const struct clv_meters_out *out);
void clv_meters_close(struct clv_meters *ms, struct clv_worker_meter *meter,
		      const struct clv_meters_out *out);
/* For clv_tunnel_spec. */
struct clv_meter *clv_worker_meter_of(struct clv_worker_meter *meter);

void clv_meters_sum(const struct clv_meters *ms, struct clv_meters_sum *out);

#endif
