/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/certgen.h"

#include "control/tls/keys.h"
#include "datapath/base/err.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERIAL_LEN = 16,
	DNS_NAME_MAX = 253,
	DER_MAX = 32768, /* more than a leaf with an ML-DSA-65 key and the most names */
	GENERAL_NAME_DNS = 0x82,
	GENERAL_NAME_IP = 0x87,
};

/* Returns a zero-terminated PEM text, or NULL. */
static char *to_pem(const uint8_t *der, size_t len, int type)
{
	int need = wc_DerToPem(der, (word32)len, NULL, 0, type);
	char *pem;

	if (need <= 0)
		return NULL;
	pem = calloc(1, (size_t)need + 1);
	if (pem && wc_DerToPem(der, (word32)len, (byte *)pem, (word32)need, type) <= 0) {
		free(pem);
		pem = NULL;
	}
	return pem;
}

/* Append the public key to the text of the private one, and free that.  Returns NULL on failure. */
static char *append_public(struct tls_key *key, char *private_pem)
{
	uint8_t spki[TLS_KEY_SPKI_MAX];
	char *public_pem, *both = NULL;
	size_t len = tls_key_spki(key, spki);

	public_pem = len ? to_pem(spki, len, PUBLICKEY_TYPE) : NULL;
	if (private_pem && public_pem && asprintf(&both, "%s%s", private_pem, public_pem) < 0)
		both = NULL;
	clv_certgen_free_key(private_pem);
	free(public_pem);
	return both;
}

/* Write the private key as PKCS #8, which other tools read, and the public key after it. */
static char *key_to_pem(struct tls_key *key)
{
	uint8_t der[8192];
	word32 room = sizeof(der);
	char *pem = NULL;
	int len;

	if (key->type == ML_DSA_65_TYPE) {
		len = wc_MlDsaKey_PrivateKeyToDer(&key->mldsa, der, room);
	} else {
		len = wc_EccKeyToPKCS8(&key->ecc, der, &room);
		if (len == 0)
			len = (int)room;
	}
	if (len > 0)
		pem = to_pem(der, (size_t)len, PKCS8_PRIVATEKEY_TYPE);
	explicit_bzero(der, sizeof(der));
	return append_public(key, pem);
}

/* RFC 5280 section 4.1.2.2: positive and unique; a random number is. */
static int set_serial(Cert *cert, WC_RNG *rng)
{
	if (wc_RNG_GenerateBlock(rng, cert->serial, SERIAL_LEN) != 0)
		return CLV_ETLS;
	cert->serial[0] = (byte)((cert->serial[0] & 0x7f) | 0x40);
	cert->serialSz = SERIAL_LEN;
	return 0;
}

bool clv_certgen_is_dns_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > DNS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("-._*", name[i]))
			return false;
	return true;
}

/*
 * Append one GeneralName (RFC 5280 section 4.2.1.6).  Returns bytes written, 0 for no valid name.
 */
static size_t put_name(uint8_t *out, const char *name)
{
	size_t len;

	if (inet_pton(AF_INET, name, out + 2) == 1) {
		out[0] = GENERAL_NAME_IP;
		len = 4;
	} else if (inet_pton(AF_INET6, name, out + 2) == 1) {
		out[0] = GENERAL_NAME_IP;
		len = 16;
	} else if (clv_certgen_is_dns_name(name)) {
		out[0] = GENERAL_NAME_DNS;
		len = strlen(name);
		if (len > 127) { /* would need the long form of a length */
			out[1] = 0x81;
			out[2] = (uint8_t)len;
			memcpy(out + 3, name, len);
			return len + 3;
		}
		memcpy(out + 2, name, len);
	} else {
		return 0;
	}
	out[1] = (uint8_t)len;
	return len + 2;
}

/* Returns 0 or CLV_ERANGE. */
static int set_names(Cert *cert, const char *const *names, size_t names_len)
{
	enum { HEAD = 4, NAME_MAX_LEN = DNS_NAME_MAX + 3 };
	size_t len = 0;

	_Static_assert(HEAD + CLV_CERTGEN_NAMES_MAX * NAME_MAX_LEN + 1 <= sizeof(cert->altNames),
		       "names fit");
	if (names_len == 0)
		return 0;
	if (names_len > CLV_CERTGEN_NAMES_MAX)
		return CLV_ERANGE;
	for (size_t i = 0; i < names_len; i++) {
		size_t n = put_name(cert->altNames + HEAD + len, names[i]);

		if (!n)
			return CLV_ERANGE;
		len += n;
	}
	/* A SEQUENCE, its length in the shortest form. */
	if (len < 128) {
		memmove(cert->altNames + 2, cert->altNames + HEAD, len);
		cert->altNames[1] = (byte)len;
		cert->altNamesSz = (int)(2 + len);
	} else if (len < 256) {
		memmove(cert->altNames + 3, cert->altNames + HEAD, len);
		cert->altNames[1] = 0x81;
		cert->altNames[2] = (byte)len;
		cert->altNamesSz = (int)(3 + len);
	} else {
		cert->altNames[1] = 0x82;
		cert->altNames[2] = (byte)(len >> 8);
		cert->altNames[3] = (byte)len;
		cert->altNamesSz = (int)(HEAD + len);
	}
	cert->altNames[0] = ASN_SEQUENCE | ASN_CONSTRUCTED;
	return 0;
}

/* Set the fields that CA and leaf share.  Returns 0 or CLV_ETLS. */
static int begin_cert(Cert *cert, struct tls_key *key, WC_RNG *rng)
{
	if (wc_InitCert(cert) != 0)
		return CLV_ETLS;
	/* Matches the signer's key: both keys are of the profile's type. */
	cert->sigType = key->type == ML_DSA_65_TYPE ? CTC_ML_DSA_65 : CTC_SHA256wECDSA;
	strcpy(cert->subject.org, "Culvert");
	if (wc_SetSubjectKeyIdFromPublicKey_ex(cert, key->type, tls_key_handle(key)) != 0)
		return CLV_ETLS;
	return set_serial(cert, rng);
}

/* Build and sign: key is the subject's, signer the issuer's.  Returns a PEM text or NULL. */
static char *finish_cert(Cert *cert, struct tls_key *key, struct tls_key *signer, WC_RNG *rng)
{
	uint8_t *der = malloc(DER_MAX);
	char *pem = NULL;
	int len;

	if (!der)
		return NULL;
	len = wc_MakeCert_ex(cert, der, DER_MAX, key->type, tls_key_handle(key), rng);
	if (len > 0)
		len = wc_SignCert_ex(cert->bodySz, cert->sigType, der, DER_MAX, signer->type,
				     tls_key_handle(signer), rng);
	if (len > 0)
		pem = to_pem(der, (size_t)len, CERT_TYPE);
	free(der);
	return pem;
}

static int fill_ca(Cert *cert, struct tls_key *key, WC_RNG *rng)
{
	int err = begin_cert(cert, key, rng);

	if (err)
		return err;
	/* A unique name, so that a new CA is never mistaken for the old one. */
	snprintf(cert->subject.commonName, sizeof(cert->subject.commonName),
		 "Culvert CA %02x%02x%02x%02x", cert->serial[1], cert->serial[2], cert->serial[3],
		 cert->serial[4]);
	cert->isCA = 1;
	cert->basicConstCrit = 1; /* RFC 5280 section 4.2.1.9 */
	cert->selfSigned = 1;
	cert->daysValid = CLV_CERTGEN_CA_DAYS;
	if (wc_SetKeyUsage(cert, "keyCertSign,cRLSign") != 0 ||
	    wc_SetAuthKeyIdFromPublicKey_ex(cert, key->type, tls_key_handle(key)) != 0)
		return CLV_ETLS;
	return 0;
}

static int fill_leaf(Cert *cert, struct tls_key *key, const struct clv_der *ca_cert,
		     const char *const *names, size_t names_len, WC_RNG *rng)
{
	int err = begin_cert(cert, key, rng);

	if (!err)
		err = set_names(cert, names, names_len);
	if (err)
		return err;
	strcpy(cert->subject.commonName, "Culvert relay");
	cert->selfSigned = 0;
	cert->daysValid = CLV_CERTGEN_LEAF_DAYS;
	if (wc_SetKeyUsage(cert, "digitalSignature") != 0 ||
	    wc_SetExtKeyUsage(cert, "serverAuth") != 0 ||
	    wc_SetIssuerBuffer(cert, ca_cert->data, (int)ca_cert->len) != 0 ||
	    wc_SetAuthKeyIdFromCert(cert, ca_cert->data, (int)ca_cert->len) != 0)
		return CLV_ETLS;
	return 0;
}

/* Fill *out from the finished parts; takes neither.  Returns 0 or CLV_ETLS. */
static int complete(Cert *cert, struct tls_key *key, struct tls_key *signer, WC_RNG *rng,
		    struct clv_certgen *out)
{
	struct clv_certgen made = {
		.cert_pem = finish_cert(cert, key, signer, rng),
		.key_pem = key_to_pem(key),
	};

	if (!made.cert_pem || !made.key_pem) {
		clv_certgen_free(&made);
		return CLV_ETLS;
	}
	*out = made;
	return 0;
}

int clv_certgen_ca(enum clv_profile profile, struct clv_certgen *out)
{
	struct tls_key *key = tls_key_new(profile);
	Cert *cert = malloc(sizeof(*cert));
	WC_RNG rng;
	int err = -ENOMEM;

	if (!key || !cert)
		goto free_parts;
	err = CLV_ETLS;
	if (wc_InitRng(&rng) != 0)
		goto free_parts;
	err = tls_key_make(key, &rng);
	if (!err)
		err = fill_ca(cert, key, &rng);
	if (!err)
		err = complete(cert, key, key, &rng, out);
	wc_FreeRng(&rng);
free_parts:
	free(cert);
	tls_key_free(key);
	return err;
}

int clv_certgen_leaf(enum clv_profile profile, const struct clv_der *ca_cert,
		     const char *ca_key_pem, const char *key_pem, const char *const *names,
		     size_t names_len, struct clv_certgen *out)
{
	struct tls_key *key = tls_key_new(profile), *signer = tls_key_new(profile);
	Cert *cert = malloc(sizeof(*cert));
	WC_RNG rng;
	int err = -ENOMEM;

	if (!key || !signer || !cert)
		goto free_parts;
	err = tls_key_parse(signer, ca_key_pem);
	if (err)
		goto free_parts;
	err = CLV_ETLS;
	if (wc_InitRng(&rng) != 0)
		goto free_parts;
	err = key_pem ? tls_key_parse_both(key, key_pem) : tls_key_make(key, &rng);
	if (!err)
		err = fill_leaf(cert, key, ca_cert, names, names_len, &rng);
	if (!err)
		err = complete(cert, key, signer, &rng, out);
	wc_FreeRng(&rng);
free_parts:
	free(cert);
	tls_key_free(signer);
	tls_key_free(key);
	return err;
}

static int fill_self(Cert *cert, struct tls_key *key, WC_RNG *rng)
{
	int err = begin_cert(cert, key, rng);

	if (err)
		return err;
	strcpy(cert->subject.commonName, "Culvert identity");
	cert->selfSigned = 1;
	cert->daysValid = CLV_CERTGEN_CA_DAYS;
	if (wc_SetKeyUsage(cert, "digitalSignature") != 0 ||
	    wc_SetExtKeyUsage(cert, "clientAuth,serverAuth") != 0)
		return CLV_ETLS;
	return 0;
}

int clv_certgen_self(const char *key_pem, char **cert_pem)
{
	struct tls_key *key = tls_key_new(CLV_PROFILE_PQC);
	Cert *cert = malloc(sizeof(*cert));
	WC_RNG rng;
	int err = -ENOMEM;

	if (!key || !cert)
		goto free_parts;
	err = tls_key_parse_both(key, key_pem);
	if (err)
		goto free_parts;
	err = CLV_ETLS;
	if (wc_InitRng(&rng) != 0)
		goto free_parts;
	err = fill_self(cert, key, &rng);
	if (!err) {
		*cert_pem = finish_cert(cert, key, key, &rng);
		err = *cert_pem ? 0 : CLV_ETLS;
	}
	wc_FreeRng(&rng);
free_parts:
	free(cert);
	tls_key_free(key);
	return err;
}

int clv_certgen_key(enum clv_profile profile, char **key_pem)
{
	struct tls_key *key = tls_key_new(profile);
	WC_RNG rng;
	int err;

	if (!key)
		return -ENOMEM;
	err = wc_InitRng(&rng) ? CLV_ETLS : 0;
	if (!err) {
		err = tls_key_make(key, &rng);
		wc_FreeRng(&rng);
	}
	*key_pem = err ? NULL : key_to_pem(key);
	tls_key_free(key);
	return err ? err : *key_pem ? 0 : CLV_ETLS;
}

int clv_certgen_key_pin(enum clv_profile profile, const char *key_pem, uint8_t out[static 32])
{
	struct tls_key *key = tls_key_new(profile);
	uint8_t spki[TLS_KEY_SPKI_MAX];
	size_t len = 0;
	int err;

	if (!key)
		return -ENOMEM;
	err = tls_key_parse_both(key, key_pem);
	if (!err)
		len = tls_key_spki(key, spki);
	tls_key_free(key);
	if (err || !len)
		return CLV_ESYNTAX;
	wc_Sha256Hash(spki, (word32)len, out);
	return 0;
}

void clv_certgen_free_key(char *key_pem)
{
	if (key_pem)
		explicit_bzero(key_pem, strlen(key_pem));
	free(key_pem);
}

void clv_certgen_free(struct clv_certgen *made)
{
	free(made->cert_pem);
	clv_certgen_free_key(made->key_pem);
	*made = (struct clv_certgen){ 0 };
}

int clv_certgen_is_pair(const char *cert_pem, const char *key_pem)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_server_method());
	int res = CLV_ESYNTAX;

	if (!ctx)
		return CLV_ESYNTAX;
	if (wolfSSL_CTX_use_certificate_chain_buffer(ctx, (const unsigned char *)cert_pem,
						     (long)strlen(cert_pem)) == WOLFSSL_SUCCESS &&
	    wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)key_pem,
					      (long)strlen(key_pem),
					      WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS)
		res = wolfSSL_CTX_check_private_key(ctx) == WOLFSSL_SUCCESS;
	wolfSSL_CTX_free(ctx);
	return res;
}
