/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a client trusts: names, CAs, pins and dates. */
#include "tests/unit/check.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "datapath/base/err.h"
#include "tests/unit/tls/tls_fixture.h"

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
		struct clv_tls_context *s = tls_server((enum clv_profile)profile);
		struct clv_tls_context *c = tls_client(
			(enum clv_profile)profile, tls_ca_file(0, (enum clv_profile)profile), NULL);

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
			tls_shake(s, c, cases[i].name, cases[i].expected,
				  profile ? "X25519MLKEM768" : "MLKEM768",
				  profile ? "ECDSA" : "ML-DSA-65");
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void a_ca_file_needs_a_name_to_check(void **state)
{
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
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
		struct clv_tls_context *s = tls_server((enum clv_profile)profile);
		struct clv_tls_context *c = tls_client(
			(enum clv_profile)profile, tls_ca_file(1, (enum clv_profile)profile), NULL);

		tls_shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
		clv_tls_context_free(s);
		clv_tls_context_free(c);
	}
}

static void a_pin_is_the_key_the_leaf_or_with_the_name_a_ca(void **state)
{
	const char *chain = tls_certs[0][CLV_PROFILE_PQC].cert_file;
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct {
		uint8_t pin[32];
		int expected, needs_name; /* result with the right name, and without */
	} cases[5] = {
		{ .expected = 0 },
		{ .needs_name = CLV_EUNTRUSTED },
		{ .expected = CLV_EUNTRUSTED, .needs_name = CLV_EUNTRUSTED },
		{ .expected = CLV_EUNTRUSTED, .needs_name = CLV_EUNTRUSTED },
	};

	(void)state;
	memcpy(cases[4].pin, tls_certs[0][CLV_PROFILE_PQC].pin, 32);
	tls_sha256_of(chain, 0, cases[0].pin);
	tls_sha256_of(chain, 1, cases[1].pin);
	tls_sha256_of(tls_certs[1][CLV_PROFILE_PQC].cert_file, 1, cases[2].pin);
	for (int i = 0; i < 5; i++) {
		struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, NULL, cases[i].pin);

		tls_shake(s, c, "relay.example", cases[i].expected, "MLKEM768", "ML-DSA-65");
		/* The leaf's identifies the relay; a CA may have vouched for others too. */
		tls_shake(s, c, "other.example", cases[i].needs_name, "MLKEM768", "ML-DSA-65");
		tls_shake(s, c, NULL, cases[i].needs_name, "MLKEM768", "ML-DSA-65");
		clv_tls_context_free(c);
	}
	clv_tls_context_free(s);
}

static void a_chain_without_root_serves_who_pins_its_leaf(void **state)
{
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_PQC,
		.cert_file = tls_file(1, "leaf-only.pem"),
		.key_file = tls_certs[0][CLV_PROFILE_PQC].key_file,
	};
	struct clv_tls_context *s, *c;
	struct clv_pem_file chain;
	uint8_t leaf[32];
	char error[256];
	FILE *out = fopen(p.cert_file, "w");

	(void)state;
	assert_non_null(out);
	assert_int_equal(clv_pem_load(tls_certs[0][CLV_PROFILE_PQC].cert_file, &chain), 0);
	fwrite(chain.text, 1,
	       (size_t)(strstr(chain.text, "-----END CERTIFICATE-----\n") + 26 - chain.text), out);
	fclose(out);
	clv_cert_sha256(&chain.certs[0], leaf);
	clv_pem_free(&chain);
	assert_int_equal(clv_tls_server_context(&p, &s, error, sizeof(error)), 0);
	c = tls_client(CLV_PROFILE_PQC, NULL, leaf);
	tls_shake(s, c, NULL, 0, "MLKEM768", "ML-DSA-65");
	clv_tls_context_free(c);
	c = tls_client(CLV_PROFILE_PQC, NULL, tls_certs[0][CLV_PROFILE_PQC].ca_sha256);
	tls_shake(s, c, NULL, CLV_EUNTRUSTED, NULL, NULL);
	clv_tls_context_free(c);
	clv_tls_context_free(s);
}

/* Write the leaf of leaf_file, followed by a CA that did not sign it. */
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
	const struct clv_certs *real = &tls_certs[0][CLV_PROFILE_PQC];
	const struct clv_certs *forger = &tls_certs[1][CLV_PROFILE_PQC];
	struct clv_tls_server_params p = {
		.profile = CLV_PROFILE_PQC,
		.cert_file = tls_file(1, "forged.pem"),
		.key_file = forger->key_file,
	};
	struct clv_tls_context *s, *c;
	char error[256];

	(void)state;
	forge_chain(p.cert_file, forger->cert_file, tls_ca_file(0, CLV_PROFILE_PQC));
	assert_int_equal(clv_tls_server_context(&p, &s, error, sizeof(error)), 0);
	c = tls_client(CLV_PROFILE_PQC, NULL, real->ca_sha256);
	tls_shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
	/* nor later, once the context has loaded that CA */
	tls_shake(s, c, "relay.example", CLV_EUNTRUSTED, NULL, NULL);
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
	struct clv_tls_context *s = tls_server(CLV_PROFILE_PQC);
	struct clv_tls_context *c[3];
	uint8_t leaf[32];

	(void)state;
	tls_sha256_of(tls_certs[0][CLV_PROFILE_PQC].cert_file, 0, leaf);
	c[0] = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC), NULL);
	c[1] = tls_client(CLV_PROFILE_PQC, NULL, tls_certs[0][CLV_PROFILE_PQC].ca_sha256);
	c[2] = tls_client(CLV_PROFILE_PQC, NULL, leaf);
	wc_SetTimeCb(days_later);
	for (int i = 0; i < 3; i++)
		tls_shake(s, c[i], "relay.example", CLV_EUNTRUSTED, NULL, NULL);
	wc_SetTimeCb(NULL);
	for (int i = 0; i < 3; i++)
		clv_tls_context_free(c[i]);
	clv_tls_context_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked_against_the_certificate),
		cmocka_unit_test(a_ca_file_needs_a_name_to_check),
		cmocka_unit_test(another_ca_is_not_trusted),
		cmocka_unit_test(a_pin_is_the_key_the_leaf_or_with_the_name_a_ca),
		cmocka_unit_test(a_chain_without_root_serves_who_pins_its_leaf),
		cmocka_unit_test(showing_the_pinned_ca_is_not_being_signed_by_it),
		cmocka_unit_test(an_expired_leaf_is_not_trusted_however_it_is_anchored),
	};

	return cmocka_run_group_tests_name("tls_trust", tests, tls_make_certificates,
					   tls_remove_certificates);
}
