/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pmtu - how large a UDP payload the path to the peer takes: a search by probes.
 *
 * It starts at what every path carries (IPv6 minimum link, 1280 bytes of IP), so that a tunnelled
 * 1200-byte QUIC packet fits from the first datagram on, and climbs by padded probes.
 *
 * Spec: RFC 8899, RFC 9000 section 14.
 * Threading: the owner of the connection.  No clock is read.
 */
#ifndef CLV_PMTU_H
#define CLV_PMTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_pmtu {
	uint16_t confirmed; /* UDP payload bytes known to pass */
	uint16_t candidate; /* to be tried next */
	uint16_t too_big;   /* known or taken not to pass */
	uint8_t losses;	    /* of candidate */
	bool in_flight;	    /* a probe of candidate is on the wire */
	bool done;
	uint64_t next_ns; /* no probe before */
};

/* is_v4: family of the path.  mtu: of the first link, bytes of an IP packet. */
void clv_pmtu_init(struct clv_pmtu *p, bool is_v4, uint16_t mtu);
/* The size to probe now, or 0. */
uint16_t clv_pmtu_probe(const struct clv_pmtu *p, uint64_t now_ns);
/* It was sent. */
void clv_pmtu_sent(struct clv_pmtu *p);
/* The probe came through.  Returns whether confirmed grew. */
bool clv_pmtu_acked(struct clv_pmtu *p, uint64_t now_ns);
void clv_pmtu_lost(struct clv_pmtu *p, uint64_t now_ns);

#endif
