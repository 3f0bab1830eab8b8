/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/tls/chain.h"

#include "control/tls/dates.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct judge {
	const struct clv_chain_trust *trust;
	const struct clv_der *certs;
	size_t certs_len;
	struct clv_cert_facts facts[CLV_CHAIN_CERTS_MAX];
	bool is_readable[CLV_CHAIN_CERTS_MAX];
	bool was_used[CLV_CHAIN_CERTS_MAX]; /* on the way up: no circles */
	size_t pinned;			    /* index, or certs_len */
	int intermediates;		    /* CAs on the way up that are not self-issued */
	time_t now;			    /* one for all dates: some are looked at twice */
	char *why;
};

__attribute__((format(printf, 3, 4))) static enum clv_chain_fault fault(struct judge *j,
									enum clv_chain_fault which,
									const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(j->why, CLV_CHAIN_WHY_MAX, fmt, args);
	va_end(args);
	return which;
}

/* ---- one certificate ---- */

struct what {
	char text[CLV_CERT_ISSUER_MAX + 40];
};

/* at: 0 for the leaf; below: what an issuer signed, which knows its name. */
static struct what name_of(const struct judge *j, size_t at, const struct clv_cert_facts *below)
{
	struct what what;

	if (!below)
		snprintf(what.text, sizeof(what.text), "its certificate");
	else
		snprintf(what.text, sizeof(what.text), "the %s \"%s\"",
			 at < j->certs_len ? "certificate of its CA" : "trusted root",
			 below->issuer_text);
	return what;
}

static enum clv_chain_fault judge_dates(struct judge *j, const struct what *what,
					const struct clv_cert_facts *facts)
{
	char date[CLV_DATE_TEXT_MAX], clock[CLV_DATE_TEXT_MAX];

	clv_dates_format(j->now, clock);
	if (j->now >= facts->not_after)
		return fault(j, CLV_CHAIN_DATE, "%s expired on %s; the clock here says %s",
			     what->text, clv_dates_format(facts->not_after, date), clock);
	if (j->now >= facts->not_before)
		return CLV_CHAIN_GOOD;
	if (clv_dates_is_clock_early())
		return fault(j, CLV_CHAIN_DATE,
			     "the clock here says %s, before this program was built, and %s is "
			     "valid from %s on: set the clock",
			     clock, what->text, clv_dates_format(facts->not_before, date));
	return fault(j, CLV_CHAIN_DATE, "%s is not valid before %s; the clock here says %s",
		     what->text, clv_dates_format(facts->not_before, date), clock);
}

/* Whether a certificate that stands on the way may do so, whoever signed it. */
static enum clv_chain_fault judge_one(struct judge *j, size_t at,
				      const struct clv_cert_facts *facts,
				      const struct clv_cert_facts *below)
{
	const struct what what = name_of(j, at, below);

	if (j->trust->profile == CLV_PROFILE_PQC && !clv_cert_is_pqc(facts))
		return fault(j, CLV_CHAIN_ALGORITHM,
			     "%s has a key of %s and a signature of %s, but profile pqc takes "
			     "ML-DSA-65 only",
			     what.text, facts->key_algorithm, facts->signature_algorithm);
	/* A root and a pinned certificate are trusted for what they are, not for their signature. */
	if (at < j->certs_len && at != j->pinned && !clv_cert_is_signed_well(facts))
		return fault(j, CLV_CHAIN_SIGNATURE,
			     "%s has a signature of an algorithm that is not accepted, such as one "
			     "over SHA-1",
			     what.text);
	return judge_dates(j, &what, facts);
}

/* Whether so many intermediate CAs below a CA are within its limit (RFC 5280 section 4.2.1.9). */
static bool is_within_path(const struct judge *j, const struct clv_cert_facts *ca)
{
	return ca->path_len < 0 || j->intermediates <= ca->path_len;
}

/* ---- the way up ---- */

static bool same_name(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, CLV_CERT_NAME_HASH_LEN) == 0;
}

/*
 * Whether an anchor signed certs[at].  *seen: whether there was one of the issuer's name.
 * Returns why one of that name cannot be used, or CLV_CHAIN_GOOD.
 */
static enum clv_chain_fault find_anchor(struct judge *j, size_t at, bool *found, bool *seen)
{
	const struct clv_cert_facts *facts;
	const struct clv_der *anchor;
	enum clv_chain_fault worst = CLV_CHAIN_GOOD;
	size_t next = 0;

	*found = false;
	if (!j->trust->anchors)
		return CLV_CHAIN_GOOD;
	while ((anchor = clv_anchors_next(j->trust->anchors, j->facts[at].issuer, &next, &facts))) {
		enum clv_chain_fault why = judge_one(j, j->certs_len, facts, &j->facts[at]);

		*seen = true;
		if (why) {
			worst = why;
			continue;
		}
		*found = is_within_path(j, facts) && clv_cert_is_issuer(anchor, &j->certs[at]);
		if (*found)
			return CLV_CHAIN_GOOD;
	}
	return worst;
}

/* The presented certificate that signed certs[at], or certs_len. */
static size_t find_issuer(struct judge *j, size_t at, bool *seen)
{
	for (size_t i = 1; i < j->certs_len; i++) {
		if (!j->is_readable[i] || j->was_used[i] || !j->facts[i].is_ca ||
		    !same_name(j->facts[i].subject, j->facts[at].issuer))
			continue;
		*seen = true;
		/* The library looks at dates before signatures: those are judged afterwards. */
		if (judge_one(j, i, &j->facts[i], &j->facts[at]) ||
		    (is_within_path(j, &j->facts[i]) &&
		     clv_cert_is_issuer(&j->certs[i], &j->certs[at])))
			return i;
	}
	return j->certs_len;
}

static enum clv_chain_fault no_issuer(struct judge *j, size_t at, bool seen)
{
	const struct clv_chain_trust *t = j->trust;
	const char *issuer = j->facts[at].issuer_text;

	if (seen)
		return fault(
			j, CLV_CHAIN_SIGNATURE,
			"a certificate of its chain is not validly signed by its issuer \"%s\" "
			"(a signature, not a date)",
			issuer);
	if (!t->anchors)
		return fault(j, CLV_CHAIN_UNKNOWN_CA,
			     "its certificate is not signed by the pinned one");
	return fault(
		j, CLV_CHAIN_UNKNOWN_CA,
		"its certificate leads to the issuer \"%s\", which is not among the %zu trusted "
		"roots (%zu of the file cannot be used)",
		issuer, clv_anchors_len(t->anchors), clv_anchors_left_out(t->anchors));
}

/* Climb from the leaf to an anchor, or to the pinned certificate. */
static enum clv_chain_fault climb(struct judge *j)
{
	const struct clv_cert_facts *below = NULL;
	size_t at = 0;

	for (;;) {
		bool found, seen = false;
		enum clv_chain_fault why = judge_one(j, at, &j->facts[at], below);
		size_t issuer;

		if (why || at == j->pinned)
			return why;
		j->was_used[at] = true;
		why = find_anchor(j, at, &found, &seen);
		if (found)
			return CLV_CHAIN_GOOD;
		issuer = find_issuer(j, at, &seen);
		if (issuer == j->certs_len)
			return why ? why : no_issuer(j, at, seen);
		if (!same_name(j->facts[issuer].subject, j->facts[issuer].issuer))
			j->intermediates++;
		below = &j->facts[at];
		at = issuer;
	}
}

/*
 * The certificate with that SHA-256, of its key (clv_cert_pin) or of its DER, or certs_len.
 */
static size_t find_pinned(const struct judge *j)
{
	for (size_t i = 0; i < j->certs_len; i++) {
		uint8_t sha256[32];

		if (!j->is_readable[i])
			continue;
		if (clv_cert_pin(&j->certs[i], sha256) == 0 &&
		    memcmp(sha256, j->trust->pin, sizeof(sha256)) == 0)
			return i;
		clv_cert_sha256(&j->certs[i], sha256);
		if (memcmp(sha256, j->trust->pin, sizeof(sha256)) == 0)
			return i;
	}
	return j->certs_len;
}

static enum clv_chain_fault judge_name(struct judge *j)
{
	const char *name = j->trust->name;
	char names[CLV_CERT_NAMES_TEXT_MAX];

	if (!name)
		return fault(
			j, CLV_CHAIN_NAME,
			"the pin is that of a CA, which may vouch for others too, and there is "
			"no name to check");
	if (clv_cert_is_for(&j->certs[0], name))
		return CLV_CHAIN_GOOD;
	return fault(j, CLV_CHAIN_NAME, "its certificate is for %s, not for %s%s",
		     clv_cert_names_text(&j->certs[0], names), name,
		     j->trust->pin ? " (the pin is that of a CA, so the name counts)" : "");
}

/* Judge all but the name.  Sets where the pin was found. */
static enum clv_chain_fault judge_chain(struct judge *j)
{
	for (size_t i = 0; i < j->certs_len; i++)
		j->is_readable[i] = clv_cert_read(&j->certs[i], &j->facts[i]) == 0;
	if (!j->certs_len || !j->is_readable[0])
		return fault(j, CLV_CHAIN_BROKEN, "its certificate cannot be read: %s are taken",
			     clv_cert_algorithms());
	j->pinned = j->trust->pin ? find_pinned(j) : j->certs_len;
	if (j->trust->pin && j->pinned == j->certs_len)
		return fault(j, CLV_CHAIN_UNKNOWN_CA,
			     "neither its certificate nor one of its chain is the pinned one");
	return climb(j);
}

static size_t at_most(size_t certs_len)
{
	return certs_len < CLV_CHAIN_CERTS_MAX ? certs_len : CLV_CHAIN_CERTS_MAX;
}

enum clv_chain_fault clv_chain_judge(const struct clv_chain_trust *trust,
				     const struct clv_der *certs, size_t certs_len,
				     char why[static CLV_CHAIN_WHY_MAX])
{
	struct judge j = {
		.trust = trust,
		.certs = certs,
		.certs_len = at_most(certs_len),
		.now = clv_dates_now(),
		.why = why,
	};
	enum clv_chain_fault which;

	which = judge_chain(&j);
	if (which || (trust->pin && j.pinned == 0))
		return which;
	return judge_name(&j);
}

enum clv_chain_fault clv_chain_judge_client(enum clv_profile profile, const struct clv_der *certs,
					    size_t certs_len, struct clv_chain_client *out,
					    char why[static CLV_CHAIN_WHY_MAX])
{
	struct clv_chain_client client = { .has_ca = false };
	const struct clv_chain_trust trust = { .profile = profile, .pin = client.ca };
	struct judge j = {
		.trust = &trust,
		.certs = certs,
		.certs_len = at_most(certs_len),
		.now = clv_dates_now(),
		.why = why,
	};
	enum clv_chain_fault which;

	if (!j.certs_len || clv_cert_pin(&certs[0], client.key) ||
	    clv_cert_pin(&certs[j.certs_len - 1], client.ca))
		return fault(&j, CLV_CHAIN_BROKEN, "its certificate cannot be read: %s are taken",
			     clv_cert_algorithms());
	which = judge_chain(&j);
	if (which)
		return which;
	client.has_ca = j.pinned > 0;
	*out = client;
	return CLV_CHAIN_GOOD;
}
