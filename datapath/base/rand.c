/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/base/rand.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "datapath/base/bytes.h"

/* splitmix64: every seed is good, zero state included.  For tests, never for secrets. */
static uint64_t next_of_seed(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void refill(struct clv_rand *r)
{
	if (r->seed) {
		for (size_t i = 0; i < sizeof(r->buf); i += 8)
			clv_store_be64(r->buf + i, next_of_seed(&r->state));
	} else if (getrandom(r->buf, sizeof(r->buf), 0) != (ssize_t)sizeof(r->buf)) {
		/* Requests of at most 256 bytes are neither cut nor interrupted (getrandom(2)). */
		abort();
	}
	r->used = 0;
}

void clv_rand_init(struct clv_rand *r, uint64_t seed)
{
	*r = (struct clv_rand){ .used = sizeof(r->buf), .seed = seed, .state = seed };
}

void clv_rand_bytes(struct clv_rand *r, void *out, size_t len)
{
	uint8_t *to = out;

	while (len) {
		size_t n = sizeof(r->buf) - r->used;

		if (!n) {
			refill(r);
			continue;
		}
		if (n > len)
			n = len;
		memcpy(to, r->buf + r->used, n);
		/* What was handed out may be a secret: a later leak of the buffer must not show it. */
		explicit_bzero(r->buf + r->used, n);
		r->used += n;
		to += n;
		len -= n;
	}
}

uint64_t clv_rand_u64(struct clv_rand *r)
{
	uint8_t b[8];

	clv_rand_bytes(r, b, sizeof(b));
	return clv_load_be64(b);
}
