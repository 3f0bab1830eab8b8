/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Judging a chain: which are trusted, and the reason in words for those that are not. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "control/tls/chain.h"
#include "tests/unit/tls/cert_maker.h"

#define NAME "relay.example"

/* Root, two CAs below it, and a leaf; by the algorithms of their keys. */
struct family {
	struct cert_made root, upper, lower, leaf;
	char path[64]; /* of the root in PEM */
};

static void make_family(struct family *f, enum cert_algorithm upper, const struct cert_wish *lower)
{
	struct cert_made *root = &f->root;

	cert_make(&f->root, &(struct cert_wish){ .name = "Root", .is_ca = true, .days = 300 },
		  NULL);
	cert_make(&f->upper,
		  &(struct cert_wish){
			  .name = "Upper", .algorithm = upper, .is_ca = true, .days = 100 },
		  &f->root);
	cert_make(&f->lower, lower, &f->upper);
	cert_make(&f->leaf, &(struct cert_wish){ .name = "leaf", .dns = NAME, .days = 10 },
		  &f->lower);
	strcpy(f->path, "/tmp/clv-chain-XXXXXX");
	close(mkstemp(f->path));
	cert_write(f->path, &root, 1);
}

static const struct cert_wish usual_lower = { .name = "Lower", .is_ca = true, .days = 50 };

static void remove_family(struct family *f)
{
	cert_unmake(&f->root);
	cert_unmake(&f->upper);
	cert_unmake(&f->lower);
	cert_unmake(&f->leaf);
	unlink(f->path);
}

static enum clv_chain_fault judge_file(enum clv_profile profile, const char *path, const char *name,
				       const struct clv_der *certs, size_t len,
				       char why[static CLV_CHAIN_WHY_MAX])
{
	struct clv_chain_trust trust = { .profile = profile, .name = name };
	struct clv_anchors *anchors;
	enum clv_chain_fault fault;
	char error[256];

	*why = 0;
	if (clv_anchors_load(profile, path, &anchors, error, sizeof(error)))
		fail_msg("%s", error);
	trust.anchors = anchors;
	fault = clv_chain_judge(&trust, certs, len, why);
	clv_anchors_unref(anchors);
	return fault;
}

static enum clv_chain_fault judge_pin(const uint8_t *pin, const char *name,
				      const struct clv_der *certs, size_t len,
				      char why[static CLV_CHAIN_WHY_MAX])
{
	const struct clv_chain_trust trust = { .pin = pin, .name = name };

	*why = 0;
	return clv_chain_judge(&trust, certs, len, why);
}

static void says(const char *why, const char *part)
{
	if (!strstr(why, part))
		fail_msg("\"%s\" does not say \"%s\"", why, part);
}

/* ---- profiles ---- */

static void pqc_judges_every_certificate_up_to_the_anchor(void **state)
{
	char why[CLV_CHAIN_WHY_MAX];
	struct family f;

	(void)state;
	/* Leaf and its issuer are ML-DSA-65, but ECDSA stands between that one and the root. */
	for (int upper = CERT_ML_DSA; upper <= CERT_ECDSA; upper++) {
		make_family(&f, (enum cert_algorithm)upper, &usual_lower);
		const struct clv_der chain[] = { f.leaf.der, f.lower.der, f.upper.der };

		assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 3, why),
				 upper == CERT_ECDSA ? CLV_CHAIN_ALGORITHM : CLV_CHAIN_GOOD);
		if (upper == CERT_ECDSA)
			says(why, "ECDSA");
		assert_int_equal(judge_file(CLV_PROFILE_HYBRID, f.path, NAME, chain, 3, why),
				 CLV_CHAIN_GOOD);
		remove_family(&f);
	}
}

static void what_stands_beside_the_way_up_is_not_looked_at(void **state)
{
	const struct cert_wish other = { .name = "Other", .algorithm = CERT_ECDSA, .is_ca = true };
	char why[CLV_CHAIN_WHY_MAX];
	struct cert_made stranger;
	struct family f;

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	cert_make(&stranger, &other, NULL);
	const struct clv_der chain[] = { f.leaf.der, stranger.der, f.upper.der, f.lower.der };

	assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 4, why), CLV_CHAIN_GOOD);
	cert_unmake(&stranger);
	remove_family(&f);
}

static void roots_that_a_profile_does_not_take_are_left_out_and_counted(void **state)
{
	const struct cert_wish other = { .name = "Other", .algorithm = CERT_ECDSA, .is_ca = true };
	const struct cert_wish no_ca = { .name = "nobody" };
	char why[CLV_CHAIN_WHY_MAX], error[256];
	struct cert_made stranger, leaf;
	struct clv_anchors *anchors;
	struct family f;

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	cert_make(&stranger, &other, NULL);
	cert_make(&leaf, &no_ca, NULL);
	const struct clv_der chain[] = { f.leaf.der, f.lower.der, f.upper.der };

	cert_write(f.path, (struct cert_made *[]){ &stranger, &leaf, &f.root }, 3);
	assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 3, why), CLV_CHAIN_GOOD);
	assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 1, why),
			 CLV_CHAIN_UNKNOWN_CA);
	says(why, "\"Lower\"");
	says(why, "1 trusted roots (2 of the file");

	cert_write(f.path, (struct cert_made *[]){ &stranger, &leaf }, 2);
	assert_int_not_equal(
		clv_anchors_load(CLV_PROFILE_PQC, f.path, &anchors, error, sizeof(error)), 0);
	says(error, "ECDSA");
	says(error, "ML-DSA-65 only");
	cert_unmake(&stranger);
	cert_unmake(&leaf);
	remove_family(&f);
}

/* ---- pins ---- */

static void a_pin_above_the_leaf_demands_the_name(void **state)
{
	char why[CLV_CHAIN_WHY_MAX];
	uint8_t pin[32];
	struct family f;

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	const struct clv_der chain[] = { f.leaf.der, f.lower.der, f.upper.der, f.root.der };

	for (size_t at = 0; at < 4; at++) {
		for (int of_key = 0; of_key < 2; of_key++) {
			if (of_key)
				assert_int_equal(clv_cert_pin(&chain[at], pin), 0);
			else
				clv_cert_sha256(&chain[at], pin);
			assert_int_equal(judge_pin(pin, NAME, chain, 4, why), CLV_CHAIN_GOOD);
			assert_int_equal(judge_pin(pin, "other.example", chain, 4, why),
					 at ? CLV_CHAIN_NAME : CLV_CHAIN_GOOD);
			if (at)
				says(why, "for " NAME ", not for other.example");
			assert_int_equal(judge_pin(pin, NULL, chain, 4, why),
					 at ? CLV_CHAIN_NAME : CLV_CHAIN_GOOD);
		}
	}
	pin[0] ^= 1;
	assert_int_equal(judge_pin(pin, NAME, chain, 4, why), CLV_CHAIN_UNKNOWN_CA);
	says(why, "pinned");
	remove_family(&f);
}

static void showing_a_pinned_ca_is_not_being_signed_by_it(void **state)
{
	char why[CLV_CHAIN_WHY_MAX];
	struct family f, g;
	uint8_t pin[32];

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	make_family(&g, CERT_ML_DSA, &usual_lower);
	/* The forger's chain, and a CA of the same name that did not sign it. */
	const struct clv_der chain[] = { g.leaf.der, g.lower.der, f.upper.der };

	clv_cert_sha256(&f.upper.der, pin);
	assert_int_equal(judge_pin(pin, NAME, chain, 3, why), CLV_CHAIN_SIGNATURE);
	says(why, "not a date");
	remove_family(&f);
	remove_family(&g);
}

/* ---- dates ---- */

static time_t pretended_now;

static time_t pretend(time_t *t)
{
	if (t)
		*t = pretended_now;
	return pretended_now;
}

static void a_date_is_told_from_a_signature_and_a_name(void **state)
{
	static const struct {
		int days; /* from now */
		const char *says;
	} cases[] = {
		{ 5, NULL },
		{ 20, "its certificate expired on" },
		{ 60, "its certificate expired on" },
		{ -400, "before this program was built" },
	};
	char why[CLV_CHAIN_WHY_MAX];
	struct family f;
	uint8_t pin[32];

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	const struct clv_der chain[] = { f.leaf.der, f.lower.der, f.upper.der };

	assert_int_equal(clv_cert_pin(&f.leaf.der, pin), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const enum clv_chain_fault expected = cases[i].says ? CLV_CHAIN_DATE
								    : CLV_CHAIN_GOOD;

		pretended_now = time(NULL) + cases[i].days * 86400L;
		if (cases[i].days < 0)
			pretended_now = 100; /* 1970 */
		wc_SetTimeCb(pretend);
		assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 3, why),
				 expected);
		if (expected)
			says(why, cases[i].says);
		assert_int_equal(judge_pin(pin, NULL, chain, 3, why), expected);
		if (expected)
			says(why, "the clock");
		wc_SetTimeCb(NULL);
	}
	remove_family(&f);
}

static void an_issuer_out_of_date_is_named(void **state)
{
	const struct cert_wish long_lived = { .name = "leaf", .dns = NAME, .days = 400 };
	char why[CLV_CHAIN_WHY_MAX];
	struct cert_made leaf, below_root;
	struct family f;

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	cert_make(&leaf, &long_lived, &f.lower);
	cert_make(&below_root, &long_lived, &f.root);
	const struct clv_der chain[] = { leaf.der, f.lower.der, f.upper.der };

	pretended_now = time(NULL) + 60 * 86400L;
	wc_SetTimeCb(pretend);
	assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 3, why), CLV_CHAIN_DATE);
	says(why, "CA \"Lower\" expired on");
	pretended_now = time(NULL) + 350 * 86400L;
	assert_int_equal(judge_file(CLV_PROFILE_PQC, f.path, NAME, &below_root.der, 1, why),
			 CLV_CHAIN_DATE);
	says(why, "root \"Root\" expired on");
	wc_SetTimeCb(NULL);
	cert_unmake(&leaf);
	cert_unmake(&below_root);
	remove_family(&f);
}

static unsigned looks_left; /* at the clock, before it jumps */

static time_t jump(time_t *t)
{
	time_t now = time(NULL) + (looks_left ? 0 : 6 * 86400L);

	if (looks_left)
		looks_left--;
	if (t)
		*t = now;
	return now;
}

/* The signature of an issuer that is not valid yet is not looked at, for the date is to be named. */
static void an_issuer_that_becomes_valid_meanwhile_signed_nothing(void **state)
{
	char why[CLV_CHAIN_WHY_MAX];
	struct cert_made later;
	struct family f, g;

	(void)state;
	make_family(&f, CERT_ML_DSA, &usual_lower);
	make_family(&g, CERT_ML_DSA, &usual_lower);
	pretended_now = time(NULL) + 5 * 86400L;
	wc_SetTimeCb(pretend);
	cert_make(&later, &usual_lower, &f.upper);
	/* The forger's leaf names as its issuer a CA that did not sign it. */
	const struct clv_der forged[] = { g.leaf.der, later.der, f.upper.der };

	wc_SetTimeCb(jump);
	for (unsigned looks = 0; looks < 40; looks++) {
		enum clv_chain_fault fault;

		looks_left = looks;
		fault = judge_file(CLV_PROFILE_PQC, f.path, NAME, forged, 3, why);
		if (fault != CLV_CHAIN_DATE && fault != CLV_CHAIN_SIGNATURE)
			fail_msg("fault %d when the clock jumps after %u looks", fault, looks);
	}
	wc_SetTimeCb(NULL);
	cert_unmake(&later);
	remove_family(&f);
	remove_family(&g);
}

/* ---- authority ---- */

static void who_is_no_ca_or_has_no_depth_left_signs_nothing(void **state)
{
	static const struct {
		const char *name;
		struct cert_wish lower;
		enum clv_chain_fault expected;
	} cases[] = {
		{ "a leaf as issuer", { .name = "Lower" }, CLV_CHAIN_UNKNOWN_CA },
		{ "no CA below",
		  { .name = "Lower", .is_ca = true, .has_path_len = true },
		  CLV_CHAIN_GOOD },
	};
	const struct cert_wish more = { .name = "More", .is_ca = true };
	const struct cert_wish end = { .name = "end", .dns = NAME };
	char why[CLV_CHAIN_WHY_MAX];
	struct cert_made deeper, leaf;
	struct family f;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		make_family(&f, CERT_ML_DSA, &cases[i].lower);
		const struct clv_der chain[] = { f.leaf.der, f.lower.der, f.upper.der };

		CHECK_ROW(cases[i].name, judge_file(CLV_PROFILE_PQC, f.path, NAME, chain, 3, why) ==
						 cases[i].expected);
		if (cases[i].lower.has_path_len) {
			cert_make(&deeper, &more, &f.lower);
			cert_make(&leaf, &end, &deeper);
			const struct clv_der deep[] = { leaf.der, deeper.der, f.lower.der,
							f.upper.der };

			CHECK_ROW("one CA too deep", judge_file(CLV_PROFILE_PQC, f.path, NAME, deep,
								4, why) == CLV_CHAIN_SIGNATURE);
			cert_unmake(&deeper);
			cert_unmake(&leaf);
		}
		remove_family(&f);
	}
}

/* ---- names ---- */

static void names_are_matched_label_by_label(void **state)
{
	static const struct {
		const char *dns, *name;
		bool fits;
	} cases[] = {
		{ "relay.example", "relay.example", true },
		{ "relay.example", "RELAY.Example", true },
		{ "relay.example", "relay.example.org", false },
		{ "relay.example", "elay.example", false },
		{ "*.relay.example", "a.relay.example", true },
		{ "*.relay.example", "relay.example", false },
		{ "*.relay.example", "a.b.relay.example", false },
		{ "*.relay.example", ".relay.example", false },
		{ "a*.relay.example", "ab.relay.example", false },
		{ "*.example", "relay.example", false },
		{ "*", "relay", false },
		{ "192.0.2.1", "192.0.2.1", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct cert_wish wish = { .name = cases[i].name,
						.algorithm = CERT_ECDSA,
						.dns = cases[i].dns };
		struct cert_made made;

		cert_make(&made, &wish, NULL);
		CHECK_ROW(cases[i].dns, clv_cert_is_for(&made.der, cases[i].name) == cases[i].fits);
		cert_unmake(&made);
	}
}

static void a_common_name_is_no_name(void **state)
{
	const struct cert_wish wish = { .name = NAME, .algorithm = CERT_ECDSA };
	char text[CLV_CERT_NAMES_TEXT_MAX];
	struct cert_made made;

	(void)state;
	cert_make(&made, &wish, NULL);
	assert_false(clv_cert_is_for(&made.der, NAME));
	assert_string_equal(clv_cert_names_text(&made.der, text), "no name");
	cert_unmake(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pqc_judges_every_certificate_up_to_the_anchor),
		cmocka_unit_test(what_stands_beside_the_way_up_is_not_looked_at),
		cmocka_unit_test(roots_that_a_profile_does_not_take_are_left_out_and_counted),
		cmocka_unit_test(a_pin_above_the_leaf_demands_the_name),
		cmocka_unit_test(showing_a_pinned_ca_is_not_being_signed_by_it),
		cmocka_unit_test(a_date_is_told_from_a_signature_and_a_name),
		cmocka_unit_test(an_issuer_out_of_date_is_named),
		cmocka_unit_test(an_issuer_that_becomes_valid_meanwhile_signed_nothing),
		cmocka_unit_test(who_is_no_ca_or_has_no_depth_left_signs_nothing),
		cmocka_unit_test(names_are_matched_label_by_label),
		cmocka_unit_test(a_common_name_is_no_name),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
