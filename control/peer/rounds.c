/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/rounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/peer/backoff.h"
#include "control/peer/pairing.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/nat64.h"
#include "datapath/base/timers.h"

enum {
	/* What the dialler's first retries need; then a round each half minute. */
	ROUNDS_BURST = 6,
	CHECKS_PER_SEC = 8,
};

#define ROUND_NS     (3 * CLV_SEC)
#define CLOSING_NS   (100 * CLV_MSEC) /* in which a better pair may still be proven */
#define SETTLE_NS    (5 * CLV_MSEC)   /* candidates come several at a time */
#define SUPERSEDE_NS (250 * CLV_MSEC) /* a round runs at least so long when candidates change */
#define ROUND_REFILL (30 * CLV_SEC)

struct clv_rounds {
	struct clv_checks checks;
	const struct clv_rounds_ops *ops;
	struct clv_checks_ops checks_ops;
	void *user;
	struct clv_rand *rand;
	bool is_dialler;
	enum clv_privacy privacy;
	uint8_t nat_class;
	struct clv_endpoint relays[CLV_ROUND_RELAYS_MAX];
	unsigned relay_count;

	struct clv_candidates local, remote;
	uint64_t sequence;	       /* of the next local candidate that is new */
	bool told[CLV_CANDIDATES_MAX]; /* of local, as it is ordered now */
	bool has_v4, has_nat64;
	struct clv_prefix nat64;
	bool is_started;

	bool has_hello; /* of the peer */
	uint8_t peer_class, peer_privacy, peer_pairs;

	uint64_t round; /* the newest */
	bool is_in_round;
	unsigned joined;	      /* listener: pairs of this round */
	uint64_t began_ns, proven_ns; /* of the round; proven_ns 0: no pair yet */
	uint64_t next_ns;	      /* dialler: the next round */
	bool has_lost;		      /* its last direct path, and the retry is not planned yet */
	struct clv_backoff backoff;
	struct clv_bucket budget; /* rounds */
	struct clv_bucket rebinds;
	int err; /* of signal: nothing is signalled any more */
};

static void count(struct clv_rounds *r, enum clv_punch_counter counter)
{
	r->checks.counts[counter]++;
}

static int signal_capsule(struct clv_rounds *r, const struct clv_peer_capsule *capsule)
{
	if (!r->err)
		r->err = r->ops->signal(r->user, capsule);
	return r->err;
}

/* ---- what checks say ---- */

static void on_send(void *user, uint32_t base, const struct clv_endpoint *to,
		    const uint8_t *datagram, size_t len)
{
	struct clv_rounds *r = user;

	r->ops->checks.send(r->user, base, to, datagram, len);
}

static void on_event(void *user, enum clv_pair_event event, const struct clv_pair *pair)
{
	struct clv_rounds *r = user;

	if (event == CLV_PAIR_IS_PROVEN && r->is_in_round && !r->proven_ns)
		r->proven_ns = pair->proven_ns;
	if (event == CLV_PAIR_IS_LOST && r->is_dialler && !clv_checks_proven(&r->checks)) {
		r->backoff.tries = 0;
		r->has_lost = true;
	}
	r->ops->checks.event(r->user, event, pair);
}

static void on_observed(void *user, uint32_t base, const struct clv_endpoint *address)
{
	struct clv_rounds *r = user;

	r->ops->checks.observed(r->user, base, address);
}

static enum clv_target_verdict check_target(const struct clv_rounds *r,
					    const struct clv_endpoint *target,
					    enum clv_candidate_kind kind)
{
	struct clv_target_rules rules = { &r->local, &r->remote, r->relays, r->relay_count };

	return clv_target_check(&rules, target, kind);
}

/* The peer's relay may be ours, and a private address has proven that it is near by being heard. */
static bool on_may_ask(void *user, uint32_t base, const struct clv_endpoint *remote)
{
	struct clv_rounds *r = user;
	struct clv_endpoint v4 = { .port = remote->port };
	enum clv_target_verdict v;

	(void)base;
	if (r->has_nat64 && clv_nat64_extract(&r->nat64, remote->addr, v4.addr))
		return check_target(r, &v4, CLV_CANDIDATE_RELAYED) == CLV_TARGET_OK;
	v = check_target(r, remote, CLV_CANDIDATE_RELAYED);
	return v == CLV_TARGET_OK || v == CLV_TARGET_FOREIGN_LAN;
}

/* ---- life ---- */

int clv_rounds_new(const struct clv_rounds_params *params, uint64_t now_ns, struct clv_rounds **out)
{
	struct clv_rounds *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->ops = params->ops;
	r->checks_ops = (struct clv_checks_ops){ on_send, on_event, on_observed, on_may_ask };
	r->user = params->user;
	r->rand = params->rand;
	r->is_dialler = params->is_dialler;
	r->privacy = params->privacy;
	r->nat_class = params->nat_class;
	for (unsigned i = 0; i < params->relay_count && i < CLV_ROUND_RELAYS_MAX; i++)
		r->relays[r->relay_count++] = params->relays[i];
	r->next_ns = CLV_TIMER_NEVER;
	r->budget.rate = (struct clv_rate){ .interval_ns = ROUND_REFILL,
					    .burst_ns = ROUNDS_BURST * ROUND_REFILL };
	r->rebinds = clv_bucket_of(CHECKS_PER_SEC, CHECKS_PER_SEC);
	err = clv_checks_init(&r->checks, r->is_dialler, r->rand, &r->checks_ops, r, now_ns);
	if (err) {
		free(r);
		return err;
	}
	r->checks.answers = r->privacy != CLV_PRIVACY_RELAY_ONLY;
	*out = r;
	return 0;
}

void clv_rounds_free(struct clv_rounds *rounds)
{
	if (!rounds)
		return;
	clv_checks_fini(&rounds->checks);
	free(rounds);
}

/* ---- when the next round is ---- */

/* Between two such NATs no probe ever finds the other's port. */
static bool is_hopeless(const struct clv_rounds *r)
{
	return r->nat_class == CLV_NAT_CLASS_SYMMETRIC_PORT &&
	       r->peer_class == CLV_NAT_CLASS_SYMMETRIC_PORT;
}

static bool can_punch(const struct clv_rounds *r)
{
	return r->is_dialler && r->has_hello && r->peer_pairs > 0 && r->remote.count > 0 &&
	       r->local.count > 0 && r->privacy != CLV_PRIVACY_RELAY_ONLY &&
	       r->peer_privacy != CLV_PRIVACY_RELAY_ONLY;
}

/* Candidates are others now: what was tried before says nothing about them. */
static void note_change(struct clv_rounds *r, uint64_t now_ns)
{
	uint64_t at_ns = now_ns + SETTLE_NS;

	if (!can_punch(r))
		return;
	r->backoff.tries = 0;
	if (r->is_in_round && at_ns < r->began_ns + SUPERSEDE_NS)
		at_ns = r->began_ns + SUPERSEDE_NS;
	if (at_ns < r->next_ns)
		r->next_ns = at_ns;
}

static void plan_retry(struct clv_rounds *r, uint64_t now_ns)
{
	r->next_ns = now_ns + (is_hopeless(r) ? clv_backoff_longest_ns(r->rand)
					      : clv_backoff_ns(&r->backoff, r->rand));
}

/* ---- a round of the dialler ---- */

/* Ask the listener to try a pair with us. */
static void punch(struct clv_rounds *r, const struct clv_combination *c)
{
	struct clv_peer_capsule capsule = {
		.type = CLV_PEER_PUNCH_ME_NOW,
		.round = r->round,
		.sequence = c->remote->sequence,
		.address = { .endpoint = c->local->endpoint,
			     .has_extension = true,
			     .kind = (uint8_t)c->local->kind,
			     .base = c->local->base,
			     .priority = c->local->priority },
	};

	if (signal_capsule(r, &capsule) == 0)
		count(r, CLV_PUNCH_PUNCHES_SENT);
}

static void try_pair(struct clv_rounds *r, const struct clv_combination *c, uint64_t now_ns)
{
	struct clv_pair *pair = clv_checks_try(&r->checks, c->local->base, &c->target,
					       c->remote->kind, now_ns);

	if (!pair)
		return;
	pair->round = (uint16_t)r->round;
	pair->local_seq = (uint8_t)c->local->sequence;
	pair->remote_seq = (uint8_t)c->remote->sequence;
	if (pair->priority < c->priority)
		pair->priority = c->priority;
}

/* Whether the connection has this pair already. */
static bool is_known_good(struct clv_rounds *r, const struct clv_combination *c)
{
	const struct clv_pair *pair = clv_pairs_find(&r->checks.pairs, c->local->base, &c->target);

	return pair && pair->state == CLV_PAIR_PROVEN;
}

static const struct clv_prefix *nat64_of(const struct clv_rounds *r)
{
	return r->has_nat64 ? &r->nat64 : NULL;
}

static unsigned find_combinations(struct clv_rounds *r, struct clv_combination *out)
{
	struct clv_pairing p = {
		.rules = { &r->local, &r->remote, r->relays, r->relay_count },
		.told = r->told,
		.has_v4 = r->has_v4,
		.nat64 = nat64_of(r),
	};
	unsigned n = clv_pairing_find(&p, out);

	r->checks.counts[CLV_PUNCH_FILTERED_FAMILY] += p.skipped[CLV_PAIRING_FAMILY];
	r->checks.counts[CLV_PUNCH_FILTERED_POLICY] += p.skipped[CLV_PAIRING_POLICY];
	r->checks.counts[CLV_PUNCH_REDUNDANT] += p.skipped[CLV_PAIRING_REDUNDANT];
	return n;
}

static void begin_round(struct clv_rounds *r, uint64_t now_ns)
{
	struct clv_combination list[CLV_COMBINATIONS_MAX];
	unsigned n = find_combinations(r, list), max = CLV_ROUND_PAIRS_MAX, used = 0;

	r->next_ns = CLV_TIMER_NEVER;
	/* One of the two may have come to want relays alone since the round was planned. */
	if (n == 0 || !can_punch(r))
		return;
	if (!clv_bucket_take(&r->budget, now_ns)) {
		plan_retry(r, now_ns);
		return;
	}
	clv_checks_cancel(&r->checks, now_ns);
	r->round++;
	r->is_in_round = true;
	r->began_ns = now_ns;
	r->proven_ns = 0;
	count(r, CLV_PUNCH_ROUNDS);
	if (max > r->peer_pairs)
		max = r->peer_pairs;
	for (unsigned i = 0; i < n; i++) {
		if (used == max || is_known_good(r, &list[i])) {
			count(r, CLV_PUNCH_REDUNDANT);
			continue;
		}
		used++;
		if (list[i].is_told)
			punch(r, &list[i]);
		try_pair(r, &list[i], now_ns);
	}
}

static void end_round(struct clv_rounds *r, uint64_t now_ns)
{
	bool is_direct = clv_checks_proven(&r->checks) > 0;

	r->is_in_round = false;
	count(r, is_direct ? CLV_PUNCH_ROUNDS_DIRECT : CLV_PUNCH_ROUNDS_SILENT);
	clv_checks_cancel(&r->checks, now_ns);
	if (r->is_dialler && !is_direct && r->next_ns == CLV_TIMER_NEVER)
		plan_retry(r, now_ns);
}

/* ---- the listener's part ---- */

/* The candidate that we told by this sequence, or NULL. */
static const struct clv_candidate *find_told(const struct clv_rounds *r, uint64_t sequence)
{
	for (unsigned i = 0; i < r->local.count; i++)
		if (r->told[i] && r->local.list[i].sequence == sequence)
			return &r->local.list[i];
	return NULL;
}

/* Try the pair that a PUNCH_ME_NOW names.  Returns whether it is tried. */
static bool join(struct clv_rounds *r, const struct clv_peer_capsule *capsule, uint64_t now_ns)
{
	const struct clv_peer_address *a = &capsule->address;
	enum clv_candidate_kind kind = (enum clv_candidate_kind)a->kind;
	const struct clv_candidate *local = find_told(r, capsule->sequence);
	struct clv_endpoint target;
	struct clv_pair *pair;

	if (!local)
		return false;
	if (clv_addr_is_v4(local->endpoint.addr) != clv_addr_is_v4(a->endpoint.addr) ||
	    !clv_pairing_target(r->has_v4, nat64_of(r), &a->endpoint, &target)) {
		count(r, CLV_PUNCH_FILTERED_FAMILY);
		return false;
	}
	if (check_target(r, &a->endpoint, kind) != CLV_TARGET_OK) {
		count(r, CLV_PUNCH_FILTERED_POLICY);
		return false;
	}
	pair = clv_checks_try(&r->checks, local->base, &target, kind, now_ns);
	if (!pair)
		return false;
	pair->round = (uint16_t)capsule->round;
	pair->local_seq = (uint8_t)local->sequence;
	pair->priority = clv_pair_priority(a->priority, local->priority);
	return true;
}

/* Returns whether a PUNCH_ME_NOW is of this round, or begins another. */
static bool enter_round(struct clv_rounds *r, uint64_t round, uint64_t now_ns)
{
	if (r->is_in_round && round == r->round)
		return r->joined < CLV_ROUND_PAIRS_MAX;
	if (round < r->round || (round == r->round && r->joined > 0))
		return false;
	if (!clv_bucket_take(&r->budget, now_ns)) {
		count(r, CLV_PUNCH_ROUNDS_REFUSED);
		/* Its other pairs are refused as those of an old one. */
		r->round = round;
		r->joined = CLV_ROUND_PAIRS_MAX;
		return false;
	}
	if (r->is_in_round)
		end_round(r, now_ns);
	clv_checks_cancel(&r->checks, now_ns);
	r->round = round;
	r->is_in_round = true;
	r->joined = 0;
	r->began_ns = now_ns;
	r->proven_ns = 0;
	count(r, CLV_PUNCH_ROUNDS);
	return true;
}

static void take_punch(struct clv_rounds *r, const struct clv_peer_capsule *capsule,
		       uint64_t now_ns)
{
	count(r, CLV_PUNCH_PUNCHES_CAME);
	if (!r->has_hello || r->privacy == CLV_PRIVACY_RELAY_ONLY ||
	    !enter_round(r, capsule->round, now_ns)) {
		count(r, CLV_PUNCH_PUNCHES_REFUSED);
		return;
	}
	r->joined++;
	if (!join(r, capsule, now_ns))
		count(r, CLV_PUNCH_PUNCHES_REFUSED);
}

/* ---- candidates ---- */

static void take_candidate(struct clv_rounds *r, const struct clv_peer_capsule *capsule,
			   uint64_t now_ns)
{
	const struct clv_peer_address *a = &capsule->address;
	struct clv_candidate c = {
		.endpoint = a->endpoint,
		.kind = a->has_extension && a->kind <= CLV_CANDIDATE_RELAYED
				? (enum clv_candidate_kind)a->kind
				: CLV_CANDIDATE_UNKNOWN,
		.base = a->base,
		.sequence = capsule->sequence,
		.priority = a->priority,
	};

	count(r, CLV_PUNCH_CANDIDATES_CAME);
	if (!a->has_extension)
		c.priority = clv_candidate_priority(CLV_CANDIDATE_REFLEXIVE, a->endpoint.addr, 0);
	clv_candidates_remove(&r->remote, c.sequence);
	/* Nobody who told 16 may push them out with others. */
	if (r->remote.count == CLV_CANDIDATES_MAX || clv_candidates_add(&r->remote, &c)) {
		count(r, CLV_PUNCH_CANDIDATES_REFUSED);
		return;
	}
	note_change(r, now_ns);
}

void clv_rounds_hello(const struct clv_rounds *rounds, struct clv_peer_hello *out)
{
	*out = (struct clv_peer_hello){
		.version = CLV_PEER_VERSION,
		.version_min = CLV_PEER_VERSION,
		.nat_class = rounds->nat_class,
		.privacy = (uint8_t)rounds->privacy,
		.pairs_max = CLV_ROUND_PAIRS_MAX,
		.dialects = CLV_PEER_DIALECT_02,
	};
	clv_probe_fill_hello(rounds->checks.probe, out);
}

/* Again, as something in it is another. */
static int tell_hello(struct clv_rounds *r)
{
	struct clv_peer_capsule hello = { .type = CLV_PEER_HELLO };
	int err;

	if (!r->is_started)
		return 0;
	clv_rounds_hello(r, &hello.hello);
	err = signal_capsule(r, &hello);
	explicit_bzero(&hello, sizeof(hello));
	return err;
}

static int tell_candidate(struct clv_rounds *r, const struct clv_candidate *c)
{
	struct clv_peer_capsule capsule = {
		.type = CLV_PEER_ADD_ADDRESS,
		.sequence = c->sequence,
		.address = { .endpoint = c->endpoint,
			     .has_extension = true,
			     .kind = (uint8_t)c->kind,
			     .base = c->base,
			     .priority = c->priority },
	};

	return signal_capsule(r, &capsule);
}

static int untell_candidate(struct clv_rounds *r, uint64_t sequence)
{
	struct clv_peer_capsule capsule = { .type = CLV_PEER_REMOVE_ADDRESS, .sequence = sequence };

	return signal_capsule(r, &capsule);
}

/* The dialler's are in its PUNCH_ME_NOW. */
static bool tells(const struct clv_rounds *r)
{
	return r->is_started && !r->is_dialler;
}

/*
 * Replace our candidates: those that stay keep their sequence, and a listener tells what is new and what
 * is gone, when the peer may know.
 */
static int replace_local(struct clv_rounds *r, const struct clv_candidates *set, uint64_t now_ns)
{
	struct clv_candidates former = r->local;
	bool was_told[CLV_CANDIDATES_MAX], stays[CLV_CANDIDATES_MAX] = { false };
	bool has_changed = former.count != set->count;

	memcpy(was_told, r->told, sizeof(was_told));
	r->local = *set;
	for (unsigned i = 0; i < set->count; i++) {
		struct clv_candidate *c = &r->local.list[i];
		bool is_told = clv_candidate_is_told(c, r->privacy), was = false;
		unsigned k;

		for (k = 0; k < former.count && !clv_candidate_equal(c, &former.list[k]); k++)
			;
		was = k < former.count && was_told[k];
		c->sequence = k < former.count ? former.list[k].sequence : r->sequence++;
		if (k < former.count)
			stays[k] = is_told;
		has_changed = has_changed || is_told != was;
		r->told[i] = is_told;
		if (is_told && !was && tells(r) && tell_candidate(r, c))
			return r->err;
	}
	for (unsigned k = 0; k < former.count; k++)
		if (was_told[k] && !stays[k] && tells(r) &&
		    untell_candidate(r, former.list[k].sequence))
			return r->err;
	if (has_changed)
		note_change(r, now_ns);
	return 0;
}

int clv_rounds_start(struct clv_rounds *rounds)
{
	rounds->is_started = true;
	rounds->err = 0;
	for (unsigned i = 0; i < rounds->local.count && tells(rounds); i++)
		if (rounds->told[i] && tell_candidate(rounds, &rounds->local.list[i]))
			return rounds->err;
	return 0;
}

int clv_rounds_set_local(struct clv_rounds *rounds, const struct clv_candidates *set, bool has_v4,
			 const struct clv_prefix *nat64, uint64_t now_ns)
{
	rounds->has_v4 = has_v4;
	rounds->has_nat64 = nat64 != NULL;
	if (nat64)
		rounds->nat64 = *nat64;
	return replace_local(rounds, set, now_ns);
}

int clv_rounds_set_privacy(struct clv_rounds *rounds, enum clv_privacy privacy, uint64_t now_ns)
{
	struct clv_candidates same = rounds->local;
	int err;

	rounds->privacy = privacy;
	rounds->checks.answers = privacy != CLV_PRIVACY_RELAY_ONLY;
	if (privacy == CLV_PRIVACY_RELAY_ONLY)
		clv_checks_drop(&rounds->checks);
	err = tell_hello(rounds);
	return err ? err : replace_local(rounds, &same, now_ns);
}

int clv_rounds_set_class(struct clv_rounds *rounds, uint8_t nat_class, uint64_t now_ns)
{
	if (rounds->nat_class == nat_class)
		return 0;
	rounds->nat_class = nat_class;
	note_change(rounds, now_ns);
	return tell_hello(rounds);
}

/* ---- capsules ---- */

static int take_hello(struct clv_rounds *r, const struct clv_peer_hello *hello, uint64_t now_ns)
{
	int version = clv_peer_hello_version(hello);
	bool has_changed = !r->has_hello || r->peer_privacy != hello->privacy;
	int err;

	if (version < 0)
		return version;
	err = clv_probe_set_peer(r->checks.probe, hello);
	if (err)
		return err;
	r->has_hello = true;
	r->peer_class = hello->nat_class;
	r->peer_privacy = hello->privacy;
	r->peer_pairs = hello->dialects & CLV_PEER_DIALECT_02 ? hello->pairs_max : 0;
	if (has_changed)
		note_change(r, now_ns);
	return 0;
}

int clv_rounds_take(struct clv_rounds *rounds, const struct clv_peer_capsule *capsule,
		    uint64_t now_ns)
{
	switch (capsule->type) {
	case CLV_PEER_HELLO:
		return take_hello(rounds, &capsule->hello, now_ns);
	case CLV_PEER_ADD_ADDRESS:
		if (!rounds->is_dialler)
			return CLV_EPROTO;
		take_candidate(rounds, capsule, now_ns);
		return 0;
	case CLV_PEER_REMOVE_ADDRESS:
		if (!rounds->is_dialler)
			return CLV_EPROTO;
		clv_candidates_remove(&rounds->remote, capsule->sequence);
		return 0;
	case CLV_PEER_PUNCH_ME_NOW:
		if (rounds->is_dialler)
			return CLV_EPROTO;
		take_punch(rounds, capsule, now_ns);
		return 0;
	default:
		return 0;
	}
}

/* ---- paths and time ---- */

void clv_rounds_give(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *remote,
		     uint64_t now_ns)
{
	struct clv_pair *pair;

	if (clv_pairs_give(&rounds->checks.pairs, base, remote, now_ns, &pair))
		count(rounds, CLV_PUNCH_PAIRS_FULL);
}

void clv_rounds_ask(struct clv_rounds *rounds, uint64_t now_ns)
{
	clv_checks_ask(&rounds->checks, now_ns);
}

void clv_rounds_check(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *remote,
		      uint64_t now_ns)
{
	if (!rounds->has_hello || (base == CLV_BASE_SOCKET && !rounds->checks.answers))
		return;
	if (!on_may_ask(rounds, base, remote))
		count(rounds, CLV_PUNCH_FILTERED_POLICY);
	else if (!clv_bucket_take(&rounds->rebinds, now_ns))
		count(rounds, CLV_PUNCH_REFUSED_RATE);
	else
		clv_checks_try(&rounds->checks, base, remote, CLV_CANDIDATE_PEER_REFLEXIVE, now_ns);
}

bool clv_rounds_is_ours(const struct clv_rounds *rounds, const uint8_t *datagram, size_t len)
{
	return clv_probe_is_ours(rounds->checks.probe, datagram, len);
}

void clv_rounds_datagram(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *from,
			 const uint8_t *datagram, size_t len, uint64_t now_ns)
{
	clv_checks_datagram(&rounds->checks, base, from, datagram, len, now_ns);
}

static uint64_t round_end_ns(const struct clv_rounds *r)
{
	if (!r->is_in_round)
		return CLV_TIMER_NEVER;
	return r->proven_ns ? r->proven_ns + CLOSING_NS : r->began_ns + ROUND_NS;
}

uint64_t clv_rounds_step(struct clv_rounds *rounds, uint64_t now_ns)
{
	uint64_t next_ns;

	if (rounds->has_hello && clv_probe_is_due(rounds->checks.probe, now_ns) &&
	    clv_probe_renew(rounds->checks.probe, now_ns) == 0)
		tell_hello(rounds);
	next_ns = clv_checks_step(&rounds->checks, now_ns);
	if (rounds->has_lost)
		plan_retry(rounds, now_ns);
	rounds->has_lost = false;
	if (round_end_ns(rounds) <= now_ns)
		end_round(rounds, now_ns);
	if (rounds->next_ns <= now_ns) {
		begin_round(rounds, now_ns);
		next_ns = clv_checks_step(&rounds->checks, now_ns);
	}
	if (rounds->next_ns < next_ns)
		next_ns = rounds->next_ns;
	return round_end_ns(rounds) < next_ns ? round_end_ns(rounds) : next_ns;
}

/* ---- what there is to see ---- */

const struct clv_pair *clv_rounds_pairs(const struct clv_rounds *rounds, unsigned *count_out)
{
	*count_out = rounds->checks.pairs.count;
	return rounds->checks.pairs.list;
}

const struct clv_candidates *clv_rounds_remote(const struct clv_rounds *rounds)
{
	return &rounds->remote;
}

uint64_t clv_rounds_count(const struct clv_rounds *rounds, enum clv_punch_counter counter)
{
	return rounds->checks.counts[counter];
}

uint64_t clv_rounds_probes(const struct clv_rounds *rounds, enum clv_probe_verdict verdict)
{
	return clv_probe_count(rounds->checks.probe, verdict);
}

const struct clv_checks *clv_rounds_checks(const struct clv_rounds *rounds)
{
	return &rounds->checks;
}
