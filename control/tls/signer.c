/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/signer.h"

#include "control/tls/keys.h"
#include "control/tls/pem.h"
#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The DER before the key: an AlgorithmIdentifier without parameters, and a BIT STRING. */
static const uint8_t spki_head[] = {
	0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48,
	0x01, 0x65, 0x03, 0x04, 0x03, 0x12, 0x03, 0x82, 0x07, 0xa1, 0x00,
};

_Static_assert(sizeof(spki_head) + CLV_SIGNER_KEY_LEN == CLV_SIGNER_SPKI_LEN, "head and key");
_Static_assert(CLV_SIGNER_KEY_LEN == WC_MLDSA_65_PUB_KEY_SIZE, "of ML-DSA-65");
_Static_assert(CLV_SIGNER_SIGNATURE_LEN == WC_MLDSA_65_SIG_SIZE, "of ML-DSA-65");

struct clv_signer {
	struct tls_key *key;
	WC_RNG rng;
	uint8_t public_key[CLV_SIGNER_KEY_LEN];
};

void clv_signer_spki(const uint8_t key[static CLV_SIGNER_KEY_LEN],
		     uint8_t out[static CLV_SIGNER_SPKI_LEN])
{
	memcpy(out, spki_head, sizeof(spki_head));
	memcpy(out + sizeof(spki_head), key, CLV_SIGNER_KEY_LEN);
}

/* Take the key out of a SubjectPublicKeyInfo.  Returns 0 or CLV_ESYNTAX (another algorithm). */
static int take_key(struct clv_signer *s, const uint8_t *spki, size_t len)
{
	if (len != CLV_SIGNER_SPKI_LEN || memcmp(spki, spki_head, sizeof(spki_head)) != 0)
		return CLV_ESYNTAX;
	memcpy(s->public_key, spki + sizeof(spki_head), CLV_SIGNER_KEY_LEN);
	return 0;
}

/* The public key of a key file of ours. */
static int read_own(struct clv_signer *s, const char *pem)
{
	uint8_t spki[TLS_KEY_SPKI_MAX];
	size_t len;
	int err = tls_key_parse_both(s->key, pem);

	if (err)
		return err;
	len = tls_key_spki(s->key, spki);
	return take_key(s, spki, len);
}

/* The public key of a private one with its certificates. */
static int read_chain(struct clv_signer *s, const char *pem)
{
	struct clv_pem_file chain;
	uint8_t spki[TLS_KEY_SPKI_MAX];
	word32 len = sizeof(spki);
	int err = tls_key_parse(s->key, pem);

	if (!err)
		err = clv_pem_parse(pem, &chain);
	if (err)
		return err == -ENOMEM ? err : CLV_ESYNTAX;
	if (wc_GetSubjectPubKeyInfoDerFromCert(chain.certs[0].data, (word32)chain.certs[0].len,
					       spki, &len))
		err = CLV_ESYNTAX;
	else
		err = take_key(s, spki, len);
	clv_pem_free(&chain);
	return err;
}

/* Whether the two keys belong together: what one signs, the other verifies. */
static int check_pair(struct clv_signer *s)
{
	static const uint8_t message[] = "a pair";
	uint8_t signature[CLV_SIGNER_SIGNATURE_LEN];
	int err = clv_signer_sign(s, "culvert-pair", message, sizeof(message), signature);

	if (!err &&
	    clv_signer_verify(s->public_key, "culvert-pair", message, sizeof(message), signature))
		err = CLV_ESYNTAX;
	return err;
}

int clv_signer_new(const char *pem, struct clv_signer **out)
{
	struct clv_signer *s = calloc(1, sizeof(*s));
	int err = -ENOMEM;

	if (!s)
		return -ENOMEM;
	s->key = tls_key_new(CLV_PROFILE_PQC);
	if (!s->key)
		goto free_signer;
	err = CLV_ETLS;
	if (wc_InitRng(&s->rng))
		goto free_key;
	err = strstr(pem, "-----BEGIN CERTIFICATE-----") ? read_chain(s, pem) : read_own(s, pem);
	if (!err)
		err = check_pair(s);
	if (err) {
		clv_signer_free(s);
		return err;
	}
	*out = s;
	return 0;

free_key:
	tls_key_free(s->key);
free_signer:
	free(s);
	return err;
}

void clv_signer_free(struct clv_signer *s)
{
	if (!s)
		return;
	tls_key_free(s->key);
	wc_FreeRng(&s->rng);
	free(s);
}

const uint8_t *clv_signer_key(const struct clv_signer *s)
{
	return s->public_key;
}

int clv_signer_sign(struct clv_signer *s, const char *context, const uint8_t *message, size_t len,
		    uint8_t signature[static CLV_SIGNER_SIGNATURE_LEN])
{
	word32 signature_len = CLV_SIGNER_SIGNATURE_LEN;

	if (wc_MlDsaKey_SignCtx(&s->key->mldsa, (const byte *)context, (byte)strlen(context),
				signature, &signature_len, message, (word32)len, &s->rng) ||
	    signature_len != CLV_SIGNER_SIGNATURE_LEN)
		return CLV_ETLS;
	return 0;
}

int clv_signer_verify(const uint8_t key[static CLV_SIGNER_KEY_LEN], const char *context,
		      const uint8_t *message, size_t len,
		      const uint8_t signature[static CLV_SIGNER_SIGNATURE_LEN])
{
	struct tls_key *k = tls_key_new(CLV_PROFILE_PQC);
	int is_good = 0;

	if (!k)
		return CLV_EUNTRUSTED;
	if (wc_MlDsaKey_ImportPubRaw(&k->mldsa, key, CLV_SIGNER_KEY_LEN) ||
	    wc_MlDsaKey_VerifyCtx(&k->mldsa, signature, CLV_SIGNER_SIGNATURE_LEN,
				  (const byte *)context, (byte)strlen(context), message,
				  (word32)len, &is_good))
		is_good = 0;
	tls_key_free(k);
	return is_good == 1 ? 0 : CLV_EUNTRUSTED;
}
