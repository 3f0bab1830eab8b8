/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/keys.h"

#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include <stdlib.h>
#include <string.h>

enum {
	P256_KEY_LEN = 32,
};

void *tls_key_handle(struct tls_key *key)
{
	return key->type == ML_DSA_65_TYPE ? (void *)&key->mldsa : (void *)&key->ecc;
}

void tls_key_free(struct tls_key *key)
{
	if (!key)
		return;
	if (key->type == ML_DSA_65_TYPE)
		wc_MlDsaKey_Free(&key->mldsa);
	else
		wc_ecc_free(&key->ecc);
	free(key);
}

struct tls_key *tls_key_new(enum clv_profile profile)
{
	struct tls_key *key = calloc(1, sizeof(*key));
	int err;

	if (!key)
		return NULL;
	if (profile == CLV_PROFILE_PQC) {
		key->type = ML_DSA_65_TYPE;
		err = wc_MlDsaKey_Init(&key->mldsa, NULL, INVALID_DEVID);
		if (!err)
			err = wc_MlDsaKey_SetParams(&key->mldsa, WC_ML_DSA_65);
	} else {
		key->type = ECC_TYPE;
		err = wc_ecc_init(&key->ecc);
	}
	if (err) {
		free(key);
		return NULL;
	}
	return key;
}

int tls_key_make(struct tls_key *key, WC_RNG *rng)
{
	int err = key->type == ML_DSA_65_TYPE
			  ? wc_MlDsaKey_MakeKey(&key->mldsa, rng)
			  : wc_ecc_make_key_ex(rng, P256_KEY_LEN, &key->ecc, ECC_SECP256R1);

	return err ? CLV_ETLS : 0;
}

/* Returns 0 or CLV_ESYNTAX. */
int tls_key_parse(struct tls_key *key, const char *pem)
{
	DerBuffer *der = NULL;
	word32 index = 0;
	int err;

	err = wc_PemToDer((const unsigned char *)pem, (long)strlen(pem), PRIVATEKEY_TYPE, &der,
			  NULL, NULL, NULL);
	if (err) {
		wc_FreeDer(&der);
		return CLV_ESYNTAX;
	}
	if (key->type == ML_DSA_65_TYPE)
		err = wc_MlDsaKey_PrivateKeyDecode(&key->mldsa, der->buffer, der->length, &index);
	else
		err = wc_EccPrivateKeyDecode(der->buffer, &index, &key->ecc, der->length);
	explicit_bzero(der->buffer, der->length);
	wc_FreeDer(&der);
	return err ? CLV_ESYNTAX : 0;
}

/*
 * Read a key file of ours whole: the public key stands behind the private one, which does not
 * contain it.  Returns 0 or CLV_ESYNTAX.
 */
int tls_key_parse_both(struct tls_key *key, const char *pem)
{
	const char *public_pem = strstr(pem, "-----BEGIN PUBLIC KEY-----");
	DerBuffer *der = NULL;
	word32 index = 0;
	int err = tls_key_parse(key, pem);

	if (err || !public_pem ||
	    wc_PemToDer((const unsigned char *)public_pem, (long)strlen(public_pem), PUBLICKEY_TYPE,
			&der, NULL, NULL, NULL)) {
		wc_FreeDer(&der);
		return CLV_ESYNTAX;
	}
	/* The library derives that of an ECDSA key. */
	if (key->type == ML_DSA_65_TYPE)
		err = wc_MlDsaKey_PublicKeyDecode(&key->mldsa, der->buffer, der->length, &index);
	else if (key->ecc.type == ECC_PRIVATEKEY_ONLY)
		err = wc_ecc_make_pub(&key->ecc, NULL);
	wc_FreeDer(&der);
	return err ? CLV_ESYNTAX : 0;
}

/* Write the SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).  Returns its length, or 0. */
size_t tls_key_spki(struct tls_key *key, uint8_t out[static TLS_KEY_SPKI_MAX])
{
	int len = key->type == ML_DSA_65_TYPE
			  ? wc_MlDsaKey_PublicKeyToDer(&key->mldsa, out, TLS_KEY_SPKI_MAX, 1)
			  : wc_EccPublicKeyToDer(&key->ecc, out, TLS_KEY_SPKI_MAX, 1);

	return len > 0 ? (size_t)len : 0;
}
