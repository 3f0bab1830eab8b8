/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rand - random bytes from a buffered kernel source, or from a seed in tests.
 *
 * Threading: one struct for each thread.
 */
#ifndef CLV_BASE_RAND_H
#define CLV_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct clv_rand {
	uint8_t buf[256];
	size_t used;	/* bytes of buf handed out; all of them at start */
	uint64_t seed;	/* 0: getrandom(2); else a deterministic generator for tests */
	uint64_t state; /* of that generator */
};

/* seed 0 takes the kernel's randomness. */
void clv_rand_init(struct clv_rand *r, uint64_t seed);
/* Fill out; never fails: getrandom(2) cannot once the machine has booted, and we abort if it does. */
void clv_rand_bytes(struct clv_rand *r, void *out, size_t len);
uint64_t clv_rand_u64(struct clv_rand *r);

#endif
