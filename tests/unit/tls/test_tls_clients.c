/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clients with certificates: which keys a server knows them by, and which it refuses. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "control/tls/certgen.h"
#include "control/tls/chain.h"
#include "control/tls/tls_session.h"
#include "datapath/base/err.h"
#include "tests/unit/tls/cert_maker.h"
#include "tests/unit/tls/tls_fixture.h"

/* A client's certificates and key. */
struct identity {
	char *cert_pem, *key_pem;
	uint8_t pin[32];
};

static void make_identity(struct identity *id)
{
	assert_int_equal(clv_certgen_key(CLV_PROFILE_PQC, &id->key_pem), 0);
	assert_int_equal(clv_certgen_self(id->key_pem, &id->cert_pem), 0);
	assert_int_equal(clv_certgen_key_pin(CLV_PROFILE_PQC, id->key_pem, id->pin), 0);
}

static void remove_identity(struct identity *id)
{
	free(id->cert_pem);
	clv_certgen_free_key(id->key_pem);
}

static struct clv_tls_context *client_of(enum clv_profile profile, const uint8_t *pin,
					 const char *cert_pem, const char *key_pem)
{
	struct clv_tls_client_params p = {
		.profile = profile,
		.ca_file = pin ? NULL : tls_ca_file(0, profile),
		.ca_sha256 = pin,
		.cert_pem = cert_pem,
		.key_pem = key_pem,
		.identity_name = "identity",
	};
	struct clv_tls_context *c = NULL;
	char error[256] = "";

	if (clv_tls_client_context(&p, &c, error, sizeof(error)))
		fail_msg("%s", error);
	return c;
}

/* The result of a handshake at the server. */
struct outcome {
	bool is_done;
	struct clv_tls_facts facts; /* if it is */
	unsigned client_done_after; /* flights */
	uint64_t code;		    /* else: of the close */
};

/* Takes c. */
static struct outcome shake(enum clv_profile profile, bool asks, struct clv_tls_context *c)
{
	struct clv_tls_context *s = tls_server(profile);
	struct outcome out = { 0 };
	struct pair p;

	clv_tls_server_ask(s, asks);
	pair_init(&p, s);
	pair_client(&p, c, "relay.example");
	pair_run(&p);
	out.is_done = p.server_done;
	out.client_done_after = p.client_done_after;
	if (out.is_done) {
		assert_int_equal(p.server->closing, CLV_CONN_OPEN);
		assert_int_equal(clv_tls_verify_profile(p.server, &out.facts), 0);
	} else {
		out.code = p.server->close_code;
		assert_true(p.server->closing || p.client->closing);
	}
	pair_fini(&p);
	clv_tls_context_free(s);
	clv_tls_context_free(c);
	return out;
}

static void a_client_is_known_by_its_key(void **state)
{
	struct identity id;

	(void)state;
	make_identity(&id);
	for (int profile = 0; profile < 2; profile++)
		for (int is_pinned = 0; is_pinned < 2; is_pinned++) {
			const enum clv_profile which = (enum clv_profile)profile;
			const uint8_t *pin = is_pinned ? tls_certs[0][profile].ca_sha256 : NULL;
			struct outcome o = shake(which, true,
						 client_of(which, pin, id.cert_pem, id.key_pem));

			assert_true(o.is_done);
			assert_true(o.facts.has_client_key);
			assert_memory_equal(o.facts.client_key, id.pin, 32);
			assert_false(o.facts.has_client_ca);
			/* The request costs no round trip; the root that a pin of it needs does. */
			if (!is_pinned)
				assert_int_equal(o.client_done_after, 2);
		}
	remove_identity(&id);
}

static void a_certificate_is_requested_only_when_told_and_is_optional(void **state)
{
	struct identity id;
	struct outcome o;

	(void)state;
	make_identity(&id);
	o = shake(CLV_PROFILE_PQC, false,
		  client_of(CLV_PROFILE_PQC, NULL, id.cert_pem, id.key_pem));
	assert_true(o.is_done);
	assert_false(o.facts.has_client_key);
	for (int profile = 0; profile < 2; profile++) {
		const enum clv_profile which = (enum clv_profile)profile;

		o = shake(which, true, client_of(which, NULL, NULL, NULL));
		assert_true(o.is_done);
		assert_false(o.facts.has_client_key);
	}
	remove_identity(&id);
}

/* A family of certificates of clients. */
struct family {
	struct cert_made root, middle, leaf, stranger;
	char *leaf_key;
};

static int make_family(void **state)
{
	static struct family f;

	if (tls_make_certificates(state))
		return -1;
	cert_make(&f.root, &(struct cert_wish){ .name = "Root", .is_ca = true, .days = 300 }, NULL);
	cert_make(&f.middle, &(struct cert_wish){ .name = "Middle", .is_ca = true }, &f.root);
	cert_make(&f.leaf, &(struct cert_wish){ .name = "leaf" }, &f.middle);
	cert_make(&f.stranger, &(struct cert_wish){ .name = "Middle", .is_ca = true }, NULL);
	f.leaf_key = cert_key_to_pem(&f.leaf);
	*state = &f;
	return 0;
}

static int remove_family(void **state)
{
	struct family *f = *state;

	cert_unmake(&f->root);
	cert_unmake(&f->middle);
	cert_unmake(&f->leaf);
	cert_unmake(&f->stranger);
	clv_certgen_free_key(f->leaf_key);
	return tls_remove_certificates(state);
}

static struct outcome shake_chain(const struct family *f, struct cert_made *const *chain,
				  size_t len)
{
	char *pem = cert_to_pem(chain, len);
	struct outcome o = shake(CLV_PROFILE_PQC, true,
				 client_of(CLV_PROFILE_PQC, NULL, pem, f->leaf_key));

	free(pem);
	return o;
}

static void a_chain_leads_to_the_key_of_its_last_certificate(void **state)
{
	struct family *f = *state;
	struct cert_made *const chain[] = { &f->leaf, &f->middle, &f->root };
	uint8_t pin[32];

	for (size_t len = 1; len <= 3; len++) {
		struct outcome o = shake_chain(f, chain, len);

		assert_true(o.is_done);
		assert_true(o.facts.has_client_key);
		assert_int_equal(clv_cert_pin(&f->leaf.der, pin), 0);
		assert_memory_equal(o.facts.client_key, pin, 32);
		assert_int_equal(o.facts.has_client_ca, len > 1);
		assert_int_equal(clv_cert_pin(&chain[len - 1]->der, pin), 0);
		if (len > 1)
			assert_memory_equal(o.facts.client_ca, pin, 32);
	}
}

static void showing_a_ca_is_not_being_signed_by_it(void **state)
{
	struct family *f = *state;
	struct cert_made *const forged[] = { &f->leaf, &f->stranger };
	struct cert_made *const gap[] = { &f->leaf, &f->root };
	struct cert_made *const real[] = { &f->leaf, &f->middle };

	assert_false(shake_chain(f, forged, 2).is_done);
	assert_false(shake_chain(f, gap, 2).is_done);
	assert_true(shake_chain(f, real, 2).is_done);
}

static time_t forty_days_later(time_t *t)
{
	time_t then = time(NULL) + 40 * 86400L;

	if (t)
		*t = then;
	return then;
}

static void an_expired_certificate_is_refused(void **state)
{
	struct family *f = *state;
	struct cert_made *const chain[] = { &f->leaf, &f->middle, &f->root };
	struct outcome o;

	wc_SetTimeCb(forty_days_later);
	for (size_t len = 1; len <= 3; len++) {
		o = shake_chain(f, chain, len);
		assert_false(o.is_done);
		assert_int_equal(o.code, 0x100 + CLV_ALERT_CERTIFICATE_EXPIRED);
	}
	wc_SetTimeCb(NULL);
}

/* Give a client's context what clv_tls_client_context would refuse. */
static void force(struct clv_tls_context *c, const struct clv_der *cert, const char *key_pem)
{
	assert_int_equal(wolfSSL_CTX_use_certificate_buffer(c->ctx, cert->data, (long)cert->len,
							    WOLFSSL_FILETYPE_ASN1),
			 WOLFSSL_SUCCESS);
	assert_int_equal(wolfSSL_CTX_use_PrivateKey_buffer(c->ctx, (const byte *)key_pem,
							   (long)strlen(key_pem),
							   WOLFSSL_FILETYPE_PEM),
			 WOLFSSL_SUCCESS);
}

static void a_certificate_without_its_key_is_refused(void **state)
{
	struct family *f = *state;
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, tls_ca_file(0, CLV_PROFILE_PQC),
					       NULL);
	struct identity other;
	struct outcome o;

	make_identity(&other);
	force(c, &f->leaf.der, other.key_pem);
	o = shake(CLV_PROFILE_PQC, true, c);
	assert_false(o.is_done);
	remove_identity(&other);
}

static void pqc_takes_no_other_algorithm(void **state)
{
	struct clv_tls_client_params p = {
		.ca_file = tls_ca_file(0, CLV_PROFILE_PQC),
		.identity_name = "identity",
	};
	struct clv_tls_context *c = tls_client(CLV_PROFILE_PQC, p.ca_file, NULL), *refused;
	struct cert_made *one, made;
	char *cert_pem, *key_pem, error[256];
	struct outcome o;

	(void)state;
	one = &made;
	cert_make(&made, &(struct cert_wish){ .name = "ecdsa", .algorithm = CERT_ECDSA }, NULL);
	p.cert_pem = cert_pem = cert_to_pem(&one, 1);
	p.key_pem = key_pem = cert_key_to_pem(&made);
	assert_int_equal(clv_tls_client_context(&p, &refused, error, sizeof(error)), CLV_ESYNTAX);
	assert_non_null(strstr(error, "ECDSA"));
	force(c, &made.der, key_pem);
	o = shake(CLV_PROFILE_PQC, true, c);
	assert_false(o.is_done);

	/* Profile hybrid takes any. */
	o = shake(CLV_PROFILE_HYBRID, true, client_of(CLV_PROFILE_HYBRID, NULL, cert_pem, key_pem));
	assert_true(o.is_done);
	assert_true(o.facts.has_client_key);
	free(cert_pem);
	free(key_pem);
	cert_unmake(&made);
}

/* The judge alone, whatever a client and the library agree on. */
static void the_judge_of_pqc_refuses_other_algorithms(void **state)
{
	struct clv_chain_client client = { .has_ca = true };
	char why[CLV_CHAIN_WHY_MAX];
	struct cert_made made;

	(void)state;
	cert_make(&made, &(struct cert_wish){ .name = "ecdsa", .algorithm = CERT_ECDSA }, NULL);
	assert_int_equal(clv_chain_judge_client(CLV_PROFILE_PQC, &made.der, 1, &client, why),
			 CLV_CHAIN_ALGORITHM);
	assert_int_equal(clv_chain_judge_client(CLV_PROFILE_HYBRID, &made.der, 1, &client, why),
			 CLV_CHAIN_GOOD);
	assert_false(client.has_ca);
	assert_int_equal(clv_chain_judge_client(CLV_PROFILE_PQC, NULL, 0, &client, why),
			 CLV_CHAIN_BROKEN);
	cert_unmake(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_is_known_by_its_key),
		cmocka_unit_test(a_certificate_is_requested_only_when_told_and_is_optional),
		cmocka_unit_test(a_chain_leads_to_the_key_of_its_last_certificate),
		cmocka_unit_test(showing_a_ca_is_not_being_signed_by_it),
		cmocka_unit_test(an_expired_certificate_is_refused),
		cmocka_unit_test(a_certificate_without_its_key_is_refused),
		cmocka_unit_test(pqc_takes_no_other_algorithm),
		cmocka_unit_test(the_judge_of_pqc_refuses_other_algorithms),
	};

	return cmocka_run_group_tests_name("tls_clients", tests, make_family, remove_family);
}
