/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/tls/cert_maker.h"

#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DER_MAX = 16384,
	DEFAULT_DAYS = 30,
};

static void *handle(struct cert_made *made)
{
	return made->algorithm == CERT_ML_DSA ? (void *)&made->mldsa : (void *)&made->ecc;
}

static int type_of(const struct cert_made *made)
{
	return made->algorithm == CERT_ML_DSA ? ML_DSA_65_TYPE : ECC_TYPE;
}

static void make_key(struct cert_made *made, WC_RNG *rng)
{
	if (made->algorithm == CERT_ML_DSA) {
		assert_int_equal(wc_MlDsaKey_Init(&made->mldsa, NULL, INVALID_DEVID), 0);
		assert_int_equal(wc_MlDsaKey_SetParams(&made->mldsa, WC_ML_DSA_65), 0);
		assert_int_equal(wc_MlDsaKey_MakeKey(&made->mldsa, rng), 0);
	} else {
		assert_int_equal(wc_ecc_init(&made->ecc), 0);
		assert_int_equal(wc_ecc_make_key_ex(rng, 32, &made->ecc, ECC_SECP256R1), 0);
	}
}

static void fill(Cert *cert, const struct cert_wish *wish, const struct cert_made *signer)
{
	size_t dns_len = wish->dns ? strlen(wish->dns) : 0;

	snprintf(cert->subject.commonName, sizeof(cert->subject.commonName), "%s", wish->name);
	cert->sigType = signer->algorithm == CERT_ML_DSA ? CTC_ML_DSA_65 : CTC_SHA256wECDSA;
	cert->daysValid = wish->days ? wish->days : DEFAULT_DAYS;
	cert->isCA = wish->is_ca;
	cert->pathLenSet = wish->has_path_len;
	cert->pathLen = (byte)wish->path_len;
	if (wish->is_ca)
		assert_int_equal(wc_SetKeyUsage(cert, "keyCertSign,cRLSign"), 0);
	if (dns_len) {
		const byte head[] = { 0x30, (byte)(dns_len + 2), 0x82, (byte)dns_len };

		memcpy(cert->altNames, head, sizeof(head));
		memcpy(cert->altNames + sizeof(head), wish->dns, dns_len);
		cert->altNamesSz = (int)(sizeof(head) + dns_len);
	}
}

void cert_make(struct cert_made *out, const struct cert_wish *wish, struct cert_made *issuer)
{
	struct cert_made *signer = issuer ? issuer : out;
	Cert *cert = malloc(sizeof(*cert));
	uint8_t *der = malloc(DER_MAX);
	WC_RNG rng;
	int len;

	assert_non_null(cert);
	assert_non_null(der);
	assert_int_equal(wc_InitRng(&rng), 0);
	*out = (struct cert_made){ .algorithm = wish->algorithm };
	make_key(out, &rng);
	assert_int_equal(wc_InitCert(cert), 0);
	fill(cert, wish, signer);
	if (issuer) {
		cert->selfSigned = 0;
		assert_int_equal(wc_SetIssuerBuffer(cert, issuer->der.data, (int)issuer->der.len),
				 0);
	}
	len = wc_MakeCert_ex(cert, der, DER_MAX, type_of(out), handle(out), &rng);
	assert_true(len > 0);
	len = wc_SignCert_ex(cert->bodySz, cert->sigType, der, DER_MAX, type_of(signer),
			     handle(signer), &rng);
	assert_true(len > 0);
	out->der = (struct clv_der){ .data = der, .len = (size_t)len };
	wc_FreeRng(&rng);
	free(cert);
}

void cert_unmake(struct cert_made *made)
{
	if (made->algorithm == CERT_ML_DSA)
		wc_MlDsaKey_Free(&made->mldsa);
	else
		wc_ecc_free(&made->ecc);
	free(made->der.data);
}

static char *to_pem(char *text, const uint8_t *der, size_t len, int type)
{
	size_t used = text ? strlen(text) : 0;
	int need = wc_DerToPem(der, (word32)len, NULL, 0, type);

	assert_true(need > 0);
	text = realloc(text, used + (size_t)need + 1);
	assert_non_null(text);
	assert_true(wc_DerToPem(der, (word32)len, (byte *)text + used, (word32)need, type) > 0);
	text[used + (size_t)need] = '\0';
	return text;
}

char *cert_to_pem(struct cert_made *const *certs, size_t len)
{
	char *text = NULL;

	for (size_t i = 0; i < len; i++)
		text = to_pem(text, certs[i]->der.data, certs[i]->der.len, CERT_TYPE);
	return text;
}

char *cert_key_to_pem(struct cert_made *made)
{
	byte der[DER_MAX];
	word32 room = sizeof(der);
	int len;

	if (made->algorithm == CERT_ML_DSA) {
		len = wc_MlDsaKey_PrivateKeyToDer(&made->mldsa, der, room);
	} else {
		assert_true(wc_EccKeyToPKCS8(&made->ecc, der, &room) >= 0);
		len = (int)room;
	}
	assert_true(len > 0);
	return to_pem(NULL, der, (size_t)len, PKCS8_PRIVATEKEY_TYPE);
}

void cert_write(const char *path, struct cert_made *const *certs, size_t len)
{
	FILE *out = fopen(path, "w");
	char *text = cert_to_pem(certs, len);

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	free(text);
}
