/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pmtu - how large a UDP payload the path to the peer takes: a search by probes.
 *
 * It starts at what every path carries (IPv6 minimum link, 1280 bytes of IP), so that a tunnelled
 * 1200-byte QUIC packet fits from the first datagram on, and climbs by padded probes.  A confirmed
 * size may no longer fit when a router's link or the peer's address changes: when several large
 * packets in a row are lost and none gets through, the confirmed size is probed again, and if that
 * fails the search starts anew.
 *
 * Spec: RFC 8899, RFC 9000 section 14.
 * Threading: the owner of the connection.  No clock is read.
 */
#ifndef CLV_QUIC_PMTU_H
#define CLV_QUIC_PMTU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clv_pmtu {
	uint16_t base;	    /* UDP payload bytes that every path of this family carries */
	uint16_t top;	    /* what the first link carries */
	uint16_t confirmed; /* UDP payload bytes known to pass */
	uint16_t candidate; /* to be tried next */
	uint16_t too_big;   /* known or taken not to pass */
	uint8_t losses;	    /* of candidate */
	uint8_t bad;	    /* large datagrams lost in a row */
	bool is_v4;
	bool in_flight; /* a probe of candidate is on the wire */
	bool done;
	bool is_verifying; /* candidate is confirmed, which is in doubt */
	uint64_t next_ns;  /* no probe before */
	uint64_t bad_ns;   /* when the row of losses began */
};

/* is_v4: family of the path.  mtu: of the first link, bytes of an IP packet; 0: not known. */
void clv_pmtu_init(struct clv_pmtu *p, bool is_v4, uint16_t mtu);
/*
 * The path changed, or its first link has another MTU.  Packets stay as large as they were, as far
 * as the link carries them, until probes or losses show otherwise.
 */
void clv_pmtu_move(struct clv_pmtu *p, bool is_v4, uint16_t mtu, uint64_t now_ns);

/* The size to probe now, or 0. */
uint16_t clv_pmtu_probe(const struct clv_pmtu *p, uint64_t now_ns);
/* When there is something to probe; CLV_TIMER_NEVER: not before something happens. */
uint64_t clv_pmtu_next_ns(const struct clv_pmtu *p);
/* It was sent. */
void clv_pmtu_sent(struct clv_pmtu *p);
/* The probe came through.  Returns whether confirmed grew. */
bool clv_pmtu_acked(struct clv_pmtu *p, uint64_t now_ns);
/* Returns whether confirmed shrank. */
bool clv_pmtu_lost(struct clv_pmtu *p, uint64_t now_ns);

/*
 * A packet of this size that was no probe was acknowledged or lost.  Lost returns whether confirmed
 * shrank.
 */
void clv_pmtu_data_acked(struct clv_pmtu *p, size_t size);
bool clv_pmtu_data_lost(struct clv_pmtu *p, size_t size, uint64_t now_ns);

#endif
