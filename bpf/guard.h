/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guard - token buckets for packets of strangers: the arithmetic that XDP and control share.
 *
 * A bucket is one number, the time at which it will be full again, so that taking a token is one
 * comparison and one addition, and an entry that was forgotten is a full bucket.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BPF_GUARD_H
#define CLV_BPF_GUARD_H

#include <stdbool.h>

#include "bpf/abi.h"

#define CLV_GUARD_SEC_NS 1000000000ull

/* A rate in the form buckets want it.  per_sec 0: no limit.  burst: tokens of a full bucket. */
static inline struct clv_rate clv_rate_of(__u32 per_sec, __u32 burst)
{
	struct clv_rate rate = { 0, 0 };

	if (per_sec) {
		rate.interval_ns = CLV_GUARD_SEC_NS / per_sec;
		rate.burst_ns = rate.interval_ns * (burst ? burst : 1);
	}
	return rate;
}

/* Take a token.  full_ns: the bucket; 0 is a full one.  Returns whether there was one. */
static inline bool clv_bucket_take(__u64 *full_ns, const struct clv_rate *rate, __u64 now_ns)
{
	__u64 from_ns = *full_ns > now_ns ? *full_ns : now_ns;

	if (!rate->interval_ns)
		return true;
	if (from_ns + rate->interval_ns > now_ns + rate->burst_ns)
		return false;
	*full_ns = from_ns + rate->interval_ns;
	return true;
}

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
