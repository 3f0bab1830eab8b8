/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * tls - TLS for QUIC connections with wolfSSL: profiles, credentials, and the final check.
 *
 * Profile pqc: group ML-KEM-768 (0x0201) and ML-DSA-65 certificates, nothing else.  Profile hybrid:
 * X25519MLKEM768 (0x11EC) and SecP256r1MLKEM768 (0x11EB), any certificate.  No profile accepts a
 * classical group.  The library supports more than the profiles allow, so after the handshake both
 * ends check what was used (clv_tls_verify_profile).
 *
 * A server may request a certificate of each client.  One is optional: a client that presents none is
 * served without an identity.  One that is presented must be good, or the handshake fails.
 *
 * Spec: RFC 9001; RFC 8446; ML-KEM in TLS: draft-ietf-tls-mlkem, draft-ietf-tls-ecdhe-mlkem.
 * Threading: sessions of one thread may share a context; a session belongs to its connection.
 */
#ifndef CLV_TLS_TLS_H
#define CLV_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "datapath/quic/conn.h"

enum clv_profile { CLV_PROFILE_PQC = 0, CLV_PROFILE_HYBRID = 1 };

const char *clv_profile_name(enum clv_profile profile);
/* Returns 0 or CLV_ESYNTAX. */
int clv_profile_parse(const char *text, enum clv_profile *out);

struct clv_tls_context;

struct clv_tls_server_params {
	enum clv_profile profile;
	const char *cert_file; /* PEM chain, leaf first.  A root at its end is sent only to Culvert
				* clients that pin it by fingerprint: it costs a round trip. */
	const char *key_file;  /* PEM */
	/* The text of both files, when it was read before; else NULL.  The names are for errors. */
	const char *cert_pem, *key_pem;
};

struct clv_tls_client_params {
	enum clv_profile profile;
	const char *ca_file; /* PEM, also a bundle of many; NULL when pinned */
	/*
	 * 32 bytes: the SHA-256 of a certificate's key (clv_cert_pin) or of its DER, of the leaf or
	 * of a CA in the chain that the relay sends; see chain.h.  NULL when ca_file.
	 */
	const uint8_t *ca_sha256;
	/* The client's own certificate chain, leaf first, and its key; NULL: none.  PEM texts. */
	const char *cert_pem, *key_pem;
	const char *identity_name; /* of both, for errors */
};

/*
 * error: buffer for one line that names the file and the reason; filled on failure. Return 0 and
 * fill *out, or -errno (file), CLV_ETLS, CLV_ESYNTAX (not a certificate of the profile).
 */
int clv_tls_server_context(const struct clv_tls_server_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len);
int clv_tls_client_context(const struct clv_tls_client_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len);

/* What a server's certificate says. */
struct clv_tls_identity {
	uint8_t pin[32]; /* of its key, see clv_cert_pin */
	time_t not_before,
		not_after; /* when every certificate of the chain that is sent is valid */
};
void clv_tls_server_identity(const struct clv_tls_context *ctx, struct clv_tls_identity *out);

/* Whether a server's new sessions request a certificate of the client; at first they do not. */
void clv_tls_server_ask(struct clv_tls_context *ctx, bool asks_clients);

/* NULL is fine. */
void clv_tls_context_free(struct clv_tls_context *ctx);

/*
 * Make a session of ctx for conn and give it to clv_conn_set_tls; it is also conn's native handle
 * in ngtcp2.  server_name: client only, copies; a DNS name, also sent as SNI, or an IP literal.  The
 * certificate must be for it, unless the leaf is pinned; required with ca_file.
 * ctx: may be freed while sessions live, also by another thread.
 * Returns 0, -ENOMEM or CLV_ETLS (also a missing server_name).
 */
int clv_tls_attach(struct clv_tls_context *ctx, struct clv_conn *conn, const char *server_name);

/* What a completed handshake negotiated; strings live as long as the program. */
struct clv_tls_facts {
	const char *group;     /* "MLKEM768", "X25519MLKEM768", ... */
	const char *suite;     /* "TLS_AES_128_GCM_SHA256", ... */
	const char *signature; /* algorithm of the server's leaf: "ML-DSA-65", "ECDSA", ... */
	bool is_post_quantum_group;
	uint8_t server_key[32]; /* of the server, see clv_cert_pin */
	/* Server: keys that the client has proven, see clv_chain_client. */
	bool has_client_key, has_client_ca;
	uint8_t client_key[32], client_ca[32];
};

/*
 * Check a completed handshake against the context's profile.  Handshakes outside the profile do not
 * complete in the first place; this is a second check, and returns the facts.
 * Returns 0 and fills *facts; CLV_ECLASSICAL (group or certificate outside the profile).
 */
int clv_tls_verify_profile(const struct clv_conn *conn, struct clv_tls_facts *facts);

/*
 * Returns why a handshake failed, from the alert that the session sent or received:
 * CLV_ECLASSICAL, CLV_EUNTRUSTED (chain, pin or name), else CLV_ETLS; 0 if TLS did not fail.
 */
int clv_tls_failure(const struct clv_conn *conn);

/*
 * The same in words, one line about the other end's certificate, as "expired on ...; the clock here
 * says ..."; "" when there is nothing more to say.  Lends, as long as the session lives.
 */
const char *clv_tls_why(const struct clv_conn *conn);

/* The TLS operations for a connection with one of these sessions. */
extern const struct clv_conn_tls_ops clv_tls_ops;

/* ---- two peers: each proves its key to the other ---- */

#define CLV_TLS_PEER_ALPN "culvert-peer/1"

/* One end's certificates and key, as clv_tls_client_params has them.  Profile pqc only. */
struct clv_tls_peer_params {
	bool is_server;
	const char *cert_pem, *key_pem;
	const char *identity_name; /* of both, for errors */
};

/* Returns and fills error as the two above. */
int clv_tls_peer_context(const struct clv_tls_peer_params *p, struct clv_tls_context **out,
			 char *error, size_t error_len);

/*
 * Make a session between peers for a connection of ngtcp2's; it becomes its native handle.  key: the
 * SHA-256 of the SubjectPublicKeyInfo that the other end has to prove; copies; NULL: any key, which the
 * caller judges when the handshake is complete.  Both ends have to prove one.
 * Returns 0 and fills *session, for clv_tls_ops.free after the connection is gone; -ENOMEM or CLV_ETLS.
 */
int clv_tls_peer_attach(struct clv_tls_context *ctx, ngtcp2_conn *qc, const uint8_t *key,
			void **session);

/*
 * Check a completed handshake.  key: filled with what the other end has proven.
 * Returns 0, CLV_ECLASSICAL or CLV_EUNTRUSTED (it has proven nothing).
 */
int clv_tls_peer_verify(const void *session, uint8_t key[static 32]);

/* Why a handshake failed at this end: CLV_ECLASSICAL, CLV_EUNTRUSTED or CLV_ETLS; 0 if it did not. */
int clv_tls_peer_failure(const void *session);

#endif
