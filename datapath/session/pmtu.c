/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/session/pmtu.h"

#include "datapath/base/clock.h"

enum {
	IP_UDP_V4 = 28,
	IP_UDP_V6 = 48,
	MTU_FLOOR = 1280, /* every IPv6 link carries it (RFC 8200 section 5) */
	STEP_MIN = 16,	  /* a gain below this is not worth a probe */
	LOSSES_MAX = 3,	  /* RFC 8899 section 5.1.2, MAX_PROBES */
};

void clv_pmtu_init(struct clv_pmtu *p, bool is_v4, uint16_t mtu)
{
	uint16_t overhead = is_v4 ? IP_UDP_V4 : IP_UDP_V6;

	if (mtu < MTU_FLOOR)
		mtu = MTU_FLOOR;
	*p = (struct clv_pmtu){
		.confirmed = MTU_FLOOR - overhead,
		.candidate = mtu - overhead, /* most paths carry their first link's size */
		.too_big = mtu - overhead + 1,
		.done = mtu == MTU_FLOOR,
	};
}

uint16_t clv_pmtu_probe(const struct clv_pmtu *p, uint64_t now_ns)
{
	return p->done || p->in_flight || now_ns < p->next_ns ? 0 : p->candidate;
}

void clv_pmtu_sent(struct clv_pmtu *p)
{
	p->in_flight = true;
}

static void bisect(struct clv_pmtu *p)
{
	p->losses = 0;
	p->candidate = (uint16_t)(p->confirmed + (p->too_big - p->confirmed) / 2);
	p->done = p->candidate < p->confirmed + STEP_MIN;
}

bool clv_pmtu_acked(struct clv_pmtu *p, uint64_t now_ns)
{
	if (!p->in_flight)
		return false;
	p->in_flight = false;
	p->confirmed = p->candidate;
	p->next_ns = now_ns;
	bisect(p);
	return true;
}

void clv_pmtu_lost(struct clv_pmtu *p, uint64_t now_ns)
{
	if (!p->in_flight)
		return;
	p->in_flight = false;
	p->next_ns = now_ns + CLV_SEC / 10;
	if (++p->losses < LOSSES_MAX)
		return;
	p->too_big = p->candidate;
	bisect(p);
}
