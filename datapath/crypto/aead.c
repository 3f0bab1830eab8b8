/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "datapath/crypto/aead.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>

#include "datapath/base/err.h"
#include "datapath/crypto/aead_keys.h"

/* RFC 9001 section 6.6: packets one AES-GCM key may protect, and forgeries it may see. */
#define MAX_ENCRYPTION	       (UINT64_C(1) << 23)
#define MAX_DECRYPTION_FAILURE (UINT64_C(1) << 52)

void clv_aead_crypto_ctx(enum clv_suite id, ngtcp2_crypto_ctx *out)
{
	void *suite = (void *)clv_aead_suite(id);

	*out = (ngtcp2_crypto_ctx){
		.aead = { .native_handle = suite, .max_overhead = CLV_AEAD_TAG_LEN },
		.md = { .native_handle = suite },
		.hp = { .native_handle = suite },
		.max_encryption = MAX_ENCRYPTION,
		.max_decryption_failure = MAX_DECRYPTION_FAILURE,
	};
}

/* ---- installation ---- */

static int translate(int rv)
{
	if (!rv)
		return 0;
	return rv == NGTCP2_ERR_NOMEM ? -ENOMEM : CLV_EQUIC;
}

/* keys: takes on success. */
static int install_keys(ngtcp2_conn *conn, ngtcp2_encryption_level level, const uint8_t *secret,
			size_t secret_len, bool is_rx, const struct clv_aead_keys *keys)
{
	const ngtcp2_crypto_aead_ctx aead = { keys->aead };
	const ngtcp2_crypto_cipher_ctx hp = { keys->hp };
	const uint8_t *iv = keys->iv;
	const size_t iv_len = sizeof(keys->iv);

	if (level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE)
		return is_rx ? ngtcp2_conn_install_rx_handshake_key(conn, &aead, iv, iv_len, &hp)
			     : ngtcp2_conn_install_tx_handshake_key(conn, &aead, iv, iv_len, &hp);
	return is_rx ? ngtcp2_conn_install_rx_key(conn, secret, secret_len, &aead, iv, iv_len, &hp)
		     : ngtcp2_conn_install_tx_key(conn, secret, secret_len, &aead, iv, iv_len, &hp);
}

static int install(ngtcp2_conn *conn, enum clv_suite id, ngtcp2_encryption_level level,
		   const uint8_t *secret, size_t secret_len, bool is_rx)
{
	const struct clv_aead_suite *suite = clv_aead_suite(id);
	struct clv_aead_keys keys;
	ngtcp2_crypto_ctx ctx;
	int err, rv;

	if (secret_len != clv_aead_secret_len(suite))
		return CLV_ETLS;
	if (level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE && level != NGTCP2_ENCRYPTION_LEVEL_1RTT)
		return CLV_EQUIC;
	err = clv_aead_keys_derive(suite, ngtcp2_conn_get_negotiated_version2(conn), secret, &keys);
	if (err)
		return err;

	if (!ngtcp2_conn_get_crypto_ctx2(conn)->aead.native_handle) {
		clv_aead_crypto_ctx(id, &ctx);
		ngtcp2_conn_set_crypto_ctx(conn, &ctx);
	}
	rv = install_keys(conn, level, secret, secret_len, is_rx, &keys);
	if (rv)
		clv_aead_keys_fini(&keys);
	return translate(rv);
}

int clv_aead_install_rx(ngtcp2_conn *conn, enum clv_suite suite, ngtcp2_encryption_level level,
			const uint8_t *secret, size_t secret_len)
{
	return install(conn, suite, level, secret, secret_len, true);
}

int clv_aead_install_tx(ngtcp2_conn *conn, enum clv_suite suite, ngtcp2_encryption_level level,
			const uint8_t *secret, size_t secret_len)
{
	return install(conn, suite, level, secret, secret_len, false);
}

int clv_aead_install_initial(ngtcp2_conn *conn, uint32_t version, const ngtcp2_cid *client_dcid,
			     int is_server)
{
	struct clv_aead_keys rx = { 0 }, tx = { 0 };
	ngtcp2_crypto_aead_ctx rx_aead, tx_aead;
	ngtcp2_crypto_cipher_ctx rx_hp, tx_hp;
	ngtcp2_crypto_ctx ctx;
	int err, rv;

	err = clv_aead_keys_derive_initial(version, client_dcid, is_server ? &rx : &tx,
					   is_server ? &tx : &rx);
	if (err)
		return err;
	clv_aead_crypto_ctx(CLV_SUITE_AES_128_GCM_SHA256, &ctx);
	ngtcp2_conn_set_initial_crypto_ctx(conn, &ctx);

	rx_aead.native_handle = rx.aead;
	rx_hp.native_handle = rx.hp;
	tx_aead.native_handle = tx.aead;
	tx_hp.native_handle = tx.hp;
	rv = ngtcp2_conn_install_initial_key(conn, &rx_aead, rx.iv, &rx_hp, &tx_aead, tx.iv, &tx_hp,
					     CLV_AEAD_NONCE_LEN);
	if (rv) {
		clv_aead_keys_fini(&rx);
		clv_aead_keys_fini(&tx);
	}
	return translate(rv);
}

int clv_aead_install_retry(ngtcp2_conn *conn, uint32_t version)
{
	ngtcp2_crypto_aead_ctx aead_ctx;
	struct clv_aead_key *key;
	ngtcp2_crypto_ctx ctx;
	int err;

	err = clv_aead_key_retry(version, &key);
	if (err)
		return err;
	clv_aead_crypto_ctx(CLV_SUITE_AES_128_GCM_SHA256, &ctx);
	aead_ctx.native_handle = key;
	ngtcp2_conn_set_retry_aead(conn, &ctx.aead, &aead_ctx);
	return 0;
}

/* ---- callbacks ---- */

static int on_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		      const ngtcp2_crypto_aead_ctx *aead_ctx, const uint8_t *plaintext,
		      size_t plaintext_len, const uint8_t *nonce, size_t nonce_len,
		      const uint8_t *aad, size_t aad_len)
{
	(void)aead;
	(void)nonce_len;
	assert(nonce_len == CLV_AEAD_NONCE_LEN);
	if (clv_aead_key_seal(aead_ctx->native_handle, dest, plaintext, plaintext_len, nonce, aad,
			      aad_len))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
		      const ngtcp2_crypto_aead_ctx *aead_ctx, const uint8_t *ciphertext,
		      size_t ciphertext_len, const uint8_t *nonce, size_t nonce_len,
		      const uint8_t *aad, size_t aad_len)
{
	(void)aead;
	(void)nonce_len;
	assert(nonce_len == CLV_AEAD_NONCE_LEN);
	if (ciphertext_len < CLV_AEAD_TAG_LEN ||
	    clv_aead_key_open(aead_ctx->native_handle, dest, ciphertext,
			      ciphertext_len - CLV_AEAD_TAG_LEN, nonce, aad, aad_len))
		return NGTCP2_ERR_DECRYPT;
	return 0;
}

/* The mask is 5 bytes, but dest has room for the whole block (NGTCP2_HP_SAMPLELEN). */
static int on_hp_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
		      const ngtcp2_crypto_cipher_ctx *hp_ctx, const uint8_t *sample)
{
	(void)hp;
	if (clv_hp_key_mask(hp_ctx->native_handle, dest, sample))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_update_key(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
			 ngtcp2_crypto_aead_ctx *rx_aead_ctx, uint8_t *rx_iv,
			 ngtcp2_crypto_aead_ctx *tx_aead_ctx, uint8_t *tx_iv,
			 const uint8_t *current_rx_secret, const uint8_t *current_tx_secret,
			 size_t secret_len, void *user_data)
{
	const struct clv_aead_suite *suite = ngtcp2_conn_get_crypto_ctx2(conn)->aead.native_handle;
	uint32_t version = ngtcp2_conn_get_negotiated_version2(conn);
	struct clv_aead_key *rx, *tx;

	(void)user_data;
	(void)secret_len;
	assert(secret_len == clv_aead_secret_len(suite));
	if (clv_aead_keys_update(suite, version, current_rx_secret, rx_secret, &rx, rx_iv))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (clv_aead_keys_update(suite, version, current_tx_secret, tx_secret, &tx, tx_iv)) {
		clv_aead_key_free(rx);
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	rx_aead_ctx->native_handle = rx;
	tx_aead_ctx->native_handle = tx;
	return 0;
}

static void on_delete_aead(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *aead_ctx, void *user_data)
{
	(void)conn;
	(void)user_data;
	clv_aead_key_free(aead_ctx->native_handle);
	aead_ctx->native_handle = NULL;
}

static void on_delete_cipher(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *cipher_ctx,
			     void *user_data)
{
	(void)conn;
	(void)user_data;
	clv_hp_key_free(cipher_ctx->native_handle);
	cipher_ctx->native_handle = NULL;
}

void clv_aead_callbacks(ngtcp2_callbacks *cb)
{
	cb->encrypt = on_encrypt;
	cb->decrypt = on_decrypt;
	cb->hp_mask = on_hp_mask;
	cb->update_key = on_update_key;
	cb->delete_crypto_aead_ctx = on_delete_aead;
	cb->delete_crypto_cipher_ctx = on_delete_cipher;
}
