/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signal - the capsules of a signal stream, on which a peer and its relay, and later two relays, tell
 * each other where peers are and who wants to reach them.
 *
 *   request: CONNECT, :protocol = culvert-signal, :path = /.well-known/culvert/signal/,
 *            capsule-protocol: ?1; answered with 200.  One on each connection.
 *
 *   0x1c766c00 HELLO     version (1) | lowest version (1) | role (1) | identity (32) | features (varint)
 *   0x1c766c01 PUBLISH   request (16) | object
 *   0x1c766c02 LOOKUP    request (16) | hops (1) | identity (32) | path
 *   0x1c766c03 ANSWER    request (16) | status (1) | object, or nothing
 *   0x1c766c04 KNOCK     request (16) | hops (1) | to, an identity (32) | path | object
 *   0x1c766c08 GOING     seconds (2) | reason, a text
 *   0x9f81a6   OBSERVED_ADDRESS  sequence (varint) | IPv4 address (4) | port (2)
 *   0x9f81a7   OBSERVED_ADDRESS  sequence (varint) | IPv6 address (16) | port (2)
 *   path     = count (1) | first 8 bytes of an identity, each: the relays that it came through
 *
 * Numbers are big-endian, objects those of object.h.  Each side begins with HELLO; both then speak the
 * highest version that both can.  What follows the known fields of HELLO and OBSERVED_ADDRESS is for
 * later versions; capsules of unknown type are skipped.  0x1c766c05 to 07 are kept for what relays tell
 * each other, 0x1c766c14 is never used (it is one of RFC 9297's reserved types).
 *
 * A PUBLISH, a LOOKUP and a KNOCK get one ANSWER each, with their request, which its sender chooses at
 * random.  A KNOCK reaches the stream of the peer that it is for, whose ANSWER goes back.
 *
 * Spec: RFC 9297 section 3.2, RFC 9220; draft-ietf-quic-address-discovery-01 section 5, whose frames
 * OBSERVED_ADDRESS is.  The rest is ours.
 * Threading: pure functions; any thread.
 */
#ifndef CLV_MASQUE_SIGNAL_H
#define CLV_MASQUE_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/masque/object.h"

#define CLV_SIGNAL_PROTOCOL "culvert-signal"
#define CLV_SIGNAL_PATH	    "/.well-known/culvert/signal/"

enum clv_signal_type {
	CLV_SIGNAL_HELLO = 0x1c766c00,
	CLV_SIGNAL_PUBLISH,
	CLV_SIGNAL_LOOKUP,
	CLV_SIGNAL_ANSWER,
	CLV_SIGNAL_KNOCK,
	CLV_SIGNAL_GOING = 0x1c766c08,
	CLV_SIGNAL_OBSERVED = 0x9f81a6, /* also 0x9f81a7 */
};

enum clv_signal_status {
	CLV_SIGNAL_OK = 0,
	CLV_SIGNAL_UNKNOWN, /* nobody of that identity is here, or it does not answer */
	CLV_SIGNAL_BUSY,    /* a limit is reached: later */
	CLV_SIGNAL_REFUSED, /* the same would always be refused */
};

enum clv_signal_role {
	CLV_SIGNAL_PEER = 1,
	CLV_SIGNAL_RELAY,
};

enum {
	CLV_SIGNAL_VERSION = 1,
	CLV_SIGNAL_REQUEST_LEN = 16,
	CLV_SIGNAL_PATH_MAX = 8,    /* relays in a path */
	CLV_SIGNAL_REASON_MAX = 96, /* bytes */
	CLV_SIGNAL_HOPS = 4, /* that a request may still be passed on, as its maker sets it */
	/* The longest value: a KNOCK with all there can be. */
	CLV_SIGNAL_VALUE_MAX = CLV_SIGNAL_REQUEST_LEN + 1 + CLV_IDENTITY_LEN + 1 +
			       CLV_SIGNAL_PATH_MAX * CLV_OBJECT_PREFIX_LEN + CLV_OBJECT_MAX,
	CLV_SIGNAL_HEAD_MAX = 16, /* of a capsule: type and length */
	CLV_SIGNAL_MAX = CLV_SIGNAL_HEAD_MAX + CLV_SIGNAL_VALUE_MAX, /* a capsule */
};

/* What a capsule says; only the members of its type are set.  Pointers borrow from the value. */
struct clv_signal {
	enum clv_signal_type type;
	/* HELLO */
	uint8_t version, version_min;
	uint8_t role;		/* enum clv_signal_role */
	uint64_t features;	/* none is defined yet */
	struct clv_identity id; /* HELLO: the sender's, zero: none; LOOKUP, KNOCK: who is meant */
	/* PUBLISH, LOOKUP, ANSWER, KNOCK */
	uint8_t request[CLV_SIGNAL_REQUEST_LEN];
	uint8_t hops;	       /* LOOKUP, KNOCK */
	const uint8_t *path;   /* likewise; CLV_OBJECT_PREFIX_LEN bytes each */
	uint8_t path_len;      /* of them */
	uint8_t status;	       /* ANSWER: enum clv_signal_status, or a later one */
	const uint8_t *object; /* PUBLISH, KNOCK, ANSWER; not read yet */
	size_t object_len;     /* bytes; 0: none */
	/* GOING */
	uint16_t seconds;
	const uint8_t *reason;
	size_t reason_len; /* bytes, not zero-terminated */
	/* OBSERVED */
	uint64_t sequence;
	struct clv_endpoint observed;
};

/* The longest value of a type, in bytes; 0: a type that is not known. */
size_t clv_signal_value_max(uint64_t type);

/*
 * Read a value.  value: borrows.
 * Returns 0, or CLV_EPROTO (malformed, or not a type we know), leaving *out untouched.
 */
int clv_signal_read(uint64_t type, const uint8_t *value, size_t len, struct clv_signal *out);

/*
 * Write a capsule without its object, which the caller sends behind it; the length counts it.
 * Returns the bytes written.  path_len and reason_len are at most what their names say.
 */
size_t clv_signal_write(const struct clv_signal *s,
			uint8_t buf[static CLV_SIGNAL_MAX - CLV_OBJECT_MAX]);

/* The version that both ends speak, from the other's HELLO; 0: none. */
uint8_t clv_signal_version(const struct clv_signal *hello);

#endif
