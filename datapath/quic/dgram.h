/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * dgram - the prefix of a UDP payload inside an HTTP/3 Datagram.
 *
 *   quarter stream ID (varint) | context ID (varint) | UDP payload
 *
 * Spec: RFC 9297 section 2.1 (quarter stream ID), RFC 9298 sections 4 and 5 (context ID).
 * Threading: pure functions, no state; any thread.
 */
#ifndef CLV_QUIC_DGRAM_H
#define CLV_QUIC_DGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	CLV_DGRAM_CONTEXT_UDP = 0, /* context 0 carries a bare UDP payload */
	CLV_DGRAM_PREFIX_MAX = 16, /* two 8-byte varints */
	CLV_DGRAM_UDP_MAX = 65527, /* longest UDP payload */
	CLV_DGRAM_REMOTE_MAX = 19, /* IP version, address, port of an uncompressed datagram */
};

/*
 * Context IDs we never allocate, even from the client and odd from the relay: path probes carry
 * them, since a datagram of an unknown context is dropped by every receiver (RFC 9298 section 5).
 */
#define CLV_DGRAM_CONTEXT_PROBE_CLIENT ((UINT64_C(1) << 62) - 2)
#define CLV_DGRAM_CONTEXT_PROBE_SERVER ((UINT64_C(1) << 62) - 1)
#define CLV_DGRAM_CONTEXT_NONE	       UINT64_MAX /* no Context ID at all */

/* A decoded HTTP/3 Datagram.  Borrows the decoded buffer; valid while that buffer is. */
struct clv_dgram {
	int64_t stream_id; /* request stream; a multiple of 4 */
	uint64_t context_id;
	const uint8_t *payload;
	size_t payload_len; /* bytes; 0 is legal and relays an empty UDP packet */
};

/*
 * Decode the body of one QUIC DATAGRAM frame, buf[0..len).
 *
 * Returns 0 and fills *out, or, leaving *out untouched:
 *   CLV_EPROTO  quarter stream ID missing or above 2^60-1; close the connection with
 *               CLV_H3_DATAGRAM_ERROR
 *   CLV_ETRUNC  context ID cut short; drop this datagram only
 */
int clv_dgram_decode(const uint8_t *buf, size_t len, struct clv_dgram *out);

/*
 * Read the remote in front of the payload of an uncompressed datagram, buf[0..len): IP version,
 * address, port (draft-ietf-masque-connect-udp-listen-13 section 4).  An IPv4-mapped IPv6 address is
 * read as the IPv4 address, since some peers write all addresses with 16 bytes.
 * Returns its length and fills *remote; 0 when it is cut short, of another version, has port 0, or
 * names the unspecified address: drop the datagram.
 */
size_t clv_dgram_decode_remote(const uint8_t *buf, size_t len, struct clv_endpoint *remote);
/* Write it.  Returns the bytes written. */
size_t clv_dgram_encode_remote(const struct clv_endpoint *remote,
			       uint8_t buf[static CLV_DGRAM_REMOTE_MAX]);

/*
 * Write quarter stream ID and context ID to buf.
 * Returns the bytes written, at most CLV_DGRAM_PREFIX_MAX.
 */
size_t clv_dgram_encode_prefix(int64_t stream_id, uint64_t context_id,
			       uint8_t buf[static CLV_DGRAM_PREFIX_MAX]);

#endif
