/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/tunnel/meter.h"

/*
 * A bucket holds what its rate brings in BURST_NS, and at least so much that any datagram can pass
 * and a few packets may come at once.
 */
enum {
	BURST_NS = 100000000,
	BURST_PACKETS = 16,
	BURST_BYTES = 65536,
};

static uint64_t cost_ps(uint64_t per_sec_ps, uint64_t rate, uint32_t shares)
{
	if (rate == UINT64_MAX)
		return 0;
	if (!rate)
		return CLV_METER_NOTHING;
	return per_sec_ps / rate * (shares ? shares : 1);
}

struct clv_meter_limits clv_meter_limits_of(uint64_t packets_per_sec, uint64_t mbit,
					    uint32_t shares, uint64_t bytes_max)
{
	const uint64_t second_ps = UINT64_C(1000000000000);

	return (struct clv_meter_limits){
		.packet_ps = cost_ps(second_ps, packets_per_sec, shares),
		/* 8 bits of 1,000,000 a second for each Mbit/s */
		.byte_ps = cost_ps(8 * (second_ps / 1000000), mbit, shares),
		.bytes_max = bytes_max,
	};
}

static uint64_t ns_of(uint64_t ps, uint64_t n)
{
	return ps * n / 1000;
}

/* When the bucket is full again once n more were taken. */
static uint64_t after(uint64_t full_ns, uint64_t ps, uint64_t n, uint64_t now_ns)
{
	return (full_ns > now_ns ? full_ns : now_ns) + ns_of(ps, n);
}

static bool has_room(uint64_t full_ns, uint64_t ps, uint64_t n, uint64_t burst, uint64_t now_ns)
{
	uint64_t burst_ns;

	if (!ps)
		return true;
	if (ps == CLV_METER_NOTHING)
		return false;
	burst_ns = ns_of(ps, burst);
	if (burst_ns < BURST_NS)
		burst_ns = BURST_NS;
	return after(full_ns, ps, n, now_ns) <= now_ns + burst_ns;
}

/* A single writer, and readers elsewhere. */
static void bump(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

enum clv_counter clv_meter_judge(struct clv_meter *m, enum clv_meter_way way, size_t len,
				 uint64_t now_ns)
{
	const struct clv_meter_limits *l = &m->limits;
	const uint64_t used = m->bytes[0] + m->bytes[1];
	enum clv_counter why = CLV_COUNTER_MAX;

	if (used > l->bytes_max || len > l->bytes_max - used)
		why = CLV_COUNT_DROP_CLIENT_BYTES;
	else if (!has_room(m->packets_full_ns[way], l->packet_ps, 1, BURST_PACKETS, now_ns) ||
		 !has_room(m->bytes_full_ns[way], l->byte_ps, len, BURST_BYTES, now_ns))
		why = CLV_COUNT_DROP_CLIENT_RATE;
	if (why != CLV_COUNTER_MAX)
		bump(&m->dropped[way], 1);
	return why;
}

void clv_meter_charge(struct clv_meter *m, enum clv_meter_way way, size_t len, uint64_t now_ns)
{
	const struct clv_meter_limits *l = &m->limits;

	if (l->packet_ps)
		m->packets_full_ns[way] = after(m->packets_full_ns[way], l->packet_ps, 1, now_ns);
	if (l->byte_ps)
		m->bytes_full_ns[way] = after(m->bytes_full_ns[way], l->byte_ps, len, now_ns);
	bump(&m->packets[way], 1);
	bump(&m->bytes[way], len);
}
