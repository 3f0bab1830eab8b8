/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peers_state - what the files of the peers share.  Private to peers*.c.
 *
 *   peers.c         connections: dialled, answered, replaced; packets and timers
 *   peers_direct.c  direct paths of each peer
 *
 * Calls go only downward: peers > peers_direct.
 * Threading: as peers.h.
 */
#ifndef CLV_PEER_PEERS_STATE_H
#define CLV_PEER_PEERS_STATE_H

#include <sys/queue.h>

#include "control/peer/direct.h"
#include "control/peer/peers.h"
#include "datapath/base/table.h"

enum {
	CIDS_PER_CONN = 24, /* eight in use, and those on their way in or out */
	PROBE_CIDS_PER_PEER = 3,
};

/* A connection: it outlives its peer until its close is out. */
struct peers_conn {
	LIST_ENTRY(peers_conn) link;
	struct clv_peers *ps;
	struct clv_peerconn *pc;
	struct clv_peer *peer; /* NULL: of nobody any more, or of one who has not proven who he is */
	bool is_handshake;     /* of one that dialled, counted as such */
	uint8_t source[16];    /* of that one */
	uint8_t cids[CIDS_PER_CONN][CLV_PATHSET_CID_LEN]; /* in the table */
	unsigned cids_len;
};

struct clv_peer {
	LIST_ENTRY(clv_peer) link;
	struct clv_peers *ps;
	struct clv_identity id;
	struct peers_conn *conn; /* NULL: it ended, and next is awaited */
	struct peers_conn *next; /* that is to take its place; NULL: none */
	bool is_dialler, is_accepted, is_up;
	struct clv_direct *direct;	      /* NULL: it finds no direct paths */
	struct clv_peer_hello hello;	      /* ours to it; the same on each connection */
	uint8_t probe_cid[CLV_PROBE_CID_LEN]; /* of its own, by which a listener knows it again */
	struct clv_peerconn_end end;	      /* of conn, when it is NULL */
	struct clv_peer_link links[CLV_PATHSET_LINKS_MAX]; /* dialler: to dial again */
	size_t links_len;
	void *user;
};

struct clv_peers {
	struct clv_peers_params p;
	struct clv_tls_context *dial_tls, *listen_tls;
	struct clv_table cids;	 /* -> struct peers_conn */
	struct clv_table probes; /* IDs of probes -> struct clv_peer */
	LIST_HEAD(, peers_conn) conns;
	LIST_HEAD(, clv_peer) peers;
	uint32_t conns_len, peers_len, handshakes;
	uint64_t now_ns;
	bool listens;
	bool has_local; /* of local */
	struct clv_direct_local local;
	struct clv_peers_stats stats;
};

/*
 * Make what finds direct paths, where the addresses of this host are known, and fill in peer->hello.
 * Without it the peer is reached by relays.
 */
void peers_direct_open(struct clv_peer *peer);
void peers_direct_close(struct clv_peer *peer);
/* Our HELLO as it is now. */
const struct clv_peer_hello *peers_direct_hello(struct clv_peer *peer);
/* A connection of the peer is up, its first or another.  hello: of the peer. */
void peers_direct_up(struct clv_peer *peer, struct peers_conn *c,
		     const struct clv_peer_hello *hello);
/* It has none at present. */
void peers_direct_stop(struct clv_peer *peer);
/* Returns 0, or negative to close the connection. */
int peers_direct_capsule(struct clv_peer *peer, const struct clv_peer_capsule *capsule);
/* A packet that is of no connection.  Returns whether it was a probe. */
bool peers_direct_receive(struct clv_peers *ps, const struct clv_peer_link *link,
			  const uint8_t *cid, const uint8_t *packet, size_t len);
void peers_direct_step(struct clv_peers *ps);
uint64_t peers_direct_next_ns(const struct clv_peers *ps);

#endif
