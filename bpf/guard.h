/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guard - which token bucket a packet of no connection takes from; shared by XDP and control.
 *
 * Such packets come from unvalidated sources.  Each source prefix has one bucket for each kind.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BPF_GUARD_H
#define CLV_BPF_GUARD_H

#include <stdbool.h>

#include "bpf/abi.h"
#include "bpf/bucket.h"

enum {
	CLV_GUARD_V1 = 0x00000001,
	CLV_GUARD_V2 = 0x6b3343cf,
	CLV_GUARD_LONG = 0x80, /* of the first byte: RFC 8999 section 5.1 */
};

/*
 * What control would do with a packet of no connection.  first: its first byte.  version: host
 * order, of a long header.  Spec: RFC 9000 section 17.2.2, RFC 9369 section 3.2.
 */
static inline enum clv_guard_kind clv_guard_kind_of(__u8 first, __u32 version)
{
	__u8 type = first >> 4 & 3;

	if (!(first & CLV_GUARD_LONG))
		return CLV_GUARD_UNKNOWN;
	if (version == CLV_GUARD_V1)
		return type == 0 ? CLV_GUARD_INITIAL : CLV_GUARD_UNKNOWN;
	if (version == CLV_GUARD_V2)
		return type == 1 ? CLV_GUARD_INITIAL : CLV_GUARD_UNKNOWN;
	return CLV_GUARD_INITIAL;
}

static inline bool clv_guard_is_v4(const __u8 addr[16])
{
	__u8 any = 0;

	for (int i = 0; i < 10; i++)
		any |= addr[i];
	return !any && addr[10] == 0xff && addr[11] == 0xff;
}

/* The prefix of an address whose bucket a packet of that kind takes from. */
static inline void clv_guard_key_of(struct clv_guard_key *key, const __u8 addr[16],
				    enum clv_guard_kind kind, enum clv_guard_width width)
{
	bool is_v4 = clv_guard_is_v4(addr);
	int keep = width == CLV_GUARD_HOST ? (is_v4 ? 16 : 8) : (is_v4 ? 15 : 6);

	for (int i = 0; i < 16; i++)
		key->addr[i] = i < keep ? addr[i] : 0;
	key->prefix_bits = (__u8)(8 * keep);
	key->kind = (__u8)kind;
	key->pad[0] = 0;
	key->pad[1] = 0;
}

#endif
