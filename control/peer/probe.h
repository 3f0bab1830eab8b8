/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * probe - sealed probes: small UDP datagrams by which the two ends of a peer connection find out
 * which pairs of their addresses carry packets, and which do not.
 *
 *   0x40 | 6 random bits (1) | probe CID of the receiver (8) | nonce (12) | sealed | tag (16)
 *   sealed = type (1) | version (1) | round (2) | transaction (8) | sent ms (4) | local sequence (1) |
 *            remote sequence (1) | family observed (1) | port (2) | address (0, 4 or 16) | zeros
 *
 * AES-256-GCM with the receiver's probe key, which its HELLO told through the peer connection; what
 * is in front of `sealed` is authenticated, too.  A request has 74 to 1200 bytes and its response
 * as many, so that nobody is made to send more than he received.  To middleboxes a probe is a QUIC
 * packet with a short header.
 *
 * What has no valid tag is never answered.  What was seen before is told by the last 256
 * transactions, and by `sent ms` for all that came before them.
 *
 * Spec: ours.  Threading: one struct for each peer connection, with its owner.
 */
#ifndef CLV_PEER_PROBE_H
#define CLV_PEER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/peer/peer_capsules.h"

struct clv_rand;
struct clv_probe;

enum {
	CLV_PROBE_MIN = 74, /* bytes of a datagram */
	CLV_PROBE_MAX = 1200,
	CLV_PROBE_AGE_MAX_MS = 10000, /* behind the newest probe that came */
};

enum clv_probe_type {
	CLV_PROBE_REQUEST = 1,
	CLV_PROBE_RESPONSE = 2,
};

struct clv_probe_message {
	enum clv_probe_type type;
	uint16_t round;
	uint64_t transaction; /* random; a response has its request's */
	uint32_t sent_ms;     /* the sender's clock, any epoch, wraps around */
	uint8_t local_seq;    /* of the sender's candidate */
	uint8_t remote_seq;   /* of the receiver's */
	bool has_observed;
	struct clv_endpoint observed; /* where the sender saw the receiver's request come from */
	uint16_t size;		      /* of the datagram */
};

/* X(symbol, exported name, help): what becomes of a datagram that came with a probe's CID. */
#define CLV_PROBE_VERDICTS(X)                                                                      \
	X(OPENED, "opened", "probes with a valid tag, seen for the first time")                    \
	X(FOREIGN, "foreign", "for no probe CID of this connection")                               \
	X(BAD_SIZE, "bad_size", "shorter or longer than a probe can be")                           \
	X(BAD_TAG, "bad_tag", "not sealed with our probe key, or changed on the way")              \
	X(BAD_CONTENT, "bad_content", "sealed by the peer, but of another version or malformed")   \
	X(REPLAYED, "replayed", "seen before")                                                     \
	X(OLD, "old", "so much older than others that they may have been seen before")

enum clv_probe_verdict {
#define X(symbol, name, help) CLV_PROBE_##symbol,
	CLV_PROBE_VERDICTS(X)
#undef X
		CLV_PROBE_VERDICT_MAX
};

/* The exported name of a verdict. */
const char *clv_probe_verdict_name(enum clv_probe_verdict verdict);

/*
 * Make our probe CID and key.  rand: borrows until free.  Returns 0, -ENOMEM or CLV_ETLS.
 */
int clv_probe_new(struct clv_rand *rand, uint64_t now_ns, struct clv_probe **out);
/* Accepts NULL; wipes the keys. */
void clv_probe_free(struct clv_probe *probe);

/* Fill in what a HELLO says about probes to us. */
void clv_probe_fill_hello(const struct clv_probe *probe, struct clv_peer_hello *hello);

/* Take what the peer's HELLO says.  Returns 0, -ENOMEM or CLV_ETLS, then as before. */
int clv_probe_set_peer(struct clv_probe *probe, const struct clv_peer_hello *hello);
bool clv_probe_has_peer(const struct clv_probe *probe);

/*
 * Whether our key has served its time, 24 h or 2^28 probes: call renew, and send a HELLO.  The one
 * before is still read for a minute.  Returns as new; on an error the old key stays.
 */
bool clv_probe_is_due(const struct clv_probe *probe, uint64_t now_ns);
int clv_probe_renew(struct clv_probe *probe, uint64_t now_ns);

/* Whether a datagram looks like a probe to us; all others are not for open. */
bool clv_probe_is_ours(const struct clv_probe *probe, const uint8_t *datagram, size_t len);

/*
 * Seal a message for the peer.  Returns the length, message->size, or CLV_ERANGE (such a size is
 * none), CLV_ECLOSED (the peer's key is not known, or served 2^28 times), CLV_ETLS.
 */
int clv_probe_seal(struct clv_probe *probe, const struct clv_probe_message *message,
		   uint8_t buf[static CLV_PROBE_MAX]);

/*
 * Open a datagram.  Returns CLV_PROBE_OPENED and fills *out, or why not, and leaves *out untouched.
 * Each is counted under its verdict.
 */
enum clv_probe_verdict clv_probe_open(struct clv_probe *probe, const uint8_t *datagram, size_t len,
				      uint64_t now_ns, struct clv_probe_message *out);

/* Datagrams with a verdict so far. */
uint64_t clv_probe_count(const struct clv_probe *probe, enum clv_probe_verdict verdict);

#endif
