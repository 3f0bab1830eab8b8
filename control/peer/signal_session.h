/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * signal_session - a peer's end of a signal stream: its record at the relay, look-ups of others, knocks
 * in both directions, and the address at which the relay sees it.
 *
 * It knows no transport: capsules are handed in and out.  What comes is not trusted, nor is the relay:
 * records and knocks are passed on only when their signature, their time and their maker are right.
 *
 * Order: 1. init  2. step, whenever time has passed  3. start, when the stream is open  4. value, for
 * each capsule; publish, look_up, knock, answer, at any time after start  5. fini
 * Wire formats: control/masque/signal.h, control/masque/object.h.
 * Threading: its owner.  No clock: step has the time, from which all that follows is counted.
 */
#ifndef CLV_PEER_SIGNAL_SESSION_H
#define CLV_PEER_SIGNAL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/masque/object.h"
#include "control/masque/signal.h"
#include "datapath/base/rand.h"

enum {
	CLV_SIGNAL_WAITING_MAX = 32, /* requests without an answer */
	CLV_SIGNAL_ANSWER_SEC = 15,  /* longer than a relay waits for the answer to a knock */
	CLV_SIGNAL_RETRY_SEC = 10,   /* until a record is published again that was not taken */
};

/* What became of a request. */
enum clv_signal_result {
	CLV_SIGNAL_DONE = 0,
	CLV_SIGNAL_NOBODY,   /* unknown to the relay, or does not answer */
	CLV_SIGNAL_LATER,    /* a limit is reached */
	CLV_SIGNAL_DENIED,   /* refused by the relay, or by the peer */
	CLV_SIGNAL_NO_REPLY, /* the relay did not answer */
	CLV_SIGNAL_BAD, /* a record that is forged, expired, of another, or older than one seen */
};

/* All arguments are borrowed.  None may call fini. */
struct clv_signal_session_ops {
	/* Send a capsule on the stream.  capsule: copies.  Returns 0 or an error. */
	int (*send)(void *user, const uint8_t *capsule, size_t len);
	/* The relay has said HELLO.  relay: its identity, as it says. */
	void (*on_hello)(void *user, const struct clv_identity *relay);
	/* The relay sees us at this address; a later one has a higher sequence. */
	void (*on_observed)(void *user, const struct clv_endpoint *at, uint64_t sequence);
	/* Our record is at the relay (DONE), or is not. */
	void (*on_published)(void *user, enum clv_signal_result result);
	/* The result of look_up; record: verified, NULL unless DONE. */
	void (*on_found)(void *user, uint32_t number, enum clv_signal_result result,
			 const struct clv_object *record);
	/* The result of knock: DONE, the peer has taken it.  record: it sent its own; else NULL. */
	void (*on_knocked)(void *user, uint32_t number, enum clv_signal_result result,
			   const struct clv_object *record);
	/* Somebody knocks; it is verified, for us, and no replay.  request: for answer. */
	void (*on_knock)(void *user, const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
			 const struct clv_object *knock);
	/* The relay stops in so many seconds. */
	void (*on_going)(void *user, uint16_t seconds);
};

struct clv_signal_waiting {
	enum clv_signal_type type; /* 0: free */
	uint8_t request[CLV_SIGNAL_REQUEST_LEN];
	uint32_t number;
	struct clv_identity id;
	uint64_t until_ns;
};

struct clv_signal_session {
	const struct clv_signal_session_ops *ops;
	void *user;
	struct clv_rand *rand;
	struct clv_signer *signer; /* NULL: without an identity */
	struct clv_identity id;	   /* zero: none */
	bool is_started, has_hello;
	uint64_t now_ns, wall_ms;
	uint64_t last_seq; /* of our objects */
	uint32_t last_number;
	struct clv_signal_waiting waiting[CLV_SIGNAL_WAITING_MAX];
	struct clv_object_seen knocks, records; /* of others */
	bool has_record;
	struct clv_object record; /* what we publish, without times */
	uint64_t publish_ns;	  /* when it is due; UINT64_MAX: never */
	/* What the relay answers may come while a capsule is being made. */
	uint8_t object[CLV_OBJECT_MAX], capsule[CLV_SIGNAL_MAX];
};

/* signer: borrows for life; NULL: a session that only looks up.  rand: borrows for life. */
void clv_signal_session_init(struct clv_signal_session *s, const struct clv_signal_session_ops *ops,
			     void *user, struct clv_rand *rand, struct clv_signer *signer);
void clv_signal_session_fini(struct clv_signal_session *s);

/* The stream is open: say HELLO.  Returns as send. */
int clv_signal_session_start(struct clv_signal_session *s);

/* One capsule.  Returns 0, or CLV_EPROTO: the relay broke the protocol; end the stream. */
int clv_signal_session_value(struct clv_signal_session *s, uint64_t type, const uint8_t *value,
			     size_t len);

/*
 * It is now_ns, and wall_ms since 1970.  Ends requests without an answer, and publishes the record when
 * it is due.  next_ns: when the next step is; UINT64_MAX: never.
 */
void clv_signal_session_step(struct clv_signal_session *s, uint64_t now_ns, uint64_t wall_ms);
uint64_t clv_signal_session_next_ns(const struct clv_signal_session *s);

/*
 * Publish a record with these endpoints and relays, and again whenever it becomes old; before HELLO,
 * after it.  record: copies; identity, key, times and kind are set here.
 * Returns 0, or -ENOKEY (without an identity).
 */
int clv_signal_session_publish(struct clv_signal_session *s, const struct clv_object *record);
/* Void it.  Returns as look_up. */
int clv_signal_session_withdraw(struct clv_signal_session *s);

/*
 * Ask for the record of a peer.  number: filled; on_found has it.
 * Returns 0; CLV_ECLOSED (not started); CLV_EFULL (too many requests wait); or an error of send.
 */
int clv_signal_session_look_up(struct clv_signal_session *s, const struct clv_identity *id,
			       uint32_t *number);
/*
 * Knock at a peer.  from: where we will connect from.  number: filled; on_knocked has it.
 * Returns as look_up, or -ENOKEY (without an identity) or an error of clv_object_sign.
 */
int clv_signal_session_knock(struct clv_signal_session *s, const struct clv_identity *to,
			     const struct clv_object_endpoint *from, uint32_t *number);
/*
 * Answer a knock.  with_record: send our record along; else, or without one, none.
 * Returns as look_up.
 */
int clv_signal_session_answer(struct clv_signal_session *s,
			      const uint8_t request[static CLV_SIGNAL_REQUEST_LEN],
			      enum clv_signal_status status, bool with_record);

#endif
