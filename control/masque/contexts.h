/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * contexts - the Context IDs of one bound tunnel, each for one remote: the rules of
 * COMPRESSION_ASSIGN, ACK and CLOSE, for the relay and for the client.
 *
 * A state machine without I/O.  The peer's capsules and our own requests go in; capsules to send, and
 * mappings to add and remove, come out through the ops.  The owner of the request stream aborts it
 * when a function here returns an error that says so.
 *
 *   the client opens even Context IDs, the relay odd ones; an ID is never used twice in a request
 *   one open ID for each remote; where both sides opened one for the same remote, the relay's goes
 *   the client alone opens the uncompressed context, and has one at most
 *   the relay opens contexts of its own only while the uncompressed context is open
 *
 * Order: 1. new  2. anything, until a function returns an error that ends the stream  3. free
 * Spec: draft-ietf-masque-connect-udp-listen-13 section 3, RFC 9298 section 4.
 * Threading: control.
 */
#ifndef CLV_MASQUE_CONTEXTS_H
#define CLV_MASQUE_CONTEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "control/masque/capsule.h"
#include "datapath/base/bucket.h"
#include "datapath/base/counters.h"

struct clv_contexts;

enum clv_contexts_role {
	CLV_CONTEXTS_RELAY = 1, /* opens odd IDs */
	CLV_CONTEXTS_CLIENT,	/* opens even IDs */
};

/* One open context.  Borrowed from the manager until it is closed. */
struct clv_contexts_entry {
	uint64_t id;
	struct clv_endpoint remote; /* zero for the uncompressed context */
	bool is_uncompressed;
	bool is_ours;  /* opened by this side */
	bool is_acked; /* the other side knows it too; always true of what the peer opened */
};

/* Ceilings; reaching one is counted. */
struct clv_contexts_limits {
	uint32_t open_max;    /* contexts open at a time; half of them may be the relay's own */
	uint32_t unacked_max; /* ACK and CLOSE that the peer has not acknowledged; beyond that the
				 stream is aborted */
	uint32_t id_gaps_max; /* runs of IDs the peer used; one, if it counts without gaps */
};

/* None may call back into the manager. */
struct clv_contexts_ops {
	/*
	 * Add the mapping: from now on datagrams arrive with this ID, and, unless the ID is ours and
	 * not acknowledged yet, may be sent with it.  e: borrows, until closed.
	 * For an ID of the peer: 0, and the ACK is sent when this has returned; CLV_EDENIED (policy),
	 * CLV_EUNROUTABLE (a family we have no address of), CLV_EFULL (no room for it) or any other
	 * error, and the registration is refused.  For an ID of ours: 0, or an error for
	 * clv_contexts_open to return.
	 */
	int (*open)(void *user, const struct clv_contexts_entry *e);
	/* The peer accepted an ID of ours. */
	void (*acked)(void *user, const struct clv_contexts_entry *e);
	/* Remove the mapping: no datagram may be sent with it any more. */
	void (*close)(void *user, const struct clv_contexts_entry *e);
	/*
	 * Send a capsule.  capsule: copies.  *mark: the stream's offset after it, for
	 * clv_contexts_delivered.  Returns 0 or an error that ends the stream.
	 */
	int (*send)(void *user, const uint8_t *capsule, size_t len, uint64_t *mark);
};

struct clv_contexts_params {
	enum clv_contexts_role role;
	const struct clv_endpoint *target; /* copies; the real target, whose datagrams have Context
					      ID 0; NULL for "*" */
	struct clv_contexts_limits limits;
	/* registrations of one connection; borrows for life; NULL: no limit */
	struct clv_bucket *rate;
	const struct clv_contexts_ops *ops;
	void *user;
	struct clv_counters *counters; /* borrows for life */
	uint64_t seed[2];	       /* 16 random bytes */
};

/* Returns 0 and fills *out, or -ENOMEM. */
int clv_contexts_new(const struct clv_contexts_params *params, struct clv_contexts **out);
/* Forgets everything without a call to the ops. */
void clv_contexts_free(struct clv_contexts *m);

/*
 * A capsule of the peer.  value: borrows.
 * Returns 0, also when it was answered with a refusal.  Anything else ends the stream:
 *   CLV_EPROTO  malformed; H3_MESSAGE_ERROR
 *   CLV_EFULL   unacked_max or id_gaps_max; H3_EXCESSIVE_LOAD
 *   others      an error of send, or -ENOMEM; H3_INTERNAL_ERROR
 */
int clv_contexts_capsule(struct clv_contexts *m, enum clv_capsule_type type, const uint8_t *value,
			 size_t len, uint64_t now_ns);

/*
 * Open a context of ours and register it with the peer.  remote: borrows; NULL for the uncompressed context.
 * Returns 0 and fills *id (may be NULL), or, leaving everything as it was:
 *   CLV_ERANGE   the remote, or the uncompressed context, has an ID already; or the remote is
 *                ::, port 0 or the target of Context ID 0
 *   CLV_EDENIED  the relay may not: uncompressed contexts at all, others without one
 *   CLV_EFULL    open_max
 *   others       the error of open
 * After an error of send, which ends the stream, the context is closed again.
 */
int clv_contexts_open(struct clv_contexts *m, const struct clv_endpoint *remote, uint64_t *id);

/*
 * Close a context of either side and send the CLOSE.  One that is not open is fine.
 * Returns 0 or the error of send, which ends the stream.
 */
int clv_contexts_close(struct clv_contexts *m, uint64_t id);

/* The peer acknowledged our half of the stream up to offset mark. */
void clv_contexts_delivered(struct clv_contexts *m, uint64_t mark);

/* Open contexts.  NULL when there is none. */
const struct clv_contexts_entry *clv_contexts_by_id(const struct clv_contexts *m, uint64_t id);
const struct clv_contexts_entry *clv_contexts_by_remote(const struct clv_contexts *m,
							const struct clv_endpoint *remote);
const struct clv_contexts_entry *clv_contexts_uncompressed(const struct clv_contexts *m);
uint32_t clv_contexts_count(const struct clv_contexts *m);

enum clv_contexts_verdict {
	CLV_CONTEXTS_OPEN = 1, /* of an open context */
	CLV_CONTEXTS_ZERO,     /* Context ID 0, to or from the real target */
	CLV_CONTEXTS_CLOSED,   /* that ID was used and closed: discard silently */
	CLV_CONTEXTS_UNKNOWN,  /* not used yet: drop, or keep for a round trip */
	CLV_CONTEXTS_ABORT,    /* Context ID 0 without a target: abort the stream */
};

/* What to do with a datagram of the peer. */
enum clv_contexts_verdict clv_contexts_classify(const struct clv_contexts *m, uint64_t id);

#endif
