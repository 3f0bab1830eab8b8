/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * pathset - the paths of one connection between two peers: which exist, and which one is to be used.
 *
 *   link   a way to reach the peer: a base (a socket or a bound tunnel of ours) and the endpoint to
 *          send to from there.  At a relay, or direct.
 *   path   what QUIC sees in place of a link: a number, as the address [fd00::side:number]:number.
 *
 * The QUIC library stops for good when a path that it has left is used again, so (rules R1 to R4):
 *   R1  a number is used once: each move of the dialler takes the next, and the listener makes one for
 *       each new pair of link and destination connection ID
 *   R2  what the dialler receives on a link that is neither in use nor being validated counts as of the
 *       path in use
 *   R3  the dialler moves again when a packet has come in on the link it moved to, or after 250 ms
 *   R4  the listener whose data cannot leave while the dialler is heard takes a new number for the same
 *       link, and QUIC begins anew on it with an empty window.  For ngtcp2 1.24 takes off its loss timer
 *       when it may not send more to an address that is not validated, and never sets it again after the
 *       handshake: a window that is full then stays full.
 *
 * The dialler is QUIC's client and decides; the listener follows.  The first flight of a dialler goes out
 * on all its links, and both ends stay with the one they hear first: see clv_pathset_out.
 *
 * A move away from a path that went silent: 250 ms and a round trip without any packet, while one that
 * wants an answer is out, make it suspect (CLV_PATHSET_ASK: probe the other links); after 250 ms more
 * the best link that was heard meanwhile is taken, or a relayed one.
 *
 * Spec: RFC 9000 section 9 (only what QUIC itself does with the paths).
 * Threading: control; pure, the caller has the clock.
 */
#ifndef CLV_PEER_PATHSET_H
#define CLV_PEER_PATHSET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	CLV_PATHSET_LINKS_MAX = 16,
	CLV_PATHSET_PATHS_MAX = 64, /* the newest that are remembered, and pairs of link and ID */
	CLV_PATHSET_CID_LEN = 8,    /* of connection IDs between peers */
};

#define CLV_PATHSET_SUSPECT_NS (UINT64_C(250) * 1000000)
#define CLV_PATHSET_ANSWER_NS  (UINT64_C(250) * 1000000)
#define CLV_PATHSET_GAP_NS     (UINT64_C(250) * 1000000)

struct clv_peer_link {
	uint32_t base; /* the caller's number of the socket or bound tunnel that packets leave by */
	bool is_relayed;
	struct clv_endpoint remote;
};

/* Why the path in use changed. */
enum clv_path_why {
	CLV_PATH_FIRST,	 /* it is the first */
	CLV_PATH_BETTER, /* than the one before */
	CLV_PATH_SILENT, /* the one before was silent */
	CLV_PATH_GONE,	 /* the one before was taken away: its relay or interface is going */
	CLV_PATH_PEER,	 /* the other end decided */
};

struct clv_pathset_link {
	struct clv_peer_link link;
	bool is_used;
	bool is_valid;	    /* proven both ways; a relayed one counts as such */
	bool is_racing;	    /* listener: an Initial came in on it */
	uint32_t path;	    /* the newest path over it; 0: none */
	uint64_t rtt_ns;    /* as measured by probes; 0: not known */
	uint64_t heard_ns;  /* last packet or answered probe */
	uint64_t packet_ns; /* last packet */
	uint64_t better_ns; /* since when it has been better than the one in use; 0: it is not */
	uint64_t barred_ns; /* it went silent: not before */
	unsigned silences;  /* how often it did in a row */
};

struct clv_pathset_path {
	uint32_t number; /* 0: unused */
	int link;
};

/* Listener: the path that a connection ID belongs to when it comes in on a link. */
struct clv_pathset_id {
	uint8_t cid[CLV_PATHSET_CID_LEN];
	int link;
	uint32_t path; /* 0: unused */
};

struct clv_pathset {
	bool is_dialler;
	bool can_ask;		/* there is somebody who probes links */
	bool needs_proof;	/* listener: only links that answered a probe are shown to QUIC */
	bool is_racing;		/* the handshake has no link of its own yet */
	bool is_renewing;	/* listener: the next packet is shown as of a new path (R4) */
	uint32_t last;		/* number given last */
	uint32_t current;	/* path in use */
	uint32_t validating;	/* path that is being validated; 0: none */
	uint64_t validating_ns; /* since when */
	int moved_to;		/* link of the last move; -1: none */
	uint64_t moved_ns;
	uint64_t race_ns;    /* listener: when the next link has its turn */
	uint64_t heard_ns;   /* last packet of the peer's, on any link */
	uint64_t waiting_ns; /* since when an answer has been awaited; 0: none is */
	uint64_t suspect_ns; /* since when the path in use has been suspect; 0: it is not */
	uint64_t now_ns;     /* of the last step */
	uint64_t srtt_ns;    /* of the path in use, as QUIC measures it */
	struct clv_pathset_link links[CLV_PATHSET_LINKS_MAX + 1]; /* the last: see receive */
	struct clv_pathset_path paths[CLV_PATHSET_PATHS_MAX];
	struct clv_pathset_id ids[CLV_PATHSET_PATHS_MAX]; /* a ring */
	unsigned ids_next;
	/* of the packet between receive and taken */
	int pending_link;
	uint32_t pending_path; /* what it was shown as */
	bool pending_is_new;   /* the path was made for it */
	bool pending_renews;   /* and takes the place of every other one of its link */
	bool pending_has_cid;
	uint8_t pending_cid[CLV_PATHSET_CID_LEN];
	bool pending_is_long, pending_is_handshake;
};

/* What clv_pathset_step wants done. */
enum clv_pathset_action {
	CLV_PATHSET_NOTHING,
	CLV_PATHSET_ASK, /* probe all links: the path in use is suspect */
	CLV_PATHSET_MOVE,
};

struct clv_pathset_order {
	enum clv_pathset_action action;
	unsigned link;	 /* MOVE: to this one */
	bool is_at_once; /* MOVE: do not wait until the new path is validated */
	enum clv_path_why why;
};

void clv_pathset_init(struct clv_pathset *ps, bool is_dialler, uint64_t now_ns);

/* ---- links ---- */

/* The link's number, or -1. */
int clv_pathset_find(const struct clv_pathset *ps, uint32_t base,
		     const struct clv_endpoint *remote);
/*
 * Add a link, or find it.  The one that was silent for longest makes room.  Returns its number, or
 * CLV_EFULL: every link is in use, relayed or proven.
 */
int clv_pathset_add(struct clv_pathset *ps, const struct clv_peer_link *link);
/* A link that must not be used any more. */
void clv_pathset_remove(struct clv_pathset *ps, unsigned link);
/* The link was proven in both directions, with packets of the size QUIC sends. */
void clv_pathset_validated(struct clv_pathset *ps, unsigned link, uint64_t rtt_ns, uint64_t now_ns);
/* A probe was answered, or came, on it: it is alive. */
void clv_pathset_heard(struct clv_pathset *ps, unsigned link, uint64_t now_ns);
/* The other endpoint of a link has another address now (a NAT's rebinding): QUIC does not notice. */
void clv_pathset_rebind(struct clv_pathset *ps, unsigned link, const struct clv_endpoint *remote);
/* The link of the path in use; NULL before the first packet of a listener. */
const struct clv_pathset_link *clv_pathset_in_use(const struct clv_pathset *ps);

/* ---- packets ---- */

/*
 * Which path a received packet is to be shown as.  link: its number, or -1 with *from for one that is
 * not known.  Call clv_pathset_taken after QUIC has read it.  Returns the path's number.
 */
uint32_t clv_pathset_receive(struct clv_pathset *ps, int link, const struct clv_peer_link *from,
			     const uint8_t *packet, size_t len);
/*
 * is_genuine: QUIC has decrypted it, and it was no copy.  A packet that is not leaves no trace.
 * Returns the number of the link it came on, or -1.
 */
int clv_pathset_taken(struct clv_pathset *ps, bool is_genuine, uint64_t now_ns);

/* Listener: nothing can leave (R4).  The next packet of the peer's is shown as of a new path. */
void clv_pathset_renew(struct clv_pathset *ps);

/*
 * Over which links to send a packet of a path.  links: filled with their numbers.  Returns how many:
 * several while a dialler has heard nothing; 0: the path is forgotten.
 */
unsigned clv_pathset_out(const struct clv_pathset *ps, uint32_t path,
			 unsigned links[static CLV_PATHSET_LINKS_MAX]);

/* ---- QUIC's view ---- */

/* Our and the peer's address on a path. */
void clv_pathset_addresses(const struct clv_pathset *ps, uint32_t path, struct sockaddr_in6 *local,
			   struct sockaddr_in6 *remote);
/* The path of an address that clv_pathset_addresses made as remote; 0 for another. */
uint32_t clv_pathset_path_of(const struct sockaddr_in6 *remote);

/* Which path QUIC uses, and which one it validates (0: none). */
void clv_pathset_set_current(struct clv_pathset *ps, uint32_t path);
void clv_pathset_set_validating(struct clv_pathset *ps, uint32_t path);

/* ---- moving ---- */

/*
 * Say what is to be done now.  is_waiting: something that wants an answer is out.  srtt_ns: of the path
 * in use.
 */
void clv_pathset_step(struct clv_pathset *ps, bool is_waiting, uint64_t srtt_ns, uint64_t now_ns,
		      struct clv_pathset_order *out);
/* When the next step is due; UINT64_MAX: only after a packet. */
uint64_t clv_pathset_next_ns(const struct clv_pathset *ps);
/* Whether R3 permits a move. */
bool clv_pathset_may_move(const struct clv_pathset *ps, uint64_t now_ns);
/* The number for a move to link.  The caller tells QUIC, and then moved, or else gives up. */
uint32_t clv_pathset_prepare_move(struct clv_pathset *ps, unsigned link);
void clv_pathset_moved(struct clv_pathset *ps, unsigned link, uint64_t now_ns);
/* The link in use is to be left: it is not moved back to for a second, however good it looks. */
void clv_pathset_leave(struct clv_pathset *ps, uint64_t now_ns);
/* Something that wants an answer was sent: step is due when none comes. */
void clv_pathset_sent(struct clv_pathset *ps, uint64_t now_ns);
/* How long nothing has come from the peer while an answer is awaited, on any link; 0: none is. */
uint64_t clv_pathset_silence_ns(const struct clv_pathset *ps, uint64_t now_ns);

#endif
