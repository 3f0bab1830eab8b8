/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "control/admission/admit.h"

#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/quic/cid.h"

#include <ngtcp2/ngtcp2_crypto.h>
#include <string.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/sha256.h>

enum {
	ANSWER_ROOM = 1500,
	TOKEN_ROOM = 128,
	RESET_LEN_MIN = 21, /* RFC 9000 section 10.3 */
};

/* RFC 9000 section 8.1: a Retry token serves one exchange, one of NEW_TOKEN a later visit. */
#define RETRY_TOKEN_LIFE   (10 * CLV_SEC)
#define REGULAR_TOKEN_LIFE (7 * 24 * 3600 * CLV_SEC)

_Static_assert(NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN <= TOKEN_ROOM, "a NEW_TOKEN token fits");

static void derive(const uint8_t secret[static 32], const char *label, uint8_t out[static 32])
{
	/* Cannot fail: HKDF-Expand of one block (RFC 5869) over memory. */
	wc_HKDF_Expand(WC_SHA256, secret, 32, (const byte *)label, (word32)strlen(label), out, 32);
}

void clv_admit_reset_secret(const uint8_t secret[static 32], uint8_t out[static 32])
{
	derive(secret, "culvert reset", out);
}

/* A second's worth at once. */
static struct clv_bucket bucket_of(uint32_t per_sec)
{
	return clv_bucket_of(per_sec, per_sec);
}

void clv_admit_init(struct clv_admit *a, const uint8_t secret[static 32],
		    const struct clv_admit_limits *limits, struct clv_guard *guard,
		    struct clv_rand *rand, struct clv_counters *counters)
{
	*a = (struct clv_admit){
		.resets = bucket_of(limits->resets_per_sec),
		.retries = bucket_of(limits->retries_per_sec),
		.versions = bucket_of(limits->version_negotiations_per_sec),
		.refusals = bucket_of(limits->refusals_per_sec),
		.guard = guard,
		.rand = rand,
		.counters = counters,
	};
	derive(secret, "culvert token", a->token_secret);
	clv_admit_reset_secret(secret, a->reset_secret);
}

/* A packet to judge and where the judgement goes. */
struct judge {
	struct clv_admit *a;
	const struct clv_rx *rx;
	bool must_prove;
	uint64_t now_ns;
	ngtcp2_tstamp wall_ns;
	uint8_t *answer;
	struct clv_admit_result *out;
	struct sockaddr_storage remote;
	socklen_t remote_len;
};

static void drop(struct judge *j, enum clv_counter why)
{
	clv_count(j->a->counters, why);
	j->out->verdict = CLV_ADMIT_DROP;
}

/* Send len bytes of answer; a writer that failed gives none, and the packet is dropped. */
static void answer(struct judge *j, ngtcp2_ssize len, enum clv_counter why,
		   enum clv_counter why_not)
{
	if (len <= 0) {
		drop(j, why_not);
		return;
	}
	clv_count(j->a->counters, why);
	j->out->verdict = CLV_ADMIT_ANSWER;
	j->out->answer_len = (size_t)len;
}

/* Here a rate of 0 is none at all. */
static bool take(struct clv_bucket *bucket, uint64_t now_ns)
{
	return clv_bucket_has_limit(bucket) && clv_bucket_take(bucket, now_ns);
}

/* Whether one more answer of this kind may go out; if not, the packet is dropped for it. */
static bool may_answer(struct judge *j, struct clv_bucket *bucket, enum clv_counter why_not)
{
	if (take(bucket, j->now_ns))
		return true;
	drop(j, why_not);
	return false;
}

/* ---- short headers ---- */

/*
 * A peer of a connection we forgot learns it from a stateless reset (RFC 9000 section 10.3).  Two
 * endpoints that answer each other's resets stop because each answer is shorter.
 */
static void judge_short(struct judge *j, const struct clv_quic_header *h)
{
	uint8_t token[CLV_CID_TOKEN_LEN];
	struct clv_cid cid;
	size_t len;

	if (j->rx->payload_len <= RESET_LEN_MIN) { /* an answer must be shorter, and cannot be */
		drop(j, CLV_COUNT_DROP_UNKNOWN);
		return;
	}
	if (!may_answer(j, &j->a->resets, CLV_COUNT_DROP_RESET_LIMIT))
		return;
	memcpy(cid.id, h->dcid, sizeof(cid.id));
	clv_cid_token(j->a->reset_secret, &cid, token);
	len = clv_stateless_reset_write(j->a->rand, token, j->rx->payload_len, j->answer,
					ANSWER_ROOM);
	answer(j, (ngtcp2_ssize)len, CLV_COUNT_RESET_SENT, CLV_COUNT_DROP_UNKNOWN);
}

/* ---- versions ---- */

/* RFC 9000 section 6.1, and 15: a reserved version keeps clients tolerant of ones to come. */
static void judge_version(struct judge *j, const struct clv_quic_header *h)
{
	uint32_t versions[3] = { 0, NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2 };
	uint8_t random[5];
	ngtcp2_ssize n;

	if (h->version == 0) {
		drop(j, CLV_COUNT_DROP_NOT_INITIAL); /* itself a Version Negotiation */
		return;
	}
	if (j->rx->payload_len < NGTCP2_MAX_UDP_PAYLOAD_SIZE) {
		drop(j, CLV_COUNT_DROP_VERSION);
		return;
	}
	if (!may_answer(j, &j->a->versions, CLV_COUNT_DROP_VERSION_LIMIT))
		return;
	clv_rand_bytes(j->a->rand, random, sizeof(random));
	memcpy(&versions[0], random, sizeof(versions[0]));
	versions[0] = (versions[0] & 0xf0f0f0f0) | 0x0a0a0a0a;
	if (versions[0] == h->version)
		versions[0] ^= 0x10000000; /* never offer what was refused */
	n = ngtcp2_pkt_write_version_negotiation(j->answer, ANSWER_ROOM, random[4], h->scid,
						 h->scid_len, h->dcid, h->dcid_len, versions, 3);
	answer(j, n, CLV_COUNT_VERSION_SENT, CLV_COUNT_DROP_VERSION);
}

/* ---- Initials ---- */

static void accept_initial(struct judge *j, const ngtcp2_pkt_hd *hd)
{
	j->out->verdict = CLV_ADMIT_ACCEPT;
	j->out->version = hd->version;
	j->out->dcid = hd->dcid;
	j->out->scid = hd->scid;
}

static void keep_token(struct judge *j, const ngtcp2_pkt_hd *hd, bool is_retry)
{
	j->out->token = hd->token;
	j->out->token_len = hd->tokenlen;
	j->out->token_is_retry = is_retry;
}

static void send_retry(struct judge *j, const ngtcp2_pkt_hd *hd)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
	struct clv_cid cid;
	ngtcp2_cid scid;
	ngtcp2_ssize n;

	if (!may_answer(j, &j->a->retries, CLV_COUNT_DROP_RETRY_LIMIT))
		return;
	do { /* RFC 9000 section 17.2.5.1: not the ID that the client chose */
		clv_cid_random(j->a->rand, &cid);
		ngtcp2_cid_init(&scid, cid.id, sizeof(cid.id));
	} while (ngtcp2_cid_eq(&scid, &hd->dcid));
	n = ngtcp2_crypto_generate_retry_token2(
		token, j->a->token_secret, sizeof(j->a->token_secret), hd->version,
		(const ngtcp2_sockaddr *)&j->remote, j->remote_len, &scid, &hd->dcid, j->wall_ns);
	if (n > 0)
		n = ngtcp2_crypto_write_retry(j->answer, ANSWER_ROOM, hd->version, &hd->scid, &scid,
					      &hd->dcid, token, (size_t)n);
	answer(j, n, CLV_COUNT_RETRY_SENT, CLV_COUNT_DROP_NOT_INITIAL);
}

static bool is_retry_token(const ngtcp2_pkt_hd *hd)
{
	return hd->tokenlen && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2;
}

/* A client that got a Retry cannot take another: say at once that its token is no good, by the
 * close that RFC 9000 section 8.1.2 asks for. */
static void judge_retry_token(struct judge *j, const ngtcp2_pkt_hd *hd)
{
	ngtcp2_cid original;
	ngtcp2_ssize n;

	if (ngtcp2_crypto_verify_retry_token2(
		    &original, hd->token, hd->tokenlen, j->a->token_secret,
		    sizeof(j->a->token_secret), hd->version, (const ngtcp2_sockaddr *)&j->remote,
		    j->remote_len, &hd->dcid, RETRY_TOKEN_LIFE, j->wall_ns) == 0) {
		accept_initial(j, hd);
		keep_token(j, hd, true);
		j->out->original_dcid = original;
		return;
	}
	if (!may_answer(j, &j->a->refusals, CLV_COUNT_DROP_REFUSAL_LIMIT))
		return;
	n = ngtcp2_crypto_write_connection_close(j->answer, ANSWER_ROOM, hd->version, &hd->scid,
						 &hd->dcid, NGTCP2_INVALID_TOKEN, NULL, 0);
	answer(j, n, CLV_COUNT_TOKEN_REFUSED, CLV_COUNT_DROP_NOT_INITIAL);
}

static bool is_regular_token_good(struct judge *j, const ngtcp2_pkt_hd *hd)
{
	uint8_t no_data;

	return hd->tokenlen && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR &&
	       ngtcp2_crypto_verify_regular_token2(
		       &no_data, 0, hd->token, hd->tokenlen, j->a->token_secret,
		       sizeof(j->a->token_secret), (const ngtcp2_sockaddr *)&j->remote,
		       j->remote_len, REGULAR_TOKEN_LIFE, j->wall_ns) >= 0;
}

static void judge_initial(struct judge *j, const ngtcp2_pkt_hd *hd)
{
	if (is_retry_token(hd)) {
		judge_retry_token(j, hd);
		return;
	}
	/* RFC 9000 section 7.2; ngtcp2 lets a shorter one pass when any token is there. */
	if (hd->dcid.datalen < NGTCP2_MIN_INITIAL_DCIDLEN) {
		drop(j, CLV_COUNT_DROP_NOT_INITIAL);
		return;
	}
	/* A token of another kind or age is as none (RFC 9000 section 8.1.3). */
	if (is_regular_token_good(j, hd)) {
		if (j->must_prove)
			clv_count(j->a->counters, CLV_COUNT_TOKENS_TAKEN);
		accept_initial(j, hd);
		keep_token(j, hd, false);
	} else if (j->must_prove) {
		send_retry(j, hd);
	} else {
		accept_initial(j, hd);
	}
}

static void judge_long(struct judge *j, const struct clv_quic_header *h)
{
	ngtcp2_pkt_hd hd;

	if (h->version != NGTCP2_PROTO_VER_V1 && h->version != NGTCP2_PROTO_VER_V2) {
		judge_version(j, h);
		return;
	}
	if (ngtcp2_pkt_decode_hd_long(&hd, j->rx->payload, j->rx->payload_len) < 0 ||
	    hd.type != NGTCP2_PKT_INITIAL)
		drop(j, CLV_COUNT_DROP_NOT_INITIAL);
	else if (j->rx->payload_len < NGTCP2_MAX_UDP_PAYLOAD_SIZE)
		drop(j, CLV_COUNT_DROP_INITIAL_SHORT); /* RFC 9000 section 14.1 */
	else
		judge_initial(j, &hd);
}

void clv_admit_judge(struct clv_admit *a, const struct clv_rx *rx, bool must_prove, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t answer_buf[static 1500],
		     struct clv_admit_result *out)
{
	struct judge j = {
		.a = a,
		.rx = rx,
		.must_prove = must_prove,
		.now_ns = now_ns,
		.wall_ns = wall_sec * CLV_SEC,
		.answer = answer_buf,
		.out = out,
	};
	struct clv_quic_header h;

	*out = (struct clv_admit_result){ 0 };
	if (clv_quic_header_decode(rx->payload, rx->payload_len, &h)) {
		drop(&j, CLV_COUNT_DROP_MALFORMED);
		return;
	}
	if (a->guard &&
	    !clv_guard_take(a->guard, rx->remote.addr,
			    clv_guard_kind_of(rx->payload[0], h.is_long ? h.version : 0), now_ns)) {
		drop(&j, CLV_COUNT_DROP_GUARD);
		return;
	}
	if (!h.is_long) {
		judge_short(&j, &h);
		return;
	}
	j.remote_len = clv_endpoint_to_sockaddr(&rx->remote, false, &j.remote);
	judge_long(&j, &h);
}

void clv_admit_retry(struct clv_admit *a, const struct clv_rx *rx, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t answer_buf[static 1500],
		     struct clv_admit_result *out)
{
	struct judge j = {
		.a = a,
		.rx = rx,
		.now_ns = now_ns,
		.wall_ns = wall_sec * CLV_SEC,
		.answer = answer_buf,
		.out = out,
	};
	const ngtcp2_pkt_hd hd = { .version = out->version, .dcid = out->dcid, .scid = out->scid };

	j.remote_len = clv_endpoint_to_sockaddr(&rx->remote, false, &j.remote);
	send_retry(&j, &hd);
}

void clv_admit_refuse(struct clv_admit *a, enum clv_counter why, uint64_t now_ns,
		      uint8_t answer_buf[static 1500], struct clv_admit_result *out)
{
	struct judge j = { .a = a, .now_ns = now_ns, .answer = answer_buf, .out = out };
	ngtcp2_ssize n;

	drop(&j, why);
	if (!take(&a->refusals, now_ns))
		return;
	n = ngtcp2_crypto_write_connection_close(answer_buf, ANSWER_ROOM, out->version, &out->scid,
						 &out->dcid, NGTCP2_CONNECTION_REFUSED, NULL, 0);
	if (n <= 0)
		return;
	clv_count(a->counters, CLV_COUNT_CONNS_REFUSED);
	out->verdict = CLV_ADMIT_ANSWER;
	out->answer_len = (size_t)n;
}

size_t clv_admit_new_token(struct clv_admit *a, const struct clv_endpoint *remote,
			   uint64_t wall_sec, uint8_t out[static 128])
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = clv_endpoint_to_sockaddr(remote, false, &ss);
	ngtcp2_ssize n = ngtcp2_crypto_generate_regular_token2(
		out, a->token_secret, sizeof(a->token_secret), (const ngtcp2_sockaddr *)&ss, len,
		NULL, 0, wall_sec * CLV_SEC);

	return n > 0 ? (size_t)n : 0;
}
