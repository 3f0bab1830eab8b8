/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bucket - a token bucket together with its rate; the arithmetic is bpf/bucket.h's.
 *
 * Many buckets of one rate need only clv_rate_take and a time each.
 *
 * Threading: its owner.
 */
#ifndef CLV_BASE_BUCKET_H
#define CLV_BASE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/bucket.h"

struct clv_bucket {
	struct clv_rate rate;
	__u64 full_ns;
};

/* A full bucket.  per_sec 0: no limit.  burst: tokens it holds. */
static inline struct clv_bucket clv_bucket_of(uint32_t per_sec, uint32_t burst)
{
	return (struct clv_bucket){ .rate = clv_rate_of(per_sec, burst) };
}

static inline bool clv_bucket_has_limit(const struct clv_bucket *b)
{
	return b->rate.interval_ns != 0;
}

/* Take a token.  Returns whether there was one. */
static inline bool clv_bucket_take(struct clv_bucket *b, uint64_t now_ns)
{
	return clv_rate_take(&b->rate, &b->full_ns, now_ns);
}

#endif
