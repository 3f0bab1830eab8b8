/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * admit - classify packets of no known connection, and write the stateless responses to them.
 *
 *   Initial of a known version -> new connection, or Retry if the client must prove its address
 *   unknown version, >= 1200 bytes -> Version Negotiation   other long headers -> drop, counted
 *   short header -> stateless reset   each kind of response has its own rate limit
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

/* Stateless responses per second, of each kind; 0: none. */
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
	CLV_ADMIT_ACCEPT,  /* make a connection from the result */
	CLV_ADMIT_RESPOND, /* send the response, keep no state */
	CLV_ADMIT_DROP,	   /* counted */
};

struct clv_admit_result {
	enum clv_admit_verdict verdict;
	uint32_t version;
	ngtcp2_cid dcid, scid, original_dcid;
	const uint8_t *token; /* borrows rx; the valid token, for the connection */
	size_t token_len;     /* 0: the address is not proven */
	bool token_is_retry;
	size_t response_len; /* bytes written to response */
};

/* Derive the secret of stateless reset tokens from a relay's secret; workers need it too. */
void clv_admit_reset_secret(const uint8_t secret[static 32], uint8_t out[static 32]);

/* secret: copies; tokens and resets derive theirs from it, so that they survive a restart. */
void clv_admit_init(struct clv_admit *a, const uint8_t secret[static 32],
		    const struct clv_admit_limits *limits, struct clv_guard *guard,
		    struct clv_rand *rand, struct clv_counters *counters);

/*
 * Classify a packet of no known connection.  must_prove: respond to Initials without a valid token
 * by Retry.  wall_sec: wall-clock time, for token lifetimes.  response: buffer of 1500 bytes.
 */
void clv_admit_classify(struct clv_admit *a, const struct clv_rx *rx, bool must_prove,
			uint64_t now_ns, uint64_t wall_sec, uint8_t response[static 1500],
			struct clv_admit_result *out);

/*
 * Send Retry to a client after all: the first byte of its ClientHello is missing, and only packets
 * from validated addresses may be buffered.  Writes a Retry, or drops; rx and out as in
 * clv_admit_classify, which returned ACCEPT.
 */
void clv_admit_retry(struct clv_admit *a, const struct clv_rx *rx, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t response[static 1500],
		     struct clv_admit_result *out);

/*
 * Refuse a connection that clv_admit_classify accepted.  why: the counter of the limit that was
 * reached.  Writes a close with CONNECTION_REFUSED, or drops.
 */
void clv_admit_refuse(struct clv_admit *a, enum clv_counter why, uint64_t now_ns,
		      uint8_t response[static 1500], struct clv_admit_result *out);

/*
 * Write a NEW_TOKEN token for a client at remote.  Returns its length (at most 128), 0 on failure.
 */
size_t clv_admit_new_token(struct clv_admit *a, const struct clv_endpoint *remote,
			   uint64_t wall_sec, uint8_t out[static 128]);

#endif
