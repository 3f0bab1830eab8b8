/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bucket - a token bucket in one number, for the XDP program and for user space.
 *
 * The number is the time at which the bucket will be full again.  Taking a token is then one
 * comparison and one addition, no refill is ever needed, and a bucket that was forgotten or never
 * used (0) is a full one.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_BPF_BUCKET_H
#define CLV_BPF_BUCKET_H

#include <stdbool.h>

#include "bpf/abi.h"

#define CLV_BUCKET_SEC_NS 1000000000ull

/* A rate in the form that buckets need.  per_sec 0: no limit.  burst: tokens of a full bucket. */
static inline struct clv_rate clv_rate_of(__u32 per_sec, __u32 burst)
{
	struct clv_rate rate = { 0, 0 };

	if (per_sec) {
		rate.interval_ns = CLV_BUCKET_SEC_NS / per_sec;
		rate.burst_ns = rate.interval_ns * (burst ? burst : 1);
	}
	return rate;
}

/* Take a token from the bucket *full_ns.  Returns whether there was one. */
static inline bool clv_rate_take(const struct clv_rate *rate, __u64 *full_ns, __u64 now_ns)
{
	__u64 from_ns = *full_ns > now_ns ? *full_ns : now_ns;

	if (!rate->interval_ns)
		return true;
	if (from_ns + rate->interval_ns > now_ns + rate->burst_ns)
		return false;
	*full_ns = from_ns + rate->interval_ns;
	return true;
}

#endif
