/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Handshakes that complete, with their groups, certificates and round trips, and other parts of the
 * protocol.
 */
#include "tests/unit/check.h"

#include "control/tls/tls_session.h"
#include "datapath/base/err.h"
#include "datapath/crypto/aead.h"
#include "tests/unit/tls/tls_fixture.h"

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
		struct clv_tls_context *s = tls_server(cases[i].profile);
		struct clv_tls_context *c = tls_client(cases[i].profile,
						       tls_ca_file(0, cases[i].profile), NULL);

		tls_shake(s, c, "relay.example", 0, cases[i].group, cases[i].signature);
		/* and again, with contexts that have been used */
		tls_shake(s, c, "relay.example", 0, cases[i].group, cases[i].signature);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

/* share: the group of the key share that the client sends; groups: all that it offers. */
static void completes_with_offer(enum clv_profile profile, int share, int *groups, int len,
				 const char *group, const char *signature)
{
	struct clv_tls_context *s = tls_server(profile);
	struct clv_tls_context *c = tls_client(profile, tls_ca_file(0, profile), NULL);
	struct pair p;

	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	tls_offer(p.client, c, share, groups, len);
	pair_run(&p);
	tls_assert_completed(&p, group, signature);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void hybrid_takes_p256_with_mlkem(void **state)
{
	int groups[] = { WOLFSSL_SECP256R1MLKEM768 };

	(void)state;
	completes_with_offer(CLV_PROFILE_HYBRID, groups[0], groups, 1, "SecP256r1MLKEM768",
			     "ECDSA");
}

static void version_2_completes(void **state)
{
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);
	struct pair p;

	(void)state;
	pair_init(&p, s);
	p.version = NGTCP2_PROTO_VER_V2;
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	tls_assert_completed(&p, "MLKEM768", "ML-DSA-65");
	assert_int_equal(ngtcp2_conn_get_negotiated_version2(p.server->qc), NGTCP2_PROTO_VER_V2);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_classical_share_beside_mlkem_is_asked_again(void **state)
{
	int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ML_KEM_768 };

	(void)state;
	completes_with_offer(CLV_PROFILE_PQC, WOLFSSL_ECC_X25519, groups, 2, "MLKEM768",
			     "ML-DSA-65");
}

static void contexts_may_go_before_their_sessions(void **state)
{
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, NULL,
					       tls_certs[0][CLV_PROFILE_PQC].ca_sha256);
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
	tls_assert_completed(&p, "MLKEM768", "ML-DSA-65");
	pair_fini(&p);
}

static void one_round_trip_suffices_to_who_has_the_ca(void **state)
{
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct pair p;

	(void)state;
	for (int is_pinned = 0; is_pinned < 2; is_pinned++) {
		struct clv_tls_context *c =
			is_pinned ? tls_client(CLV_PROFILE_PQC, NULL,
					       tls_certs[0][CLV_PROFILE_PQC].ca_sha256)
				  : tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);

		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		pair_run(&p);
		tls_assert_completed(&p, "MLKEM768", "ML-DSA-65");
		/* The client's padding makes room for the leaf; the CA needs a second round trip. */
		assert_int_equal(p.flight[0].datagrams, 4);
		assert_in_range(p.flight[1].bytes, 10000, 3 * p.flight[0].bytes);
		assert_int_equal(p.client_done_after, is_pinned ? 4 : 2);
		pair_fini(&p);
		clv_tls_context_free(c);
	}
	clv_tls_context_free(s);
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
		struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
		struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC,
						       tls_ca_file(0, CLV_PROFILE_PQC), NULL);
		struct pair p;

		offered_protocol = protocols[i];
		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		speak_other(p.client, c);
		pair_run(&p);
		tls_assert_refused(&p, CLV_ETLS);
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
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);
	WOLFSSL_QUIC_METHOD lax = clv_tls_quic_method;
	struct pair p;

	(void)state;
	lax.set_encryption_secrets = tls_lax_secrets;
	assert_int_equal(wolfSSL_CTX_set_quic_method(s->ctx, &lax), WOLFSSL_SUCCESS);
	pair_init(&p, s);
	p.tamper_server = answer_without_protocol;
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	tls_assert_refused(&p, CLV_ETLS);
	assert_int_equal(p.client->close_code, 0x100 + 120);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void crypto_after_the_handshake_is_refused_by_the_server(void **state)
{
	static const uint8_t key_update[] = { 24, 0, 0, 1, 0 };
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);
	struct pair p;

	(void)state;
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	tls_assert_completed(&p, "MLKEM768", "ML-DSA-65");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_profile_completes_with_its_groups_and_certificates),
		cmocka_unit_test(hybrid_takes_p256_with_mlkem),
		cmocka_unit_test(version_2_completes),
		cmocka_unit_test(a_classical_share_beside_mlkem_is_asked_again),
		cmocka_unit_test(contexts_may_go_before_their_sessions),
		cmocka_unit_test(one_round_trip_suffices_to_who_has_the_ca),
		cmocka_unit_test(anything_but_h3_is_no_application_protocol),
		cmocka_unit_test(a_server_without_h3_is_refused_by_the_client),
		cmocka_unit_test(crypto_after_the_handshake_is_refused_by_the_server),
		cmocka_unit_test(no_key_context_outlives_its_connection),
	};

	return cmocka_run_group_tests_name("tls_handshake", tests, tls_make_certificates,
					   tls_remove_certificates);
}
