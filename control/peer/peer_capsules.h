/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * peer_capsules - what the two ends of a peer connection tell each other on its control stream, the
 * client's first bidirectional one: the codec, and a reader for the stream.
 *
 *   capsule          = type (varint) | length (varint) | value
 *   HELLO            = version (1) | lowest version (1) | probe CID (8) | probe key (32) |
 *                      NAT class (1) | privacy (1) | pairs in a round (1) | dialects (varint)
 *   ADD_ADDRESS      = sequence (varint) | address (4 or 16) | port (2) [| extension]
 *   PUNCH_ME_NOW     = round (varint) | paired sequence (varint) | address (4 or 16) | port (2)
 *                      [| extension]
 *   REMOVE_ADDRESS   = sequence (varint)
 *   OBSERVED_ADDRESS = sequence (varint) | address (4 or 16) | port (2)
 *   PATH_WISH        = reason (1) | local sequence (1) | remote sequence (1)
 *   FLOW_OPEN        = flow (varint) | mode (1) | name length (1) | name
 *   FLOW_CLOSE       = flow (varint)
 *   extension        = kind (1) | base (1) | priority (4)
 *
 * An address has 4 bytes where the type is even and 16 where it is odd.  The sequence of a pair is
 * the sender's own first.  What follows the known fields of a value is for later versions, and is
 * skipped; capsules of unknown types are, too.
 *
 * Spec: RFC 9297 section 3.2; draft-seemann-quic-nat-traversal-02 and
 * draft-ietf-quic-address-discovery-00, whose frames these are with the frame type as capsule type.
 * The extension and the types 0x1c766cXX are ours.
 * Threading: control; no state but the struct.
 */
#ifndef CLV_PEER_PEER_CAPSULES_H
#define CLV_PEER_PEER_CAPSULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

/* The even type stands for both where there are two. */
enum clv_peer_capsule_type {
	CLV_PEER_ADD_ADDRESS = 0x3d7e90,
	CLV_PEER_PUNCH_ME_NOW = 0x3d7e92,
	CLV_PEER_REMOVE_ADDRESS = 0x3d7e94,
	CLV_PEER_OBSERVED_ADDRESS = 0x9f81a6,
	CLV_PEER_HELLO = 0x1c766c10,
	CLV_PEER_PATH_WISH = 0x1c766c11,
	CLV_PEER_FLOW_OPEN = 0x1c766c12,
	CLV_PEER_FLOW_CLOSE = 0x1c766c13,
};

enum {
	CLV_PEER_VERSION = 1,	 /* of HELLO */
	CLV_PEER_DIALECT_02 = 1, /* bit of dialects: the encodings of -02 */
	CLV_PROBE_CID_LEN = 8,
	CLV_PROBE_KEY_LEN = 32,
	CLV_PEER_FLOW_NAME_MAX = 255,
	CLV_PEER_CAPSULE_MAX = 288,  /* the longest that we write */
	CLV_PEER_CAPSULE_KEEP = 288, /* so much of a value is read */
};

enum clv_peer_wish {
	CLV_PEER_WISH_SILENT = 1,  /* the path in use carries nothing to me */
	CLV_PEER_WISH_RELAY_GOING, /* my relay stops soon */
	CLV_PEER_WISH_BETTER,	   /* the pair named is better */
};

enum clv_peer_flow_mode {
	CLV_PEER_FLOW_SEALED = 0, /* in QUIC DATAGRAM frames */
	CLV_PEER_FLOW_BARE = 1,	  /* on a path of its own, unsealed */
};

struct clv_peer_hello {
	uint8_t version;
	uint8_t version_min;
	uint8_t probe_cid[CLV_PROBE_CID_LEN];
	uint8_t probe_key[CLV_PROBE_KEY_LEN]; /* secret: probes to the sender are sealed with it */
	uint8_t nat_class;
	uint8_t privacy;
	uint8_t pairs_max; /* the sender accepts in one round */
	uint64_t dialects; /* bits */
};

/* What an address is, and where its owner sends from when it uses it. */
struct clv_peer_address {
	struct clv_endpoint endpoint;
	bool has_extension; /* else the rest is zero */
	uint8_t kind;	    /* enum clv_candidate_kind, as far as known */
	uint8_t base;
	uint32_t priority;
};

struct clv_peer_capsule {
	enum clv_peer_capsule_type type;
	uint64_t sequence; /* of ADD_ADDRESS, REMOVE_ADDRESS, PUNCH_ME_NOW, OBSERVED_ADDRESS */
	uint64_t round;	   /* of PUNCH_ME_NOW */
	uint64_t flow;	   /* of FLOW_OPEN, FLOW_CLOSE */
	union {
		struct clv_peer_hello hello;
		struct clv_peer_address address; /* OBSERVED_ADDRESS: the endpoint alone */
		struct {
			uint8_t reason; /* enum clv_peer_wish, as far as known */
			uint8_t local_seq, remote_seq;
		} wish;
		struct {
			uint8_t mode; /* enum clv_peer_flow_mode */
			uint8_t name_len;
			uint8_t name[CLV_PEER_FLOW_NAME_MAX];
		} open;
	};
};

/*
 * Read a value of a type that we know, value[0..len), of which a longer value is the beginning.
 * type: as it came.  Returns 0 and fills *out, or CLV_EPROTO: a field is missing, an IPv6 field has
 * an IPv4 address, the extension is cut, or the flow's mode is none.
 */
int clv_peer_capsule_decode(uint64_t type, const uint8_t *value, size_t len,
			    struct clv_peer_capsule *out);

/* Whether decode knows a type. */
bool clv_peer_capsule_is_known(uint64_t type);

/*
 * Write a whole capsule.  The family of an address decides its type.
 * Returns the bytes written, or CLV_ERANGE: a number is above CLV_VARINT_MAX.
 */
int clv_peer_capsule_encode(const struct clv_peer_capsule *capsule,
			    uint8_t buf[static CLV_PEER_CAPSULE_MAX]);

/*
 * The version that both ends speak: of what they offer the highest.
 * Returns it, or CLV_ERANGE (we speak none that the peer does) or CLV_EPROTO (it offers none).
 */
int clv_peer_hello_version(const struct clv_peer_hello *hello);

/* One whole capsule of a known type.  capsule: borrows.  Returns 0, or negative to stop. */
typedef int clv_peer_capsule_fn(void *user, const struct clv_peer_capsule *capsule);

/* Holds what a chunk's end cut, at most CLV_PEER_CAPSULE_KEEP bytes.  Zeroed is the start. */
struct clv_peer_capsule_reader {
	uint8_t head[16]; /* type and length as far as they came */
	uint8_t head_len;
	bool is_in_value;
	uint64_t type;
	uint64_t left; /* bytes of the value still to come */
	uint16_t value_len;
	uint8_t value[CLV_PEER_CAPSULE_KEEP];
};

/*
 * Feed the next bytes of the stream.  data: borrows.  Returns 0, CLV_EPROTO as decode, or what fn
 * returned; after an error the reader is not fed again.
 */
int clv_peer_capsule_feed(struct clv_peer_capsule_reader *reader, const uint8_t *data, size_t len,
			  clv_peer_capsule_fn *fn, void *user);

/* The stream ended.  Returns 0, or CLV_EPROTO inside a capsule. */
int clv_peer_capsule_end(const struct clv_peer_capsule_reader *reader);

#endif
