/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two providers of AES-GCM, against each other and against their own bounds. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/crypto/aead.h"
#include "datapath/crypto/aead_keys.h"

enum { PAGE = 4096 };

static void *prepared_key(const struct clv_aead_provider *p, const uint8_t *raw, size_t raw_len)
{
	size_t bytes = (p->key_bytes + 63) & ~(size_t)63;
	void *key = aligned_alloc(CLV_AEAD_ALIGN, bytes);

	memset(key, 0, bytes);
	assert_int_equal(p->key_init(key, raw, raw_len), 0);
	return key;
}

static void providers_agree(void **state)
{
	enum { LEN_MAX = 1500 };
	const struct clv_aead_provider *a = clv_aead_wolfcrypt(), *b = clv_aead_ipsec_mb();
	static uint8_t plain[LEN_MAX], x[LEN_MAX + 16], y[LEN_MAX + 16], back[LEN_MAX];
	uint8_t raw[32], nonce[12], aad[64];
	struct clv_rand r;

	(void)state;
	if (!b) {
		print_message("no ipsec-mb in this build or for this CPU\n");
		skip();
	}
	clv_rand_init(&r, 12);
	clv_rand_bytes(&r, raw, sizeof(raw));
	clv_rand_bytes(&r, plain, sizeof(plain));
	for (size_t raw_len = 16; raw_len <= 32; raw_len += 16) {
		void *ka = prepared_key(a, raw, raw_len), *kb = prepared_key(b, raw, raw_len);

		for (size_t len = 0; len <= LEN_MAX; len++) {
			size_t aad_len = len % sizeof(aad);

			clv_rand_bytes(&r, nonce, sizeof(nonce));
			clv_rand_bytes(&r, aad, sizeof(aad));
			assert_int_equal(a->seal(ka, x, plain, len, nonce, aad, aad_len), 0);
			memcpy(y, plain, len); /* in place */
			assert_int_equal(b->seal(kb, y, y, len, nonce, aad, aad_len), 0);
			assert_memory_equal(x, y, len + CLV_AEAD_TAG_LEN);
			assert_int_equal(b->open(kb, back, x, len, nonce, aad, aad_len), 0);
			assert_memory_equal(back, plain, len);
			assert_int_equal(a->open(ka, y, y, len, nonce, aad, aad_len), 0);
			assert_memory_equal(y, plain, len);
		}
		a->key_fini(ka);
		b->key_fini(kb);
		free(ka);
		free(kb);
	}
}

static void providers_refuse_odd_keys(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	static const uint8_t raw[64];

	(void)state;
	for (size_t i = 0; i < COUNT(p); i++) {
		void *key;

		if (!p[i])
			continue;
		key = aligned_alloc(CLV_AEAD_ALIGN, (p[i]->key_bytes + 63) & ~(size_t)63);
		assert_int_equal(p[i]->key_init(key, raw, 17), CLV_ETLS);
		assert_int_equal(p[i]->key_init(key, raw, 0), CLV_ETLS);
		free(key);
	}
}

/* A page with nothing readable before and behind it. */
static uint8_t *lonely_page(void)
{
	uint8_t *p = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE), 0);
	return p + PAGE;
}

/* Sanitizers do not see what assembly touches. */
static void providers_keep_to_their_buffers(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	static const uint8_t raw[32] = { 1 };
	uint8_t *page[4];

	(void)state;
	for (size_t i = 0; i < COUNT(page); i++)
		page[i] = lonely_page();
	for (size_t i = 0; i < COUNT(p); i++) {
		void *key;

		if (!p[i])
			continue;
		key = prepared_key(p[i], raw, sizeof(raw));
		for (size_t len = 0; len <= 1500; len++) {
			size_t aad_len = len % 33;

			for (int at_end = 0; at_end < 2; at_end++) {
				size_t end = at_end ? PAGE : 0;
				uint8_t *in = page[0] + (end ? end - len : 0);
				uint8_t *out = page[1] + (end ? end - len - CLV_AEAD_TAG_LEN : 0);
				uint8_t *nonce = page[2] + (end ? end - CLV_AEAD_NONCE_LEN : 0);
				uint8_t *aad = page[3] + (end ? end - aad_len : 0);

				p[i]->seal(key, out, in, len, nonce, aad, aad_len);
				assert_int_equal(p[i]->open(key, in, out, len, nonce, aad, aad_len),
						 0);
			}
		}
		p[i]->key_fini(key);
		free(key);
	}
	for (size_t i = 0; i < COUNT(page); i++)
		munmap(page[i] - PAGE, 3 * PAGE);
}

/* Every bit of ciphertext, tag, nonce and associated data counts, in both providers. */
static void refuses_tampering(void **state)
{
	const struct clv_aead_provider *p[] = { clv_aead_wolfcrypt(), clv_aead_ipsec_mb() };
	enum { LEN = 50, AAD = 20 };
	static const uint8_t raw[16] = { 1 }, plain[LEN] = { 2 };
	/* one array, so that one index reaches all of it */
	struct {
		uint8_t sealed[LEN + CLV_AEAD_TAG_LEN], nonce[CLV_AEAD_NONCE_LEN], aad[AAD];
	} m = { { 0 }, { 3 }, { 4 } };

	(void)state;
	for (size_t i = 0; i < COUNT(p); i++) {
		uint8_t out[LEN];
		void *key;

		if (!p[i])
			continue;
		key = prepared_key(p[i], raw, sizeof(raw));
		p[i]->seal(key, m.sealed, plain, LEN, m.nonce, m.aad, AAD);
		for (size_t bit = 0; bit < sizeof(m) * 8; bit++) {
			((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD),
					 CLV_EPROTO);
			((uint8_t *)&m)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD), 0);
		assert_int_equal(p[i]->open(key, out, m.sealed, LEN, m.nonce, m.aad, AAD - 1),
				 CLV_EPROTO);
		p[i]->key_fini(key);
		free(key);
	}
}

static void names_provider(void **state)
{
	(void)state;
	assert_string_equal(clv_aead_provider(), clv_aead_ipsec_mb() ? "ipsec-mb" : "wolfcrypt");
	print_message("%s\n", clv_aead_provider());
}

int main(void)
{
	static const struct CMUnitTest cases[] = {
		CASE("both providers make and read the same bytes", providers_agree),
		CASE("keys of another length are refused", providers_refuse_odd_keys),
		CASE("no byte outside the buffers is touched", providers_keep_to_their_buffers),
		CASE("one wrong bit anywhere is refused", refuses_tampering),
		CASE("the provider in use has a name", names_provider),
	};

	return cmocka_run_group_tests_name("aead_provider", cases, NULL, NULL);
}
