/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * object - signed objects: what a peer or a relay says about itself, or to another, in a form that
 * anybody may pass on and nobody may change.
 *
 *   object    = "CLVO" | version 1 (1) | kind (1) | body length (2) | body
 *               | signature length (2), 3309 | signature
 *   body      = identity (32) | sequence (8) | issued (4) | lifetime (2) | flags (2) | TLVs
 *   TLV       = type (1) | length (2) | value
 *     1 key          the public key of the identity (1952)
 *     2 endpoint     use (1) | protocol (1) | family (1), 4 or 6 | port (2) | address (4 or 16)
 *     3 relay        identity (32) | TLVs of type 2: where it is reached
 *     4 capabilities (4)
 *     5 region       1 to 16 printable characters
 *     6 load         percent of the capacity (1) | class of rate (1)
 *     7 neighbours   first 8 bytes of an identity, each
 *     8 knock        to, an identity (32) | nonce (16) | an endpoint as in type 2
 *
 * Numbers are big-endian, times seconds since 1970.  The signature, by ML-DSA-65 with the context
 * "culvert-object-1", is over all that precedes it.  The sequence is milliseconds since 1970 and grows
 * with every object of an identity: (identity, sequence) names an object.
 *
 * Objects are passed on byte for byte.  TLVs of unknown type are part of them and mean nothing here.
 * Types 1, 4, 5, 6, 7 and 8 occur at most once.
 *
 * What a valid object says is still its maker's claim.
 *
 * Threading: pure functions; any thread.
 */
#ifndef CLV_MASQUE_OBJECT_H
#define CLV_MASQUE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/admission/identity.h"
#include "control/tls/signer.h"

enum clv_object_kind {
	CLV_OBJECT_ADVERT = 1, /* a relay about itself */
	CLV_OBJECT_RECORD,     /* a peer about where it is reached */
	CLV_OBJECT_KNOCK,      /* a peer to another: I am about to connect */
	CLV_OBJECT_REMOVAL,    /* the maker's earlier objects are void */
};

enum clv_object_flag {
	CLV_OBJECT_PASS_ON = 1u << 0, /* also by those that do not know the kind */
};

/* What an endpoint is good for. */
enum clv_object_use {
	CLV_OBJECT_USE_BOUND = 1, /* a peer's port at a relay; it is relayed */
	CLV_OBJECT_USE_DIRECT,	  /* a peer's own */
	CLV_OBJECT_USE_LISTENER,  /* where clients connect to a relay */
	CLV_OBJECT_USE_STUN,	  /* where a relay answers STUN */
};

enum clv_object_protocol {
	CLV_OBJECT_QUIC = 1, /* over UDP */
	CLV_OBJECT_TCP,	     /* HTTP/2 */
};

enum clv_object_capability {
	CLV_OBJECT_CAN_RELAY = 1u << 0,
	CLV_OBJECT_CAN_SIGNAL = 1u << 1, /* look-ups and knocks */
	CLV_OBJECT_CAN_BOTH_FAMILIES = 1u << 2,
	CLV_OBJECT_CAN_BIND = 1u << 3,
	CLV_OBJECT_CAN_TCP = 1u << 4,
	CLV_OBJECT_CAN_STUN = 1u << 5,
	CLV_OBJECT_CAN_CHAIN = 1u << 6,
	CLV_OBJECT_CAN_FORWARD = 1u << 7,
};

enum {
	CLV_OBJECT_MAX = 8192,	       /* bytes of an object */
	CLV_OBJECT_ENDPOINTS_MAX = 16, /* those of relays included */
	CLV_OBJECT_RELAYS_MAX = 4,
	CLV_OBJECT_REGION_MAX = 16,
	CLV_OBJECT_NONCE_LEN = 16,
	CLV_OBJECT_PREFIX_LEN = 8, /* of an identity, where that suffices */

	CLV_OBJECT_SKEW_SEC = 300, /* by which clocks may differ */
	CLV_OBJECT_LIFETIME_MAX_SEC = 3600,
	/* What makers use. */
	CLV_OBJECT_ADVERT_SEC = 600,
	CLV_OBJECT_RECORD_SEC = 900,
	CLV_OBJECT_RECORD_AGAIN_SEC = 300, /* when it is signed anew */
	CLV_OBJECT_KNOCK_SEC = 30,
};

struct clv_object_endpoint {
	uint8_t use;		/* enum clv_object_use, or a later one */
	uint8_t protocol;	/* enum clv_object_protocol, or a later one */
	struct clv_endpoint at; /* port and address are never 0 */
};

struct clv_object_relay {
	struct clv_identity id; /* its key's SHA-256, by which it is pinned, see clv_cert_pin */
	uint8_t first, len;	/* its endpoints among those of the object */
};

/* An object.  Pointers borrow from the bytes it was read from, or from whoever filled it. */
struct clv_object {
	uint8_t kind; /* enum clv_object_kind, or a later one */
	struct clv_identity id;
	uint64_t seq; /* ms */
	uint32_t issued_sec;
	uint16_t lifetime_sec;
	uint16_t flags;	    /* enum clv_object_flag */
	const uint8_t *key; /* CLV_SIGNER_KEY_LEN bytes; NULL: not in it */
	/* Its own endpoints come first, own_len of them; then those of relays. */
	struct clv_object_endpoint endpoints[CLV_OBJECT_ENDPOINTS_MAX];
	uint8_t endpoints_len, own_len;
	struct clv_object_relay relays[CLV_OBJECT_RELAYS_MAX];
	uint8_t relays_len;
	uint32_t capabilities; /* enum clv_object_capability */
	char region[CLV_OBJECT_REGION_MAX + 1];
	bool has_load;
	uint8_t load_percent, rate_class;
	const uint8_t *neighbours; /* CLV_OBJECT_PREFIX_LEN bytes each */
	uint16_t neighbours_len;   /* of them */
	bool has_knock;
	struct clv_identity to;
	uint8_t nonce[CLV_OBJECT_NONCE_LEN];
	struct clv_object_endpoint from;

	/* Of one that was read: */
	const uint8_t *bytes, *signature;
	size_t signed_len; /* the bytes that the signature covers */
};

/*
 * Read an object of exactly len bytes.  Its signature is not checked yet.  bytes: borrows.
 *
 * Returns 0, or, leaving *out untouched:
 *   CLV_ETRUNC  bytes are missing
 *   CLV_ERANGE  a later version
 *   CLV_EPROTO  too long or malformed
 */
int clv_object_read(const uint8_t *bytes, size_t len, struct clv_object *out);

/*
 * Check the signature of one that was read.  key: of CLV_SIGNER_KEY_LEN bytes, of its maker, for an
 * object that does not have its own; may be NULL.
 *
 * Returns 0, or CLV_EUNTRUSTED (forged, or made by another key), or -ENOKEY (no key is known).
 */
int clv_object_verify(const struct clv_object *o, const uint8_t *key);

/*
 * Whether it is valid at now_sec, for a clock that may differ by CLV_OBJECT_SKEW_SEC.
 * Returns 0, CLV_ERANGE (issued in the future, or for too long or no time) or CLV_ETIMEOUT (expired).
 */
int clv_object_check_time(const struct clv_object *o, uint64_t now_sec);

/*
 * Make an object: fill kind, seq, issued_sec, lifetime_sec and what it is to say; identity and key are
 * the signer's, and the key becomes part of it.  of relays: see struct clv_object.
 * Returns 0 and fills buf and *len, CLV_ERANGE (more than fits), CLV_EPROTO (a member is none that could
 * be read) or CLV_ETLS.
 */
int clv_object_sign(const struct clv_object *o, struct clv_signer *signer,
		    uint8_t buf[static CLV_OBJECT_MAX], size_t *len);

/*
 * The part before the signature and its length, of the identity and key in *o; for tests.
 * Returns as sign.
 */
int clv_object_write(const struct clv_object *o, uint8_t buf[static CLV_OBJECT_MAX], size_t *len);

/* The identity that has a public key.  Returns 0 or CLV_ETLS. */
int clv_object_identity(const uint8_t key[static CLV_SIGNER_KEY_LEN], struct clv_identity *out);

/* ---- objects that must not be taken twice ---- */

enum {
	CLV_OBJECT_SEEN = 256,
};

/* The latest objects of many makers.  Zeroed: none. */
struct clv_object_seen {
	struct clv_object_seen_entry {
		struct clv_identity id;
		uint64_t seq; /* 0: free */
	} entries[CLV_OBJECT_SEEN];
	uint32_t next; /* is replaced next */
};

/*
 * Take note of a verified object.  Returns whether it is newer than all of its maker that are
 * remembered; else it is a replay.  Of more makers than CLV_OBJECT_SEEN the earliest noted is forgotten.
 */
bool clv_object_is_new(struct clv_object_seen *seen, const struct clv_object *o);
/* The newest sequence of a maker that is remembered; 0: none. */
uint64_t clv_object_seen_seq(const struct clv_object_seen *seen, const struct clv_identity *id);

#endif
