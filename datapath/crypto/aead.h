/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * aead - QUIC packet protection with key schedules kept ready.
 *
 * Replaces ngtcp2's EVP based helpers on every level (Initial, Handshake, 1-RTT), so that one pair
 * of callbacks serves a connection for its whole life.  AES-GCM by libipsec-mb where the build has
 * it and the CPU suits, else by wolfCrypt; header protection by AES-ECB of one block.
 *
 * Spec: RFC 9001 sections 5.1 to 5.4 and 6, RFC 8446 section 7.1.
 * Threading: contexts belong to their connection.
 */
#ifndef CLV_CRYPTO_AEAD_H
#define CLV_CRYPTO_AEAD_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <stddef.h>
#include <stdint.h>

/* TLS 1.3 suites we speak. */
enum clv_suite {
	CLV_SUITE_AES_128_GCM_SHA256 = 0x1301,
	CLV_SUITE_AES_256_GCM_SHA384 = 0x1302,
};

/* Name of the AES-GCM code in use: "ipsec-mb" or "wolfcrypt". */
const char *clv_aead_provider(void);

/* What ngtcp2_conn_set_crypto_ctx and ngtcp2_conn_set_initial_crypto_ctx want for a suite. */
void clv_aead_crypto_ctx(enum clv_suite suite, ngtcp2_crypto_ctx *out);

/*
 * Derive key, IV and header protection key from a traffic secret and install them with
 * ngtcp2_conn_install_{rx,tx}_{handshake_,}key at level, Handshake or 1-RTT.  secret: copies.
 * A server must have given the client's transport parameters to ngtcp2 before: they decide the
 * version, and that the labels.  Sets the suite of the connection if nobody did yet.
 * Returns 0, -ENOMEM, CLV_ETLS or CLV_EQUIC.
 */
int clv_aead_install_rx(ngtcp2_conn *conn, enum clv_suite suite, ngtcp2_encryption_level level,
			const uint8_t *secret, size_t secret_len);
int clv_aead_install_tx(ngtcp2_conn *conn, enum clv_suite suite, ngtcp2_encryption_level level,
			const uint8_t *secret, size_t secret_len);

/*
 * Derive the Initial keys of version 1 (or 2) from the client's first Destination Connection ID and
 * install them.  is_server: which secret is ours.  Returns 0, -ENOMEM, CLV_ETLS or CLV_EQUIC.
 */
int clv_aead_install_initial(ngtcp2_conn *conn, uint32_t version, const ngtcp2_cid *client_dcid,
			     int is_server);

/*
 * Prepare the Retry integrity AEAD of a client (RFC 9001 section 5.8) and give it to
 * ngtcp2_conn_set_retry_aead; once for each connection.  Returns 0, -ENOMEM or CLV_ETLS.
 */
int clv_aead_install_retry(ngtcp2_conn *conn, uint32_t version);

/*
 * Fill encrypt, decrypt, hp_mask, update_key, delete_crypto_aead_ctx, delete_crypto_cipher_ctx.
 * update_key takes the suite from ngtcp2_conn_get_crypto_ctx.
 */
void clv_aead_callbacks(ngtcp2_callbacks *cb);

/* Key contexts alive in this process; tests use it to show that none leaks. */
size_t clv_aead_live(void);

#endif
