/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pairing - which of our candidates and the peer's are worth trying together, best first.
 *
 * The dialler's part.  What is sent to the peer's candidate leaves from the base of ours; the address of
 * ours says where the listener is to send to, if it may be told.
 *
 * Spec: RFC 8445 section 6.1.2, without frozen pairs.  Threading: pure functions; any thread.
 */
#ifndef CLV_PEER_PAIRING_H
#define CLV_PEER_PAIRING_H

#include "control/peer/candidates.h"

enum {
	CLV_COMBINATIONS_MAX = CLV_CANDIDATES_MAX * CLV_CANDIDATES_MAX,
};

struct clv_combination {
	const struct clv_candidate *local, *remote; /* lend from the sets */
	struct clv_endpoint target; /* the remote one as we reach it: perhaps through a NAT64 */
	uint64_t priority;
	bool is_told; /* the listener can send to the local one */
};

/* Why candidates are not tried together. */
enum clv_pairing_skip {
	CLV_PAIRING_FAMILY,    /* of two address families, or of one we have not */
	CLV_PAIRING_POLICY,    /* clv_target_check */
	CLV_PAIRING_REDUNDANT, /* a relayed one, or another combination does as well */
	CLV_PAIRING_SKIP_MAX
};

struct clv_pairing {
	struct clv_target_rules rules;		/* both sets */
	const bool *told;			/* borrows; for each local candidate */
	bool has_v4;				/* the socket reaches IPv4 by itself */
	const struct clv_prefix *nat64;		/* borrows; else by this; NULL: not at all */
	unsigned skipped[CLV_PAIRING_SKIP_MAX]; /* filled by find */
};

/*
 * The address by which we reach one of the peer: itself, or the one that stands for it behind the NAT64.
 * Returns whether we have its family, and fills *out then.
 */
bool clv_pairing_target(bool has_v4, const struct clv_prefix *nat64,
			const struct clv_endpoint *remote, struct clv_endpoint *out);

/* Returns how many combinations there are, best first. */
unsigned clv_pairing_find(struct clv_pairing *pairing,
			  struct clv_combination out[static CLV_COMBINATIONS_MAX]);

#endif
