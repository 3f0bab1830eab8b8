/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Classical handshakes, refused by each end on its own. */
#include "tests/unit/check.h"

#include "control/tls/tls_session.h"
#include "datapath/base/err.h"
#include "tests/unit/tls/tls_fixture.h"

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
		struct clv_tls_context *s = tls_server(cases[i].profile);
		struct clv_tls_context *c = tls_client(cases[i].profile,
						       tls_ca_file(0, cases[i].profile), NULL);
		int groups[] = { cases[i].group };
		struct pair p;

		pair_init(&p, s);
		pair_client(&p, c, "relay.example");
		tls_offer(p.client, c, groups[0], groups, 1);
		pair_run(&p);
		tls_assert_refused(&p, CLV_ECLASSICAL);
		/* Not by a HelloRetryRequest for a group that it never listed. */
		assert_true(p.client->close_is_remote);
		assert_int_equal(p.client->close_code, 0x100 + CLV_ALERT_HANDSHAKE_FAILURE);
		pair_fini(&p);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static const int x25519[] = { WOLFSSL_ECC_X25519 };

/* As a server that looks at no ClientHello, so that what comes later is checked. */
static void let_x25519_in(struct clv_conn *conn)
{
	struct clv_tls_session *s = conn->tls;

	clv_hello_init(&s->hello, x25519, 1);
}

static void either_end_alone_refuses_what_both_libraries_would_do(void **state)
{
	WOLFSSL_QUIC_METHOD lax = clv_tls_quic_method;

	(void)state;
	lax.set_encryption_secrets = tls_lax_secrets;
	for (int is_server_lax = 0; is_server_lax < 2; is_server_lax++) {
		struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
		struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC,
						       tls_ca_file(0, CLV_PROFILE_PQC), NULL);
		int groups[] = { WOLFSSL_ECC_X25519 };
		struct clv_tls_session *client, *server;
		struct pair p;

		assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
		if (is_server_lax)
			assert_int_equal(wolfSSL_CTX_set_quic_method(s->ctx, &lax),
					 WOLFSSL_SUCCESS);
		pair_init(&p, s);
		p.tamper_server = let_x25519_in;
		pair_client(&p, c, "relay.example");
		tls_offer(p.client, c, groups[0], groups, 1);
		pair_run(&p);
		client = p.client->tls;
		server = p.server->tls;
		tls_assert_refused(&p, CLV_ECLASSICAL);
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
	s = tls_server(CLV_PROFILE_HYBRID);
	c = tls_client(CLV_PROFILE_PQC, NULL, tls_certs[0][CLV_PROFILE_HYBRID].ca_sha256);
	tls_shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
	s = tls_server(CLV_PROFILE_PQC);
	c = tls_client(CLV_PROFILE_HYBRID, NULL, tls_certs[0][CLV_PROFILE_PQC].ca_sha256);
	tls_shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_pqc_client_refuses_a_server_with_classical_groups_only(void **state)
{
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);
	int groups[] = { WOLFSSL_ECC_X25519 };

	(void)state;
	assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
	tls_shake(s, c, "relay.example", CLV_ECLASSICAL, NULL, NULL);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

static void a_pqc_client_refuses_an_ecdsa_certificate_it_trusts(void **state)
{
	struct clv_tls_context *s = tls_server(CLV_PROFILE_HYBRID);
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, NULL,
					       tls_certs[0][CLV_PROFILE_HYBRID].ca_sha256);
	int groups[] = { WOLFSSL_ML_KEM_768 };
	struct pair p;

	(void)state;
	assert_int_equal(wolfSSL_CTX_set_groups(s->ctx, groups, 1), WOLFSSL_SUCCESS);
	s->profile = CLV_PROFILE_PQC; /* so that the server's own check accepts the group */
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	tls_assert_refused(&p, CLV_ECLASSICAL);
	assert_int_equal(p.client->close_code, 0x100 + 43);
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classical_offers_are_refused),
		cmocka_unit_test(either_end_alone_refuses_what_both_libraries_would_do),
		cmocka_unit_test(profiles_do_not_mix),
		cmocka_unit_test(a_pqc_client_refuses_a_server_with_classical_groups_only),
		cmocka_unit_test(a_pqc_client_refuses_an_ecdsa_certificate_it_trusts),
	};

	return cmocka_run_group_tests_name("tls_classical", tests, tls_make_certificates,
					   tls_remove_certificates);
}
