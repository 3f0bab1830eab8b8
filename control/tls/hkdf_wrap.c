/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/hkdf_wrap.h"

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

/* Returns wolfCrypt's hash type, or WC_HASH_TYPE_NONE if none of our TLS 1.3 suites uses it. */
static int hash_type(const WOLFSSL_EVP_MD *md)
{
	switch (wolfSSL_EVP_MD_size(md)) {
	case WC_SHA256_DIGEST_SIZE:
		return WC_SHA256;
	case WC_SHA384_DIGEST_SIZE:
		return WC_SHA384;
	default:
		return WC_HASH_TYPE_NONE;
	}
}

int __wrap_wolfSSL_quic_hkdf_expand(uint8_t *dest, size_t dest_len, const WOLFSSL_EVP_MD *md,
				    const uint8_t *secret, size_t secret_len, const uint8_t *info,
				    size_t info_len)
{
	int err = wc_HKDF_Expand(hash_type(md), secret, (word32)secret_len, info, (word32)info_len,
				 dest, (word32)dest_len);

	return err ? WOLFSSL_FAILURE : WOLFSSL_SUCCESS;
}

int __wrap_wolfSSL_quic_hkdf_extract(uint8_t *dest, const WOLFSSL_EVP_MD *md, const uint8_t *secret,
				     size_t secret_len, const uint8_t *salt, size_t salt_len)
{
	int err = wc_HKDF_Extract(hash_type(md), salt, (word32)salt_len, secret, (word32)secret_len,
				  dest);

	return err ? WOLFSSL_FAILURE : WOLFSSL_SUCCESS;
}
