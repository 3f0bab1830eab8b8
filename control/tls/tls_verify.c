/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/pem.h"
#include "control/tls/tls_session.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#include <string.h>

/*
 * Returns the index of the certificate with that SHA-256, of its key (clv_cert_pin) or of its DER, or
 * -1.
 */
static int find_pinned(const uint8_t pin[static 32], const WOLFSSL_BUFFER_INFO *certs, int count)
{
	for (int i = 0; i < count; i++) {
		struct clv_der der = { .data = certs[i].buffer, .len = certs[i].length };
		uint8_t sha256[32];

		if (clv_cert_pin(&der, sha256) == 0 && memcmp(sha256, pin, sizeof(sha256)) == 0)
			return i;
		clv_cert_sha256(&der, sha256);
		if (memcmp(sha256, pin, sizeof(sha256)) == 0)
			return i;
	}
	return -1;
}

static bool is_valid_now(const WOLFSSL_BUFFER_INFO *cert)
{
	struct clv_der der = { .data = cert->buffer, .len = cert->length };
	struct clv_cert_facts facts;
	time_t now = wc_Time(NULL);

	return clv_cert_read(&der, &facts) == 0 && facts.not_before <= now && now < facts.not_after;
}

static bool is_ca(const WOLFSSL_BUFFER_INFO *cert)
{
	struct clv_der der = { .data = cert->buffer, .len = cert->length };
	struct clv_cert_facts facts;

	return clv_cert_read(&der, &facts) == 0 && facts.is_ca;
}

/* Trust cert, if it is a CA, as issuer of the certificate before it in the chain. */
static bool add_issuer(WOLFSSL_CERT_MANAGER *cm, const WOLFSSL_BUFFER_INFO *cert)
{
	return is_ca(cert) &&
	       wolfSSL_CertManagerLoadCABuffer(cm, cert->buffer, (long)cert->length,
					       WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
}

static bool is_signed(WOLFSSL_CERT_MANAGER *cm, const WOLFSSL_BUFFER_INFO *cert)
{
	return wolfSSL_CertManagerVerifyBuffer(cm, cert->buffer, (long)cert->length,
					       WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
}

bool clv_tls_pin_holds(const uint8_t pin[static 32], const WOLFSSL_BUFFER_INFO *certs, int count)
{
	int at = find_pinned(pin, certs, count);
	WOLFSSL_CERT_MANAGER *cm;
	bool holds;

	if (at < 0)
		return false;
	/* The leaf is pinned: CertificateVerify proves that the server has its key. */
	if (at == 0)
		return is_valid_now(&certs[0]);
	/* A separate manager, in which only the pinned certificate is an anchor. */
	cm = wolfSSL_CertManagerNew();
	if (!cm)
		return false;
	holds = add_issuer(cm, &certs[at]);
	for (int i = at - 1; i > 0 && holds; i--)
		holds = is_signed(cm, &certs[i]) && add_issuer(cm, &certs[i]);
	holds = holds && is_signed(cm, &certs[0]);
	wolfSSL_CertManagerFree(cm);
	return holds;
}

/* Errors about a missing anchor, which the pin may provide.  Others, as a bad signature, stand. */
static bool is_missing_anchor(int error)
{
	/* OpenSSL's numbers or wolfSSL's, depending on how wolfSSL was configured. */
	return error == WOLFSSL_X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	       error == WOLFSSL_X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	       error == ASN_NO_SIGNER_E || error == ASN_SELF_SIGNED_E;
}

int clv_tls_pin_callback(int preverified, WOLFSSL_X509_STORE_CTX *store)
{
	struct clv_tls_session *s = store->userCtx;

	if (preverified)
		return 1;
	if (!is_missing_anchor(store->error))
		return 0;
	s->pin_matched = clv_tls_pin_holds(s->pin, store->certs, store->totalCerts);
	return s->pin_matched;
}

bool clv_tls_leaf_fits(struct clv_tls_session *s, const char **algorithm)
{
	WOLFSSL_X509 *x509 = wolfSSL_get_peer_certificate(s->ssl);
	struct clv_cert_facts facts;
	struct clv_der der;
	int len = 0, err;

	if (!x509)
		return false;
	der.data = (uint8_t *)wolfSSL_X509_get_der(x509, &len);
	der.len = (size_t)len;
	err = der.data ? clv_cert_read(&der, &facts) : -1;
	wolfSSL_X509_free(x509);
	if (err)
		return false;
	*algorithm = facts.key_algorithm;
	return s->profile != CLV_PROFILE_PQC || clv_cert_is_pqc(&facts);
}
