/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/check.h"

#include "control/admission/identity.h"
#include "control/tls/certgen.h"
#include "control/tls/signer.h"
#include "datapath/base/err.h"

static char *key_pem;
static struct clv_signer *signer;

static int setup(void **state)
{
	(void)state;
	return clv_certgen_key(CLV_PROFILE_PQC, &key_pem) || clv_signer_new(key_pem, &signer);
}

static int teardown(void **state)
{
	(void)state;
	clv_signer_free(signer);
	clv_certgen_free_key(key_pem);
	return 0;
}

static const uint8_t message[] = "what is signed";

static void a_signature_is_good_for_its_message_context_and_key_alone(void **state)
{
	uint8_t signature[CLV_SIGNER_SIGNATURE_LEN], other[sizeof(message)];
	uint8_t key[CLV_SIGNER_KEY_LEN];

	(void)state;
	assert_int_equal(clv_signer_sign(signer, "a", message, sizeof(message), signature), 0);
	memcpy(key, clv_signer_key(signer), sizeof(key));
	memcpy(other, message, sizeof(message));
	other[3] ^= 1;
	assert_int_equal(clv_signer_verify(key, "a", message, sizeof(message), signature), 0);
	assert_int_equal(clv_signer_verify(key, "b", message, sizeof(message), signature),
			 CLV_EUNTRUSTED);
	assert_int_equal(clv_signer_verify(key, "", message, sizeof(message), signature),
			 CLV_EUNTRUSTED);
	assert_int_equal(clv_signer_verify(key, "a", other, sizeof(other), signature),
			 CLV_EUNTRUSTED);
	signature[100] ^= 1;
	assert_int_equal(clv_signer_verify(key, "a", message, sizeof(message), signature),
			 CLV_EUNTRUSTED);
	signature[100] ^= 1;
	key[100] ^= 1;
	assert_int_equal(clv_signer_verify(key, "a", message, sizeof(message), signature),
			 CLV_EUNTRUSTED);
}

static void the_identity_of_a_key_is_that_of_its_certificate(void **state)
{
	uint8_t spki[CLV_SIGNER_SPKI_LEN], pin[32];
	struct clv_identity id;

	(void)state;
	clv_signer_spki(clv_signer_key(signer), spki);
	assert_int_equal(clv_identity_of(spki, sizeof(spki), &id), 0);
	assert_int_equal(clv_certgen_key_pin(CLV_PROFILE_PQC, key_pem, pin), 0);
	assert_memory_equal(id.bytes, pin, sizeof(pin));
}

/* As a CA issues it: the public key is in the certificate alone. */
static void a_key_with_its_certificate_signs_as_the_same_one(void **state)
{
	char *cert, text[65536], *end = strstr(key_pem, "-----BEGIN PUBLIC KEY-----");
	struct clv_signer *other;

	(void)state;
	assert_int_equal(clv_certgen_self(key_pem, &cert), 0);
	snprintf(text, sizeof(text), "%.*s%s", (int)(end - key_pem), key_pem, cert);
	assert_int_equal(clv_signer_new(text, &other), 0);
	assert_memory_equal(clv_signer_key(other), clv_signer_key(signer), CLV_SIGNER_KEY_LEN);
	clv_signer_free(other);
	free(cert);
}

static void what_is_no_key_of_an_identity_is_refused(void **state)
{
	struct clv_signer *none = NULL;
	char *other, *cert, text[65536], *end;

	(void)state;
	assert_int_equal(clv_signer_new("", &none), CLV_ESYNTAX);
	assert_int_equal(clv_certgen_key(CLV_PROFILE_HYBRID, &other), 0);
	assert_int_equal(clv_signer_new(other, &none), CLV_ESYNTAX);
	clv_certgen_free_key(other);

	/* The certificate of another key. */
	assert_int_equal(clv_certgen_key(CLV_PROFILE_PQC, &other), 0);
	assert_int_equal(clv_certgen_self(other, &cert), 0);
	end = strstr(key_pem, "-----BEGIN PUBLIC KEY-----");
	snprintf(text, sizeof(text), "%.*s%s", (int)(end - key_pem), key_pem, cert);
	assert_int_equal(clv_signer_new(text, &none), CLV_ESYNTAX);
	clv_certgen_free_key(other);
	free(cert);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE("a signature is good for its message, context and key alone",
		     a_signature_is_good_for_its_message_context_and_key_alone),
		CASE("the identity of a key is that of its certificate",
		     the_identity_of_a_key_is_that_of_its_certificate),
		CASE("a key with its certificate signs as the same one",
		     a_key_with_its_certificate_signs_as_the_same_one),
		CASE("what is no key of an identity is refused",
		     what_is_no_key_of_an_identity_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
