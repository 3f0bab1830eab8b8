/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/checks.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/rand.h"
#include "datapath/base/timers.h"

enum {
	/* A round of 10 pairs has 70 requests; some are answered on several pairs. */
	RESPONSES_BURST = 200,
	RESPONSES_PER_SEC = 30,
	TRIGGERS_BURST = 24,
	TRIGGERS_PER_SEC = 8,
	MEASURES = 8,
};

#define RECENT_NS  (10 * CLV_SEC) /* what was heard or answered so long ago still counts */
#define KEEP_NS	   (15 * CLV_SEC)
#define MEASURE_NS (300 * CLV_MSEC) /* a new path is asked so often, MEASURES times */
#define LISTENER_LOST_NS                                                                           \
	(45 * CLV_SEC) /* the dialler keeps pairs open: so many of its probes missed */

const char *clv_punch_counter_name(enum clv_punch_counter counter)
{
	static const char *const names[] = {
#define X(symbol, name, help) [CLV_PUNCH_##symbol] = (name),
		CLV_PUNCH_COUNTERS(X)
#undef X
	};

	return names[counter];
}

int clv_checks_init(struct clv_checks *checks, bool is_dialler, struct clv_rand *rand,
		    const struct clv_checks_ops *ops, void *user, uint64_t now_ns)
{
	*checks = (struct clv_checks){
		.is_dialler = is_dialler,
		.rand = rand,
		.ops = ops,
		.user = user,
		.responses = clv_bucket_of(RESPONSES_PER_SEC, RESPONSES_BURST),
		.triggers = clv_bucket_of(TRIGGERS_PER_SEC, TRIGGERS_BURST),
		.epoch_ms = (uint32_t)clv_rand_u64(rand),
	};
	clv_pairs_init(&checks->pairs);
	return clv_probe_new(rand, now_ns, &checks->probe);
}

void clv_checks_fini(struct clv_checks *checks)
{
	clv_probe_free(checks->probe);
	*checks = (struct clv_checks){ 0 };
}

static void count(struct clv_checks *checks, enum clv_punch_counter counter)
{
	checks->counts[counter]++;
}

static void tell(struct clv_checks *checks, enum clv_pair_event event, const struct clv_pair *pair)
{
	checks->ops->event(checks->user, event, pair);
}

static bool is_recent(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns && now_ns - then_ns < RECENT_NS;
}

/* ---- sending ---- */

static bool send_message(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *to,
			 struct clv_probe_message *message, uint64_t now_ns)
{
	uint8_t datagram[CLV_PROBE_MAX];
	int len;

	message->sent_ms = checks->epoch_ms + (uint32_t)(now_ns / CLV_MSEC);
	len = clv_probe_seal(checks->probe, message, datagram);
	if (len < 0)
		return false;
	checks->ops->send(checks->user, base, to, datagram, (size_t)len);
	return true;
}

static void send_request(struct clv_checks *checks, struct clv_pair *pair, uint64_t now_ns)
{
	struct clv_probe_message m = {
		.type = CLV_PROBE_REQUEST,
		.round = pair->round,
		.transaction = clv_rand_u64(checks->rand),
		.local_seq = pair->local_seq,
		.remote_seq = pair->remote_seq,
		.size = pair->size,
	};

	clv_pair_asked(pair, m.transaction, now_ns);
	if (send_message(checks, pair->base, &pair->remote, &m, now_ns))
		count(checks, CLV_PUNCH_REQUESTS_SENT);
}

static void send_response(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *to,
			  const struct clv_probe_message *request, uint64_t now_ns)
{
	struct clv_probe_message m = {
		.type = CLV_PROBE_RESPONSE,
		.round = request->round,
		.transaction = request->transaction,
		.local_seq = request->remote_seq,
		.remote_seq = request->local_seq,
		.has_observed = true,
		.observed = *to,
		.size = request->size,
	};

	if (send_message(checks, base, to, &m, now_ns))
		count(checks, CLV_PUNCH_RESPONSES_SENT);
}

/* ---- how far a pair is ---- */

/* The peer says what kind its addresses are. */
static enum clv_candidate_kind kind_of(const struct clv_pair *pair)
{
	return pair->kind < CLV_CANDIDATE_KIND_MAX ? pair->kind : CLV_CANDIDATE_UNKNOWN;
}

static void set_proven(struct clv_checks *checks, struct clv_pair *pair, uint64_t now_ns)
{
	if (!pair->proven_ns)
		checks->won[kind_of(pair)]++;
	pair->state = CLV_PAIR_PROVEN;
	pair->proven_ns = now_ns;
	pair->keep_ns = now_ns + MEASURE_NS;
	pair->kept = 0;
	clv_pair_stop(pair);
	count(checks, CLV_PUNCH_PAIRS_PROVEN);
	tell(checks, CLV_PAIR_IS_PROVEN, pair);
}

/* A pair that answered, and on which the peer asks, goes both ways. */
static void advance(struct clv_checks *checks, struct clv_pair *pair, uint64_t now_ns)
{
	if (pair->state != CLV_PAIR_ANSWERED || !is_recent(pair->heard_ns, now_ns) ||
	    !is_recent(pair->answered_ns, now_ns))
		return;
	pair->state = CLV_PAIR_BOTH_WAYS;
	if (checks->is_dialler)
		clv_pair_begin(pair, CLV_PROBE_MAX, now_ns);
	else
		set_proven(checks, pair, now_ns);
}

static void end_series(struct clv_checks *checks, struct clv_pair *pair)
{
	clv_pair_stop(pair);
	if (pair->is_given)
		return;
	if (pair->state == CLV_PAIR_BOTH_WAYS) {
		pair->state = CLV_PAIR_SMALL_ONLY;
		count(checks, CLV_PUNCH_PAIRS_SMALL_ONLY);
	} else if (pair->state == CLV_PAIR_PROVEN) {
		pair->state = CLV_PAIR_LOST;
		pair->keep_ns = CLV_TIMER_NEVER;
		count(checks, CLV_PUNCH_PAIRS_LOST);
		tell(checks, CLV_PAIR_IS_LOST, pair);
	} else if (pair->state == CLV_PAIR_ASKED) {
		pair->state = CLV_PAIR_SILENT;
		count(checks, CLV_PUNCH_PAIRS_SILENT);
	}
}

static void begin_small(struct clv_pair *pair, uint64_t now_ns)
{
	if (pair->state != CLV_PAIR_PROVEN)
		pair->state = CLV_PAIR_ASKED;
	clv_pair_begin(pair, CLV_PROBE_MIN, now_ns);
}

struct clv_pair *clv_checks_try(struct clv_checks *checks, uint32_t base,
				const struct clv_endpoint *remote, enum clv_candidate_kind kind,
				uint64_t now_ns)
{
	struct clv_pair *pair;
	int err = clv_pairs_add(&checks->pairs, base, remote, kind, now_ns, &pair);

	if (err) {
		count(checks, err == CLV_EDENIED ? CLV_PUNCH_PAIRS_PRIVATE : CLV_PUNCH_PAIRS_FULL);
		return NULL;
	}
	if (pair->state == CLV_PAIR_NEW && !pair->is_given)
		checks->tried[kind_of(pair)]++;
	if (!pair->is_asking)
		begin_small(pair, now_ns);
	return pair;
}

/* ---- what comes ---- */

static void take_response(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *from,
			  const struct clv_probe_message *m, uint64_t now_ns)
{
	struct clv_pair *pair = clv_pairs_find(&checks->pairs, base, from);
	bool is_first = pair && !pair->answered_ns && !pair->is_given;
	uint16_t size = pair ? clv_pair_answer(pair, m->transaction, now_ns) : 0;

	if (!size || size != m->size) {
		count(checks, CLV_PUNCH_RESPONSES_UNKNOWN);
		return;
	}
	count(checks, CLV_PUNCH_REQUESTS_ANSWERED);
	if (is_first)
		count(checks, CLV_PUNCH_PAIRS_ANSWERED);
	if (m->has_observed)
		checks->ops->observed(checks->user, base, &m->observed);
	if (size == pair->size)
		clv_pair_stop(pair);
	tell(checks, CLV_PAIR_IS_ALIVE, pair);
	if (pair->is_given)
		return;
	if (pair->state == CLV_PAIR_PROVEN)
		pair->keep_ns = now_ns + (++pair->kept < MEASURES ? MEASURE_NS : KEEP_NS);
	else if (size == CLV_PROBE_MAX && pair->state == CLV_PAIR_BOTH_WAYS)
		set_proven(checks, pair, now_ns);
	else if (pair->state != CLV_PAIR_BOTH_WAYS)
		pair->state = CLV_PAIR_ANSWERED;
	advance(checks, pair, now_ns);
}

/* The pair that a request from elsewhere makes; NULL: too many are made. */
static struct clv_pair *make_pair(struct clv_checks *checks, uint32_t base,
				  const struct clv_endpoint *from,
				  const struct clv_probe_message *m, uint64_t now_ns)
{
	struct clv_pair *pair;

	if (!clv_bucket_take(&checks->triggers, now_ns)) {
		count(checks, CLV_PUNCH_REFUSED_RATE);
		return NULL;
	}
	pair = clv_checks_try(checks, base, from, CLV_CANDIDATE_PEER_REFLEXIVE, now_ns);
	if (pair) {
		pair->round = m->round;
		pair->local_seq = m->remote_seq;
		pair->remote_seq = m->local_seq;
	}
	return pair;
}

/* Where the peer asks from is asked at once, unless it answered lately. */
static void trigger(struct clv_checks *checks, struct clv_pair *pair, uint64_t now_ns)
{
	if (pair->is_given || is_recent(pair->answered_ns, now_ns))
		return;
	if (pair->is_asking) {
		if (pair->due_ns != CLV_TIMER_NEVER)
			pair->due_ns = now_ns;
		return;
	}
	if (clv_bucket_take(&checks->triggers, now_ns))
		begin_small(pair, now_ns);
	else
		count(checks, CLV_PUNCH_REFUSED_RATE);
}

static void take_request(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *from,
			 const struct clv_probe_message *m, uint64_t now_ns)
{
	struct clv_pair *pair = clv_pairs_find(&checks->pairs, base, from);

	count(checks, CLV_PUNCH_REQUESTS_CAME);
	if (!checks->answers && base == CLV_BASE_SOCKET) {
		count(checks, CLV_PUNCH_REFUSED_PRIVACY);
		return;
	}
	if (!pair && !checks->ops->may_ask(checks->user, base, from)) {
		count(checks, CLV_PUNCH_FILTERED_POLICY);
		return;
	}
	if (!pair)
		pair = make_pair(checks, base, from, m, now_ns);
	/* Nobody gets long datagrams who does not want them. */
	if (m->size > CLV_PROBE_MIN && !(pair && is_recent(pair->answered_ns, now_ns))) {
		count(checks, CLV_PUNCH_REFUSED_LONG);
	} else if (!clv_bucket_take(&checks->responses, now_ns)) {
		count(checks, CLV_PUNCH_REFUSED_RATE);
		return;
	} else {
		send_response(checks, base, from, m, now_ns);
	}
	if (!pair)
		return;
	pair->heard_ns = now_ns;
	if (pair->answered_ns || pair->is_given)
		tell(checks, CLV_PAIR_IS_ALIVE, pair);
	trigger(checks, pair, now_ns);
	advance(checks, pair, now_ns);
}

void clv_checks_datagram(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *from,
			 const uint8_t *datagram, size_t len, uint64_t now_ns)
{
	struct clv_probe_message m;

	if (clv_probe_open(checks->probe, datagram, len, now_ns, &m) != CLV_PROBE_OPENED)
		return;
	if (m.type == CLV_PROBE_RESPONSE)
		take_response(checks, base, from, &m, now_ns);
	else
		take_request(checks, base, from, &m, now_ns);
}

/* ---- time ---- */

void clv_checks_ask(struct clv_checks *checks, uint64_t now_ns)
{
	for (unsigned i = 0; i < checks->pairs.count; i++) {
		struct clv_pair *pair = &checks->pairs.list[i];

		if (pair->is_given || pair->state == CLV_PAIR_PROVEN)
			clv_pair_begin(pair, CLV_PROBE_MIN, now_ns);
	}
}

void clv_checks_cancel(struct clv_checks *checks, uint64_t now_ns)
{
	for (unsigned i = 0; i < checks->pairs.count; i++) {
		struct clv_pair *pair = &checks->pairs.list[i];

		/* On a pair that the peer asks, the end may be near. */
		if (pair->is_asking && !pair->is_given && pair->state == CLV_PAIR_ASKED &&
		    !is_recent(pair->heard_ns, now_ns))
			end_series(checks, pair);
	}
}

void clv_checks_drop(struct clv_checks *checks)
{
	for (unsigned i = 0; i < checks->pairs.count; i++)
		if (!checks->pairs.list[i].is_given)
			end_series(checks, &checks->pairs.list[i]);
}

static uint64_t last_ns(const struct clv_pair *pair)
{
	return pair->heard_ns > pair->answered_ns ? pair->heard_ns : pair->answered_ns;
}

/* When a proven pair is asked again, or, by a listener, given up. */
static uint64_t keep_next_ns(const struct clv_checks *checks, const struct clv_pair *pair)
{
	if (pair->state != CLV_PAIR_PROVEN || pair->is_given || pair->is_asking)
		return CLV_TIMER_NEVER;
	return checks->is_dialler ? pair->keep_ns : last_ns(pair) + LISTENER_LOST_NS;
}

uint64_t clv_checks_step(struct clv_checks *checks, uint64_t now_ns)
{
	uint64_t next_ns = CLV_TIMER_NEVER;

	for (unsigned i = 0; i < checks->pairs.count; i++) {
		struct clv_pair *pair = &checks->pairs.list[i];
		uint64_t pair_ns;

		if (keep_next_ns(checks, pair) <= now_ns && checks->is_dialler)
			clv_pair_begin(pair, CLV_PROBE_MIN, now_ns);
		else if (keep_next_ns(checks, pair) <= now_ns)
			end_series(checks, pair);
		if (clv_pair_is_over(pair, now_ns))
			end_series(checks, pair);
		else if (pair->is_asking && pair->due_ns <= now_ns)
			send_request(checks, pair, now_ns);
		pair_ns = clv_pair_next_ns(pair);
		if (pair_ns == CLV_TIMER_NEVER)
			pair_ns = keep_next_ns(checks, pair);
		if (pair_ns < next_ns)
			next_ns = pair_ns;
	}
	return next_ns;
}

unsigned clv_checks_proven(const struct clv_checks *checks)
{
	unsigned n = 0;

	for (unsigned i = 0; i < checks->pairs.count; i++)
		n += checks->pairs.list[i].state == CLV_PAIR_PROVEN &&
		     !checks->pairs.list[i].is_given;
	return n;
}
