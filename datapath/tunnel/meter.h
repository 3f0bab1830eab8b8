/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * meter - what one client sends and receives through one worker: its limits, and what it used.
 *
 * Each direction has a token bucket of packets and one of bytes, in the form of bpf/bucket.h: the
 * time at which the bucket will be full again.  Both together have a number of bytes that may still
 * pass.  Bytes are those of UDP payloads.
 *
 * Control makes a meter and gives it to a worker with the first tunnel that names it; from then on
 * only the worker writes it, and new limits go there by CLV_CMD_METER.  It outlives every tunnel.
 *
 * Threading: its worker; the figures may be read by any thread (relaxed).
 */
#ifndef CLV_TUNNEL_METER_H
#define CLV_TUNNEL_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/counters.h"

enum clv_meter_way { CLV_METER_TO_TARGET, CLV_METER_TO_PEER, CLV_METER_WAYS };

#define CLV_METER_NOTHING UINT64_MAX /* as a cost: none may pass */

/* The same for both directions. */
struct clv_meter_limits {
	uint64_t packet_ps, byte_ps; /* picoseconds of the rate that one takes; 0: no limit */
	uint64_t bytes_max;	     /* that may pass in all since the meter was made */
};

struct clv_meter {
	struct clv_meter_limits limits;
	uint64_t packets_full_ns[CLV_METER_WAYS], bytes_full_ns[CLV_METER_WAYS];
	/* the figures */
	uint64_t packets[CLV_METER_WAYS], bytes[CLV_METER_WAYS];
	uint64_t dropped[CLV_METER_WAYS]; /* because of the limits */
};

/*
 * The limits of one of `shares` workers that divide a client's rates among them.
 * packets_per_sec, mbit: UINT64_MAX: no limit; 0: none may pass.  bytes_max: as in the struct.
 */
struct clv_meter_limits clv_meter_limits_of(uint64_t packets_per_sec, uint64_t mbit,
					    uint32_t shares, uint64_t bytes_max);

/*
 * Whether a datagram of len bytes may pass.  It is not charged yet.
 * Returns CLV_COUNTER_MAX, or the reason for which it is dropped, and counted here.
 */
enum clv_counter clv_meter_judge(struct clv_meter *m, enum clv_meter_way way, size_t len,
				 uint64_t now_ns);
/* Charge one that passes. */
void clv_meter_charge(struct clv_meter *m, enum clv_meter_way way, size_t len, uint64_t now_ns);

#endif
