/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * stun - what a relay makes of a STUN Binding request; shared by XDP and user space, so that both
 * answer the same requests by the same bytes.
 *
 *   request:  0x0001 | length | 0x2112a442 | transaction ID, 12 bytes | attributes
 *   answer:   0x0101 | length | 0x2112a442 | transaction ID | XOR-MAPPED-ADDRESS | FINGERPRINT
 *
 * Answered is the bare request that finds out an address.  Attributes that may be ignored are; one
 * that a server must understand, such as MESSAGE-INTEGRITY or CHANGE-REQUEST, gets no answer, and
 * nor does a request above CLV_STUN_REQUEST_MAX.  The answer has a FINGERPRINT if the request has, so
 * that it is never more than 2.2 times as long (RFC 9000 section 8 allows 3 times).
 *
 * On a port of QUIC a packet is STUN if its first two bits are zero, its bytes 4 to 8 are the magic
 * cookie, and it names no connection.  No connection ID that we issue has the cookie there
 * (clv_cid_random), so this is never ambiguous, also when the peer greases the Fixed Bit (RFC 9287).
 *
 * Spec: RFC 8489 sections 5, 6.3, 14; RFC 9443.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BPF_STUN_H
#define CLV_BPF_STUN_H

#include <stdbool.h>

#include "bpf/guard.h"

enum {
	CLV_STUN_HEADER_LEN = 20,
	CLV_STUN_REQUEST_MAX = 148, /* bytes */
	CLV_STUN_ATTRIBUTES_MAX = 16,
	CLV_STUN_ANSWER_MAX = 52,
	CLV_STUN_NO_QUIC = 0xc0,    /* bits of the first byte that are zero */
	CLV_STUN_ID_AT = 4,	    /* the magic cookie and the transaction ID: 16 bytes */
	CLV_STUN_COOKIE_CID_AT = 3, /* where the cookie would be in a connection ID */
	CLV_STUN_REQUEST = 0x0001,
	CLV_STUN_SUCCESS = 0x0101,
	CLV_STUN_OPTIONAL = 0x8000, /* attributes from here on may be ignored */
	CLV_STUN_XOR_MAPPED_ADDRESS = 0x0020,
	CLV_STUN_FINGERPRINT = 0x8028,
	CLV_STUN_FINGERPRINT_LEN = 8, /* with its head */
};

#define CLV_STUN_COOKIE		 0x2112a442u
#define CLV_STUN_FINGERPRINT_XOR 0x5354554eu

enum clv_stun_kind {
	CLV_STUN_BAD = 0,  /* no request that is answered */
	CLV_STUN_BARE = 1, /* one without FINGERPRINT */
	CLV_STUN_FINGERPRINTED = 2,
};

static inline __u32 clv_stun_load16(const __u8 *p)
{
	return (__u32)p[0] << 8 | p[1];
}

static inline __u32 clv_stun_load32(const __u8 *p)
{
	return clv_stun_load16(p) << 16 | clv_stun_load16(p + 2);
}

static inline void clv_stun_store16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

static inline void clv_stun_store32(__u8 *p, __u32 v)
{
	clv_stun_store16(p, v >> 16);
	clv_stun_store16(p + 2, v);
}

/* Whether a packet that names no connection is STUN.  header: its first 8 bytes. */
static inline bool clv_stun_is(const __u8 header[8])
{
	return !(header[0] & CLV_STUN_NO_QUIC) &&
	       clv_stun_load32(header + CLV_STUN_ID_AT) == CLV_STUN_COOKIE;
}

/* CRC-32 of m[0..len), in the form of a FINGERPRINT.  max: a bound of len that the verifier sees. */
static inline __u32 clv_stun_fingerprint(const __u8 *m, __u32 len, __u32 max)
{
	/* Of four bits at a time: the polynomial of IEEE 802.3, reflected. */
	static const __u32 table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	__u32 crc = ~0u;

	for (__u32 i = 0; i < max && i < len; i++) {
		crc = table[(crc ^ m[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ m[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc ^ CLV_STUN_FINGERPRINT_XOR;
}

/*
 * What a packet of len bytes is, for which clv_stun_is holds.  m: CLV_STUN_REQUEST_MAX bytes can be
 * read of it, whatever len is.
 */
static inline enum clv_stun_kind clv_stun_judge(const __u8 *m, __u32 len)
{
	__u32 at = CLV_STUN_HEADER_LEN, type = 0;

	if (len < CLV_STUN_HEADER_LEN || len > CLV_STUN_REQUEST_MAX || len % 4 ||
	    clv_stun_load16(m) != CLV_STUN_REQUEST ||
	    clv_stun_load16(m + 2) + CLV_STUN_HEADER_LEN != len)
		return CLV_STUN_BAD;
	for (int i = 0; i < CLV_STUN_ATTRIBUTES_MAX && at < len; i++) {
		__u32 value_len;

		if (at >
		    CLV_STUN_REQUEST_MAX - 4) /* of 4 bytes at least; the verifier wants it so */
			return CLV_STUN_BAD;
		type = clv_stun_load16(m + at);
		value_len = clv_stun_load16(m + at + 2);
		if (type == CLV_STUN_FINGERPRINT)
			break;
		if (type < CLV_STUN_OPTIONAL || value_len > CLV_STUN_REQUEST_MAX)
			return CLV_STUN_BAD;
		at += 4 + ((value_len + 3) & ~3u);
	}
	if (at == len)
		return CLV_STUN_BARE;
	if (type != CLV_STUN_FINGERPRINT || at + CLV_STUN_FINGERPRINT_LEN != len ||
	    at > CLV_STUN_REQUEST_MAX - CLV_STUN_FINGERPRINT_LEN ||
	    clv_stun_load16(m + at + 2) != 4 ||
	    clv_stun_load32(m + at + 4) != clv_stun_fingerprint(m, at, CLV_STUN_REQUEST_MAX))
		return CLV_STUN_BAD;
	return CLV_STUN_FINGERPRINTED;
}

/*
 * Whether an answer may be sent to a source: not to a network, to many hosts, to this host, or to no
 * port.
 */
static inline bool clv_stun_may_answer(const __u8 addr[16], const __u8 port[2])
{
	__u8 any = 0;

	if (!port[0] && !port[1])
		return false;
	if (clv_guard_is_v4(addr))
		return addr[12] && addr[12] != 127 && addr[12] < 224;
	for (int i = 0; i < 15; i++)
		any |= addr[i];
	return addr[0] != 0xff && (any || addr[15] > 1);
}

/*
 * Write the answer to a request from addr and port (both as they travel).  out:
 * CLV_STUN_ANSWER_MAX bytes.  request: borrows its header.  Returns how many bytes it has.
 */
static inline __u32 clv_stun_write_answer(__u8 *out, const __u8 *request, const __u8 addr[16],
					  const __u8 port[2], bool has_fingerprint)
{
	const bool is_v4 = clv_guard_is_v4(addr);
	const __u32 value_len = is_v4 ? 8 : 20, end = CLV_STUN_HEADER_LEN + 4 + value_len;
	const __u32 len = has_fingerprint ? end + CLV_STUN_FINGERPRINT_LEN : end;

	clv_stun_store16(out, CLV_STUN_SUCCESS);
	clv_stun_store16(out + 2, len - CLV_STUN_HEADER_LEN);
	__builtin_memcpy(out + CLV_STUN_ID_AT, request + CLV_STUN_ID_AT, 16);
	clv_stun_store16(out + 20, CLV_STUN_XOR_MAPPED_ADDRESS);
	clv_stun_store16(out + 22, value_len);
	clv_stun_store16(out + 24, is_v4 ? 1 : 2);
	out[26] = port[0] ^ request[CLV_STUN_ID_AT];
	out[27] = port[1] ^ request[CLV_STUN_ID_AT + 1];
	if (is_v4)
		for (int i = 0; i < 4; i++)
			out[28 + i] = addr[12 + i] ^ request[CLV_STUN_ID_AT + i];
	else
		for (int i = 0; i < 16; i++)
			out[28 + i] = addr[i] ^ request[CLV_STUN_ID_AT + i];
	if (has_fingerprint) {
		clv_stun_store16(out + end, CLV_STUN_FINGERPRINT);
		clv_stun_store16(out + end + 2, 4);
		clv_stun_store32(out + end + 4,
				 clv_stun_fingerprint(out, end, CLV_STUN_ANSWER_MAX));
	}
	return len;
}

#endif
