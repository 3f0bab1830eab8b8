/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * admit - what happens to a packet that belongs to no connection: decided without state.
 *
 *   Initial of a known version -> new connection, or Retry when asked to prove the address
 *   unknown version, >= 1200 bytes -> Version Negotiation      anything else long -> drop, counted
 *   short header -> stateless reset      each kind of answer has a rate of its own
 *
 * Spec: RFC 9000 sections 5.2.2, 6, 8.1, 10.3, 14.1; RFC 9368.
 * Threading: control.
 */
#ifndef CLV_ADMISSION_ADMIT_H
#define CLV_ADMISSION_ADMIT_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/admission/guard.h"
#include "datapath/base/bucket.h"
#include "datapath/base/counters.h"
#include "datapath/base/rand.h"
#include "datapath/io/port.h"

/* Answers without a connection behind them, of each kind in a second; 0: none at all. */
struct clv_admit_limits {
	uint32_t resets_per_sec;
	uint32_t retries_per_sec;
	uint32_t version_negotiations_per_sec;
	uint32_t refusals_per_sec; /* of connections and of Retry tokens */
};

struct clv_admit {
	uint8_t token_secret[32]; /* of Retry and NEW_TOKEN tokens */
	uint8_t reset_secret[32];
	struct clv_bucket resets, retries, versions, refusals;
	struct clv_guard *guard; /* borrows; NULL: none */
	struct clv_rand *rand;	 /* borrows */
	struct clv_counters *counters;
};

enum clv_admit_verdict {
	CLV_ADMIT_ACCEPT, /* make a connection from out */
	CLV_ADMIT_ANSWER, /* send the answer, keep nothing */
	CLV_ADMIT_DROP,	  /* counted */
};

struct clv_admit_result {
	enum clv_admit_verdict verdict;
	uint32_t version;
	ngtcp2_cid dcid, scid, original_dcid;
	const uint8_t *token; /* borrows rx; the validated token to give to the conn */
	size_t token_len;     /* 0: the address is not proven */
	bool token_is_retry;
	size_t answer_len; /* bytes written to answer */
};

/*
 * The secret of stateless reset tokens that belongs to a relay's secret; workers need it too.
 */
void clv_admit_reset_secret(const uint8_t secret[static 32], uint8_t out[static 32]);

/* secret: copies, 32 bytes of which both secrets are derived, so that they survive a restart. */
void clv_admit_init(struct clv_admit *a, const uint8_t secret[static 32],
		    const struct clv_admit_limits *limits, struct clv_guard *guard,
		    struct clv_rand *rand, struct clv_counters *counters);

/*
 * Judge a packet of no known connection.  must_prove: answer Initials without a valid token by
 * Retry.  wall_sec: real time, for token lifetimes.  answer: room for 1500 bytes.
 */
void clv_admit_judge(struct clv_admit *a, const struct clv_rx *rx, bool must_prove, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t answer[static 1500], struct clv_admit_result *out);

/*
 * Ask a client to prove its address after all: its ClientHello begins in the middle, which only a
 * proven one may have kept.  Writes a Retry, or drops; rx and out as in clv_admit_judge, which said
 * ACCEPT.
 */
void clv_admit_retry(struct clv_admit *a, const struct clv_rx *rx, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t answer[static 1500], struct clv_admit_result *out);

/*
 * Refuse a connection that clv_admit_judge would have accepted.  why: the ceiling's counter, which
 * is counted.  Writes a close with CONNECTION_REFUSED, or drops.
 */
void clv_admit_refuse(struct clv_admit *a, enum clv_counter why, uint64_t now_ns,
		      uint8_t answer[static 1500], struct clv_admit_result *out);

/*
 * A NEW_TOKEN token for a client at remote.  Returns its length (at most 128), 0 on failure.
 */
size_t clv_admit_new_token(struct clv_admit *a, const struct clv_endpoint *remote,
			   uint64_t wall_sec, uint8_t out[static 128]);

#endif
