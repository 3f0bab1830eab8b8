/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/crypto/aead_provider.h"

#ifdef CLV_HAVE_IPSEC_MB

#include <assert.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "datapath/base/err.h"

/* Only a table of functions for this CPU; the calls below keep nothing in it. */
static IMB_MGR *mgr;
static pthread_once_t once = PTHREAD_ONCE_INIT;

struct key {
	struct gcm_key_data data; /* first: 64-byte aligned */
	aes_gcm_enc_dec_t enc, dec;
};

static void init_once(void)
{
	IMB_MGR *m = alloc_mb_mgr(0);
	IMB_ARCH arch;

	if (!m)
		return;
	init_mb_mgr_auto(m, &arch);
	/* Without AVX2 wolfCrypt is as good; ARCH_AVX2 and above imply AES-NI and PCLMUL. */
	if (imb_get_errno(m) || arch < IMB_ARCH_AVX2 || !(m->features & IMB_FEATURE_AESNI)) {
		free_mb_mgr(m);
		return;
	}
	mgr = m;
}

static int key_init(void *key, const uint8_t *raw, size_t raw_len)
{
	struct key *k = key;

	if (raw_len == 16) {
		IMB_AES128_GCM_PRE(mgr, raw, &k->data);
		k->enc = mgr->gcm128_enc;
		k->dec = mgr->gcm128_dec;
	} else if (raw_len == 32) {
		IMB_AES256_GCM_PRE(mgr, raw, &k->data);
		k->enc = mgr->gcm256_enc;
		k->dec = mgr->gcm256_dec;
	} else {
		return CLV_ETLS;
	}
	return 0;
}

static void key_fini(void *key)
{
	(void)key;
}

/*
 * In each call this library stores to one word of the process, imb_errno, so that cores slow each
 * other down a little; measured, it stays far ahead of wolfCrypt.
 */
static int seal(void *key, uint8_t *dest, const uint8_t *plain, size_t len, const uint8_t *nonce,
		const uint8_t *aad, size_t aad_len)
{
	struct gcm_context_data ctx;
	struct key *k = key;

	/* Given bad arguments, the library would return at once without an error. */
	assert(dest && nonce && (plain || !len) && (aad || !aad_len));
	k->enc(&k->data, &ctx, dest, plain, len, nonce, aad, aad_len, dest + len, CLV_AEAD_TAG_LEN);
	return 0;
}

/* Takes the same time wherever two tags differ. */
static bool tags_equal(const uint8_t *a, const uint8_t *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

static int unseal(void *key, uint8_t *dest, const uint8_t *sealed, size_t len, const uint8_t *nonce,
		  const uint8_t *aad, size_t aad_len)
{
	struct gcm_context_data ctx;
	struct key *k = key;
	uint8_t tag[CLV_AEAD_TAG_LEN] = { 0 };

	assert(dest && nonce && (aad || !aad_len));
	k->dec(&k->data, &ctx, dest, sealed, len, nonce, aad, aad_len, tag, sizeof(tag));
	return tags_equal(tag, sealed + len) ? 0 : CLV_EPROTO;
}

const struct clv_aead_provider *clv_aead_ipsec_mb(void)
{
	static const struct clv_aead_provider provider = {
		.name = "ipsec-mb",
		.key_bytes = sizeof(struct key),
		.key_init = key_init,
		.key_fini = key_fini,
		.seal = seal,
		.open = unseal,
	};

	pthread_once(&once, init_once);
	return mgr ? &provider : NULL;
}

#else

const struct clv_aead_provider *clv_aead_ipsec_mb(void)
{
	return NULL;
}

#endif
