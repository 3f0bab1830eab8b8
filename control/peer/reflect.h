/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * reflect - ask several relays at once, from one socket, at which address they see it.
 *
 * A round of STUN transactions: each relay is asked at 0, 200 and 600 ms until it answers, and is
 * given up after 1.6 s.  Each request has a random ID of its own, so that an answer tells which of
 * them it is to, and its time is that of one way and back.  An answer counts if it came from the very
 * address that was asked and has one of the IDs sent there; all else is somebody's guess.
 *
 * Order: 1. start  2. next, until it returns false; take, for each STUN packet  3. the same again at
 * next_ns, until is_done
 * Threading: its owner; no clock and no I/O of its own.
 */
#ifndef CLV_PEER_REFLECT_H
#define CLV_PEER_REFLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath/base/rand.h"
#include "datapath/base/stun.h"

enum {
	CLV_REFLECT_RELAYS_MAX = 32,
	CLV_REFLECT_TRIES_MAX = 3,
};

struct clv_reflect_relay {
	struct clv_endpoint relay;
	struct clv_endpoint seen; /* port 0: not known */
	/*
	 * 0: answered, or asked; CLV_ETIMEOUT; CLV_EUNROUTABLE: it could not be asked; CLV_EPROTO: it
	 * refused, with the status; CLV_ERANGE: it has no port
	 */
	int error;
	unsigned status; /* of an error response */
	unsigned tries;	 /* requests sent */
	uint64_t rtt_ns; /* of the one that was answered */
	bool is_over;
	uint64_t sent_ns[CLV_REFLECT_TRIES_MAX];
	uint8_t ids[CLV_REFLECT_TRIES_MAX][CLV_STUN_TRANSACTION_LEN];
};

struct clv_reflect {
	struct clv_rand *rand;
	struct clv_reflect_relay relays[CLV_REFLECT_RELAYS_MAX];
	size_t relays_len;
	uint64_t began_ns;
	uint64_t foreign; /* STUN from elsewhere than asked, or to no request of ours */
	uint64_t malformed;
};

/*
 * Begin a round; what was of another is forgotten.  rand: borrows, for the round.  relays: copies;
 * one that is named twice is asked once.  Returns 0, or CLV_EFULL: more than CLV_REFLECT_RELAYS_MAX.
 */
int clv_reflect_start(struct clv_reflect *r, struct clv_rand *rand,
		      const struct clv_endpoint *relays, size_t len, uint64_t now_ns);

/*
 * Write the next request that is due.  Returns the index of the relay to send it to, or -1 when none
 * is due now.
 */
int clv_reflect_next(struct clv_reflect *r, uint64_t now_ns,
		     uint8_t request[static CLV_STUN_HEADER_LEN]);
/* A request could not be sent: no more are.  error: negative, why. */
void clv_reflect_fail(struct clv_reflect *r, int relay, int error);

/*
 * A packet that clv_stun_matches.  Returns 0 when it ended the wait for a relay, CLV_EDENIED when it
 * is not from one that is being waited for, or the error of clv_stun_response_read; both are counted.
 */
int clv_reflect_take(struct clv_reflect *r, const struct clv_endpoint *from, const uint8_t *payload,
		     size_t len, uint64_t now_ns);

/* When next has something to do; UINT64_MAX when the round is over. */
uint64_t clv_reflect_next_ns(const struct clv_reflect *r);
/* Whether all relays have answered or were given up. */
bool clv_reflect_is_done(const struct clv_reflect *r);

#endif
