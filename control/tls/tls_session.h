/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tls_session - internals shared by the tls modules: the session, and its checks of certificates.
 *
 * Threading: as tls.h.
 */
#ifndef CLV_TLS_TLS_SESSION_H
#define CLV_TLS_TLS_SESSION_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stdint.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include "control/tls/anchors.h"
#include "control/tls/hello.h"
#include "control/tls/tls.h"

/* TLS alerts (RFC 8446 section 6.2) that we send or evaluate. */
enum clv_tls_alert {
	CLV_ALERT_UNEXPECTED_MESSAGE = 10,
	CLV_ALERT_HANDSHAKE_FAILURE = 40,
	CLV_ALERT_BAD_CERTIFICATE = 42,
	CLV_ALERT_UNSUPPORTED_CERTIFICATE = 43,
	CLV_ALERT_CERTIFICATE_EXPIRED = 45,
	CLV_ALERT_ILLEGAL_PARAMETER = 47,
	CLV_ALERT_UNKNOWN_CA = 48,
	CLV_ALERT_INSUFFICIENT_SECURITY = 71,
	CLV_ALERT_INTERNAL_ERROR = 80,
	CLV_ALERT_MISSING_EXTENSION = 109,
	CLV_ALERT_NO_APPLICATION_PROTOCOL = 120,
};

struct clv_tls_context {
	WOLFSSL_CTX *ctx;
	WOLFSSL_CTX *ctx_with_root; /* server: the same with the root in its chain; or NULL */
	enum clv_profile profile;
	struct clv_anchors *anchors; /* client: what it trusts; NULL: a pin */
	bool is_pinned;
	uint8_t pin[32];
	bool asks_clients;		  /* server: new sessions request a certificate */
	bool is_peer;			  /* both ends have to present one */
	const char *own_leaf;		  /* server: algorithm of its certificate */
	struct clv_tls_identity identity; /* server */
};

/* The TLS half of one connection, and its native handle in ngtcp2. */
struct clv_tls_session {
	WOLFSSL *ssl; /* NULL on a server once the handshake is done: TLS sends nothing after it */
	WOLFSSL_CTX *ctx_with_root; /* a reference of its own, until the handshake is done */
	ngtcp2_conn *qc;
	enum clv_profile profile;
	const char *alpn; /* the one protocol that is spoken */
	bool is_server;
	bool is_peer;		/* both ends prove a key; the pin, if any, is of the other's */
	struct clv_hello hello; /* server: what the client offers */
	/* client: trust by pin, or by anchors, which it has a reference of */
	bool is_pinned;
	uint8_t pin[32];
	struct clv_anchors *anchors;
	char *name;	 /* client: what the server's certificate has to be for; or NULL */
	bool is_judged;	 /* the other end's certificates were looked at */
	bool is_trusted; /* and are good */
	char *why;	 /* of a handshake that failed, in words; or NULL */
	bool has_handshake_keys;
	bool is_classical; /* group or certificate outside the profile */
	bool is_untrusted;
	bool has_alert; /* we sent one */
	uint8_t alert;
	struct clv_tls_facts facts;
};

/*
 * wolfSSL's verify callback, for each certificate of the other end.  The library has no anchors:
 * chain.h judges all of them when it is asked first.
 */
int clv_tls_verify_callback(int preverified, WOLFSSL_X509_STORE_CTX *store);

/* Record an alert and pass it to ngtcp2.  Only the first one counts; later ones follow from it. */
void clv_tls_record_alert(struct clv_tls_session *s, uint8_t alert);

/* Note why the handshake fails, in words.  Only the first reason counts. */
void clv_tls_record_why(struct clv_tls_session *s, const char *why);

/* Our callbacks for wolfSSL's QUIC interface. */
extern const WOLFSSL_QUIC_METHOD clv_tls_quic_method;

#endif
