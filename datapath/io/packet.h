/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * packet - one UDP datagram in an Ethernet frame: decode a received frame, encode one to send.
 *
 *   Ethernet 14 | VLAN tags 0-2 * 4 | IPv4 20 or IPv6 40 | UDP 8 | payload
 *
 * Never an IPv4 option, an IPv6 extension header or a fragment, in or out.
 *
 * Spec: RFC 791, RFC 8200, RFC 768, RFC 6935 section 5 (checksum zero), RFC 9298 section 5 (ECN).
 * Threading: pure functions; any thread.
 */
#ifndef CLV_IO_PACKET_H
#define CLV_IO_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/addr.h"
#include "datapath/io/port.h"

enum {
	CLV_PACKET_HEADERS_MAX = 14 + 4 * CLV_VLAN_TAGS_MAX + 40 + 8, /* bytes ahead of a payload */
	CLV_PACKET_PAYLOAD_MAX = 65507, /* of a UDP datagram on IPv4 */
};

/*
 * Read frame[0..len) and fill of *out: local, remote, payload, payload_len, ecn and l2, the latter
 * as an answer needs it (MACs exchanged).  Bytes after the datagram are ignored.  frame: borrows;
 * out->payload points into it.
 *
 * Returns 0, or, leaving *out untouched:
 *   CLV_ETRUNC  the frame ends before what its headers announce; drop it
 *   CLV_EPROTO  not a plain UDP datagram, an impossible length or source, a wrong IPv4 header
 *               checksum, or UDP over IPv6 without a checksum; drop it
 */
int clv_packet_decode(uint8_t *frame, size_t len, struct clv_rx *out);

/*
 * Whether the UDP checksum of a datagram that clv_packet_decode accepted is right, or absent, which
 * only IPv4 allows.
 */
bool clv_packet_checksum_ok(const struct clv_rx *rx);

/*
 * Write all headers of flow in front of payload[0..len), which has at least CLV_PACKET_HEADERS_MAX
 * writable bytes ahead of it.  ecn: two bits.  Checksums are complete; IPv4 goes out with DF set
 * and identification 0 (RFC 6864 section 4.1), IPv6 with flow label 0.
 *
 * Returns the bytes written: the frame starts that much before payload.  0, with nothing written,
 * when the two ends of flow are of different families or len does not fit an IP packet.
 */
size_t clv_packet_encode(uint8_t *payload, size_t len, const struct clv_flow *flow, uint8_t ecn);

/* Bytes of IP and UDP header ahead of a payload. */
static inline uint16_t clv_packet_ip_udp_len(bool is_v4)
{
	return is_v4 ? 20 + 8 : 40 + 8;
}

/* Length of the IP packet that encode makes of len payload bytes for flow: what an MTU limits. */
static inline size_t clv_packet_ip_len(const struct clv_flow *flow, size_t len)
{
	return len + clv_packet_ip_udp_len(clv_addr_is_v4(flow->remote.addr));
}

/*
 * Ones' complement sum of data[0..len), taken as 16-bit words in memory order, plus sum.  Not yet
 * folded to 16 bits: clv_packet_fold does that.  A last odd byte counts as followed by zero.
 */
uint64_t clv_packet_sum(const uint8_t *data, size_t len, uint64_t sum);

/* Fold to 16 bits with end-around carry; store the result as it is (memory order). */
static inline uint16_t clv_packet_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

#endif
