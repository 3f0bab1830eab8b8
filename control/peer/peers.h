/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peers - the peers of one identity: dials them, answers those that dial, and knows whose a packet is.
 *
 * A peer is one thing to the application however often the connection under it changes: when nothing has
 * come for three seconds, though something should have, a dialler makes another connection over all links.
 * The listener goes on with that one, as it comes from the same key and has the same probe CID in HELLO.
 *
 * Calls in this room: peers > direct > peerconn.
 *
 * Order: 1. open  2. dial, or listen  3. receive, step; sleep until next_ns  4. close
 * Threading: control; pure, the caller has the clock, the sockets and the tunnels.
 */
#ifndef CLV_PEER_PEERS_H
#define CLV_PEER_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/identity.h"
#include "control/peer/direct.h"
#include "control/peer/peerconn.h"

struct clv_peers;
struct clv_peer;

/*
 * What happens.  All may call the functions below, close of the peer that is concerned included, but not
 * clv_peers_close.
 */
struct clv_peers_ops {
	void (*send)(void *user, const struct clv_peer_link *link, const uint8_t *packet,
		     size_t len);
	/* Somebody dialled and has proven its identity: accept it or close it, now or later. */
	void (*incoming)(void *user, struct clv_peer *peer);
	/* It may be sent to, and sends. */
	void (*up)(void *user, struct clv_peer *peer);
	void (*moved)(void *user, struct clv_peer *peer, const struct clv_peerconn_move *move);
	void (*datagram)(void *user, struct clv_peer *peer, uint64_t flow, const uint8_t *data,
			 size_t len);
	/* It ended, and is gone when this returns. */
	void (*down)(void *user, struct clv_peer *peer, const struct clv_peerconn_end *end);
};

struct clv_peers_params {
	const char *cert_pem, *key_pem, *identity_name; /* as struct clv_tls_peer_params */
	uint32_t peers_max;		 /* at a time, those that were not accepted yet included */
	uint32_t handshakes_max;	 /* of those that dial, at a time */
	struct clv_rand *rand;		 /* borrows for life */
	const struct clv_peers_ops *ops; /* borrows for life */
	void *user;
};

struct clv_peers_stats {
	uint64_t unknown;  /* packets of no connection of ours, and no first ones */
	uint64_t refused;  /* first packets beyond a limit */
	uint64_t failed;   /* handshakes of diallers that came to nothing */
	uint64_t replaced; /* connections that another one of the same peer took the place of */
};

/*
 * error: buffer for one line; filled on failure.
 * Returns 0 and fills *out, -ENOMEM, CLV_ETLS or CLV_ESYNTAX (the identity).
 */
int clv_peers_open(const struct clv_peers_params *p, struct clv_peers **out, char *error,
		   size_t error_len);
/* Close all peers without a word and free everything. */
void clv_peers_close(struct clv_peers *ps);

/* Whether those that dial are answered; at first they are not. */
void clv_peers_listen(struct clv_peers *ps, bool listens);

/*
 * Dial a peer over links, all at a time.  user: clv_peer_user.  Its ops come later.
 * Returns 0 and fills *out, CLV_EFULL, CLV_ERANGE (no link) or an error of clv_peerconn_dial.
 */
int clv_peers_dial(struct clv_peers *ps, const struct clv_identity *id,
		   const struct clv_peer_link *links, size_t links_len, void *user, uint64_t now_ns,
		   struct clv_peer **out);

/*
 * What is known of this host; copies.  Connections made after the first call look for direct paths, from
 * base CLV_BASE_SOCKET, within what the privacy permits.
 */
void clv_peers_set_local(struct clv_peers *ps, const struct clv_direct_local *local,
			 uint64_t now_ns);

/* A packet that came over link.  Returns whether it was a peer's. */
bool clv_peers_receive(struct clv_peers *ps, const struct clv_peer_link *link,
		       const uint8_t *packet, size_t len, uint64_t now_ns);
void clv_peers_step(struct clv_peers *ps, uint64_t now_ns);
/* When to step at the latest; 0: now; UINT64_MAX: never. */
uint64_t clv_peers_next_ns(const struct clv_peers *ps);
/* Whether nothing is left to be sent: the last close is out. */
bool clv_peers_are_idle(const struct clv_peers *ps);
const struct clv_peers_stats *clv_peers_stats(const struct clv_peers *ps);

/* ---- one peer ---- */

void clv_peer_set_user(struct clv_peer *peer, void *user);
void *clv_peer_user(const struct clv_peer *peer);
const struct clv_identity *clv_peer_id(const struct clv_peer *peer);
/* After ops->incoming, once. */
void clv_peer_accept(struct clv_peer *peer);
/* Close it; its ops are not called again. */
void clv_peer_close(struct clv_peer *peer, enum clv_peerconn_code code);
/* As clv_peerconn_send. */
int clv_peer_send(struct clv_peer *peer, uint64_t flow, const void *data, size_t len);
void clv_peer_info(const struct clv_peer *peer, struct clv_peerconn_info *out);
/* What looks for its direct paths, for reports; lends.  NULL: nothing does. */
const struct clv_direct *clv_peer_direct(const struct clv_peer *peer);

/* ---- its links, see clv_peerconn_link_* ---- */

int clv_peer_link_add(struct clv_peer *peer, const struct clv_peer_link *link);
void clv_peer_link_validated(struct clv_peer *peer, const struct clv_peer_link *link,
			     uint64_t rtt_ns, uint64_t now_ns);
void clv_peer_link_remove(struct clv_peer *peer, const struct clv_peer_link *link);

#endif
