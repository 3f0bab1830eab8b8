/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pairs - the pairs of a base of ours and an address of the peer's that one peer connection tries, and
 * how far each is proven.
 *
 * A pair is asked in a series: a request at 0, 50, 100, 200, 400, 800 and 1600 ms, until one is
 * answered; after 3 s it is over.
 *
 *   NEW -> ASKED -> ANSWERED -> BOTH_WAYS -> PROVEN -> LOST
 *             |                      |
 *             +-> SILENT             +-> SMALL_ONLY
 *
 * BOTH_WAYS: our request was answered, and the peer's own came.  The dialler then asks once more with
 * 1200 bytes, the listener takes the pair for proven.
 *
 * So that a peer cannot use us to scan or to flood, a connection makes 100 pairs, one more each minute,
 * and 4 with private addresses, for good.
 *
 * Spec: RFC 8445 in spirit.  Threading: one struct for each peer connection, with its owner.
 */
#ifndef CLV_PEER_PAIRS_H
#define CLV_PEER_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/peer/candidates.h"
#include "datapath/base/bucket.h"

enum {
	CLV_PAIRS_MAX = 100,
	CLV_PAIRS_PRIVATE_MAX = 4,
	CLV_PAIR_TRIES = 7,
	CLV_PAIR_REQUESTS = 8, /* whose answers still count */
};

enum clv_pair_state {
	CLV_PAIR_NEW,
	CLV_PAIR_ASKED,
	CLV_PAIR_SILENT, /* no request was answered */
	CLV_PAIR_ANSWERED,
	CLV_PAIR_BOTH_WAYS,
	CLV_PAIR_SMALL_ONLY, /* but none of 1200 bytes */
	CLV_PAIR_PROVEN,
	CLV_PAIR_LOST, /* was proven, and then silent */
	CLV_PAIR_STATE_MAX
};

const char *clv_pair_state_name(enum clv_pair_state state);

struct clv_pair_request {
	uint64_t transaction;
	uint64_t sent_ns;
	uint16_t size; /* 0: unused */
};

struct clv_pair {
	uint32_t base;
	struct clv_endpoint remote;
	enum clv_candidate_kind kind; /* of the remote one */
	bool is_given;		      /* its owner knows that it works: a relayed path */
	uint8_t local_seq, remote_seq;
	uint64_t priority;
	uint16_t round; /* in which it was tried last */
	enum clv_pair_state state;
	uint64_t made_ns;

	bool is_asking; /* a series runs */
	unsigned tries;
	uint16_t size;	    /* of the requests of the series */
	uint64_t series_ns; /* when it began */
	uint64_t due_ns;    /* the next request; CLV_TIMER_NEVER: none */
	struct clv_pair_request asked[CLV_PAIR_REQUESTS];
	unsigned asked_next;

	uint64_t answered_ns; /* last answer; 0: none */
	uint64_t heard_ns;    /* last request of the peer; 0: none */
	uint64_t proven_ns;   /* 0: not */
	uint64_t keep_ns;     /* when it is asked again to stay open */
	unsigned kept;	      /* answers since it was proven */
	uint64_t rtt_ns;      /* smoothed, shorter ones at once; 0: none yet */
};

struct clv_pairs {
	struct clv_pair list[CLV_PAIRS_MAX];
	unsigned count;
	struct clv_endpoint privates[CLV_PAIRS_PRIVATE_MAX];
	unsigned private_count;
	struct clv_bucket fresh; /* new pairs */
};

void clv_pairs_init(struct clv_pairs *pairs);

/* The pair of a base and an address, or NULL. */
struct clv_pair *clv_pairs_find(struct clv_pairs *pairs, uint32_t base,
				const struct clv_endpoint *remote);

/*
 * Find a pair or make it.  *out stays valid until the next call.  Returns 0 and fills *out; CLV_EFULL
 * (too many were made) or CLV_EDENIED (too many private ones were).
 */
int clv_pairs_add(struct clv_pairs *pairs, uint32_t base, const struct clv_endpoint *remote,
		  enum clv_candidate_kind kind, uint64_t now_ns, struct clv_pair **out);

/* A pair that its owner knows to work; it is asked only for clv_checks_ask.  Returns as add. */
int clv_pairs_give(struct clv_pairs *pairs, uint32_t base, const struct clv_endpoint *remote,
		   uint64_t now_ns, struct clv_pair **out);

/* Begin a series of requests of size bytes, instead of one that runs. */
void clv_pair_begin(struct clv_pair *pair, uint16_t size, uint64_t now_ns);
void clv_pair_stop(struct clv_pair *pair);

/* Note a request that goes out now, and when the next one is due. */
void clv_pair_asked(struct clv_pair *pair, uint64_t transaction, uint64_t now_ns);

/*
 * Find the request that an answer is for, and forget it.  Returns its size and fills *rtt_ns, or 0.
 */
uint16_t clv_pair_answer(struct clv_pair *pair, uint64_t transaction, uint64_t now_ns);

/* When the series wants something: the next request, or its end. */
uint64_t clv_pair_next_ns(const struct clv_pair *pair);
bool clv_pair_is_over(const struct clv_pair *pair, uint64_t now_ns);

#endif
