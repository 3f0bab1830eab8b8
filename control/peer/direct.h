/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * direct - direct paths of one peer connection: lets rounds.h find them and tells peerconn.h of them.
 *
 * A listener tells the dialler at which address its packets reach the relay (OBSERVED_ADDRESS): they leave
 * from the socket that direct paths use.
 *
 * Calls in this room: direct > rounds, peerconn.
 *
 * Order: 1. new  2. fill_hello, for the connection's parameters  3. set_conn  4. up  5. the others, and
 *        after each step  6. free, before the connection
 * Threading: control; pure, the caller has the clock and sends the packets.
 */
#ifndef CLV_PEER_DIRECT_H
#define CLV_PEER_DIRECT_H

#include "control/peer/peerconn.h"
#include "control/peer/rounds.h"

struct clv_direct;

/* What is known of this host; the same for all its peer connections. */
struct clv_direct_local {
	struct clv_candidates candidates; /* of all kinds but the peer's own view */
	bool has_v4, has_nat64;
	struct clv_prefix nat64;
	enum clv_privacy privacy;
	uint8_t nat_class;
	struct clv_endpoint relays[CLV_ROUND_RELAYS_MAX]; /* where relays listen; never probed */
	unsigned relay_count;
};

struct clv_direct_params {
	bool is_dialler;
	const struct clv_direct_local *local; /* copies */
	struct clv_rand *rand;		      /* borrows for life */
	/* Send a probe.  link, packet: borrow. */
	void (*send)(void *user, const struct clv_peer_link *link, const uint8_t *packet,
		     size_t len);
	/* Probes to us have another ID from now on; those with the former one still come, of the one
	 * before it none does. */
	int (*cid_added)(void *user, const uint8_t cid[static CLV_PROBE_CID_LEN]);
	void (*cid_removed)(void *user, const uint8_t cid[static CLV_PROBE_CID_LEN]);
	void *user;
};

/* Returns 0 and fills *out, -ENOMEM, CLV_ETLS, or what cid_added did. */
int clv_direct_new(const struct clv_direct_params *params, uint64_t now_ns,
		   struct clv_direct **out);
/* Accepts NULL. */
void clv_direct_free(struct clv_direct *d);

void clv_direct_fill_hello(const struct clv_direct *d, struct clv_peer_hello *hello);
/* conn: borrows until stop.  Accepts NULL for d. */
void clv_direct_set_conn(struct clv_direct *d, struct clv_peerconn *conn);
/* The connection is ending: neither ask nor answer any more.  Accepts NULL. */
void clv_direct_stop(struct clv_direct *d);
/* A relayed link that works; it is asked when the one in use is silent. */
void clv_direct_give(struct clv_direct *d, const struct clv_peer_link *link, uint64_t now_ns);

/* Both ends have the other's HELLO.  link: where the connection runs. */
void clv_direct_up(struct clv_direct *d, const struct clv_peer_hello *hello,
		   const struct clv_peer_link *link, uint64_t now_ns);
/* A capsule of the peer's, of any type.  Returns 0, or an error that ends the connection. */
int clv_direct_capsule(struct clv_direct *d, const struct clv_peer_capsule *capsule,
		       uint64_t now_ns);
/* As ops->ask of the connection. */
void clv_direct_ask(struct clv_direct *d, const struct clv_peer_link *link, uint64_t now_ns);
/* The host's addresses are others now, or the privacy. */
void clv_direct_set_local(struct clv_direct *d, const struct clv_direct_local *local,
			  uint64_t now_ns);
/* Returns whether a packet was a probe. */
bool clv_direct_receive(struct clv_direct *d, const struct clv_peer_link *link,
			const uint8_t *packet, size_t len, uint64_t now_ns);
void clv_direct_step(struct clv_direct *d, uint64_t now_ns);
uint64_t clv_direct_next_ns(const struct clv_direct *d);

/* For reports; lends. */
const struct clv_rounds *clv_direct_rounds(const struct clv_direct *d);
/* When the peer first told how its relay sees us; 0: it did not. */
uint64_t clv_direct_observed_ns(const struct clv_direct *d);

#endif
