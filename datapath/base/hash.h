/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hash - SipHash-1-3, a keyed hash for tables whose keys unvalidated sources choose.
 *
 * Spec: "SipHash: a fast short-input PRF", Aumasson and Bernstein, 2012; one compression round and
 * three of finalization, as hash tables use it.
 * Threading: pure function; any thread.
 */
#ifndef CLV_BASE_HASH_H
#define CLV_BASE_HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct clv_siphash {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t clv_hash_rotate(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static inline void clv_hash_round(struct clv_siphash *s)
{
	s->v0 += s->v1;
	s->v1 = clv_hash_rotate(s->v1, 13) ^ s->v0;
	s->v0 = clv_hash_rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = clv_hash_rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = clv_hash_rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = clv_hash_rotate(s->v1, 17) ^ s->v2;
	s->v2 = clv_hash_rotate(s->v2, 32);
}

static inline void clv_hash_word(struct clv_siphash *s, uint64_t word)
{
	s->v3 ^= word;
	clv_hash_round(s);
	s->v0 ^= word;
}

/* Hash data[0..len) under seed, 16 random bytes. */
static inline uint64_t clv_hash(const uint64_t seed[static 2], const void *data, size_t len)
{
	struct clv_siphash s = {
		seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d),
		seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t *p = data;
	uint64_t word;
	size_t left = len, shift = 0;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		clv_hash_word(&s, le64toh(word));
	}
	word = (uint64_t)len << 56;
	if (left >= 4) {
		uint32_t half;

		memcpy(&half, p, 4);
		word |= le32toh(half);
		shift = 32;
		p += 4;
	}
	for (; shift < left * 8; shift += 8)
		word |= (uint64_t)*p++ << shift;
	clv_hash_word(&s, word);

	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		clv_hash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

#endif
