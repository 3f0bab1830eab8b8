/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/proxy/gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/proxy/respond.h"
#include "control/proxy/state.h"
#include "datapath/base/err.h"
#include "datapath/base/hash.h"

enum {
	BUCKETS = 1024, /* of grants and of accounts, by name */
	ACCOUNTS_MAX = 2 * CLV_USERS_MAX,
};

struct clv_gate_check {
	struct clv_gate *gate; /* NULL: gone */
	struct clv_gate_check *prev, *next;
	struct clv_access_check access;
	int checked;		   /* written by the thread that checks */
	clv_gate_checked_fn *done; /* NULL: cancelled */
	void *user;
};

struct clv_gate {
	struct clv_gate_params p;
	struct clv_gate_grant *grants[BUCKETS];
	struct clv_gate_account *accounts[BUCKETS];
	uint32_t accounts_len;
	struct clv_gate_check *checks;
	uint64_t renew_sec; /* when the first grant expires; 0: none does */
};

/* ---- grants ---- */

static size_t bucket_of(const char *name)
{
	static const uint64_t seed[2] = { 0, 0 }; /* names are the operator's words */

	return clv_hash(seed, name, strlen(name)) % BUCKETS;
}

/* The account of a name.  Returns NULL when out of memory, or there are too many. */
static struct clv_gate_account *account_of(struct clv_gate *gate, const char *name)
{
	struct clv_gate_account **bucket = &gate->accounts[bucket_of(name)], *a;

	for (a = *bucket; a; a = a->next)
		if (strcmp(a->name, name) == 0)
			return a;
	if (gate->accounts_len == ACCOUNTS_MAX)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	memcpy(a->name, name, strlen(name));
	clv_client_limits_init(&a->meters.limits);
	a->next = *bucket;
	*bucket = a;
	gate->accounts_len++;
	return a;
}

/* An account's rates and total are the lowest of the credentials that are in use. */
static void update_limits(struct clv_gate *gate, struct clv_gate_account *a)
{
	struct clv_client_limits limits;
	bool is_used = false;

	clv_client_limits_init(&limits);
	for (const struct clv_gate_grant *g = gate->grants[bucket_of(a->name)]; g; g = g->next)
		if (g->account == a && !g->is_over) {
			clv_client_limits_narrow(&limits, &g->access.limits);
			is_used = true;
		}
	if (is_used && memcmp(&limits, &a->meters.limits, sizeof(limits)) != 0)
		clv_meters_set_limits(&a->meters, &limits, &gate->p.meters);
}

static bool is_same(const struct clv_access_grant *a, const struct clv_access_grant *b)
{
	return strcmp(a->name, b->name) == 0 && a->how == b->how && a->proof == b->proof &&
	       a->issued_sec == b->issued_sec && a->own_expires_sec == b->own_expires_sec &&
	       memcmp(&a->own_limits, &b->own_limits, sizeof(a->own_limits)) == 0;
}

static void note_expiry(struct clv_gate *gate, const struct clv_access_grant *grant)
{
	if (grant->expires_sec && (!gate->renew_sec || grant->expires_sec < gate->renew_sec))
		gate->renew_sec = grant->expires_sec;
}

/* The grant object for a credential.  Returns NULL when out of memory. */
static struct clv_gate_grant *take(struct clv_gate *gate, const struct clv_access_grant *access)
{
	struct clv_gate_grant **bucket = &gate->grants[bucket_of(access->name)], *g;

	for (g = *bucket; g; g = g->next)
		if (!g->is_over && is_same(&g->access, access))
			break;
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return NULL;
		g->account = account_of(gate, access->name);
		if (!g->account) {
			free(g);
			return NULL;
		}
		g->next = *bucket;
		*bucket = g;
	}
	g->access = *access;
	g->refs++;
	g->account->tunnels++;
	update_limits(gate, g->account);
	note_expiry(gate, access);
	return g;
}

void clv_gate_give(struct clv_gate *gate, struct clv_gate_grant *grant)
{
	struct clv_gate_grant **at;

	if (!grant)
		return;
	grant->account->tunnels--;
	if (--grant->refs)
		return;
	at = &gate->grants[bucket_of(grant->access.name)];
	while (*at != grant)
		at = &(*at)->next;
	*at = grant->next;
	update_limits(gate, grant->account);
	free(grant);
}

void clv_gate_forget(struct clv_gate *gate, const struct clv_gate_access *access)
{
	clv_gate_give(gate, access->grant);
	if (access->check)
		clv_gate_check_cancel(access->check);
}

void clv_gate_hold(struct clv_gate_grant *grant)
{
	if (grant)
		grant->account->tunnels--;
}

void clv_gate_release(struct clv_gate *gate, struct clv_gate_grant *grant)
{
	if (grant)
		grant->account->tunnels++;
	clv_gate_give(gate, grant);
}

/* ---- limits ---- */

const char *clv_gate_charge(struct clv_requests *rs, const struct clv_gate_grant *grant,
			    bool wants_bound)
{
	const uint64_t *limits = grant ? grant->access.limits.of : NULL;
	struct clv_gate_account *account = grant ? grant->account : NULL;
	const char *full = NULL;

	if (!grant)
		return NULL;
	if (!rs->account && account->conns >= limits[CLV_LIMIT_CONNS])
		full = "too many connections of this client";
	else if (account->tunnels > limits[CLV_LIMIT_TUNNELS]) /* this one is among them */
		full = "too many tunnels of this client";
	else if (wants_bound && account->ports >= limits[CLV_LIMIT_PORTS])
		full = "too many bound ports of this client";
	else if (clv_meters_are_used_up(&account->meters))
		full = "no bytes are left to this client";
	if (full) {
		clv_requests_count(rs, CLV_COUNT_REFUSED_CLIENT_LIMIT);
	} else if (!rs->account) {
		account->conns++;
		rs->account = account;
	}
	return full;
}

void clv_gate_discharge(struct clv_requests *rs)
{
	if (!rs->account)
		return;
	rs->account->conns--;
	rs->account = NULL;
}

bool clv_gate_renew(struct clv_gate *gate, bool must)
{
	uint64_t wall_sec = gate->p.host_ops->wall_sec(gate->p.host);
	struct clv_gate_grant *g;
	bool are_over = false;

	if (!must && (!gate->renew_sec || wall_sec < gate->renew_sec))
		return false;
	gate->renew_sec = 0;
	for (size_t i = 0; i < BUCKETS; i++) {
		for (g = gate->grants[i]; g; g = g->next) {
			if (!clv_access_renew(gate->p.access, &g->access, wall_sec))
				g->is_over = true;
			if (g->is_over)
				are_over = true;
			else
				note_expiry(gate, &g->access);
		}
		for (struct clv_gate_account *a = gate->accounts[i]; a; a = a->next)
			update_limits(gate, a);
	}
	return are_over;
}

int clv_gate_meter_open(struct clv_request *rq, uint16_t worker, struct clv_meter **meter)
{
	const struct clv_gate *gate = rq->rs->params.config->gate;

	*meter = NULL;
	if (!rq->grant || rq->grant->access.how == CLV_ACCESS_BY_NOTHING)
		return 0;
	rq->meter = clv_meters_open(&rq->grant->account->meters, worker, &gate->p.meters);
	if (!rq->meter)
		return -ENOMEM;
	*meter = clv_worker_meter_of(rq->meter);
	return 0;
}

void clv_gate_meter_close(struct clv_request *rq)
{
	const struct clv_gate *gate = rq->rs->params.config->gate;

	if (rq->meter)
		clv_meters_close(&rq->grant->account->meters, rq->meter, &gate->p.meters);
	rq->meter = NULL;
}

void clv_gate_tick(struct clv_gate *gate)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct clv_gate_account *a = gate->accounts[i]; a; a = a->next)
			clv_meters_tick(&a->meters, &gate->p.meters);
}

void clv_gate_each(const struct clv_gate *gate,
		   void (*fn)(void *user, const struct clv_gate_account *account), void *user)
{
	for (size_t i = 0; gate && i < BUCKETS; i++)
		for (const struct clv_gate_account *a = gate->accounts[i]; a; a = a->next)
			if (*a->name)
				fn(user, a);
}

/* ---- decisions ---- */

static void count_refusal(const struct clv_gate *gate, enum clv_access_reason reason)
{
	static const enum clv_counter counters[CLV_ACCESS_BECAUSE_MAX] = {
		[CLV_ACCESS_BECAUSE_MISSING] = CLV_COUNT_REFUSED_NO_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_SCHEME] = CLV_COUNT_REFUSED_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_MALFORMED] = CLV_COUNT_REFUSED_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_FORGED] = CLV_COUNT_REFUSED_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_EXPIRED] = CLV_COUNT_REFUSED_EXPIRED,
		[CLV_ACCESS_BECAUSE_EARLY] = CLV_COUNT_REFUSED_EXPIRED,
		[CLV_ACCESS_BECAUSE_REVOKED] = CLV_COUNT_REFUSED_REVOKED,
		[CLV_ACCESS_BECAUSE_PASSWORD] = CLV_COUNT_REFUSED_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_KEY] = CLV_COUNT_REFUSED_CREDENTIALS,
		[CLV_ACCESS_BECAUSE_ADDRESS] = CLV_COUNT_REFUSED_ADDRESS,
		[CLV_ACCESS_BECAUSE_FAILURES] = CLV_COUNT_REFUSED_FAILURES,
		[CLV_ACCESS_BECAUSE_BUSY] = CLV_COUNT_REFUSED_CHECKS,
		[CLV_ACCESS_BECAUSE_MEMORY] = CLV_COUNT_REFUSED_CHECKS,
	};

	clv_count(gate->p.counters, counters[reason]);
}

/* Turn a decision into a grant, or count its refusal. */
static enum clv_access_result conclude(struct clv_gate *gate, enum clv_access_result result,
				       const struct clv_access_outcome *outcome,
				       struct clv_gate_grant **grant)
{
	*grant = NULL;
	if (result == CLV_ACCESS_GRANTED) {
		*grant = take(gate, &outcome->grant);
		if (*grant)
			return result;
		count_refusal(gate, CLV_ACCESS_BECAUSE_MEMORY);
		return CLV_ACCESS_BUSY;
	}
	count_refusal(gate, outcome->reason);
	return result;
}

/* The credentials of a request, those for a proxy first.  Returns whether it has any. */
static bool read_credentials(const struct clv_http_head *head,
			     char buf[static CLV_AUTHORIZATION_MAX], struct clv_authorization *out)
{
	static const char *const names[] = { "proxy-authorization", "authorization" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct clv_http_field *f = clv_http_find_only(head, names[i]);

		if (f) {
			clv_authorization_parse(f->value, f->value_len, buf, out);
			return true;
		}
		if (clv_http_find_field(head, names[i], NULL)) {
			/* RFC 9110 section 5.3: one that is no list must not come twice. */
			*out = (struct clv_authorization){ .scheme = CLV_AUTHORIZATION_MALFORMED };
			return true;
		}
	}
	return false;
}

static const struct clv_identity *take_key(const uint8_t sha256[static CLV_IDENTITY_LEN],
					   struct clv_identity *out)
{
	memcpy(out->bytes, sha256, sizeof(out->bytes));
	return out;
}

static struct clv_gate_check *new_check(struct clv_gate *gate,
					const struct clv_access_check *access)
{
	struct clv_gate_check *check = calloc(1, sizeof(*check));

	if (!check)
		return NULL;
	check->gate = gate;
	check->access = *access;
	check->next = gate->checks;
	if (check->next)
		check->next->prev = check;
	gate->checks = check;
	return check;
}

enum clv_access_result clv_gate_judge(struct clv_gate *gate, const struct clv_gate_client *client,
				      const struct clv_http_head *head,
				      struct clv_gate_grant **grant, struct clv_gate_check **check)
{
	char buf[CLV_AUTHORIZATION_MAX];
	struct clv_authorization credentials = { .scheme = CLV_AUTHORIZATION_NONE };
	struct clv_access_request r = { .addr = client->addr };
	struct clv_identity key, ca;
	struct clv_access_outcome outcome;
	struct clv_access_check access;
	enum clv_access_result result;

	*grant = NULL;
	if (!gate)
		return CLV_ACCESS_GRANTED;
	if (read_credentials(head, buf, &credentials))
		r.authorization = &credentials;
	if (client->tls->has_client_key)
		r.key = take_key(client->tls->client_key, &key);
	if (client->tls->has_client_ca)
		r.ca = take_key(client->tls->client_ca, &ca);
	result = clv_access_begin(gate->p.access, &r, *gate->p.now_ns,
				  gate->p.host_ops->wall_sec(gate->p.host), &outcome, &access);
	clv_authorization_wipe(&credentials);
	if (result != CLV_ACCESS_CHECK)
		return conclude(gate, result, &outcome, grant);
	*check = new_check(gate, &access);
	if (*check) {
		explicit_bzero(&access, sizeof(access));
		return result;
	}
	clv_access_cancel(gate->p.access, &access);
	count_refusal(gate, CLV_ACCESS_BECAUSE_MEMORY);
	return CLV_ACCESS_BUSY;
}

/* ---- passwords ---- */

static void free_check(struct clv_gate_check *check)
{
	struct clv_gate *gate = check->gate;

	if (gate) {
		if (check->prev)
			check->prev->next = check->next;
		else
			gate->checks = check->next;
		if (check->next)
			check->next->prev = check->prev;
	}
	explicit_bzero(check, sizeof(*check));
	free(check);
}

/* On a thread of the pool. */
static void run_check(void *job)
{
	struct clv_gate_check *check = job;

	check->checked = clv_password_check(check->access.encoded, check->access.password,
					    check->access.password_len);
}

static void finish_check(void *job)
{
	struct clv_gate_check *check = job;
	struct clv_gate *gate = check->gate;
	clv_gate_checked_fn *done = check->done;
	void *user = check->user;
	struct clv_access_outcome outcome;
	enum clv_access_result result;
	struct clv_gate_grant *grant;

	if (!gate || !done) {
		if (gate)
			clv_access_cancel(gate->p.access, &check->access);
		free_check(check);
		return;
	}
	result = clv_access_finish(gate->p.access, &check->access, check->checked, *gate->p.now_ns,
				   gate->p.host_ops->wall_sec(gate->p.host), &outcome);
	free_check(check);
	result = conclude(gate, result, &outcome, &grant);
	done(user, result, grant);
}

int clv_gate_check_start(struct clv_gate_check *check, clv_gate_checked_fn *done, void *user)
{
	const struct clv_gate_params *p = &check->gate->p;
	int err = -ENOSYS;

	check->done = done;
	check->user = user;
	if (p->host_ops->offload)
		err = p->host_ops->offload(p->host, run_check, finish_check, check);
	if (!err)
		return 0;
	count_refusal(check->gate, CLV_ACCESS_BECAUSE_MEMORY);
	clv_access_cancel(p->access, &check->access);
	free_check(check);
	return err;
}

void clv_gate_check_cancel(struct clv_gate_check *check)
{
	if (check->done) {
		check->done = NULL; /* its thread has it: finish_check frees it */
		return;
	}
	clv_access_cancel(check->gate->p.access, &check->access);
	free_check(check);
}

/* ---- refusals ---- */

void clv_gate_refuse(struct clv_requests *rs, struct clv_http_stream *s,
		     enum clv_access_result result)
{
	static const char field[] = "proxy-authenticate";
	const struct clv_http_field challenges[] = {
		clv_http_field_text(field, "Basic realm=\"culvert\", charset=\"UTF-8\""),
		clv_http_field_text(field, "Bearer realm=\"culvert\""),
	};
	struct clv_proxy_status why = { .error = CLV_PROXY_HTTP_REQUEST_ERROR };

	switch (result) {
	case CLV_ACCESS_FAILURES:
		why.details = "too many failed attempts";
		clv_respond_refusal(rs, s, 429, &why);
		return;
	case CLV_ACCESS_BUSY:
		why.details = "too many passwords are being checked";
		clv_respond_refusal(rs, s, 503, &why);
		return;
	case CLV_ACCESS_UNAUTHORIZED:
		/* No field can help where a certificate is required. */
		if (rs->params.config->gate->p.access->p.mode == CLV_ACCESS_CERTIFICATE) {
			why.error = CLV_PROXY_HTTP_REQUEST_DENIED;
			why.details = "no certificate of a known client";
			clv_respond_refusal(rs, s, 0, &why);
			return;
		}
		clv_respond(rs, s, 407, challenges, sizeof(challenges) / sizeof(challenges[0]));
		return;
	default:
		break;
	}
	clv_respond(rs, s, 403, NULL, 0);
}

/* ---- the gate ---- */

int clv_gate_new(const struct clv_gate_params *params, struct clv_gate **out)
{
	struct clv_gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return -ENOMEM;
	gate->p = *params;
	*out = gate;
	return 0;
}

void clv_gate_free(struct clv_gate *gate)
{
	if (!gate)
		return;
	for (struct clv_gate_check *c = gate->checks, *next; c; c = next) {
		next = c->next;
		c->gate = NULL; /* the thread that has it frees it */
		c->done = NULL;
	}
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct clv_gate_account *a = gate->accounts[i], *next; a; a = next) {
			next = a->next;
			clv_meters_free(&a->meters);
			free(a);
		}
	free(gate);
}
