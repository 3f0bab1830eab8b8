/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/access.h"

#include "datapath/base/err.h"
#include "datapath/base/hash.h"
#include "datapath/base/secret.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	SHARE = 8, /* one source has at most an eighth of the checks, but at least one */
	/* The input of the digest that remembers a password: name, zero, hash, zero, password. */
	DIGESTED_MAX = CLV_CLIENT_NAME_MAX + CLV_PASSWORD_TEXT_MAX + CLV_PASSWORD_MAX + 2,
};

static enum clv_access_result refuse(struct clv_access_outcome *out, enum clv_access_reason reason,
				     enum clv_access_result result)
{
	out->reason = reason;
	return result;
}

/* Refuse, and count a failure of the source. */
static enum clv_access_result fail(struct clv_access *a, const struct clv_access_request *r,
				   uint64_t now_ns, enum clv_access_reason reason,
				   struct clv_access_outcome *out)
{
	if (!clv_guard_take(&a->failures, r->addr, CLV_GUARD_INITIAL, now_ns))
		return refuse(out, CLV_ACCESS_BECAUSE_FAILURES, CLV_ACCESS_FAILURES);
	return refuse(out, reason, CLV_ACCESS_UNAUTHORIZED);
}

int clv_access_init(struct clv_access *a, const struct clv_access_params *p)
{
	static const char use[] = "culvert access hash seed";
	uint8_t seed[CLV_MAC_LEN];
	int err = clv_mac(p->secret, use, sizeof(use) - 1, seed);

	if (err)
		return err;
	*a = (struct clv_access){ .p = *p };
	memcpy(a->seed, seed, sizeof(a->seed));
	a->token_key_proof = clv_hash(a->seed, p->token_key, sizeof(p->token_key));
	clv_verdicts_ref(a->p.clients);
	a->slots = calloc(p->checks_max + 1, sizeof(*a->slots));
	a->memory = calloc(CLV_ACCESS_MEMORY, sizeof(*a->memory));
	if (!a->slots || !a->memory ||
	    clv_guard_init(&a->failures, &p->failures, p->sources, a->seed)) {
		clv_access_fini(a);
		return -ENOMEM;
	}
	return 0;
}

void clv_access_fini(struct clv_access *a)
{
	clv_verdicts_unref(a->p.clients);
	clv_guard_fini(&a->failures);
	free(a->slots);
	free(a->memory);
	explicit_bzero(a, sizeof(*a));
}

void clv_access_set_users(struct clv_access *a, const struct clv_users *users)
{
	a->users = users;
}

void clv_access_set_rules(struct clv_access *a, enum clv_access_mode mode,
			  struct clv_verdicts *clients)
{
	struct clv_verdicts *old = a->p.clients;

	a->p.mode = mode;
	a->p.clients = clv_verdicts_ref(clients);
	clv_verdicts_unref(old);
}

bool clv_access_admits(const struct clv_access *a, const uint8_t addr[static 16])
{
	return !a->p.clients || (clv_verdicts_find(a->p.clients, addr) >= 0 &&
				 !clv_verdicts_denies(a->p.clients, addr));
}

const char *clv_access_reason_name(enum clv_access_reason reason)
{
	static const char *const names[] = {
#define X(symbol, name, help) name,
		CLV_ACCESS_REASONS(X)
#undef X
	};

	return names[reason];
}

/* ---- grants ---- */

static bool is_over(uint64_t expires_sec, uint64_t wall_sec)
{
	return expires_sec && wall_sec >= expires_sec;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* Apply the users file to a grant whose own limits and times are filled.  user: may be NULL. */
static enum clv_access_reason complete(struct clv_access_grant *grant, const struct clv_user *user,
				       uint64_t wall_sec)
{
	if (is_over(grant->own_expires_sec, wall_sec) ||
	    (user && is_over(user->expires_sec, wall_sec)))
		return CLV_ACCESS_BECAUSE_EXPIRED;
	if (user && grant->how == CLV_ACCESS_BY_BEARER && grant->issued_sec <= user->revoked_sec)
		return CLV_ACCESS_BECAUSE_REVOKED;
	grant->limits = grant->own_limits;
	grant->expires_sec = grant->own_expires_sec;
	if (user) {
		clv_client_limits_narrow(&grant->limits, &user->limits);
		grant->expires_sec = earlier(grant->expires_sec, user->expires_sec);
	}
	return CLV_ACCESS_BECAUSE_OK;
}

/* Fill a grant for a user that was authenticated by a password or key of the users file. */
static enum clv_access_reason grant_user(const struct clv_user *user, enum clv_access_how how,
					 uint64_t proof, uint64_t wall_sec,
					 struct clv_access_grant *grant)
{
	*grant = (struct clv_access_grant){ .how = how, .proof = proof };
	memcpy(grant->name, user->name, sizeof(grant->name));
	clv_client_limits_init(&grant->own_limits);
	return complete(grant, user, wall_sec);
}

static uint64_t password_proof(const struct clv_access *a, const char *encoded)
{
	return clv_hash(a->seed, encoded, strlen(encoded));
}

static uint64_t identity_proof(const struct clv_access *a, const struct clv_identity *id)
{
	return clv_hash(a->seed, id->bytes, sizeof(id->bytes));
}

bool clv_access_renew(const struct clv_access *a, struct clv_access_grant *grant, uint64_t wall_sec)
{
	const struct clv_user *user = clv_users_find(a->users, grant->name, strlen(grant->name));
	bool stands = false;

	if (a->p.mode == CLV_ACCESS_OPEN)
		return true; /* opening a relay disconnects nobody */
	switch (grant->how) {
	case CLV_ACCESS_BY_NOTHING:
		return false;
	case CLV_ACCESS_BY_BEARER:
		stands = a->p.mode == CLV_ACCESS_TOKEN && grant->proof == a->token_key_proof;
		break;
	case CLV_ACCESS_BY_PASSWORD:
		stands = a->p.mode == CLV_ACCESS_TOKEN && user && user->password &&
			 grant->proof == password_proof(a, user->password);
		break;
	case CLV_ACCESS_BY_KEY:
		stands = user && user->has_key && grant->proof == identity_proof(a, &user->key);
		break;
	case CLV_ACCESS_BY_CA:
		stands = user && user->has_ca && grant->proof == identity_proof(a, &user->ca);
		break;
	}
	return stands && complete(grant, user, wall_sec) == CLV_ACCESS_BECAUSE_OK;
}

/* ---- tokens and certificates ---- */

static enum clv_access_result by_bearer(struct clv_access *a, const struct clv_access_request *r,
					uint64_t now_ns, uint64_t wall_sec,
					struct clv_access_outcome *out)
{
	const struct clv_authorization *presented = r->authorization;
	enum clv_access_reason reason = CLV_ACCESS_BECAUSE_MALFORMED;
	struct clv_bearer token;

	switch (clv_bearer_verify(a->p.token_key, presented->token, presented->token_len, wall_sec,
				  &token)) {
	case CLV_BEARER_VALID:
		out->grant = (struct clv_access_grant){
			.how = CLV_ACCESS_BY_BEARER,
			.own_limits = token.limits,
			.own_expires_sec = token.expires_sec,
			.issued_sec = token.issued_sec,
			.proof = a->token_key_proof,
		};
		memcpy(out->grant.name, token.name, sizeof(token.name));
		reason = complete(&out->grant,
				  clv_users_find(a->users, token.name, strlen(token.name)),
				  wall_sec);
		if (reason == CLV_ACCESS_BECAUSE_OK)
			return CLV_ACCESS_GRANTED;
		break;
	case CLV_BEARER_MALFORMED:
		break;
	case CLV_BEARER_FORGED:
		reason = CLV_ACCESS_BECAUSE_FORGED;
		break;
	case CLV_BEARER_EXPIRED:
		reason = CLV_ACCESS_BECAUSE_EXPIRED;
		break;
	case CLV_BEARER_EARLY:
		reason = CLV_ACCESS_BECAUSE_EARLY;
		break;
	}
	return fail(a, r, now_ns, reason, out);
}

/* TLS has proven the key: it cannot be guessed, so a refusal does not count as a failure. */
static enum clv_access_result by_certificate(struct clv_access *a,
					     const struct clv_access_request *r, uint64_t wall_sec,
					     struct clv_access_outcome *out)
{
	const struct clv_user *user = r->key ? clv_users_find_key(a->users, r->key) : NULL;

	if (user) {
		out->reason = grant_user(user, CLV_ACCESS_BY_KEY, identity_proof(a, r->key),
					 wall_sec, &out->grant);
	} else {
		user = r->ca ? clv_users_find_ca(a->users, r->ca) : NULL;
		if (!user)
			return refuse(out,
				      r->key ? CLV_ACCESS_BECAUSE_KEY : CLV_ACCESS_BECAUSE_MISSING,
				      CLV_ACCESS_UNAUTHORIZED);
		out->reason = grant_user(user, CLV_ACCESS_BY_CA, identity_proof(a, r->ca), wall_sec,
					 &out->grant);
	}
	return out->reason == CLV_ACCESS_BECAUSE_OK ? CLV_ACCESS_GRANTED : CLV_ACCESS_UNAUTHORIZED;
}

/* ---- passwords ---- */

/* Compute the digest that remembers a password.  Returns 0 or CLV_ETLS. */
static int digest_of(const struct clv_access *a, const char *name, size_t name_len,
		     const char *encoded, const char *password, size_t password_len,
		     uint8_t digest[static CLV_MAC_LEN])
{
	size_t encoded_len = strlen(encoded), len = 0;
	uint8_t text[DIGESTED_MAX];
	int err;

	memcpy(text, name, name_len);
	len = name_len;
	text[len++] = 0;
	memcpy(text + len, encoded, encoded_len);
	len += encoded_len;
	text[len++] = 0;
	memcpy(text + len, password, password_len);
	len += password_len;
	err = clv_mac(a->p.secret, text, len, digest);
	explicit_bzero(text, sizeof(text));
	return err;
}

static struct clv_access_memory *memory_of(struct clv_access *a,
					   const uint8_t digest[static CLV_MAC_LEN])
{
	return &a->memory[(size_t)(digest[0] << 8 | digest[1]) % CLV_ACCESS_MEMORY];
}

static bool is_remembered(struct clv_access *a, const uint8_t digest[static CLV_MAC_LEN],
			  uint64_t now_ns)
{
	const struct clv_access_memory *m = memory_of(a, digest);

	return clv_secret_equal(m->digest, digest, CLV_MAC_LEN) && now_ns < m->until_ns;
}

static void remember(struct clv_access *a, const uint8_t digest[static CLV_MAC_LEN],
		     uint64_t now_ns)
{
	struct clv_access_memory *m = memory_of(a, digest);

	if (!a->p.remember_ns)
		return;
	memcpy(m->digest, digest, CLV_MAC_LEN);
	m->until_ns = now_ns + a->p.remember_ns;
}

/* Take a slot for a check.  Returns whether one was free and within the share of the source. */
static bool take_slot(struct clv_access *a, const uint8_t addr[static 16])
{
	uint32_t share = a->p.checks_max / SHARE ? a->p.checks_max / SHARE : 1, used = 0;
	struct clv_access_slot *free_slot = NULL;
	struct clv_guard_key source;

	clv_guard_key_of(&source, addr, CLV_GUARD_INITIAL, CLV_GUARD_HOST);
	for (uint32_t i = 0; i < a->p.checks_max; i++) {
		struct clv_access_slot *slot = &a->slots[i];

		if (!slot->is_taken)
			free_slot = slot;
		else if (memcmp(&slot->source, &source, sizeof(source)) == 0)
			used++;
	}
	if (!free_slot || used >= share)
		return false;
	*free_slot = (struct clv_access_slot){ .source = source, .is_taken = true };
	return true;
}

/* Free a slot of the source; they are interchangeable. */
static void give_slot(struct clv_access *a, const uint8_t addr[static 16])
{
	struct clv_guard_key source;

	clv_guard_key_of(&source, addr, CLV_GUARD_INITIAL, CLV_GUARD_HOST);
	for (uint32_t i = 0; i < a->p.checks_max; i++)
		if (a->slots[i].is_taken &&
		    memcmp(&a->slots[i].source, &source, sizeof(source)) == 0) {
			a->slots[i].is_taken = false;
			return;
		}
}

/* Find a user with a password. */
static const struct clv_user *find_user(const struct clv_access *a, const char *name,
					size_t name_len)
{
	const struct clv_user *user = clv_users_find(a->users, name, name_len);

	return user && user->password ? user : NULL;
}

static enum clv_access_result by_password(struct clv_access *a, const struct clv_access_request *r,
					  uint64_t now_ns, uint64_t wall_sec,
					  struct clv_access_outcome *out,
					  struct clv_access_check *check)
{
	const struct clv_authorization *presented = r->authorization;
	const struct clv_user *user = find_user(a, presented->name, presented->name_len);
	const char *stand_in = clv_users_any_password(
		a->users, clv_hash(a->seed, presented->name, presented->name_len));
	const char *encoded = user ? user->password : stand_in;
	uint8_t digest[CLV_MAC_LEN];

	/* No user has such a name or password, so refusing without a hash reveals nothing. */
	if (presented->name_len > CLV_CLIENT_NAME_MAX || presented->password_len > CLV_PASSWORD_MAX)
		return fail(a, r, now_ns, CLV_ACCESS_BECAUSE_PASSWORD, out);
	if (digest_of(a, presented->name, presented->name_len, encoded, presented->password,
		      presented->password_len, digest))
		return refuse(out, CLV_ACCESS_BECAUSE_MEMORY, CLV_ACCESS_BUSY);
	if (is_remembered(a, digest, now_ns) && user) {
		out->reason = grant_user(user, CLV_ACCESS_BY_PASSWORD, password_proof(a, encoded),
					 wall_sec, &out->grant);
		if (out->reason == CLV_ACCESS_BECAUSE_OK)
			return CLV_ACCESS_GRANTED;
	}

	/* Counted now and given back on success: concurrent requests cannot exceed the rate. */
	if (!clv_guard_take(&a->failures, r->addr, CLV_GUARD_INITIAL, now_ns))
		return refuse(out, CLV_ACCESS_BECAUSE_FAILURES, CLV_ACCESS_FAILURES);
	if (!take_slot(a, r->addr)) {
		clv_guard_give(&a->failures, r->addr, CLV_GUARD_INITIAL, now_ns);
		return refuse(out, CLV_ACCESS_BECAUSE_BUSY, CLV_ACCESS_BUSY);
	}
	*check = (struct clv_access_check){ .password_len = presented->password_len };
	memcpy(check->encoded, encoded, strlen(encoded));
	memcpy(check->password, presented->password, presented->password_len);
	memcpy(check->addr, r->addr, sizeof(check->addr));
	memcpy(check->digest, digest, sizeof(digest));
	if (user)
		memcpy(check->name, user->name, sizeof(check->name));
	return refuse(out, CLV_ACCESS_BECAUSE_PENDING, CLV_ACCESS_CHECK);
}

static enum clv_access_result conclude(struct clv_access *a, const struct clv_access_check *check,
				       int checked, uint64_t now_ns, uint64_t wall_sec,
				       struct clv_access_outcome *out)
{
	const struct clv_user *user = find_user(a, check->name, strlen(check->name));

	if (checked && checked != CLV_EDENIED) {
		clv_guard_give(&a->failures, check->addr, CLV_GUARD_INITIAL, now_ns);
		return refuse(out, CLV_ACCESS_BECAUSE_MEMORY, CLV_ACCESS_BUSY);
	}
	/* The password may have been changed, or the user removed, meanwhile. */
	if (checked || !user || strcmp(user->password, check->encoded) != 0)
		return refuse(out, CLV_ACCESS_BECAUSE_PASSWORD, CLV_ACCESS_UNAUTHORIZED);
	out->reason = grant_user(user, CLV_ACCESS_BY_PASSWORD, password_proof(a, check->encoded),
				 wall_sec, &out->grant);
	if (out->reason != CLV_ACCESS_BECAUSE_OK)
		return CLV_ACCESS_UNAUTHORIZED;
	clv_guard_give(&a->failures, check->addr, CLV_GUARD_INITIAL, now_ns);
	remember(a, check->digest, now_ns);
	return CLV_ACCESS_GRANTED;
}

enum clv_access_result clv_access_finish(struct clv_access *a, struct clv_access_check *check,
					 int checked, uint64_t now_ns, uint64_t wall_sec,
					 struct clv_access_outcome *out)
{
	enum clv_access_result result = conclude(a, check, checked, now_ns, wall_sec, out);

	clv_access_cancel(a, check);
	return result;
}

void clv_access_cancel(struct clv_access *a, struct clv_access_check *check)
{
	give_slot(a, check->addr);
	explicit_bzero(check, sizeof(*check));
}

/* ---- the decision ---- */

enum clv_access_result clv_access_begin(struct clv_access *a, const struct clv_access_request *r,
					uint64_t now_ns, uint64_t wall_sec,
					struct clv_access_outcome *out,
					struct clv_access_check *check)
{
	*out = (struct clv_access_outcome){ .reason = CLV_ACCESS_BECAUSE_OK };
	if (!clv_access_admits(a, r->addr))
		return refuse(out, CLV_ACCESS_BECAUSE_ADDRESS, CLV_ACCESS_FORBIDDEN);
	if (a->p.mode == CLV_ACCESS_OPEN) {
		clv_client_limits_init(&out->grant.limits);
		out->grant.own_limits = out->grant.limits;
		return CLV_ACCESS_GRANTED;
	}
	if (a->p.mode == CLV_ACCESS_CERTIFICATE || !r->authorization)
		return by_certificate(a, r, wall_sec, out);

	switch (r->authorization->scheme) {
	case CLV_AUTHORIZATION_NONE:
		return by_certificate(a, r, wall_sec, out);
	case CLV_AUTHORIZATION_BASIC:
		return by_password(a, r, now_ns, wall_sec, out, check);
	case CLV_AUTHORIZATION_BEARER:
		return by_bearer(a, r, now_ns, wall_sec, out);
	case CLV_AUTHORIZATION_OTHER:
		return fail(a, r, now_ns, CLV_ACCESS_BECAUSE_SCHEME, out);
	case CLV_AUTHORIZATION_MALFORMED:
		break;
	}
	return fail(a, r, now_ns, CLV_ACCESS_BECAUSE_MALFORMED, out);
}
