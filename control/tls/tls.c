/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/tls.h"

#include "control/tls/certgen.h"
#include "control/tls/pem.h"
#include "control/tls/tls_session.h"
#include "datapath/base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wolfssl/quic.h>

#define SUITES "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384"

enum {
	RSA_BITS_MIN = 2048,
	QUIC_PARAMS_EXTENSION = 0x39, /* quic_transport_parameters (RFC 9001 section 8.2) */
};

static const struct profile {
	const char *name;
	int groups[2];
	int groups_len;
} profiles[] = {
	[CLV_PROFILE_PQC] = { "pqc", { WOLFSSL_ML_KEM_768 }, 1 },
	[CLV_PROFILE_HYBRID] = { "hybrid",
				 { WOLFSSL_X25519MLKEM768, WOLFSSL_SECP256R1MLKEM768 },
				 2 },
};

const char *clv_profile_name(enum clv_profile profile)
{
	return profiles[profile].name;
}

int clv_profile_parse(const char *text, enum clv_profile *out)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		if (strcmp(profiles[i].name, text) == 0) {
			*out = (enum clv_profile)i;
			return 0;
		}
	}
	return CLV_ESYNTAX;
}

/* ---- contexts ---- */

/* The buffer for error messages. */
struct reason {
	char *text;
	size_t len;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct reason *r, int err,
						      const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(r->text, r->len, fmt, args);
	va_end(args);
	return err;
}

static bool demand_strong_rsa(WOLFSSL_CTX *ctx)
{
#ifndef NO_RSA
	return wolfSSL_CTX_SetMinRsaKey_Sz(ctx, RSA_BITS_MIN) == WOLFSSL_SUCCESS;
#else
	(void)ctx;
	return true;
#endif
}

/* Make a context with the settings that both ends share.  Returns NULL if the library refuses. */
static WOLFSSL_CTX *library_context(enum clv_profile profile, WOLFSSL_METHOD *method)
{
	WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method); /* takes method */
	int groups[2];

	memcpy(groups, profiles[profile].groups, sizeof(groups));
	if (ctx && wolfSSL_CTX_set_quic_method(ctx, &clv_tls_quic_method) == WOLFSSL_SUCCESS &&
	    wolfSSL_CTX_set_cipher_list(ctx, SUITES) == WOLFSSL_SUCCESS && demand_strong_rsa(ctx) &&
	    wolfSSL_CTX_set_groups(ctx, groups, profiles[profile].groups_len) == WOLFSSL_SUCCESS)
		return ctx;
	wolfSSL_CTX_free(ctx);
	return NULL;
}

static WOLFSSL_CTX *library_server_context(enum clv_profile profile)
{
	WOLFSSL_CTX *ctx = library_context(profile, wolfTLSv1_3_server_method());

	if (ctx) {
		wolfSSL_CTX_no_ticket_TLSv13(ctx);
		wolfSSL_CTX_set_max_early_data(ctx, 0);
	}
	return ctx;
}

/* Load a PEM file, or the text of it; every certificate must be of the profile. */
static int load_certs(enum clv_profile profile, const char *path, const char *text,
		      struct clv_pem_file *out, const struct reason *r)
{
	struct clv_pem_file file;
	int err = text ? clv_pem_parse(text, &file) : clv_pem_load(path, &file);

	if (err == CLV_ESYNTAX || err == -ENODATA || err == -E2BIG)
		return fail(r, CLV_ESYNTAX, "%s: %s", path, clv_pem_error(err));
	if (err == -ENOTSUP)
		return fail(r, CLV_ESYNTAX,
			    "%s: a certificate with an algorithm that is not among those taken: %s",
			    path, profile == CLV_PROFILE_PQC ? "ML-DSA-65" : clv_cert_algorithms());
	if (err)
		return fail(r, err, "%s: cannot read: %s", path, clv_strerror(err));
	for (size_t i = 0; i < file.certs_len && profile == CLV_PROFILE_PQC; i++) {
		struct clv_cert_facts facts;

		err = clv_cert_read(&file.certs[i], &facts);
		if (!err && !clv_cert_is_pqc(&facts))
			err = fail(r, CLV_ESYNTAX,
				   "%s: an %s certificate, but profile pqc takes "
				   "ML-DSA-65 only",
				   path, facts.key_algorithm);
		else if (err)
			fail(r, err, "%s: %s", path, clv_strerror(err));
		if (err) {
			clv_pem_free(&file);
			return err;
		}
	}
	*out = file;
	return 0;
}

/* Give ctx the first certs_len certificates and the key.  cert_name, key_name: for errors. */
static int use_identity(WOLFSSL_CTX *ctx, const struct clv_pem_file *chain, size_t certs_len,
			const char *key, const char *cert_name, const char *key_name,
			const struct reason *r)
{
	size_t len = 0;
	uint8_t *der;
	bool taken;

	for (size_t i = 0; i < certs_len; i++)
		len += chain->certs[i].len;
	der = malloc(len);
	if (!der)
		return fail(r, -ENOMEM, "%s: out of memory", cert_name);
	len = 0;
	for (size_t i = 0; i < certs_len; i++) {
		memcpy(der + len, chain->certs[i].data, chain->certs[i].len);
		len += chain->certs[i].len;
	}
	taken = wolfSSL_CTX_use_certificate_chain_buffer_format(
			ctx, der, (long)len, WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
	free(der);
	if (!taken)
		return fail(r, CLV_ESYNTAX, "%s: the TLS library does not accept this certificate",
			    cert_name);
	if (wolfSSL_CTX_use_PrivateKey_buffer(ctx, (const unsigned char *)key, (long)strlen(key),
					      WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		return fail(r, CLV_ESYNTAX, "%s: no private key in PEM form", key_name);
	if (wolfSSL_CTX_check_private_key(ctx) != WOLFSSL_SUCCESS)
		return fail(r, CLV_ESYNTAX, "%s: not the key of %s", key_name, cert_name);
	return 0;
}

/* Fill *out from the first certs_len certificates. */
static int identify(const struct clv_pem_file *chain, size_t certs_len,
		    struct clv_tls_identity *out)
{
	struct clv_cert_facts facts;
	int err = clv_cert_pin(&chain->certs[0], out->pin);

	for (size_t i = 0; i < certs_len && !err; i++) {
		err = clv_cert_read(&chain->certs[i], &facts);
		if (err)
			break;
		if (i == 0 || facts.not_before > out->not_before)
			out->not_before = facts.not_before;
		if (i == 0 || facts.not_after < out->not_after)
			out->not_after = facts.not_after;
	}
	return err;
}

/* Make c's library contexts: one sends the chain without its root, one with it. */
static int use_chain(struct clv_tls_context *c, const struct clv_pem_file *chain, const char *key,
		     const struct clv_tls_server_params *p, const struct reason *r)
{
	struct clv_cert_facts leaf, last;
	size_t without_root = chain->certs_len;
	int err = clv_cert_read(&chain->certs[0], &leaf);

	if (!err)
		err = clv_cert_read(&chain->certs[chain->certs_len - 1], &last);
	if (err)
		return fail(r, err, "%s: %s", p->cert_file, clv_strerror(err));
	c->own_leaf = leaf.key_algorithm;
	if (last.is_self_signed && without_root > 1)
		without_root--;
	err = identify(chain, without_root, &c->identity);
	if (err)
		return fail(r, err, "%s: %s", p->cert_file, clv_strerror(err));
	err = use_identity(c->ctx, chain, without_root, key, p->cert_file, p->key_file, r);
	if (err || without_root == chain->certs_len)
		return err;
	c->ctx_with_root = library_server_context(p->profile);
	if (!c->ctx_with_root)
		return fail(r, -ENOMEM, "%s: out of memory", p->cert_file);
	return use_identity(c->ctx_with_root, chain, chain->certs_len, key, p->cert_file,
			    p->key_file, r);
}

int clv_tls_server_context(const struct clv_tls_server_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len)
{
	struct reason r = { error, error_len };
	struct clv_tls_context *c = calloc(1, sizeof(*c));
	struct clv_pem_file chain = { 0 };
	char *key = NULL;
	size_t key_len;
	int err;

	if (!c)
		return fail(&r, -ENOMEM, "out of memory");
	c->profile = p->profile;
	c->ctx = library_server_context(p->profile);
	if (!c->ctx) {
		err = fail(&r, CLV_ETLS, "the TLS library refused profile %s",
			   clv_profile_name(p->profile));
		goto free_context;
	}
	err = load_certs(p->profile, p->cert_file, p->cert_pem, &chain, &r);
	if (err)
		goto free_context;
	if (!p->key_pem)
		err = clv_pem_read(p->key_file, &key, &key_len);
	if (err)
		fail(&r, err, "%s: cannot read: %s", p->key_file, clv_strerror(err));
	else
		err = use_chain(c, &chain, p->key_pem ? p->key_pem : key, p, &r);
	clv_certgen_free_key(key);
	clv_pem_free(&chain);
	if (err)
		goto free_context;
	*out = c;
	return 0;

free_context:
	clv_tls_context_free(c);
	return err;
}

/* Give a client its own certificates and key, all of the profile. */
static int use_client_identity(struct clv_tls_context *c, const struct clv_tls_client_params *p,
			       const struct reason *r)
{
	struct clv_pem_file chain;
	int err = load_certs(p->profile, p->identity_name, p->cert_pem, &chain, r);

	if (err)
		return err;
	err = use_identity(c->ctx, &chain, chain.certs_len, p->key_pem, p->identity_name,
			   p->identity_name, r);
	clv_pem_free(&chain);
	return err;
}

int clv_tls_client_context(const struct clv_tls_client_params *p, struct clv_tls_context **out,
			   char *error, size_t error_len)
{
	struct reason r = { error, error_len };
	struct clv_tls_context *c = calloc(1, sizeof(*c));
	int err = 0;

	if (!c)
		return fail(&r, -ENOMEM, "out of memory");
	c->profile = p->profile;
	c->ctx = library_context(p->profile, wolfTLSv1_3_client_method());
	if (!c->ctx) {
		err = fail(&r, CLV_ETLS, "the TLS library refused profile %s",
			   clv_profile_name(p->profile));
	} else if (p->ca_sha256) {
		c->is_pinned = true;
		memcpy(c->pin, p->ca_sha256, sizeof(c->pin));
	} else if (p->ca_file) {
		err = clv_anchors_load(p->profile, p->ca_file, &c->anchors, error, error_len);
	} else {
		err = fail(&r, CLV_ETLS, "neither a CA file nor a fingerprint to trust");
	}
	if (!err && p->cert_pem)
		err = use_client_identity(c, p, &r);
	if (err) {
		clv_tls_context_free(c);
		return err;
	}
	wolfSSL_CTX_set_verify(c->ctx, WOLFSSL_VERIFY_PEER, clv_tls_verify_callback);
	*out = c;
	return 0;
}

void clv_tls_server_identity(const struct clv_tls_context *ctx, struct clv_tls_identity *out)
{
	*out = ctx->identity;
}

void clv_tls_server_ask(struct clv_tls_context *ctx, bool asks_clients)
{
	ctx->asks_clients = asks_clients;
}

void clv_tls_context_free(struct clv_tls_context *c)
{
	if (!c)
		return;
	wolfSSL_CTX_free(c->ctx);
	wolfSSL_CTX_free(c->ctx_with_root);
	clv_anchors_unref(c->anchors);
	free(c);
}

/* ---- sessions ---- */

static bool is_address(const char *name)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

static bool prepare_client(const struct clv_tls_context *c, struct clv_tls_session *s,
			   const char *name)
{
	WOLFSSL *ssl = s->ssl;
	int groups[2];

	s->is_pinned = c->is_pinned;
	memcpy(s->pin, c->pin, sizeof(s->pin));
	s->anchors = clv_anchors_ref(c->anchors);
	s->name = name ? strdup(name) : NULL;
	/* A pin may do without; a CA vouches for many servers. */
	if (!s->name && (name || !c->is_pinned))
		return false;

	memcpy(groups, profiles[c->profile].groups, sizeof(groups));
	if (wolfSSL_set_groups(ssl, groups, profiles[c->profile].groups_len) != WOLFSSL_SUCCESS ||
	    wolfSSL_UseKeyShare(ssl, (word16)groups[0]) != WOLFSSL_SUCCESS)
		return false;
	/* Server Name Indication must not contain addresses (RFC 6066 section 3). */
	if (name && !is_address(name) &&
	    wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, name, (unsigned short)strlen(name)) !=
		    WOLFSSL_SUCCESS)
		return false;
	return true;
}

/* Returns 0 and fills *out, which is to become the native handle of qc; -ENOMEM or CLV_ETLS. */
static int open_session(struct clv_tls_context *ctx, ngtcp2_conn *qc, bool is_server,
			const char *alpn, struct clv_tls_session **out)
{
	struct clv_tls_session *s = calloc(1, sizeof(*s));
	char name[32]; /* wolfSSL's parameter is not const */

	if (!s)
		return -ENOMEM;
	s->ssl = wolfSSL_new(ctx->ctx);
	if (ctx->ctx_with_root && wolfSSL_CTX_up_ref(ctx->ctx_with_root) == WOLFSSL_SUCCESS)
		s->ctx_with_root = ctx->ctx_with_root;
	s->qc = qc;
	s->profile = ctx->profile;
	s->alpn = alpn;
	s->is_server = is_server;
	s->is_peer = ctx->is_peer;
	clv_hello_init(&s->hello, profiles[s->profile].groups,
		       (size_t)profiles[s->profile].groups_len);
	s->facts.signature = ctx->own_leaf;
	memcpy(s->facts.server_key, ctx->identity.pin, sizeof(s->facts.server_key));
	if (!s->ssl)
		goto free_session;
	wolfSSL_set_app_data(s->ssl, s);
	wolfSSL_SetCertCbCtx(s->ssl, s);
	/* Only the standard codepoint, or the parameters would be sent twice. */
	wolfSSL_set_quic_transport_version(s->ssl, QUIC_PARAMS_EXTENSION);
	snprintf(name, sizeof(name), "%s", alpn);
	if (wolfSSL_UseALPN(s->ssl, name, (unsigned)strlen(name),
			    WOLFSSL_ALPN_FAILED_ON_MISMATCH) != WOLFSSL_SUCCESS)
		goto free_session;
	*out = s;
	return 0;

free_session:
	clv_tls_ops.free(s);
	return CLV_ETLS;
}

int clv_tls_attach(struct clv_tls_context *ctx, struct clv_conn *conn, const char *server_name)
{
	struct clv_tls_session *s;
	int err = open_session(ctx, conn->qc, conn->is_server, "h3", &s);

	if (err)
		return err;
	if (s->is_server && ctx->asks_clients)
		wolfSSL_set_verify(s->ssl, WOLFSSL_VERIFY_PEER, clv_tls_verify_callback);
	if (s->is_server) {
		wolfSSL_set_accept_state(s->ssl);
	} else if (!prepare_client(ctx, s, server_name)) {
		clv_tls_ops.free(s);
		return CLV_ETLS;
	} else {
		wolfSSL_set_connect_state(s->ssl);
	}
	ngtcp2_conn_set_tls_native_handle(conn->qc, s);
	clv_conn_set_tls(conn, s, &clv_tls_ops);
	return 0;
}

/* ---- peers ---- */

int clv_tls_peer_context(const struct clv_tls_peer_params *p, struct clv_tls_context **out,
			 char *error, size_t error_len)
{
	const struct clv_tls_client_params identity = {
		.profile = CLV_PROFILE_PQC,
		.cert_pem = p->cert_pem,
		.key_pem = p->key_pem,
		.identity_name = p->identity_name,
	};
	struct reason r = { error, error_len };
	struct clv_tls_context *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return fail(&r, -ENOMEM, "out of memory");
	c->profile = CLV_PROFILE_PQC;
	c->is_peer = true;
	c->ctx = p->is_server ? library_server_context(c->profile)
			      : library_context(c->profile, wolfTLSv1_3_client_method());
	err = c->ctx ? use_client_identity(c, &identity, &r)
		     : fail(&r, CLV_ETLS, "the TLS library refused profile %s",
			    clv_profile_name(c->profile));
	if (err) {
		clv_tls_context_free(c);
		return err;
	}
	wolfSSL_CTX_set_verify(c->ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			       clv_tls_verify_callback);
	*out = c;
	return 0;
}

int clv_tls_peer_attach(struct clv_tls_context *ctx, ngtcp2_conn *qc, const uint8_t *key,
			void **session)
{
	int group = profiles[CLV_PROFILE_PQC].groups[0];
	struct clv_tls_session *s;
	int err = open_session(ctx, qc, ngtcp2_conn_is_server2(qc), CLV_TLS_PEER_ALPN, &s);

	if (err)
		return err;
	s->is_pinned = key != NULL;
	if (key)
		memcpy(s->pin, key, sizeof(s->pin));
	if (s->is_server)
		wolfSSL_set_accept_state(s->ssl);
	else
		wolfSSL_set_connect_state(s->ssl);
	if (!s->is_server && (wolfSSL_set_groups(s->ssl, &group, 1) != WOLFSSL_SUCCESS ||
			      wolfSSL_UseKeyShare(s->ssl, (word16)group) != WOLFSSL_SUCCESS)) {
		clv_tls_ops.free(s);
		return CLV_ETLS;
	}
	ngtcp2_conn_set_tls_native_handle(qc, s);
	*session = s;
	return 0;
}

/* ---- after the handshake ---- */

static int verify_profile(const struct clv_tls_session *s, struct clv_tls_facts *facts)
{
	bool is_leaf_right = s->profile != CLV_PROFILE_PQC ||
			     (s->facts.signature && !strcmp(s->facts.signature, "ML-DSA-65"));

	/* The group was checked before the first protected byte went out. */
	if (s->is_classical || !s->has_handshake_keys || !s->facts.is_post_quantum_group ||
	    !is_leaf_right)
		return CLV_ECLASSICAL;
	*facts = s->facts;
	return 0;
}

int clv_tls_verify_profile(const struct clv_conn *conn, struct clv_tls_facts *facts)
{
	return verify_profile(conn->tls, facts);
}

int clv_tls_peer_verify(const void *session, uint8_t key[static 32])
{
	const struct clv_tls_session *s = session;
	struct clv_tls_facts facts;
	int err;

	if (!s->is_trusted || !s->facts.has_client_key)
		return CLV_EUNTRUSTED;
	err = verify_profile(s, &facts);
	if (!err)
		memcpy(key, facts.client_key, sizeof(facts.client_key));
	return err;
}

int clv_tls_peer_failure(const void *session)
{
	const struct clv_tls_session *s = session;

	if (!s->has_alert)
		return 0;
	if (s->is_classical)
		return CLV_ECLASSICAL;
	return s->is_untrusted ? CLV_EUNTRUSTED : CLV_ETLS;
}

/* Whether an alert before the keys means that no key exchange of ours was acceptable. */
static bool is_about_groups(uint8_t alert)
{
	return alert == CLV_ALERT_HANDSHAKE_FAILURE || alert == CLV_ALERT_ILLEGAL_PARAMETER ||
	       alert == CLV_ALERT_INSUFFICIENT_SECURITY;
}

const char *clv_tls_why(const struct clv_conn *conn)
{
	const struct clv_tls_session *s = conn->tls;

	return s->why ? s->why : "";
}

int clv_tls_failure(const struct clv_conn *conn)
{
	const struct clv_tls_session *s = conn->tls;
	/* RFC 9001 section 4.8: CRYPTO_ERROR is 0x0100 + alert. */
	bool is_remote_alert = conn->close_is_remote && !conn->close_is_app &&
			       conn->close_code >= 0x100 && conn->close_code <= 0x1ff;
	uint8_t alert = s->has_alert ? s->alert : (uint8_t)conn->close_code;

	if (!s->has_alert && !is_remote_alert)
		return 0;
	if (s->is_classical)
		return CLV_ECLASSICAL;
	if (s->is_untrusted)
		return CLV_EUNTRUSTED;
	if (!s->has_handshake_keys && is_about_groups(alert))
		return CLV_ECLASSICAL;
	/* Alerts 42 to 48 except illegal_parameter are about certificates: ours about theirs. */
	if (s->has_alert && alert >= CLV_ALERT_BAD_CERTIFICATE && alert <= CLV_ALERT_UNKNOWN_CA &&
	    alert != CLV_ALERT_ILLEGAL_PARAMETER)
		return CLV_EUNTRUSTED;
	return CLV_ETLS;
}
