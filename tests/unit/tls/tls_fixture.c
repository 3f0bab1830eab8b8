/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/tls/tls_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "control/tls/tls_session.h"
#include "tests/unit/check.h"

static const char *const names[] = { "relay.example", "192.0.2.7", "2001:db8::7" };

static char folder[2][64]; /* by relay */
struct clv_certs tls_certs[2][2];

int tls_make_certificates(void **state)
{
	char error[256];

	(void)state;
	for (int i = 0; i < 2; i++) {
		strcpy(folder[i], "/tmp/clv-tls-XXXXXX");
		if (!mkdtemp(folder[i]))
			return -1;
		for (int p = 0; p < 2; p++)
			if (clv_certs_ensure((enum clv_profile)p, folder[i], names, 3,
					     &tls_certs[i][p], error, sizeof(error))) {
				print_error("%s\n", error);
				return -1;
			}
	}
	return 0;
}

int tls_remove_certificates(void **state)
{
	char command[160];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s %s", folder[0], folder[1]);
	return system(command);
}

const char *tls_file(int relay, const char *name)
{
	static char path[2][128];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder[relay], name);
	return path[turn];
}

const char *tls_ca_file(int relay, enum clv_profile profile)
{
	return tls_file(relay, profile == CLV_PROFILE_PQC ? "tls/ca.pem" : "tls/hybrid-ca.pem");
}

struct clv_tls_context *tls_server(enum clv_profile profile)
{
	struct clv_tls_server_params p = {
		.profile = profile,
		.cert_file = tls_certs[0][profile].cert_file,
		.key_file = tls_certs[0][profile].key_file,
	};
	struct clv_tls_context *c = NULL;
	char error[256] = "";
	int err = clv_tls_server_context(&p, &c, error, sizeof(error));

	if (err)
		fail_msg("%d %s", err, error);
	return c;
}

struct clv_tls_context *tls_client(enum clv_profile profile, const char *ca, const uint8_t *pin)
{
	struct clv_tls_client_params p = { .profile = profile, .ca_file = ca, .ca_sha256 = pin };
	struct clv_tls_context *c = NULL;
	char error[256] = "";
	int err = clv_tls_client_context(&p, &c, error, sizeof(error));

	if (err)
		fail_msg("%d %s", err, error);
	return c;
}

void tls_sha256_of(const char *path, size_t index, uint8_t out[32])
{
	struct clv_pem_file pem;

	assert_int_equal(clv_pem_load(path, &pem), 0);
	assert_true(index < pem.certs_len);
	clv_cert_sha256(&pem.certs[index], out);
	clv_pem_free(&pem);
}

void tls_offer(struct clv_conn *conn, struct clv_tls_context *context, int share, int *groups,
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

int tls_lax_secrets(WOLFSSL *ssl, WOLFSSL_ENCRYPTION_LEVEL level, const uint8_t *rx,
		    const uint8_t *tx, size_t len)
{
	struct clv_tls_session *s = wolfSSL_get_app_data(ssl);
	const uint8_t *params;
	size_t params_len;

	s->has_handshake_keys = true;
	if (level == wolfssl_encryption_handshake && !ngtcp2_conn_get_negotiated_version2(s->qc)) {
		wolfSSL_get_peer_quic_transport_params(ssl, &params, &params_len);
		assert_int_equal(ngtcp2_conn_decode_and_set_remote_transport_params(s->qc, params,
										    params_len),
				 0);
	}
	return clv_tls_quic_method.set_encryption_secrets(ssl, level, rx, tx, len);
}

void tls_assert_completed(struct pair *p, const char *group, const char *signature)
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

void tls_assert_refused(struct pair *p, int why)
{
	assert_false(p->client_done);
	assert_false(p->server_done);
	assert_int_equal(clv_tls_failure(p->client), why);
}

void tls_shake(struct clv_tls_context *server, struct clv_tls_context *client, const char *name,
	       int expected, const char *group, const char *signature)
{
	struct pair p;

	pair_init(&p, server);
	pair_client(&p, client, name);
	pair_run(&p);
	if (expected)
		tls_assert_refused(&p, expected);
	else
		tls_assert_completed(&p, group, signature);
	pair_fini(&p);
}
