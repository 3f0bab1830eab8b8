/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rounds - how the two ends of a peer connection find direct paths: they tell each other their
 * candidates, and try pairs of them at the same time.
 *
 * The listener tells its candidates (ADD_ADDRESS, REMOVE_ADDRESS) as it learns them.  The dialler alone
 * makes pairs: in a round it names up to 10 (PUNCH_ME_NOW) and at once begins to ask them, the listener
 * does when it reads of them.  Where each end's probes open its own NAT for the other's, one comes
 * through and is answered.  A round is over 100 ms after the first pair was proven, or after 3 s.  What
 * came to nothing is tried again after 1, 2, 5, 10, 30, 60, 120 and then each 300 s, from the beginning
 * when candidates change.
 *
 * Nothing is sent before the peer's HELLO, which comes through the connection that authenticated it.
 *
 * Calls: 1. new  2. write what hello says to the control stream  3. start  4. take each capsule, set_local at
 * each change, give the relayed paths, datagram for what is_ours says; after each of these, and when it
 * is due, step.
 *
 * Spec: draft-seemann-quic-nat-traversal-02.
 * Threading: one struct for each peer connection, with its owner; pure, the caller has the clock.
 */
#ifndef CLV_PEER_ROUNDS_H
#define CLV_PEER_ROUNDS_H

#include "control/peer/candidates.h"
#include "control/peer/checks.h"
#include "control/peer/nat.h"
#include "control/peer/peer_capsules.h"

struct clv_rounds;

enum {
	CLV_ROUND_PAIRS_MAX = 10,
	CLV_ROUND_RELAYS_MAX = 8,
};

struct clv_rounds_ops {
	struct clv_checks_ops checks; /* may_ask: NULL */
	/* Write a capsule to the control stream.  capsule: borrows.  Returns 0, or negative: it cannot
	 * be, and the connection is ending. */
	int (*signal)(void *user, const struct clv_peer_capsule *capsule);
};

struct clv_rounds_params {
	bool is_dialler;
	enum clv_privacy privacy;
	uint8_t nat_class;		  /* ours, for HELLO */
	struct clv_rand *rand;		  /* borrows */
	const struct clv_rounds_ops *ops; /* borrows */
	void *user;
	const struct clv_endpoint *relays; /* copies; where our relays listen: never probed */
	unsigned relay_count;		   /* at most CLV_ROUND_RELAYS_MAX count */
};

/* Returns 0 and fills *out, -ENOMEM or CLV_ETLS. */
int clv_rounds_new(const struct clv_rounds_params *params, uint64_t now_ns,
		   struct clv_rounds **out);
/* Accepts NULL. */
void clv_rounds_free(struct clv_rounds *rounds);

/* What our HELLO says; the owner writes it, first of all.  A later one is signalled like the rest. */
void clv_rounds_hello(const struct clv_rounds *rounds, struct clv_peer_hello *out);

/* After the HELLO, of each connection between the two: tell the peer our candidates, if we listen.  Returns 0 or what signal did. */
int clv_rounds_start(struct clv_rounds *rounds);

/*
 * Take a capsule of the peer's; those that concern no paths are ignored.  Returns 0; CLV_EPROTO (the
 * wrong end sent it, or a HELLO offers no version); CLV_ERANGE (no version in common); -ENOMEM, CLV_ETLS,
 * or what signal returned.
 */
int clv_rounds_take(struct clv_rounds *rounds, const struct clv_peer_capsule *capsule,
		    uint64_t now_ns);

/*
 * Our candidates are now these.  set: copies.  has_v4: the socket reaches IPv4 by itself; if not and
 * nat64 is not NULL (copies), IPv4 addresses are reached by its prefix.  Returns 0 or what signal did.
 */
int clv_rounds_set_local(struct clv_rounds *rounds, const struct clv_candidates *set, bool has_v4,
			 const struct clv_prefix *nat64, uint64_t now_ns);

/* From now on the peer may know more, or less.  Returns as set_local. */
int clv_rounds_set_privacy(struct clv_rounds *rounds, enum clv_privacy privacy, uint64_t now_ns);
/* Our NAT class is known now, or another.  Returns as set_local. */
int clv_rounds_set_class(struct clv_rounds *rounds, uint8_t nat_class, uint64_t now_ns);

/* A path that works: a relayed one.  It is asked by ask alone. */
void clv_rounds_give(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *remote,
		     uint64_t now_ns);

/* Ask now which of the proven and given paths are alive. */
void clv_rounds_ask(struct clv_rounds *rounds, uint64_t now_ns);

/*
 * A packet of the connection came from an address that is no pair: a NAT has another for the peer.
 * It is asked, and CLV_PAIR_IS_ALIVE says that it answered, with the tag that the peer alone can make; it
 * is proven when the dialler asks next.  At most 8 each second.
 */
void clv_rounds_check(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *remote,
		      uint64_t now_ns);

/* Whether a datagram is a probe for this connection; and take it. */
bool clv_rounds_is_ours(const struct clv_rounds *rounds, const uint8_t *datagram, size_t len);
void clv_rounds_datagram(struct clv_rounds *rounds, uint32_t base, const struct clv_endpoint *from,
			 const uint8_t *datagram, size_t len, uint64_t now_ns);

/* Do what is due.  Returns when the next step is; CLV_TIMER_NEVER: only after something came. */
uint64_t clv_rounds_step(struct clv_rounds *rounds, uint64_t now_ns);

/* ---- what there is to see ---- */

/* The pairs and their number; lends until the next call. */
const struct clv_pair *clv_rounds_pairs(const struct clv_rounds *rounds, unsigned *count);
/* The peer's candidates as it told them; lends until the next call. */
const struct clv_candidates *clv_rounds_remote(const struct clv_rounds *rounds);
uint64_t clv_rounds_count(const struct clv_rounds *rounds, enum clv_punch_counter counter);
uint64_t clv_rounds_probes(const struct clv_rounds *rounds, enum clv_probe_verdict verdict);
/* Of the kinds of the peer's addresses: how many were asked, and proven.  Lends. */
const struct clv_checks *clv_rounds_checks(const struct clv_rounds *rounds);

#endif
