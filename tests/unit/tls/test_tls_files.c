/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The files of a context, and the errors about bad ones. */
#include "tests/unit/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/base/err.h"
#include "tests/unit/tls/tls_fixture.h"

/* A file with a text; lives until the next call. */
static const char *file_with(const char *text)
{
	static char path[] = "/tmp/culvert-tls-files-XXXXXX";
	FILE *f;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	close(mkstemp(path));
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static void a_damaged_certificate_is_called_so(void **state)
{
	static const char damaged[] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
				      "-----END CERTIFICATE-----\n";
	static const char cut[] = "-----BEGIN CERTIFICATE-----\nMIIB\n";
	const struct {
		const char *text, *says;
	} cases[] = {
		{ damaged, "a certificate in it is damaged" },
		{ cut, "a certificate in it is damaged" },
		{ "", "no certificate in PEM form" },
		{ "certificate", "no certificate in PEM form" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_tls_server_params p = {
			.profile = CLV_PROFILE_PQC,
			.cert_file = file_with(cases[i].text),
			.key_file = tls_certs[0][CLV_PROFILE_PQC].key_file,
		};
		struct clv_tls_context *c = NULL;
		char error[256] = "";

		assert_int_equal(clv_tls_server_context(&p, &c, error, sizeof(error)), CLV_ESYNTAX);
		assert_non_null(strstr(error, cases[i].says));
		unlink(p.cert_file);
	}
}

static void bad_files_are_named(void **state)
{
	const struct clv_certs *pqc = &tls_certs[0][CLV_PROFILE_PQC];
	const struct clv_certs *hybrid = &tls_certs[0][CLV_PROFILE_HYBRID];
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
		{ CLV_PROFILE_PQC, pqc->cert_file, tls_certs[1][CLV_PROFILE_PQC].key_file,
		  CLV_ESYNTAX, "not the key of" },
		{ CLV_PROFILE_HYBRID, hybrid->cert_file, tls_certs[1][CLV_PROFILE_HYBRID].key_file,
		  CLV_ESYNTAX, "not the key of" },
		{ CLV_PROFILE_PQC, hybrid->cert_file, hybrid->key_file, CLV_ESYNTAX, "ECDSA" },
		{ CLV_PROFILE_HYBRID, pqc->cert_file, pqc->key_file, 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct clv_tls_server_params p = { .profile = cases[i].profile,
						   .cert_file = cases[i].cert_file,
						   .key_file = cases[i].key_file };
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
		{ CLV_PROFILE_PQC, tls_certs[0][0].key_file, CLV_ESYNTAX, "no certificate" },
		{ CLV_PROFILE_PQC, tls_certs[0][1].cert_file, CLV_ESYNTAX, "ECDSA" },
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
		cmocka_unit_test(bad_files_are_named),
		cmocka_unit_test(a_damaged_certificate_is_called_so),
		cmocka_unit_test(bad_client_files_are_named),
		cmocka_unit_test(profiles_have_names),
	};

	return cmocka_run_group_tests_name("tls_files", tests, tls_make_certificates,
					   tls_remove_certificates);
}
