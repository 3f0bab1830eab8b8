/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * checks - ask pairs by probes, answer the peer's, and say what became proven or lost.
 *
 * A request of the peer's, wherever it comes from, is answered there, and that address is asked at once:
 * behind a NAT that gives each destination a port of its own, it is where the peer is to be found.
 *
 * Spec: RFC 8445 section 7.3.1 (triggered checks).  Threading: with its owner; pure, the caller has the
 * clock.
 */
#ifndef CLV_PEER_CHECKS_H
#define CLV_PEER_CHECKS_H

#include "control/peer/pairs.h"
#include "control/peer/probe.h"

struct clv_rand;

/* X(symbol, exported name, help): what a peer connection counts about direct paths. */
#define CLV_PUNCH_COUNTERS(X)                                                                      \
	X(REQUESTS_SENT, "requests_sent", "probes sent to ask a pair")                             \
	X(REQUESTS_ANSWERED, "requests_answered", "of those, answered")                            \
	X(REQUESTS_CAME, "requests_came", "probes of the peer that ask")                           \
	X(RESPONSES_SENT, "responses_sent", "of those, answered")                                  \
	X(RESPONSES_UNKNOWN, "responses_unknown", "answers to nothing that we asked there")        \
	X(REFUSED_PRIVACY, "refused_privacy", "not answered: we use relays alone")                 \
	X(REFUSED_RATE, "refused_rate", "not answered, or not asked back: too many")               \
	X(REFUSED_LONG, "refused_long", "long probes from an address that has not answered us")    \
	X(PAIRS_ANSWERED, "pairs_answered", "pairs that answered, whatever came of them")          \
	X(PAIRS_PROVEN, "pairs_proven", "pairs proven in both directions")                         \
	X(PAIRS_SILENT, "pairs_silent", "series of requests without an answer")                    \
	X(PAIRS_SMALL_ONLY, "pairs_small_only", "pairs that carry small packets alone")            \
	X(PAIRS_LOST, "pairs_lost", "proven pairs that went silent")                               \
	X(PAIRS_FULL, "pairs_full", "pairs not tried: too many were")                              \
	X(PAIRS_PRIVATE, "pairs_private", "pairs with private addresses not tried: too many were") \
	X(FILTERED_FAMILY, "filtered_family", "pairs not tried: of two address families")          \
	X(FILTERED_POLICY, "filtered_policy",                                                      \
	  "addresses of the peer that nobody is made to probe")                                    \
	X(REDUNDANT, "redundant", "pairs not tried: others are the same, or must be better")       \
	X(ROUNDS, "rounds", "rounds of punching begun or joined")                                  \
	X(ROUNDS_DIRECT, "rounds_direct", "that proved a pair")                                    \
	X(ROUNDS_SILENT, "rounds_silent", "that proved none")                                      \
	X(ROUNDS_REFUSED, "rounds_refused", "of the peer, not joined: too many")                   \
	X(PUNCHES_SENT, "punches_sent", "PUNCH_ME_NOW sent")                                       \
	X(PUNCHES_CAME, "punches_came", "PUNCH_ME_NOW received")                                   \
	X(PUNCHES_REFUSED, "punches_refused",                                                      \
	  "of those, not followed: of an old round, too many, or for no address of ours")          \
	X(CANDIDATES_CAME, "candidates_came", "ADD_ADDRESS received")                              \
	X(CANDIDATES_REFUSED, "candidates_refused", "of those, not kept: too many, or no address")

enum clv_punch_counter {
#define X(symbol, name, help) CLV_PUNCH_##symbol,
	CLV_PUNCH_COUNTERS(X)
#undef X
		CLV_PUNCH_COUNTER_MAX
};

const char *clv_punch_counter_name(enum clv_punch_counter counter);

enum clv_pair_event {
	CLV_PAIR_IS_ALIVE,  /* answered or asked us; also pairs that were given */
	CLV_PAIR_IS_PROVEN, /* may carry the connection from now on; rtt_ns is known */
	CLV_PAIR_IS_LOST,   /* must not any more */
};

struct clv_checks_ops {
	/* Send a datagram.  datagram: borrows.  What cannot be sent is lost, as on the way. */
	void (*send)(void *user, uint32_t base, const struct clv_endpoint *to,
		     const uint8_t *datagram, size_t len);
	/* pair: borrows. */
	void (*event)(void *user, enum clv_pair_event event, const struct clv_pair *pair);
	/* The peer saw what we sent from a base come from this address. */
	void (*observed)(void *user, uint32_t base, const struct clv_endpoint *address);
	/* Whether an address from which the peer asks, and that is no pair yet, may be asked. */
	bool (*may_ask)(void *user, uint32_t base, const struct clv_endpoint *remote);
};

struct clv_checks {
	bool is_dialler;
	bool answers; /* requests to CLV_BASE_SOCKET */
	struct clv_probe *probe;
	struct clv_rand *rand;
	const struct clv_checks_ops *ops;
	void *user;
	struct clv_pairs pairs;
	struct clv_bucket responses; /* to the peer's requests */
	struct clv_bucket triggers;  /* series that the peer causes */
	uint32_t epoch_ms;	     /* our clock in probes tells nothing about the host */
	uint64_t counts[CLV_PUNCH_COUNTER_MAX];
	/* Pairs that were asked, and those of them that were proven, each once; by the kind of the
	 * peer's address. */
	uint64_t tried[CLV_CANDIDATE_KIND_MAX], won[CLV_CANDIDATE_KIND_MAX];
};

/* rand, ops, user: borrow until fini.  Returns 0, -ENOMEM or CLV_ETLS. */
int clv_checks_init(struct clv_checks *checks, bool is_dialler, struct clv_rand *rand,
		    const struct clv_checks_ops *ops, void *user, uint64_t now_ns);
/* Accepts a zeroed one. */
void clv_checks_fini(struct clv_checks *checks);

/* A datagram for which clv_probe_is_ours says so. */
void clv_checks_datagram(struct clv_checks *checks, uint32_t base, const struct clv_endpoint *from,
			 const uint8_t *datagram, size_t len, uint64_t now_ns);

/*
 * Ask a pair, made when there is none yet, in a series from now on; one that runs goes on.
 * Returns the pair, or NULL: too many were made, which is counted.
 */
struct clv_pair *clv_checks_try(struct clv_checks *checks, uint32_t base,
				const struct clv_endpoint *remote, enum clv_candidate_kind kind,
				uint64_t now_ns);

/* Ask all pairs that are proven or given, to see which are alive. */
void clv_checks_ask(struct clv_checks *checks, uint64_t now_ns);

/* End the series of all pairs that are not proven yet. */
void clv_checks_cancel(struct clv_checks *checks, uint64_t now_ns);
/* Ask no pair any more but the given ones: those that were proven are lost. */
void clv_checks_drop(struct clv_checks *checks);

/* Send what is due.  Returns when the next step is, CLV_TIMER_NEVER: only after something came. */
uint64_t clv_checks_step(struct clv_checks *checks, uint64_t now_ns);

/* Pairs that are proven and not given. */
unsigned clv_checks_proven(const struct clv_checks *checks);

#endif
