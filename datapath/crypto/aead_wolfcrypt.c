/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/crypto/aead_provider.h"

#include <string.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/aes.h>

#include "datapath/base/err.h"

static int key_init(void *key, const uint8_t *raw, size_t raw_len)
{
	Aes *aes = key;

	if (wc_AesInit(aes, NULL, INVALID_DEVID))
		return CLV_ETLS;
	if (wc_AesGcmSetKey(aes, raw, (word32)raw_len)) {
		wc_AesFree(aes);
		return CLV_ETLS;
	}
	return 0;
}

static void key_fini(void *key)
{
	wc_AesFree(key);
}

/* The AVX2 code loads 16 bytes where the nonce has 12, which may end a page. */
struct nonce {
	uint8_t bytes[16];
};

static struct nonce widen(const uint8_t *nonce)
{
	struct nonce n = { { 0 } };

	memcpy(n.bytes, nonce, CLV_AEAD_NONCE_LEN);
	return n;
}

static int seal(void *key, uint8_t *dest, const uint8_t *plain, size_t len, const uint8_t *nonce,
		const uint8_t *aad, size_t aad_len)
{
	struct nonce n = widen(nonce);

	if (wc_AesGcmEncrypt(key, dest, plain, (word32)len, n.bytes, CLV_AEAD_NONCE_LEN, dest + len,
			     CLV_AEAD_TAG_LEN, aad, (word32)aad_len))
		return CLV_ETLS;
	return 0;
}

static int unseal(void *key, uint8_t *dest, const uint8_t *sealed, size_t len, const uint8_t *nonce,
		  const uint8_t *aad, size_t aad_len)
{
	struct nonce n = widen(nonce);

	if (wc_AesGcmDecrypt(key, dest, sealed, (word32)len, n.bytes, CLV_AEAD_NONCE_LEN,
			     sealed + len, CLV_AEAD_TAG_LEN, aad, (word32)aad_len))
		return CLV_EPROTO;
	return 0;
}

const struct clv_aead_provider *clv_aead_wolfcrypt(void)
{
	static const struct clv_aead_provider provider = {
		.name = "wolfcrypt",
		.key_bytes = sizeof(Aes),
		.key_init = key_init,
		.key_fini = key_fini,
		.seal = seal,
		.open = unseal,
	};

	return &provider;
}
