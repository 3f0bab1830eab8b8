/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/peer/pairs.h"

#include <string.h>

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/err.h"
#include "datapath/base/timers.h"

#define SERIES_NS (3 * CLV_SEC)

/* One more pair each minute, beside the first ones. */
#define FRESH_NS (60 * CLV_SEC)

static const uint64_t ask_at_ns[CLV_PAIR_TRIES] = {
	0,
	50 * CLV_MSEC,
	100 * CLV_MSEC,
	200 * CLV_MSEC,
	400 * CLV_MSEC,
	800 * CLV_MSEC,
	1600 * CLV_MSEC,
};

const char *clv_pair_state_name(enum clv_pair_state state)
{
	static const char *const names[] = { "new",	  "asked",	"silent", "answered",
					     "both_ways", "small_only", "proven", "lost" };

	return names[state];
}

void clv_pairs_init(struct clv_pairs *pairs)
{
	*pairs = (struct clv_pairs){
		.fresh.rate = { .interval_ns = FRESH_NS, .burst_ns = CLV_PAIRS_MAX * FRESH_NS },
	};
}

struct clv_pair *clv_pairs_find(struct clv_pairs *pairs, uint32_t base,
				const struct clv_endpoint *remote)
{
	for (unsigned i = 0; i < pairs->count; i++)
		if (pairs->list[i].base == base &&
		    clv_endpoint_equal(&pairs->list[i].remote, remote))
			return &pairs->list[i];
	return NULL;
}

/* Whether a private address was tried before, or may be now. */
static bool take_private(struct clv_pairs *pairs, const struct clv_endpoint *remote)
{
	for (unsigned i = 0; i < pairs->private_count; i++)
		if (clv_endpoint_equal(&pairs->privates[i], remote))
			return true;
	if (pairs->private_count == CLV_PAIRS_PRIVATE_MAX)
		return false;
	pairs->privates[pairs->private_count++] = *remote;
	return true;
}

static bool is_spent(const struct clv_pair *pair)
{
	return !pair->is_given && !pair->is_asking &&
	       (pair->state == CLV_PAIR_NEW || pair->state == CLV_PAIR_SILENT ||
		pair->state == CLV_PAIR_SMALL_ONLY || pair->state == CLV_PAIR_LOST);
}

/* A place for a new pair: of those that came to nothing the oldest gives way. */
static struct clv_pair *take_place(struct clv_pairs *pairs)
{
	struct clv_pair *oldest = NULL;

	if (pairs->count < CLV_PAIRS_MAX)
		return &pairs->list[pairs->count++];
	for (unsigned i = 0; i < pairs->count; i++) {
		struct clv_pair *pair = &pairs->list[i];

		if (is_spent(pair) && (!oldest || pair->made_ns < oldest->made_ns))
			oldest = pair;
	}
	return oldest;
}

static int make(struct clv_pairs *pairs, uint32_t base, const struct clv_endpoint *remote,
		enum clv_candidate_kind kind, uint64_t now_ns, struct clv_pair **out)
{
	struct clv_pair *pair = take_place(pairs);

	if (!pair)
		return CLV_EFULL;
	*pair = (struct clv_pair){
		.base = base,
		.remote = *remote,
		.kind = kind,
		.made_ns = now_ns,
		.due_ns = CLV_TIMER_NEVER,
		.keep_ns = CLV_TIMER_NEVER,
	};
	*out = pair;
	return 0;
}

int clv_pairs_add(struct clv_pairs *pairs, uint32_t base, const struct clv_endpoint *remote,
		  enum clv_candidate_kind kind, uint64_t now_ns, struct clv_pair **out)
{
	enum clv_scope scope = clv_addr_scope(remote->addr);
	struct clv_pair *pair = clv_pairs_find(pairs, base, remote);

	if (pair) {
		*out = pair;
		return 0;
	}
	if ((scope == CLV_SCOPE_PRIVATE || scope == CLV_SCOPE_SHARED) &&
	    !take_private(pairs, remote))
		return CLV_EDENIED;
	if (!clv_bucket_take(&pairs->fresh, now_ns))
		return CLV_EFULL;
	return make(pairs, base, remote, kind, now_ns, out);
}

int clv_pairs_give(struct clv_pairs *pairs, uint32_t base, const struct clv_endpoint *remote,
		   uint64_t now_ns, struct clv_pair **out)
{
	struct clv_pair *pair = clv_pairs_find(pairs, base, remote);
	int err = 0;

	if (!pair)
		err = make(pairs, base, remote, CLV_CANDIDATE_RELAYED, now_ns, &pair);
	if (err)
		return err;
	pair->is_given = true;
	*out = pair;
	return 0;
}

/* ---- series ---- */

void clv_pair_begin(struct clv_pair *pair, uint16_t size, uint64_t now_ns)
{
	pair->is_asking = true;
	pair->tries = 0;
	pair->size = size;
	pair->series_ns = now_ns;
	pair->due_ns = now_ns;
}

void clv_pair_stop(struct clv_pair *pair)
{
	pair->is_asking = false;
	pair->due_ns = CLV_TIMER_NEVER;
}

void clv_pair_asked(struct clv_pair *pair, uint64_t transaction, uint64_t now_ns)
{
	pair->asked[pair->asked_next] = (struct clv_pair_request){ transaction, now_ns,
								   pair->size };
	pair->asked_next = (pair->asked_next + 1) % CLV_PAIR_REQUESTS;
	pair->tries++;
	pair->due_ns = pair->tries < CLV_PAIR_TRIES ? pair->series_ns + ask_at_ns[pair->tries]
						    : CLV_TIMER_NEVER;
}

uint16_t clv_pair_answer(struct clv_pair *pair, uint64_t transaction, uint64_t now_ns)
{
	for (unsigned i = 0; i < CLV_PAIR_REQUESTS; i++) {
		struct clv_pair_request *r = &pair->asked[i];
		uint16_t size = r->size;
		uint64_t rtt_ns = now_ns - r->sent_ns;

		if (!size || r->transaction != transaction)
			continue;
		r->size = 0;
		/* A short one is the path's; a long one may be that of a busy host. */
		if (!pair->rtt_ns || rtt_ns < pair->rtt_ns)
			pair->rtt_ns = rtt_ns;
		else
			pair->rtt_ns = (7 * pair->rtt_ns + rtt_ns) / 8;
		pair->answered_ns = now_ns;
		return size;
	}
	return 0;
}

uint64_t clv_pair_next_ns(const struct clv_pair *pair)
{
	uint64_t end_ns = pair->series_ns + SERIES_NS;

	if (!pair->is_asking)
		return CLV_TIMER_NEVER;
	return pair->due_ns < end_ns ? pair->due_ns : end_ns;
}

bool clv_pair_is_over(const struct clv_pair *pair, uint64_t now_ns)
{
	return pair->is_asking && now_ns >= pair->series_ns + SERIES_NS;
}
