/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/quic/pmtu.h"

#include "datapath/base/clock.h"
#include "datapath/base/timers.h"
#include "datapath/io/packet.h"

enum {
	MTU_FLOOR = 1280,   /* every IPv6 link carries it (RFC 8200 section 5) */
	MTU_CEILING = 1500, /* larger ones gain little, and cost frames their room */
	STEP_MIN = 16,	    /* a gain below this is not worth a probe */
	LOSSES_MAX = 3,	    /* RFC 8899 section 5.1.2, MAX_PROBES */
	BAD_SUSPICIOUS = 4, /* large packets lost in a row: probe the confirmed size */
	BAD_ENOUGH = 8,	    /* and for long enough: no need to probe */
};

#define RETRY_NS (CLV_SEC / 10)
#define BAD_NS	 CLV_SEC
#define RAISE_NS (600 * CLV_SEC) /* RFC 8899 section 5.1.1, PMTU_RAISE_TIMER */

/* Look for more than what is confirmed: the first link's size first, most paths carry it. */
static void search(struct clv_pmtu *p, uint64_t now_ns)
{
	p->candidate = p->top;
	p->too_big = p->top + 1;
	p->losses = 0;
	p->bad = 0;
	p->in_flight = false;
	p->is_verifying = false;
	p->done = p->confirmed >= p->top;
	p->next_ns = p->done ? CLV_TIMER_NEVER : now_ns;
}

/* Whether what is confirmed still is; smaller packets meanwhile would cost datagrams. */
static void verify(struct clv_pmtu *p, uint64_t now_ns)
{
	if (p->is_verifying)
		return;
	p->candidate = p->confirmed;
	p->losses = 0;
	p->in_flight = false;
	p->is_verifying = true;
	p->done = false;
	p->next_ns = now_ns;
}

static void set_path(struct clv_pmtu *p, bool is_v4, uint16_t mtu)
{
	p->is_v4 = is_v4;
	p->base = MTU_FLOOR - clv_packet_ip_udp_len(is_v4);
	if (mtu && mtu < MTU_FLOOR)
		mtu = MTU_FLOOR;
	p->top = (!mtu || mtu > MTU_CEILING ? MTU_CEILING : mtu) - clv_packet_ip_udp_len(is_v4);
}

void clv_pmtu_init(struct clv_pmtu *p, bool is_v4, uint16_t mtu)
{
	*p = (struct clv_pmtu){ 0 };
	set_path(p, is_v4, mtu);
	p->confirmed = p->base;
	search(p, 0);
}

void clv_pmtu_move(struct clv_pmtu *p, bool is_v4, uint16_t mtu, uint64_t now_ns)
{
	uint16_t packet = p->confirmed + clv_packet_ip_udp_len(p->is_v4);

	set_path(p, is_v4, mtu);
	p->confirmed = packet - clv_packet_ip_udp_len(is_v4);
	if (p->confirmed > p->top)
		p->confirmed = p->top;
	search(p, now_ns);
	if (p->confirmed > p->base)
		verify(p, now_ns);
}

uint16_t clv_pmtu_probe(const struct clv_pmtu *p, uint64_t now_ns)
{
	if (p->in_flight || now_ns < p->next_ns)
		return 0;
	/* Nothing was found beyond confirmed for a long time: try again what the link carries. */
	return p->done ? p->top : p->candidate;
}

uint64_t clv_pmtu_next_ns(const struct clv_pmtu *p)
{
	return p->in_flight ? CLV_TIMER_NEVER : p->next_ns;
}

void clv_pmtu_sent(struct clv_pmtu *p)
{
	if (p->done)
		search(p, p->next_ns);
	p->in_flight = true;
}

static void bisect(struct clv_pmtu *p, uint64_t now_ns)
{
	p->losses = 0;
	p->candidate = (uint16_t)(p->confirmed + (p->too_big - p->confirmed) / 2);
	p->done = p->candidate < p->confirmed + STEP_MIN;
	if (p->done)
		p->next_ns = p->confirmed < p->top ? now_ns + RAISE_NS : CLV_TIMER_NEVER;
}

bool clv_pmtu_acked(struct clv_pmtu *p, uint64_t now_ns)
{
	bool grew;

	if (!p->in_flight)
		return false;
	p->in_flight = false;
	p->bad = 0;
	if (p->is_verifying) {
		search(p, now_ns);
		return false;
	}
	grew = p->candidate > p->confirmed;
	p->confirmed = p->candidate;
	p->next_ns = now_ns;
	bisect(p, now_ns);
	return grew;
}

/* The path carries less than it did: begin at what every path carries. */
static bool fall(struct clv_pmtu *p, uint64_t now_ns)
{
	p->confirmed = p->base;
	search(p, now_ns);
	return true;
}

bool clv_pmtu_lost(struct clv_pmtu *p, uint64_t now_ns)
{
	if (!p->in_flight)
		return false;
	p->in_flight = false;
	p->next_ns = now_ns + RETRY_NS;
	if (++p->losses < LOSSES_MAX)
		return false;
	if (p->is_verifying)
		return fall(p, now_ns);
	p->too_big = p->candidate;
	bisect(p, now_ns);
	return false;
}

void clv_pmtu_data_acked(struct clv_pmtu *p, size_t size)
{
	if (size > p->base)
		p->bad = 0;
}

bool clv_pmtu_data_lost(struct clv_pmtu *p, size_t size, uint64_t now_ns)
{
	if (size <= p->base || size > p->confirmed)
		return false;
	if (!p->bad)
		p->bad_ns = now_ns;
	if (p->bad < UINT8_MAX)
		p->bad++;
	if (p->bad >= BAD_ENOUGH && now_ns >= p->bad_ns + BAD_NS)
		return fall(p, now_ns);
	if (p->bad >= BAD_SUSPICIOUS)
		verify(p, now_ns);
	return false;
}
