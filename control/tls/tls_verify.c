/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/chain.h"
#include "control/tls/tls_session.h"

#include <wolfssl/wolfcrypt/error-crypt.h>

#include <stdio.h>
#include <string.h>

static const uint8_t alerts[] = {
	[CLV_CHAIN_ALGORITHM] = CLV_ALERT_UNSUPPORTED_CERTIFICATE,
	[CLV_CHAIN_DATE] = CLV_ALERT_CERTIFICATE_EXPIRED,
	[CLV_CHAIN_SIGNATURE] = CLV_ALERT_BAD_CERTIFICATE,
	[CLV_CHAIN_UNKNOWN_CA] = CLV_ALERT_UNKNOWN_CA,
	[CLV_CHAIN_NAME] = CLV_ALERT_BAD_CERTIFICATE,
	[CLV_CHAIN_BROKEN] = CLV_ALERT_BAD_CERTIFICATE,
};

static void refuse(struct clv_tls_session *s, enum clv_chain_fault fault, const char *why)
{
	s->is_trusted = false;
	if (fault == CLV_CHAIN_ALGORITHM)
		s->is_classical = true;
	else
		s->is_untrusted = true;
	clv_tls_record_why(s, why);
	clv_tls_record_alert(s, alerts[fault]);
}

static enum clv_chain_fault judge_server(struct clv_tls_session *s, const struct clv_der *certs,
					 size_t n, char why[static CLV_CHAIN_WHY_MAX])
{
	const struct clv_chain_trust trust = {
		.profile = s->profile,
		.anchors = s->anchors,
		.pin = s->is_pinned ? s->pin : NULL,
		.name = s->name,
	};
	enum clv_chain_fault fault = clv_chain_judge(&trust, certs, n, why);
	struct clv_cert_facts leaf;

	if (!fault && clv_cert_read(&certs[0], &leaf) == 0 &&
	    clv_cert_pin(&certs[0], s->facts.server_key) == 0)
		s->facts.signature = leaf.key_algorithm;
	return fault;
}

static enum clv_chain_fault judge_client(struct clv_tls_session *s, const struct clv_der *certs,
					 size_t n, char why[static CLV_CHAIN_WHY_MAX])
{
	struct clv_chain_client client;
	enum clv_chain_fault fault = clv_chain_judge_client(s->profile, certs, n, &client, why);

	if (fault)
		return fault;
	s->facts.has_client_key = true;
	memcpy(s->facts.client_key, client.key, sizeof(client.key));
	s->facts.has_client_ca = client.has_ca;
	memcpy(s->facts.client_ca, client.ca, sizeof(client.ca));
	return CLV_CHAIN_GOOD;
}

/* The same at both ends: a peer is known by its key alone. */
static enum clv_chain_fault judge_peer(struct clv_tls_session *s, const struct clv_der *certs,
				       size_t n, char why[static CLV_CHAIN_WHY_MAX])
{
	enum clv_chain_fault fault = judge_client(s, certs, n, why);

	if (!fault && s->is_pinned && memcmp(s->facts.client_key, s->pin, sizeof(s->pin)) != 0) {
		snprintf(why, CLV_CHAIN_WHY_MAX, "another key than that of the peer");
		fault = CLV_CHAIN_UNKNOWN_CA;
	}
	if (!fault)
		s->facts.signature = "ML-DSA-65"; /* the profile has no other */
	return fault;
}

static void judge(struct clv_tls_session *s, const WOLFSSL_X509_STORE_CTX *store)
{
	struct clv_der certs[CLV_CHAIN_CERTS_MAX];
	enum clv_chain_fault fault;
	char why[CLV_CHAIN_WHY_MAX];
	size_t n = 0;

	for (; n < CLV_CHAIN_CERTS_MAX && (int)n < store->totalCerts; n++)
		certs[n] = (struct clv_der){ .data = store->certs[n].buffer,
					     .len = store->certs[n].length };
	s->is_judged = true;
	if (s->is_peer)
		fault = judge_peer(s, certs, n, why);
	else
		fault = s->is_server ? judge_client(s, certs, n, why)
				     : judge_server(s, certs, n, why);
	s->is_trusted = fault == CLV_CHAIN_GOOD;
	if (fault)
		refuse(s, fault, why);
}

/* Errors about a missing anchor: the library has none.  Others, as of key usage, stand. */
static bool is_missing_anchor(int error)
{
	/* OpenSSL's numbers or wolfSSL's, depending on how wolfSSL was configured. */
	return error == WOLFSSL_X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	       error == WOLFSSL_X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	       error == ASN_NO_SIGNER_E || error == ASN_SELF_SIGNED_E;
}

int clv_tls_verify_callback(int preverified, WOLFSSL_X509_STORE_CTX *store)
{
	struct clv_tls_session *s = store->userCtx;
	char why[CLV_CHAIN_WHY_MAX];

	/* The library asks also about the Certificate message of a client that has none. */
	if (s->is_server && store->totalCerts == 0)
		return preverified;
	if (!s->is_judged)
		judge(s, store);
	if (!s->is_trusted)
		return 0;
	if (preverified || is_missing_anchor(store->error))
		return 1;
	snprintf(why, sizeof(why), "the TLS library refuses a certificate of its chain: %s",
		 wolfSSL_ERR_reason_error_string((unsigned long)store->error));
	refuse(s, CLV_CHAIN_BROKEN, why);
	return 0;
}
