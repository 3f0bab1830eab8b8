/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * chain - judge the certificates that the other end of TLS presents, and say why they are not trusted.
 *
 * The judge walks from the leaf up: each certificate is signed by the next, which is a CA, until one
 * is signed by an anchor or is the pinned one.  Every certificate on the way must be valid today and
 * of the profile; others that the server presents are not looked at.
 *
 * A pin of the leaf, its key or the whole certificate, identifies the server: CertificateVerify
 * proves that it has the key, and no name is needed.  A pin of a certificate above the leaf is an
 * anchor like any other, whose owner may vouch for many servers: then the leaf must be for the name.
 *
 * A client is known by keys and needs no anchor: by that of its leaf, which CertificateVerify proves,
 * and by that of the last certificate, if the chain leads there.
 *
 * Spec: RFC 5280 section 6.1 (signatures, dates, CAs, path lengths; name constraints of the signer);
 * RFC 9525 (names).
 * Threading: any thread.
 */
#ifndef CLV_TLS_CHAIN_H
#define CLV_TLS_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/tls/anchors.h"
#include "control/tls/pem.h"
#include "control/tls/tls.h"

enum {
	CLV_CHAIN_CERTS_MAX = 10, /* more are not looked at */
	CLV_CHAIN_WHY_MAX = 320,
};

/* What a client trusts: either anchors or a pin. */
struct clv_chain_trust {
	enum clv_profile profile;
	const struct clv_anchors *anchors; /* or NULL */
	const uint8_t *pin;		   /* or NULL: 32 bytes, see clv_tls_client_params */
	const char *name;		   /* a DNS name or IP literal; NULL: none is known */
};

enum clv_chain_fault {
	CLV_CHAIN_GOOD = 0,
	CLV_CHAIN_ALGORITHM, /* outside the profile */
	CLV_CHAIN_DATE,
	CLV_CHAIN_SIGNATURE,
	CLV_CHAIN_UNKNOWN_CA, /* no way leads to an anchor or the pin */
	CLV_CHAIN_NAME,
	CLV_CHAIN_BROKEN, /* the leaf cannot be read */
};

/*
 * Judge certs, in the order of the Certificate message.  why: filled with one line about the server's
 * certificate unless the result is CLV_CHAIN_GOOD.
 */
enum clv_chain_fault clv_chain_judge(const struct clv_chain_trust *trust,
				     const struct clv_der *certs, size_t certs_len,
				     char why[static CLV_CHAIN_WHY_MAX]);

/* The keys that a client's certificates prove: SHA-256 of each SubjectPublicKeyInfo. */
struct clv_chain_client {
	uint8_t key[32]; /* of the leaf */
	bool has_ca;
	uint8_t ca[32]; /* of the last certificate, to which the signatures lead; not the leaf's */
};

/*
 * Judge a client's certificates, in the order of the Certificate message.  Returns as clv_chain_judge,
 * and fills *out if that is CLV_CHAIN_GOOD.
 */
enum clv_chain_fault clv_chain_judge_client(enum clv_profile profile, const struct clv_der *certs,
					    size_t certs_len, struct clv_chain_client *out,
					    char why[static CLV_CHAIN_WHY_MAX]);

#endif
