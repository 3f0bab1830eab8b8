/* SPDX-License-Identifier: GPL-3.0-or-later */
/* aead - the time to seal, open and header-protect one QUIC packet. */
#include "bench/micro/micro.h"

#include "datapath/crypto/aead_keys.h"

enum {
	HEADER_LEN = 11, /* short header with an 8-byte connection ID and 2 of the packet number */
};

struct subject {
	struct clv_aead_keys keys;
	uint8_t nonce[CLV_AEAD_NONCE_LEN], header[HEADER_LEN];
	uint8_t plain[2048], sealed[2048], opened[2048];
	size_t len;
};

static uint64_t seal(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--) {
		s->nonce[11]++;
		sum += (uint64_t)clv_aead_key_seal(s->keys.aead, s->sealed, s->plain, s->len,
						   s->nonce, s->header, HEADER_LEN);
	}
	return sum;
}

static uint64_t open_packet(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint64_t sum = 0;

	while (n--)
		sum += (uint64_t)clv_aead_key_open(s->keys.aead, s->opened, s->sealed, s->len,
						   s->nonce, s->header, HEADER_LEN);
	return sum;
}

static uint64_t mask(void *arg, uint64_t n)
{
	struct subject *s = arg;
	uint8_t block[16];
	uint64_t sum = 0;

	while (n--) {
		clv_hp_key_mask(s->keys.hp, block, s->sealed);
		sum += block[0];
	}
	return sum;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 64, 512, 1200 };
	static const uint8_t secret[32] = { 1, 2, 3 };
	static struct subject s;
	char name[64];

	if (clv_aead_keys_derive(clv_aead_suite(CLV_SUITE_AES_128_GCM_SHA256), 1, secret, &s.keys))
		abort();
	printf("# AES-128-GCM by %s\n", clv_aead_provider());
	for (size_t i = 0; i < 3; i++) {
		s.len = sizes[i];
		snprintf(name, sizeof(name), "aead/seal %zu", s.len);
		micro(argc, argv, name, seal, &s);
		seal(&s, 1);
		if (open_packet(&s, 1)) /* else a refusal would be timed */
			abort();
		snprintf(name, sizeof(name), "aead/open %zu", s.len);
		micro(argc, argv, name, open_packet, &s);
	}
	micro(argc, argv, "aead/header protection", mask, &s);
	clv_aead_keys_fini(&s.keys);
	return 0;
}
