/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peers - two peers and the links between them, in one process, on a simulated clock.
 *
 *   dialler 198.18.L.1:1000 - link L, with its delay and loss - listener 198.18.L.2:2000
 *
 * Link L is base L at both ends.  Each end sends a datagram every tick, numbered, and a FLOW_OPEN with
 * the next number on the control stream, and checks what it receives: once, whole, the stream in order.
 *
 * An end is one connection, or with has_peers the peers of an identity, as applications have them: a
 * connection that falls silent is replaced.  Then nobody reads the stream, which belongs to peers.h.
 */
#ifndef LOOP_PEERS_H
#define LOOP_PEERS_H

#include "control/peer/peers.h"

enum {
	PEERS_LINKS = 4,
	PEERS_NUMBERS = 1 << 16, /* datagrams that each end may send */
	PEERS_PAYLOAD = 500,
};

struct peers_link {
	uint64_t delay_ns; /* one way; 0: there is no such link */
	bool is_relayed;
	bool is_dead, is_dead_to_dialler;
	double loss;
	uint64_t sent, lost;
};

struct peers_packet {
	struct peers_packet *next;
	uint64_t at_ns;
	unsigned to, link;
	size_t len;
	uint8_t bytes[];
};

struct peers;

struct peers_end {
	struct peers *world;
	unsigned index;		   /* 0: the dialler */
	struct clv_peerconn *conn; /* NULL with has_peers: see peers_conn_of */
	struct clv_tls_context *tls;
	struct clv_peers *peers; /* with has_peers */
	struct clv_peer *peer;	 /* the other end; NULL: not there yet, or gone */
	uint8_t id[32], proven[32];
	bool is_proven, is_up, is_down;
	struct clv_peerconn_end end;
	bool accepts; /* listener: at once */
	unsigned asked;
	unsigned moves;
	struct clv_peerconn_move move; /* the last */
	uint32_t sent, refused, received, doubled, wrong;
	uint64_t flow; /* of the last datagram */
	uint64_t stream_sent, stream_received;
	uint64_t last_ns, gap_ns; /* between two datagrams: the longest */
	uint64_t stream_last_ns, stream_gap_ns;
	bool seen[PEERS_NUMBERS];
};

struct peers {
	uint64_t now_ns, next_tick_ns, tick_ns; /* tick_ns 0: nobody sends */
	struct clv_rand rand;
	struct peers_link links[PEERS_LINKS];
	struct peers_end ends[2];
	struct peers_packet *flying;
	bool has_prober; /* links that are alive answer when they are asked for */
	bool needs_proof;
	bool has_peers;
	uint64_t forged; /* packets injected */
};

/* The texts of one of two identities, made once for a program, and its id. */
void peers_identity(unsigned index, const char **cert_pem, const char **key_pem,
		    uint8_t id[static 32]);

/* Two peers with an identity each; links as the caller fills them in before peers_dial. */
void peers_open(struct peers *w, uint64_t seed);
void peers_close(struct peers *w);

struct clv_peer_link peers_link_of(const struct peers *w, unsigned end, unsigned link);
/* Dial over the links of a bit mask; the listener is there with the first packet. */
void peers_dial(struct peers *w, unsigned mask, const uint8_t *key);
/* The listener accepts the dialler; by itself, unless its accepts is false. */
void peers_accept(struct peers *w);
/* The connection that an end has at present; NULL: none. */
struct clv_peerconn *peers_conn_of(const struct peers *w, unsigned end);
/* The dialler may use one more link, in the connections that replace this one too. */
void peers_add_link(struct peers *w, unsigned link);
/* Send what waits at an end. */
void peers_flush(struct peers *w, unsigned end);
/* Run for a time, or until done returns true.  Returns whether it did. */
bool peers_run(struct peers *w, uint64_t duration_ns, bool (*done)(struct peers *w));
bool peers_are_up(struct peers *w);
/* Tell the dialler that a link is proven, with its true round trip. */
void peers_validate(struct peers *w, unsigned link);
/* The link that an end's connection uses. */
int peers_link_in_use(const struct peers *w, unsigned end);
/* Datagrams of `from` numbered from..to that the other end has not received. */
uint32_t peers_missing(const struct peers *w, unsigned from, uint32_t first, uint32_t end);
/* Begin to measure gaps anew. */
void peers_mark(struct peers *w);

#endif
