/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * hkdf_wrap - HKDF for QUIC without a random bit generator per call.
 *
 * wolfSSL's two functions use an EVP_PKEY, which instantiates and self-tests a DRBG each time:
 * almost half of a handshake's instructions.  The linker replaces them by these with
 *   -Wl,--wrap=wolfSSL_quic_hkdf_expand,--wrap=wolfSSL_quic_hkdf_extract
 * so that ngtcp2's helpers use them too.
 *
 * Spec: RFC 5869.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_TLS_HKDF_WRAP_H
#define CLV_TLS_HKDF_WRAP_H

#include <stddef.h>
#include <stdint.h>
#include <wolfssl/options.h>
#include <wolfssl/openssl/evp.h>

/*
 * md: SHA-256 or SHA-384.  dest of extract: as long as the hash.
 * Return WOLFSSL_SUCCESS, or WOLFSSL_FAILURE like the functions they replace.
 */
int __wrap_wolfSSL_quic_hkdf_expand(uint8_t *dest, size_t dest_len, const WOLFSSL_EVP_MD *md,
				    const uint8_t *secret, size_t secret_len, const uint8_t *info,
				    size_t info_len);
int __wrap_wolfSSL_quic_hkdf_extract(uint8_t *dest, const WOLFSSL_EVP_MD *md, const uint8_t *secret,
				     size_t secret_len, const uint8_t *salt, size_t salt_len);

#endif
