/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "control/tls/certgen.h"
#include "control/tls/certs.h"
#include "control/tls/pem.h"
#include "datapath/base/err.h"

static const char *const names[] = { "relay.example", "192.0.2.7", "2001:db8::7" };

struct fixture {
	char folder[64];
	struct clv_certs certs;
	char error[256];
};

static time_t pretended_now;

static time_t pretend(time_t *t)
{
	if (t)
		*t = pretended_now;
	return pretended_now;
}

static void pretend_days_later(int days)
{
	pretended_now = time(NULL) + days * 86400L;
	wc_SetTimeCb(pretend);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	strcpy(f->folder, "/tmp/clv-certs-XXXXXX");
	if (!mkdtemp(f->folder))
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	wc_SetTimeCb(NULL);
	snprintf(command, sizeof(command), "rm -rf %s", f->folder);
	free(f);
	return system(command);
}

static int ensure(struct fixture *f, enum clv_profile profile, size_t names_len)
{
	return clv_certs_ensure(profile, f->folder, names, names_len, &f->certs, f->error,
				sizeof(f->error));
}

static const char *file(const struct fixture *f, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/tls/%s", f->folder, name);
	return path;
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	FILE *out = fopen(file(f, name), "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static char *get(const struct fixture *f, const char *name)
{
	char *text;
	size_t len;

	assert_int_equal(clv_pem_read(file(f, name), &text, &len), 0);
	return text;
}

static void assert_same_file(const struct fixture *f, const char *name, char *before, int same)
{
	char *now = get(f, name);

	assert_int_equal(strcmp(now, before) == 0, same);
	free(now);
	free(before);
}

static void first_start_makes_a_chain_that_verifies(void **state)
{
	static const struct {
		enum clv_profile profile;
		const char *ca, *ca_key, *leaf_key, *algorithm;
	} cases[] = {
		{ CLV_PROFILE_PQC, "ca.pem", "ca.key", "pqc.key", "ML-DSA-65" },
		{ CLV_PROFILE_HYBRID, "hybrid-ca.pem", "hybrid-ca.key", "hybrid.key", "ECDSA" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2; i++) {
		struct clv_pem_file chain, ca;
		struct clv_cert_facts facts;
		uint8_t sha256[32];

		assert_int_equal(ensure(f, cases[i].profile, 3), 0);
		assert_int_equal(clv_pem_load(f->certs.cert_file, &chain), 0);
		assert_int_equal(clv_pem_load(file(f, cases[i].ca), &ca), 0);
		assert_int_equal(chain.certs_len, 2);
		assert_int_equal(chain.certs[1].len, ca.certs[0].len);
		assert_memory_equal(chain.certs[1].data, ca.certs[0].data, ca.certs[0].len);
		assert_true(clv_cert_is_issuer(&ca.certs[0], &chain.certs[0]));
		assert_int_equal(clv_cert_read(&chain.certs[0], &facts), 0);
		assert_string_equal(facts.key_algorithm, cases[i].algorithm);
		assert_string_equal(facts.signature_algorithm, cases[i].algorithm);
		assert_false(facts.is_ca);
		assert_true(facts.not_before < time(NULL));
		assert_in_range(facts.not_after - time(NULL), 363 * 86400L, 366 * 86400L);
		assert_int_equal(clv_cert_has_names(&chain.certs[0], names, 3), 1);
		assert_int_equal(clv_cert_has_names(&chain.certs[0], names, 2), 0);
		assert_int_equal(clv_cert_read(&ca.certs[0], &facts), 0);
		assert_true(facts.is_ca);
		assert_in_range(facts.not_after - time(NULL), 3640 * 86400L, 3651 * 86400L);
		clv_cert_sha256(&chain.certs[1], sha256);
		assert_memory_equal(sha256, f->certs.ca_sha256, 32);
		clv_pem_free(&chain);
		clv_pem_free(&ca);
	}
}

static void keys_and_directory_are_private(void **state)
{
	static const char *const keys[] = { "ca.key", "pqc.key" };
	struct fixture *f = *state;
	struct stat st;

	umask(0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 1), 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(stat(file(f, keys[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(stat(file(f, ""), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void second_start_changes_nothing(void **state)
{
	struct fixture *f = *state;
	char *chain, *key, *ca;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	chain = get(f, "pqc.pem");
	key = get(f, "pqc.key");
	ca = get(f, "ca.pem");
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_same_file(f, "pqc.pem", chain, 1);
	assert_same_file(f, "pqc.key", key, 1);
	assert_same_file(f, "ca.pem", ca, 1);
}

static void other_names_or_old_age_make_a_new_leaf_under_the_same_ca(void **state)
{
	static const struct {
		size_t names_len;
		int days_later;
		int kept;
	} cases[] = {
		{ 3, 200, 1 },
		{ 2, 0, 0 },
		{ 3, 260, 0 },
		{ 3, 400, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f;
		char *chain, *ca;

		assert_int_equal(set_up((void **)&f), 0);
		assert_int_equal(ensure(f, CLV_PROFILE_HYBRID, 3), 0);
		chain = get(f, "hybrid.pem");
		ca = get(f, "hybrid-ca.pem");
		pretend_days_later(cases[i].days_later);
		assert_int_equal(ensure(f, CLV_PROFILE_HYBRID, cases[i].names_len), 0);
		assert_same_file(f, "hybrid.pem", chain, cases[i].kept);
		assert_same_file(f, "hybrid-ca.pem", ca, 1);
		assert_int_equal(tear_down((void **)&f), 0);
	}
	(void)state;
}

static void a_leaf_without_its_own_key_is_replaced(void **state)
{
	struct fixture *f = *state;
	char *other, *chain, *key;

	/* As after a crash between the two renames: key and chain do not match. */
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 1), 0);
	other = get(f, "pqc.key");
	assert_int_equal(unlink(file(f, "pqc.key")), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 1), 0);
	put(f, "pqc.key", other);
	chain = get(f, "pqc.pem");
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 1), 0);
	assert_same_file(f, "pqc.pem", chain, 0);
	assert_same_file(f, "pqc.key", other, 1);
	chain = get(f, "pqc.pem");
	key = get(f, "pqc.key");
	assert_int_equal(clv_certgen_is_pair(chain, key), 1);
	free(chain);
	free(key);
}

static void a_renewed_leaf_keeps_its_key_and_pin(void **state)
{
	struct fixture *f = *state;
	uint8_t pin[32], of_key[32];
	char *chain, *key;

	for (int profile = 0; profile < 2; profile++) {
		const char *key_name = profile == CLV_PROFILE_PQC ? "pqc.key" : "hybrid.key";
		const char *name = profile == CLV_PROFILE_PQC ? "pqc.pem" : "hybrid.pem";

		wc_SetTimeCb(NULL);
		assert_int_equal(ensure(f, (enum clv_profile)profile, 3), 0);
		memcpy(pin, f->certs.pin, sizeof(pin));
		chain = get(f, name);
		key = get(f, key_name);
		assert_int_equal(clv_certgen_key_pin((enum clv_profile)profile, key, of_key), 0);
		assert_memory_equal(of_key, pin, sizeof(pin));
		pretend_days_later(300);
		assert_int_equal(ensure(f, (enum clv_profile)profile, 3), 0);
		assert_memory_equal(f->certs.pin, pin, sizeof(pin));
		assert_same_file(f, name, chain, 0);
		assert_same_file(f, key_name, key, 1);
	}
}

static void a_clock_before_the_build_makes_a_key_but_no_certificate(void **state)
{
	struct fixture *f = *state;
	uint8_t pin[32];
	char *chain;

	pretended_now = 100; /* 1970 */
	wc_SetTimeCb(pretend);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), -EAGAIN);
	assert_non_null(strstr(f->error, "clock"));
	assert_int_equal(access(file(f, "ca.pem"), F_OK), -1);
	assert_int_equal(access(file(f, "pqc.pem"), F_OK), -1);
	memcpy(pin, f->certs.pin, sizeof(pin));
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), -EAGAIN);
	assert_memory_equal(f->certs.pin, pin, sizeof(pin));

	/* The clock is set: what was said of the relay's key still holds. */
	wc_SetTimeCb(NULL);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_memory_equal(f->certs.pin, pin, sizeof(pin));

	/* And is wrong again: what there is stays. */
	chain = get(f, "pqc.pem");
	wc_SetTimeCb(pretend);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 2), 0);
	assert_same_file(f, "pqc.pem", chain, 1);
}

static void a_leaf_of_another_ca_is_replaced(void **state)
{
	struct fixture *f = *state;
	char *chain;

	assert_int_equal(ensure(f, CLV_PROFILE_HYBRID, 1), 0);
	chain = get(f, "hybrid.pem");
	assert_int_equal(unlink(file(f, "hybrid-ca.pem")), 0);
	assert_int_equal(unlink(file(f, "hybrid-ca.key")), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_HYBRID, 1), 0);
	assert_same_file(f, "hybrid.pem", chain, 0);
}

static void a_ca_key_kept_elsewhere_is_needed_only_for_a_new_leaf(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_int_equal(unlink(file(f, "ca.key")), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 2), -ENOENT);
	assert_non_null(strstr(f->error, "ca.key"));
}

static void damaged_files_are_named_and_left_alone(void **state)
{
	static const struct {
		const char *name, *text;
		size_t names_len;
	} cases[] = {
		{ "ca.pem", "", 3 },
		{ "ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 3 },
		{ "ca.pem", "-----BEGIN CERTIFICATE-----\nnever ends", 3 },
		{ "ca.key", "garbage", 2 },
		{ "pqc.pem", "garbage", 3 },
		{ "pqc.key", "garbage", 3 },
		{ "pqc.key", "", 3 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f;
		char *after;

		assert_int_equal(set_up((void **)&f), 0);
		assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
		put(f, cases[i].name, cases[i].text);
		f->error[0] = '\0';
		assert_int_equal(ensure(f, CLV_PROFILE_PQC, cases[i].names_len), CLV_ESYNTAX);
		assert_non_null(strstr(f->error, cases[i].name));
		after = get(f, cases[i].name);
		assert_string_equal(after, cases[i].text);
		free(after);
		assert_int_equal(tear_down((void **)&f), 0);
	}
	(void)state;
}

static void a_key_of_another_ca_is_refused_before_the_leaf_is_touched(void **state)
{
	struct fixture *f = *state;
	struct clv_certgen other;
	char *chain;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_int_equal(clv_certgen_ca(CLV_PROFILE_PQC, &other), 0);
	put(f, "ca.key", other.key_pem);
	clv_certgen_free(&other);
	chain = get(f, "pqc.pem");
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 2), CLV_ESYNTAX);
	assert_non_null(strstr(f->error, "not the key of"));
	assert_same_file(f, "pqc.pem", chain, 1);
}

static void a_ca_without_certificate_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	char *key;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	key = get(f, "ca.key");
	assert_int_equal(unlink(file(f, "ca.pem")), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), CLV_ESYNTAX);
	assert_non_null(strstr(f->error, "ca.key"));
	assert_same_file(f, "ca.key", key, 1);
}

static void profile_pqc_refuses_an_ecdsa_ca(void **state)
{
	struct fixture *f = *state;
	struct clv_certgen ca;

	assert_int_equal(mkdir(file(f, ""), 0700), 0);
	assert_int_equal(clv_certgen_ca(CLV_PROFILE_HYBRID, &ca), 0);
	put(f, "ca.pem", ca.cert_pem);
	put(f, "ca.key", ca.key_pem);
	clv_certgen_free(&ca);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), CLV_ESYNTAX);
	assert_non_null(strstr(f->error, "ECDSA"));
}

static void bad_names_are_refused(void **state)
{
	static const char long_label[] = "a.very.long.name.that.goes.on.and.on";
	struct fixture *f = *state;
	const char *many[CLV_CERTGEN_NAMES_MAX + 1];
	const char *const bad[] = { "", "relay example", "relay\n", "caf\xc3\xa9.example" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(clv_certs_ensure(CLV_PROFILE_HYBRID, f->folder, &bad[i], 1,
						  &f->certs, f->error, sizeof(f->error)),
				 CLV_ESYNTAX);
		assert_non_null(strstr(f->error, "names"));
	}
	for (size_t i = 0; i <= CLV_CERTGEN_NAMES_MAX; i++)
		many[i] = long_label;
	assert_int_equal(clv_certs_ensure(CLV_PROFILE_HYBRID, f->folder, many,
					  CLV_CERTGEN_NAMES_MAX + 1, &f->certs, f->error,
					  sizeof(f->error)),
			 CLV_ESYNTAX);
	assert_int_equal(clv_certs_ensure(CLV_PROFILE_HYBRID, f->folder, many,
					  CLV_CERTGEN_NAMES_MAX, &f->certs, f->error,
					  sizeof(f->error)),
			 0);
}

static void an_unwritable_directory_is_a_clear_error(void **state)
{
	struct fixture *f = *state;
	char path[128];

	/* Not even root can create a directory in /proc. */
	assert_int_equal(clv_certs_ensure(CLV_PROFILE_PQC, "/proc/culvert", names, 3, &f->certs,
					  f->error, sizeof(f->error)),
			 -ENOENT);
	assert_non_null(strstr(f->error, "/proc/culvert"));
	snprintf(path, sizeof(path), "%s/file", f->folder);
	fclose(fopen(path, "w"));
	assert_int_equal(clv_certs_ensure(CLV_PROFILE_PQC, path, names, 3, &f->certs, f->error,
					  sizeof(f->error)),
			 -ENOTDIR);
	assert_non_null(strstr(f->error, path));
}

static void a_temporary_file_left_by_a_crash_is_no_obstacle(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkdir(file(f, ""), 0700), 0);
	put(f, "ca.pem.new", "half");
	put(f, "ca.key.new", "half");
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_int_equal(access(file(f, "ca.pem.new"), F_OK), -1);
}

/* The key was renamed and the certificate was not: its draft is complete. */
static void a_crash_between_a_cas_key_and_its_certificate_is_mended(void **state)
{
	struct fixture *f = *state;
	char draft[128], *before;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	before = get(f, "ca.pem");
	snprintf(draft, sizeof(draft), "%s", file(f, "ca.pem.new"));
	assert_int_equal(rename(file(f, "ca.pem"), draft), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	assert_same_file(f, "ca.pem", before, 1);
	assert_int_equal(access(draft, F_OK), -1);
}

/* A draft that belongs to another key is not used. */
static void a_cas_key_without_its_certificate_is_not_overwritten(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), 0);
	put(f, "ca.pem.new", "half");
	assert_int_equal(remove(file(f, "ca.pem")), 0);
	assert_int_equal(ensure(f, CLV_PROFILE_PQC, 3), CLV_ESYNTAX);
	assert_non_null(strstr(f->error, "ca.key"));
}

static void openssl_accepts_the_ecdsa_chain(void **state)
{
	struct fixture *f = *state;
	char command[512];
	int status;

	if (system("command -v openssl >/dev/null") != 0) {
		print_message("SKIP no openssl command\n");
		skip();
	}
	assert_int_equal(ensure(f, CLV_PROFILE_HYBRID, 3), 0);
	snprintf(command, sizeof(command),
		 "cd %s/tls && openssl verify -x509_strict -purpose sslserver -verify_hostname "
		 "relay.example -CAfile hybrid-ca.pem hybrid.pem >/dev/null && openssl verify "
		 "-verify_ip 2001:db8::7 -CAfile hybrid-ca.pem hybrid.pem >/dev/null && "
		 "openssl pkey -in hybrid.key -noout -check >/dev/null 2>&1",
		 f->folder);
	status = system(command);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void serial_numbers_are_positive_and_differ(void **state)
{
	uint8_t seen[8][16];

	for (int i = 0; i < 8; i++) {
		struct clv_certgen ca;
		struct clv_pem_file pem;
		WOLFSSL_X509 *x509;
		uint8_t serial[32];
		int len = sizeof(serial);

		assert_int_equal(clv_certgen_ca(CLV_PROFILE_HYBRID, &ca), 0);
		assert_int_equal(clv_pem_parse(ca.cert_pem, &pem), 0);
		x509 = wolfSSL_X509_load_certificate_buffer(
			pem.certs[0].data, (int)pem.certs[0].len, WOLFSSL_FILETYPE_ASN1);
		assert_non_null(x509);
		assert_int_equal(wolfSSL_X509_get_serial_number(x509, serial, &len),
				 WOLFSSL_SUCCESS);
		assert_int_equal(len, 16);
		assert_int_equal(serial[0] & 0x80, 0);
		memcpy(seen[i], serial, 16);
		for (int j = 0; j < i; j++)
			assert_memory_not_equal(seen[j], seen[i], 16);
		wolfSSL_X509_free(x509);
		clv_pem_free(&pem);
		clv_certgen_free(&ca);
	}
	(void)state;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(first_start_makes_a_chain_that_verifies),
		CASE(keys_and_directory_are_private),
		CASE(second_start_changes_nothing),
		CASE(other_names_or_old_age_make_a_new_leaf_under_the_same_ca),
		CASE(a_leaf_without_its_own_key_is_replaced),
		CASE(a_renewed_leaf_keeps_its_key_and_pin),
		CASE(a_clock_before_the_build_makes_a_key_but_no_certificate),
		CASE(a_leaf_of_another_ca_is_replaced),
		CASE(a_ca_key_kept_elsewhere_is_needed_only_for_a_new_leaf),
		CASE(damaged_files_are_named_and_left_alone),
		CASE(a_key_of_another_ca_is_refused_before_the_leaf_is_touched),
		CASE(a_ca_without_certificate_is_not_overwritten),
		CASE(profile_pqc_refuses_an_ecdsa_ca),
		CASE(bad_names_are_refused),
		CASE(an_unwritable_directory_is_a_clear_error),
		CASE(a_temporary_file_left_by_a_crash_is_no_obstacle),
		CASE(a_crash_between_a_cas_key_and_its_certificate_is_mended),
		CASE(a_cas_key_without_its_certificate_is_not_overwritten),
		CASE(openssl_accepts_the_ecdsa_chain),
		CASE(serial_numbers_are_positive_and_differ),
	};

	return cmocka_run_group_tests_name("certs", tests, NULL, NULL);
}
