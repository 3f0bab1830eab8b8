/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/backoff.h"

#include "datapath/base/clock.h"
#include "datapath/base/rand.h"

static const unsigned wait_sec[] = { 1, 2, 5, 10, 30, 60, 120, CLV_BACKOFF_LONGEST_SEC };

static uint64_t jittered(struct clv_rand *rand, uint64_t ns)
{
	return ns - ns / 5 + clv_rand_u64(rand) % (2 * (ns / 5) + 1);
}

uint64_t clv_backoff_ns(struct clv_backoff *backoff, struct clv_rand *rand)
{
	unsigned last = sizeof(wait_sec) / sizeof(wait_sec[0]) - 1;
	unsigned at = backoff->tries < last ? backoff->tries++ : last;

	return jittered(rand, wait_sec[at] * CLV_SEC);
}

uint64_t clv_backoff_longest_ns(struct clv_rand *rand)
{
	return jittered(rand, CLV_BACKOFF_LONGEST_SEC * CLV_SEC);
}
