/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * backoff - when to try again what came to nothing: after 1, 2, 5, 10, 30, 60, 120 and then each 300 s,
 * each a fifth more or less by chance.
 *
 * Threading: its owner.
 */
#ifndef CLV_PEER_BACKOFF_H
#define CLV_PEER_BACKOFF_H

#include <stdint.h>

struct clv_rand;

/* Zeroed is the beginning. */
struct clv_backoff {
	unsigned tries;
};

enum { CLV_BACKOFF_LONGEST_SEC = 300 };

/* How long to wait until the next try. */
uint64_t clv_backoff_ns(struct clv_backoff *backoff, struct clv_rand *rand);
/* As when all shorter waits are over. */
uint64_t clv_backoff_longest_ns(struct clv_rand *rand);

#endif
