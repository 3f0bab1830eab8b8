/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "control/handshake/certgen.h"
#include "control/handshake/certs.h"
#include "control/handshake/tls.h"
#include "control/handshake/tls_session.h"
#include "datapath/base/err.h"
#include "datapath/session/aead.h"
#include "handshake_pair.h"

static const char *const names[] = { "relay.example", "192.0.2.7", "2001:db8::7" };

/* Two relays' folders, so that each has a CA the other's clients do not trust. */
static char folder[2][64];
static struct clv_certs certs[2][2]; /* by relay, by enum clv_profile */

static int make_certificates(void **state)
{
	char error[256];

	(void)state;
	for (int i = 0; i < 2; i++) {
		strcpy(folder[i], "/tmp/clv-tls-XXXXXX");
		if (!mkdtemp(folder[i]))
			return -1;
		for (int p = 0; p < 2; p++)
			if (clv_certs_ensure((enum clv_profile)p, folder[i], names, 3, &certs[i][p],
					     error, sizeof(error))) {
				print_error("%s\n", error);
				return -1;
			}
	}
	return 0;
}

static int remove_certificates(void **state)
{
	char command[160];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s %s", folder[0], folder[1]);
	return system(command);
}

static const char *file(int relay, const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder[relay], name);
	return path[turn];
}

static const char *ca_file(int relay, enum clv_profile profile)
{
	return file(relay, profile == CLV_PROFILE_PQC ? "tls/ca.pem" : "tls/hybrid-ca.pem");
}

static struct clv_tls_context *server_context(enum clv_profile profile)
{
	struct clv_tls_server_params p = {
		.profile = profile,
		.cert_file = certs[0][profile].cert_file,
		.key_file = certs[0][profile].key_file,
	};
	struct clv_tls_context *c = NULL;
	char error[256] = "";
	int err = clv_tls_server_context(&p, &c, error, sizeof(error));

	if (err)
		fail_msg("%d %s", err, error);
	return c;
}

static struct clv_tls_context *client_context(enum clv_profile profile, const char *ca,
					      const uint8_t *pin)
{
	struct clv_tls_client_params p = { .profile = profile, .ca_file = ca, .ca_sha256 = pin };
	struct clv_tls_context *c = NULL;
	char error[256] = "";
	int err = clv_tls_client_context(&p, &c, error, sizeof(error));

	if (err)
		fail_msg("%d %s", err, error);
	return c;
}

static void sha256_of(const char *path, size_t index, uint8_t out[32])
{
	struct clv_pem_file pem;

	assert_int_equal(clv_pem_load(path, &pem), 0);
	assert_true(index < pem.certs_len);
	clv_cert_sha256(&pem.certs[index], out);
	clv_pem_free(&pem);
}

/* Put a session in place of a client's that offers these groups and no others, unlike ours. */
static void offer(struct clv_conn *conn, struct clv_tls_context *context, int share, int *groups,
		  int groups_len)
{
	struct clv_tls_session *s = conn->tls;

	wolfSSL_free(s->ssl);
	s->ssl = wolfSSL_new(context->ctx);
	assert_non_null(s->ssl);
	wolfSSL_set_app_data(s->ssl, s);
	wolfSSL_SetCertCbCtx(s->ssl, s);
	wolfSSL_set_quic_transport_version(s->ssl, 0x39);
	assert_int_equal(
		wolfSSL_UseALPN(s->ssl, (char[]){ "h3" }, 2, WOLFSSL_ALPN_FAILED_ON_MISMATCH),
		WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_set_groups(s->ssl, groups, groups_len), WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_UseKeyShare(s->ssl, (word16)share), WOLFSSL_SUCCESS);
	wolfSSL_set_connect_state(s->ssl);
}

static void assert_completed(struct pair *p, const char *group, const char *signature)
{
	struct clv_conn *const ends[] = { p->client, p->server };

	assert_true(p->client_done);
	assert_true(p->server_done);
	for (int i = 0; i < 2; i++) {
		struct clv_tls_facts facts;

		assert_int_equal(clv_tls_verify_profile(ends[i], &facts), 0);
		assert_string_equal(facts.group, group);
		assert_string_equal(facts.suite, "TLS_AES_128_GCM_SHA256");
		assert_string_equal(facts.signature, signature);
		assert_true(facts.is_post_quantum_group);
		assert_int_equal(clv_tls_failure(ends[i]), 0);
	}
	assert_int_equal(p->client->closing, CLV_CONN_OPEN);
	assert_int_equal(p->server->closing, CLV_CONN_OPEN);
}

static void assert_refused(struct pair *p, int why)
{
	assert_false(p->client_done);
	assert_false(p->server_done);
	assert_int_equal(clv_tls_failure(p->client), why);
}

/* Run one handshake with our own ends and say how it came out. */
static void shake(struct clv_tls_context *server, struct clv_tls_context *client, const char *name,
		  int expected, const char *group, const char *signature)
{
	struct pair p;

	pair_init(&p, server);
	pair_client(&p, client, name);
	pair_run(&p);
	if (expected)
		assert_refused(&p, expected);
	else
		assert_completed(&p, group, signature);
	pair_fini(&p);
}

/* ---- what completes ---- */

static void each_profile_completes_with_its_groups_and_certificates(void **state)
{
	static const struct {
		enum clv_profile profile;
		const char *group, *signature;
	} cases[] = {
		{ CLV_PROFILE_PQC, "MLKEM768", "ML-DSA-65" },
		{ CLV_PROFILE_HYBRID, "X25519MLKEM768", "ECDSA" },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct clv_tls_context *s = server_context(cases[i].profile);
		struct clv_tls_context *c = client_context(cases[i].profile,
							   ca_file(0, cases[i].profile), NULL);

		shake(s, c, "relay.example", 0, cases[i].group, cases[i].signature);
		/* and again with what the contexts learned from the first time */
		shake(s, c, "relay.example", 0, cases[i].group, cases[i].signature);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void hybrid_takes_p256_with_mlkem(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_HYBRID);
	struct clv_tls_context *c = client_context(CLV_PROFILE_HYBRID,
						   ca_file(0, CLV_PROFILE_HYBRID), NULL);
	int groups[] = { WOLFSSL_SECP256R1MLKEM768 };
	struct pair p;

	(void)state;
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	offer(p.client, c, groups[0], groups, 1);
	pair_run(&p);
	assert_completed(&p, "SecP256r1MLKEM768", "ECDSA");
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void version_2_completes(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	struct pair p;

	(void)state;
	pair_init(&p, s);
	p.version = NGTCP2_PROTO_VER_V2;
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	assert_completed(&p, "MLKEM768", "ML-DSA-65");
	assert_int_equal(ngtcp2_conn_get_negotiated_version2(p.server->qc), NGTCP2_PROTO_VER_V2);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_classical_share_beside_mlkem_is_asked_again(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ML_KEM_768 };
	struct pair p;

	(void)state;
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	offer(p.client, c, WOLFSSL_ECC_X25519, groups, 2);
	pair_run(&p);
	assert_completed(&p, "MLKEM768", "ML-DSA-65");
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void contexts_may_go_before_their_sessions(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, NULL,
						   certs[0][CLV_PROFILE_PQC].ca_sha256);
	struct clv_conn_params params = { .version = NGTCP2_PROTO_VER_V1 };
	struct pair p;

	(void)state;
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	params.client_dcid = *ngtcp2_conn_get_client_initial_dcid2(p.client->qc);
	assert_true(ngtcp2_conn_get_scid2(p.client->qc, &params.client_scid) > 0);
	pair_server(&p, &params);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
	pair_run(&p);
	assert_completed(&p, "MLKEM768", "ML-DSA-65");
	pair_fini(&p);
}

/* ---- sizes ---- */

static void one_round_trip_suffices_to_who_has_the_ca(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct pair p;

	(void)state;
	for (int is_pinned = 0; is_pinned < 2; is_pinned++) {
		struct clv_tls_context *c = is_pinned ? client_context(
								CLV_PROFILE_PQC, NULL,
								certs[0][CLV_PROFILE_PQC].ca_sha256)
						      : client_context(CLV_PROFILE_PQC,
								       ca_file(0, CLV_PROFILE_PQC),
								       NULL);

		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		pair_run(&p);
		assert_completed(&p, "MLKEM768", "ML-DSA-65");
		/* The client's padding buys the budget for the leaf; the CA takes a second trip. */
		assert_int_equal(p.flight[0].datagrams, 4);
		assert_in_range(p.flight[1].bytes, 10000, 3 * p.flight[0].bytes);
		assert_int_equal(p.client_done_after, is_pinned ? 4 : 2);
		pair_fini(&p);
		clv_tls_context_free(c);
	}
	clv_tls_context_free(s);
}

/* ---- who is trusted ---- */

static void names_are_checked_against_the_certificate(void **state)
{
	static const struct {
		const char *name;
		int expected;
	} cases[] = {
		{ "relay.example", 0 },
		{ "RELAY.example", 0 },
		{ "192.0.2.7", 0 },
		{ "2001:db8::7", 0 },
		{ "2001:0DB8:0::7", 0 },
		{ "other.example", CLV_EUNTRUSTED },
		{ "192.0.2.8", CLV_EUNTRUSTED },
		{ "2001:db8::8", CLV_EUNTRUSTED },
	};

	(void)state;
	for (int profile = 0; profile < 2; profile++) {
		struct clv_tls_context *s = server_context((enum clv_profile)profile);
		struct clv_tls_context *c = client_context(
			(enum clv_profile)profile, ca_file(0, (enum clv_profile)profile), NULL);

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			shake(s, c, cases[i].name, cases[i].expected,
			      profile ? "X25519MLKEM768" : "MLKEM768",
			      profile ? "ECDSA" : "ML-DSA-65");
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void a_ca_file_needs_a_name_to_check(void **state)
{
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	struct clv_conn conn = { 0 };

	(void)state;
	assert_int_equal(clv_tls_attach(c, &conn, NULL), CLV_ETLS);
	clv_tls_context_free(c);
}

static void another_ca_is_not_trusted(void **state)
{
	(void)state;
	for (int profile = 0; profile < 2; profile++) {
		struct clv_tls_context *s = server_context((enum clv_profile)profile);
		struct clv_tls_context *c = client_context(
			(enum clv_profile)profile, ca_file(1, (enum clv_profile)profile), NULL);

		shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void a_pin_is_the_ca_or_the_leaf(void **state)
{
	const char *chain = certs[0][CLV_PROFILE_PQC].cert_file;
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct {
		uint8_t pin[32];
		int expected;
	} cases[4] = {
		{ .expected = 0 },
		{ .expected = 0 },
		{ .expected = CLV_EUNTRUSTED },
		{ .expected = CLV_EUNTRUSTED },
	};

	(void)state;
	sha256_of(chain, 0, cases[0].pin);
	sha256_of(chain, 1, cases[1].pin);
	sha256_of(certs[1][CLV_PROFILE_PQC].cert_file, 1, cases[2].pin);
	for (int i = 0; i < 4; i++) {
		struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, NULL, cases[i].pin);

		/* A fingerprint says which relay: the name needs not match, nor be there. */
		shake(s, c, "other.example", cases[i].expected, "MLKEM768", "ML-DSA-65");
		shake(s, c, NULL, cases[i].expected, "MLKEM768", "ML-DSA-65");
		clv_tls_context_free(c);
	}
	clv_tls_context_free(s);
}

static void a_chain_without_root_serves_who_pins_its_leaf(void **state)
{
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_PQC,
		.cert_file = file(1, "leaf-only.pem"),
		.key_file = certs[0][CLV_PROFILE_PQC].key_file,
	};
	struct clv_tls_context *s, *c;
	struct clv_pem_file chain;
	uint8_t leaf[32];
	char error[256];
	FILE *out = fopen(p.cert_file, "w");

	(void)state;
	assert_non_null(out);
	assert_int_equal(clv_pem_load(certs[0][CLV_PROFILE_PQC].cert_file, &chain), 0);
	fwrite(chain.text, 1,
	       (size_t)(strstr(chain.text, "-----END CERTIFICATE-----\n") + 26 - chain.text), out);
	fclose(out);
	clv_cert_sha256(&chain.certs[0], leaf);
	clv_pem_free(&chain);
	assert_int_equal(clv_tls_server_context(&p, &s, error, sizeof(error)), 0);
	c = client_context(CLV_PROFILE_PQC, NULL, leaf);
	shake(s, c, NULL, 0, "MLKEM768", "ML-DSA-65");
	clv_tls_context_free(c);
	c = client_context(CLV_PROFILE_PQC, NULL, certs[0][CLV_PROFILE_PQC].ca_sha256);
	shake(s, c, NULL, CLV_EUNTRUSTED, NULL, NULL);
	clv_tls_context_free(c);
	clv_tls_context_free(s);
}

/* Write leaf_of's leaf, and behind it a CA that did not sign it. */
static void forge_chain(const char *path, const char *leaf_file, const char *ca)
{
	struct clv_pem_file leaf, other;
	const char *end;
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(clv_pem_load(leaf_file, &leaf), 0);
	assert_int_equal(clv_pem_load(ca, &other), 0);
	end = strstr(leaf.text, "-----END CERTIFICATE-----\n") + 26;
	fwrite(leaf.text, 1, (size_t)(end - leaf.text), out);
	fputs(other.text, out);
	fclose(out);
	clv_pem_free(&leaf);
	clv_pem_free(&other);
}

static void showing_the_pinned_ca_is_not_being_signed_by_it(void **state)
{
	const struct clv_certs *real = &certs[0][CLV_PROFILE_PQC];
	const struct clv_certs *forger = &certs[1][CLV_PROFILE_PQC];
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_PQC,
		.cert_file = file(1, "forged.pem"),
		.key_file = forger->key_file,
	};
	struct clv_tls_context *s, *c;
	char error[256];

	(void)state;
	forge_chain(p.cert_file, forger->cert_file, ca_file(0, CLV_PROFILE_PQC));
	assert_int_equal(clv_tls_server_context(&p, &s, error, sizeof(error)), 0);
	c = client_context(CLV_PROFILE_PQC, NULL, real->ca_sha256);
	shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
	/* nor later, when the context has seen that CA */
	shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static time_t days_later(time_t *t)
{
	time_t then = time(NULL) + 400 * 86400L;

	if (t)
		*t = then;
	return then;
}

static void an_expired_leaf_is_not_trusted_however_it_is_anchored(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c[3];
	uint8_t leaf[32];

	(void)state;
	sha256_of(certs[0][CLV_PROFILE_PQC].cert_file, 0, leaf);
	c[0] = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC), NULL);
	c[1] = client_context(CLV_PROFILE_PQC, NULL, certs[0][CLV_PROFILE_PQC].ca_sha256);
	c[2] = client_context(CLV_PROFILE_PQC, NULL, leaf);
	wc_SetTimeCb(days_later);
	for (int i = 0; i < 3; i++)
		shake(s, c[i], "relay.example", CLV_EUNTRUSTED, NULL, NULL);
	wc_SetTimeCb(NULL);
	for (int i = 0; i < 3; i++)
		clv_tls_context_free(c[i]);
	clv_tls_context_free(s);
}

/* ---- what is refused as classical ---- */

static void classical_offers_are_refused(void **state)
{
	static const struct {
		enum clv_profile profile;
		int group;
	} cases[] = {
		{ CLV_PROFILE_PQC, WOLFSSL_ECC_X25519 },
		{ CLV_PROFILE_PQC, WOLFSSL_ECC_SECP256R1 },
		{ CLV_PROFILE_PQC, WOLFSSL_X25519MLKEM768 },
		{ CLV_PROFILE_HYBRID, WOLFSSL_ECC_X25519 },
		{ CLV_PROFILE_HYBRID, WOLFSSL_ECC_SECP256R1 },
		{ CLV_PROFILE_HYBRID, WOLFSSL_ML_KEM_768 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_tls_context *s = server_context(cases[i].profile);
		struct clv_tls_context *c = client_context(cases[i].profile,
							   ca_file(0, cases[i].profile), NULL);
		int groups[] = { cases[i].group };
		struct pair p;

		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		offer(p.client, c, groups[0], groups, 1);
		pair_run(&p);
		assert_refused(&p, CLV_ECLASSICAL);
		pair_fini(&p);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static int lax_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *rx,
		       const uint8_t *tx, size_t len)
{
	struct clv_tls_session *s = wolfSSL_get_app_data(ssl);
	const uint8_t *params;
	size_t params_len;

	/* A server that does not mind: everything of ours but the checks before the keys. */
	s->has_handshake_keys = true;
	if (level == wolfssl_encryption_handshake && !ngtcp2_conn_get_negotiated_version2(s->qc)) {
		wolfSSL_get_peer_quic_transport_params(ssl, &params, &params_len);
		assert_int_equal(ngtcp2_conn_decode_and_set_remote_transport_params(s->qc, params,
										    params_len),
				 0);
	}
	return clv_tls_quic_method.set_encryption_secrets(ssl, level, rx, tx, len);
}

static void either_end_alone_refuses_what_both_libraries_would_do(void **state)
{
	WOLFSSL_QUIC_METHOD lax = clv_tls_quic_method;

	(void)state;
	lax.set_encryption_secrets = lax_secrets;
	for (int is_server_lax = 0; is_server_lax < 2; is_server_lax++) {
		struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
		struct clv_tls_context *c = client_context(CLV_PROFILE_PQC,
							   ca_file(0, CLV_PROFILE_PQC), NULL);
		int groups[] = { WOLFSSL_ECC_X25519 };
		struct clv_tls_session *client, *server;
		struct pair p;

		assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
		if (is_server_lax)
			assert_int_equal(wolfSSL_CTX_set_quic_method(s->ctx, &lax),
					 WOLFSSL_SUCCESS);
		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		offer(p.client, c, groups[0], groups, 1);
		pair_run(&p);
		client = p.client->tls;
		server = p.server->tls;
		assert_refused(&p, CLV_ECLASSICAL);
		assert_int_equal(client->is_classical, is_server_lax);
		assert_int_equal(server->is_classical, !is_server_lax);
		pair_fini(&p);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void profiles_do_not_mix(void **state)
{
	struct clv_tls_context *s, *c;

	(void)state;
	s = server_context(CLV_PROFILE_HYBRID);
	c = client_context(CLV_PROFILE_PQC, NULL, certs[0][CLV_PROFILE_HYBRID].ca_sha256);
	shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
	s = server_context(CLV_PROFILE_PQC);
	c = client_context(CLV_PROFILE_HYBRID, NULL, certs[0][CLV_PROFILE_PQC].ca_sha256);
	shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_pqc_client_refuses_a_server_with_classical_groups_only(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	int groups[] = { WOLFSSL_ECC_X25519 };

	(void)state;
	assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
	shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_pqc_client_refuses_an_ecdsa_certificate_it_trusts(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_HYBRID);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, NULL,
						   certs[0][CLV_PROFILE_HYBRID].ca_sha256);
	int groups[] = { WOLFSSL_ML_KEM_768 };
	struct pair p;

	(void)state;
	assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
	s->profile = CLV_PROFILE_PQC; /* so that the server's own check lets the group pass */
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	assert_refused(&p, CLV_ECLASSICAL);
	assert_int_equal(p.client->close_code, 0x100 + 43);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

/* ---- the rest of the protocol ---- */

static const char *offered_protocol;

static void speak_other(struct clv_conn *conn, struct clv_tls_context *c)
{
	struct clv_tls_session *s = conn->tls;

	wolfSSL_free(s->ssl);
	s->ssl = wolfSSL_new(c->ctx);
	assert_non_null(s->ssl);
	wolfSSL_set_app_data(s->ssl, s);
	wolfSSL_SetCertCbCtx(s->ssl, s);
	wolfSSL_set_quic_transport_version(s->ssl, 0x39);
	if (offered_protocol)
		assert_int_equal(wolfSSL_UseALPN(s->ssl, (char *)offered_protocol,
						 (unsigned)strlen(offered_protocol),
						 WOLFSSL_ALPN_CONTINUE_ON_MISMATCH),
				 WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_UseKeyShare(s->ssl, WOLFSSL_ML_KEM_768), WOLFSSL_SUCCESS);
	wolfSSL_set_connect_state(s->ssl);
}

static void anything_but_h3_is_no_application_protocol(void **state)
{
	static const char *const protocols[] = { "hq-interop", "h2", "h", "h3x", NULL };

	(void)state;
	for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
		struct clv_tls_context *c = client_context(CLV_PROFILE_PQC,
							   ca_file(0, CLV_PROFILE_PQC), NULL);
		struct pair p;

		offered_protocol = protocols[i];
		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		speak_other(p.client, c);
		pair_run(&p);
		assert_refused(&p, CLV_ETLS);
		assert_int_equal(p.server->close_code, 0x100 + 120);
		assert_false(p.server->close_is_remote);
		pair_fini(&p);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void answer_without_protocol(struct clv_conn *conn)
{
	struct clv_tls_session *s = conn->tls;
	WOLFSSL *ssl = wolfSSL_new(wolfSSL_get_SSL_CTX(s->ssl));

	wolfSSL_free(s->ssl);
	s->ssl = ssl;
	wolfSSL_set_app_data(ssl, s);
	wolfSSL_set_quic_transport_version(ssl, 0x39);
	wolfSSL_set_accept_state(ssl);
}

static void a_server_without_h3_is_refused_by_the_client(void **state)
{
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	WOLFSSL_QUIC_METHOD lax = clv_tls_quic_method;
	struct pair p;

	(void)state;
	lax.set_encryption_secrets = lax_secrets;
	assert_int_equal(wolfSSL_CTX_set_quic_method(s->ctx, &lax), WOLFSSL_SUCCESS);
	pair_init(&p, s);
	p.tamper_server = answer_without_protocol;
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	assert_refused(&p, CLV_ETLS);
	assert_int_equal(p.client->close_code, 0x100 + 120);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void crypto_after_the_handshake_is_refused_by_the_server(void **state)
{
	static const uint8_t key_update[] = { 24, 0, 0, 1, 0 };
	struct clv_tls_context *s = server_context(CLV_PROFILE_PQC);
	struct clv_tls_context *c = client_context(CLV_PROFILE_PQC, ca_file(0, CLV_PROFILE_PQC),
						   NULL);
	struct pair p;

	(void)state;
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	assert_completed(&p, "MLKEM768", "ML-DSA-65");
	assert_null(((struct clv_tls_session *)p.server->tls)->ssl);
	assert_int_equal(ngtcp2_conn_submit_crypto_data(p.client->qc, NGTCP2_ENCRYPTION_LEVEL_1RTT,
							key_update, sizeof(key_update)),
			 0);
	pair_run(&p);
	assert_int_equal(p.server->close_code, 0x100 + 10);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void no_key_context_outlives_its_connection(void **state)
{
	(void)state;
	assert_int_equal(clv_aead_live(), 0);
}

/* ---- files ---- */

static void bad_files_are_named(void **state)
{
	const struct clv_certs *pqc = &certs[0][CLV_PROFILE_PQC];
	const struct clv_certs *hybrid = &certs[0][CLV_PROFILE_HYBRID];
	const struct {
		enum clv_profile profile;
		const char *cert_file, *key_file;
		int err;
		const char *says;
	} cases[] = {
		{ CLV_PROFILE_PQC, "/nonexistent/x.pem", pqc->key_file, -ENOENT, "x.pem" },
		{ CLV_PROFILE_PQC, "/tmp", pqc->key_file, -EISDIR, "/tmp" },
		{ CLV_PROFILE_PQC, pqc->key_file, pqc->key_file, CLV_ESYNTAX, "no certificate" },
		{ CLV_PROFILE_PQC, pqc->cert_file, "/nonexistent/y.key", -ENOENT, "y.key" },
		{ CLV_PROFILE_PQC, pqc->cert_file, pqc->cert_file, CLV_ESYNTAX, "no private key" },
		{ CLV_PROFILE_PQC, pqc->cert_file, certs[1][CLV_PROFILE_PQC].key_file, CLV_ESYNTAX,
		  "not the key of" },
		{ CLV_PROFILE_HYBRID, hybrid->cert_file, certs[1][CLV_PROFILE_HYBRID].key_file,
		  CLV_ESYNTAX, "not the key of" },
		{ CLV_PROFILE_PQC, hybrid->cert_file, hybrid->key_file, CLV_ESYNTAX, "ECDSA" },
		{ CLV_PROFILE_HYBRID, pqc->cert_file, pqc->key_file, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_tls_server_params p = { cases[i].profile, cases[i].cert_file,
						   cases[i].key_file };
		struct clv_tls_context *c = NULL;
		char error[256] = "";

		assert_int_equal(clv_tls_server_context(&p, &c, error, sizeof(error)),
				 cases[i].err);
		if (cases[i].says)
			assert_non_null(strstr(error, cases[i].says));
		clv_tls_context_free(c);
	}
}

static void bad_client_files_are_named(void **state)
{
	const struct {
		enum clv_profile profile;
		const char *ca_file;
		int err;
		const char *says;
	} cases[] = {
		{ CLV_PROFILE_PQC, "/nonexistent/ca.pem", -ENOENT, "ca.pem" },
		{ CLV_PROFILE_PQC, certs[0][0].key_file, CLV_ESYNTAX, "no certificate" },
		{ CLV_PROFILE_PQC, certs[0][1].cert_file, CLV_ESYNTAX, "ECDSA" },
		{ CLV_PROFILE_PQC, NULL, CLV_ETLS, "trust" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_tls_client_params p = { .profile = cases[i].profile,
						   .ca_file = cases[i].ca_file };
		struct clv_tls_context *c = NULL;
		char error[256] = "";

		assert_int_equal(clv_tls_client_context(&p, &c, error, sizeof(error)),
				 cases[i].err);
		assert_non_null(strstr(error, cases[i].says));
		assert_null(c);
	}
}

static void certificates_made_by_openssl_work(void **state)
{
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_HYBRID,
		.cert_file = file(1, "o.pem"),
		.key_file = file(1, "o.key"),
	};
	struct clv_tls_context *s, *c;
	char error[256], command[512];

	(void)state;
	if (system("command -v openssl >/dev/null") != 0) {
		print_message("SKIP no openssl command\n");
		skip();
	}
	snprintf(command, sizeof(command),
		 "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
		 "-days 30 -subj /CN=x -addext subjectAltName=DNS:relay.example -keyout o.key "
		 "-out o.pem 2>/dev/null",
		 folder[1]);
	assert_int_equal(system(command), 0);
	assert_int_equal(clv_tls_server_context(&p, &s, error, sizeof(error)), 0);
	c = client_context(CLV_PROFILE_HYBRID, p.cert_file, NULL);
	shake(s, c, "relay.example", 0, "X25519MLKEM768", "ECDSA");
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void profiles_have_names(void **state)
{
	enum clv_profile profile;

	(void)state;
	assert_int_equal(clv_profile_parse("hybrid", &profile), 0);
	assert_int_equal(profile, CLV_PROFILE_HYBRID);
	assert_int_equal(clv_profile_parse("pqc", &profile), 0);
	assert_int_equal(profile, CLV_PROFILE_PQC);
	assert_string_equal(clv_profile_name(profile), "pqc");
	assert_int_equal(clv_profile_parse("classical", &profile), CLV_ESYNTAX);
	assert_int_equal(clv_profile_parse("", &profile), CLV_ESYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_profile_completes_with_its_groups_and_certificates),
		cmocka_unit_test(hybrid_takes_p256_with_mlkem),
		cmocka_unit_test(version_2_completes),
		cmocka_unit_test(a_classical_share_beside_mlkem_is_asked_again),
		cmocka_unit_test(contexts_may_go_before_their_sessions),
		cmocka_unit_test(one_round_trip_suffices_to_who_has_the_ca),
		cmocka_unit_test(names_are_checked_against_the_certificate),
		cmocka_unit_test(a_ca_file_needs_a_name_to_check),
		cmocka_unit_test(another_ca_is_not_trusted),
		cmocka_unit_test(a_pin_is_the_ca_or_the_leaf),
		cmocka_unit_test(a_chain_without_root_serves_who_pins_its_leaf),
		cmocka_unit_test(showing_the_pinned_ca_is_not_being_signed_by_it),
		cmocka_unit_test(an_expired_leaf_is_not_trusted_however_it_is_anchored),
		cmocka_unit_test(classical_offers_are_refused),
		cmocka_unit_test(either_end_alone_refuses_what_both_libraries_would_do),
		cmocka_unit_test(profiles_do_not_mix),
		cmocka_unit_test(a_pqc_client_refuses_a_server_with_classical_groups_only),
		cmocka_unit_test(a_pqc_client_refuses_an_ecdsa_certificate_it_trusts),
		cmocka_unit_test(anything_but_h3_is_no_application_protocol),
		cmocka_unit_test(a_server_without_h3_is_refused_by_the_client),
		cmocka_unit_test(crypto_after_the_handshake_is_refused_by_the_server),
		cmocka_unit_test(bad_files_are_named),
		cmocka_unit_test(bad_client_files_are_named),
		cmocka_unit_test(certificates_made_by_openssl_work),
		cmocka_unit_test(profiles_have_names),
		cmocka_unit_test(no_key_context_outlives_its_connection),
	};

	return cmocka_run_group_tests_name("tls", tests, make_certificates, remove_certificates);
}
