/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peerconn - the QUIC connection between two peers, end to end: no relay on its way can read it.
 *
 * Both ends prove an ML-DSA-65 key by TLS.  The dialler's first bidirectional stream carries capsules in
 * both directions (peer_capsules.h); it is up when each has the other's HELLO, which a listener sends when
 * it accepts the peer.  The application's datagrams are DATAGRAM frames:
 *
 *   flow (varint) | payload
 *
 * QUIC sees paths of pathset.h instead of addresses; this module moves the connection as that says.
 *
 * Calls in this room: peerconn > pathset, peer_capsules.
 *
 * Order: 1. dial, or accept with the first packet  2. receive, step and flush, any number
 *        3. close, or ops->down  4. until is_over  5. free
 * Spec: RFC 9000, RFC 9221.
 * Threading: control; pure, the caller has the clock and sends the packets.
 */
#ifndef CLV_PEER_PEERCONN_H
#define CLV_PEER_PEERCONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/peer/pathset.h"
#include "control/peer/peer_capsules.h"
#include "control/tls/tls.h"
#include "datapath/base/rand.h"

struct clv_peerconn;

/* Codes of CONNECTION_CLOSE, of the application. */
enum clv_peerconn_code {
	CLV_PEERCONN_NO_ERROR = 0,
	CLV_PEERCONN_PROTOCOL = 1, /* a malformed capsule */
	CLV_PEERCONN_GLARE = 2,	   /* of two connections of one pair the other one lives */
	CLV_PEERCONN_REFUSED = 3,  /* the listener does not accept this peer */
	CLV_PEERCONN_VERSION = 4,  /* no version of HELLO that both speak */
	CLV_PEERCONN_REPLACED = 5, /* the same two have made another connection */
	CLV_PEERCONN_BUSY = 6,	   /* the listener has as many peers as it takes */
};

enum {
	CLV_PEERCONN_PACKET_MAX = 1252,	 /* what QUIC packets between peers are at most */
	CLV_PEERCONN_PAYLOAD_MAX = 1200, /* of a datagram of the application */
};

/* The connection goes over another link. */
struct clv_peerconn_move {
	struct clv_peer_link from, to;
	enum clv_path_why why;
	uint64_t gap_ns; /* between the last packet over the one and the first over the other */
};

struct clv_peerconn_end {
	int error;	/* CLV_E*; 0: closed in order */
	bool is_remote; /* the peer closed it */
	uint64_t code;	/* enum clv_peerconn_code, or of QUIC if !is_app */
	bool is_app;
};

/* Called from inside the functions below; must not free conn. */
struct clv_peerconn_ops {
	/* Send a packet.  link, packet: borrow. */
	void (*send)(void *user, const struct clv_peer_link *link, const uint8_t *packet,
		     size_t len);
	/* An ID of ours: packets with it are this connection's.  Returns 0, or negative: no room. */
	int (*cid_added)(void *user, const uint8_t cid[static CLV_PATHSET_CID_LEN]);
	void (*cid_removed)(void *user, const uint8_t cid[static CLV_PATHSET_CID_LEN]);
	/*
	 * The peer has proven its key.  Listener: and has sent its HELLO, which is lent; accept it or
	 * close, now or later.  Dialler: hello is NULL.
	 */
	void (*proven)(void *user, const uint8_t key[static 32],
		       const struct clv_peer_hello *hello);
	/* Both have the other's HELLO, which is lent. */
	void (*up)(void *user, const struct clv_peer_hello *hello);
	void (*moved)(void *user, const struct clv_peerconn_move *move);
	/* A datagram.  data: borrows. */
	void (*datagram)(void *user, uint64_t flow, const uint8_t *data, size_t len);
	/* Any capsule but the first HELLO.  Borrows.  Returns 0, or negative to close for it. */
	int (*capsule)(void *user, const struct clv_peer_capsule *capsule);
	/* Probe link, or all links (NULL): the path in use is suspect.  May be NULL: nobody probes. */
	void (*ask)(void *user, const struct clv_peer_link *link);
	/* It ended.  Once. */
	void (*down)(void *user, const struct clv_peerconn_end *end);
};

struct clv_peerconn_params {
	struct clv_tls_context *tls; /* borrows for life: of a dialler or a listener */
	const uint8_t *key; /* dialler: SHA-256 of the peer's SubjectPublicKeyInfo; copies */
	struct clv_peer_hello hello;	    /* ours */
	bool needs_proof;		    /* listener: see struct clv_pathset */
	uint64_t initial_rtt_ns;	    /* a guess; 0: 100 ms */
	uint64_t handshake_ns;		    /* fail it after this; 0: 10 s */
	struct clv_rand *rand;		    /* borrows for life */
	const struct clv_peerconn_ops *ops; /* borrows for life */
	void *user;
	uint64_t now_ns;
};

/*
 * Dial: the handshake begins with flush, over all links at a time.  links: copies; one at least.
 * Returns 0 and fills *out, -ENOMEM, CLV_ETLS, CLV_EQUIC or CLV_ERANGE (no link).
 */
int clv_peerconn_dial(const struct clv_peerconn_params *p, const struct clv_peer_link *links,
		      size_t links_len, struct clv_peerconn **out);
/*
 * Answer a dialler's first packet, which came over link; then receive it.
 * Returns as dial, or CLV_ESYNTAX: it is no Initial of this protocol.
 */
int clv_peerconn_accept(const struct clv_peerconn_params *p, const struct clv_peer_link *link,
			const uint8_t *packet, size_t len, struct clv_peerconn **out);
void clv_peerconn_free(struct clv_peerconn *c);

/* A packet with one of its IDs.  packet: borrows.  Then flush. */
void clv_peerconn_receive(struct clv_peerconn *c, const struct clv_peer_link *from,
			  const uint8_t *packet, size_t len, uint64_t now_ns);
/* Timers, and moves that are due.  Then flush. */
void clv_peerconn_step(struct clv_peerconn *c, uint64_t now_ns);
/* Send what waits. */
void clv_peerconn_flush(struct clv_peerconn *c, uint64_t now_ns);
/* When to step at the latest; 0: now. */
uint64_t clv_peerconn_next_ns(const struct clv_peerconn *c);
/* Nothing is left to do: free it. */
bool clv_peerconn_is_over(const struct clv_peerconn *c);

/* Listener: the peer may speak to us; hello: ours; copies.  Once, in or after ops->proven. */
void clv_peerconn_accept_peer(struct clv_peerconn *c, const struct clv_peer_hello *hello);
/* Close in order.  ops->down is not called. */
void clv_peerconn_close(struct clv_peerconn *c, enum clv_peerconn_code code);

/*
 * Send a datagram with the next flush; a dialler may before it is up.  data: copies.
 * Returns 0, -EMSGSIZE (above CLV_PEERCONN_PAYLOAD_MAX), CLV_ERANGE (flow), -EAGAIN (too many wait) or
 * CLV_ECLOSED.
 */
int clv_peerconn_send(struct clv_peerconn *c, uint64_t flow, const void *data, size_t len);
/* Send a capsule.  Returns 0, CLV_ERANGE, -EAGAIN (the peer reads too slowly) or CLV_ECLOSED. */
int clv_peerconn_send_capsule(struct clv_peerconn *c, const struct clv_peer_capsule *capsule);

/* ---- links, as the one who probes them finds them ---- */

/* Add a link that may be moved to once it is validated.  Returns 0 or CLV_EFULL. */
int clv_peerconn_link_add(struct clv_peerconn *c, const struct clv_peer_link *link);
/* It was proven both ways with large probes; adds it if need be.  A dialler then moves if it is better. */
void clv_peerconn_link_validated(struct clv_peerconn *c, const struct clv_peer_link *link,
				 uint64_t rtt_ns, uint64_t now_ns);
/* A probe came or was answered. */
void clv_peerconn_link_heard(struct clv_peerconn *c, const struct clv_peer_link *link,
			     uint64_t now_ns);
/*
 * Move there now, for a reason that the paths' own times do not show, as a relay that is going.  at_once:
 * do not wait until the path is validated.  Returns 0, -EAGAIN (too early after the last move, or QUIC
 * cannot yet), CLV_ERANGE (no such link, in use already, or a listener, which follows) or CLV_ECLOSED.
 */
int clv_peerconn_move(struct clv_peerconn *c, const struct clv_peer_link *link, bool at_once,
		      uint64_t now_ns);
/* Must not be used any more. */
void clv_peerconn_link_remove(struct clv_peerconn *c, const struct clv_peer_link *link);

struct clv_peerconn_info {
	bool is_up, is_dialler;
	bool has_link;
	struct clv_peer_link link; /* in use */
	uint64_t rtt_ns;	   /* of it */
	uint64_t since_ns;	   /* when it came into use */
	uint64_t heard_ns;	   /* last packet of the peer's */
	uint64_t moves;
	uint64_t datagrams_in, datagrams_out;
	uint64_t bytes_in, bytes_out;	  /* of all packets */
	uint64_t relayed_in, relayed_out; /* packets over relayed links */
	uint64_t lost;			  /* packets that QUIC holds for lost */
	uint64_t discarded;		  /* received packets that QUIC did not take, copies too */
	uint64_t stalls;  /* listener: QUIC had to begin anew on its path to send anything (R4) */
	uint64_t dropped; /* datagrams that had to wait too long, or for no one */
};
void clv_peerconn_info(const struct clv_peerconn *c, struct clv_peerconn_info *out);

/* How long the peer has been silent though an answer is awaited; 0: it is not. */
uint64_t clv_peerconn_silence_ns(const struct clv_peerconn *c, uint64_t now_ns);

#endif
