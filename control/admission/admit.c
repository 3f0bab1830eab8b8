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
	RESPONSE_ROOM = 1500,
	TOKEN_ROOM = 128,
	RESET_LEN_MIN = 21, /* RFC 9000 section 10.3 */
};

/* RFC 9000 section 8.1: a Retry token is for one exchange, a NEW_TOKEN token for a later one. */
#define RETRY_TOKEN_LIFE   (10 * CLV_SEC)
#define REGULAR_TOKEN_LIFE (7 * 24 * 3600 * CLV_SEC)

_Static_assert(NGTCP2_CRYPTO_MAX_REGULAR_TOKENLEN <= TOKEN_ROOM, "a NEW_TOKEN token fits");

static void derive(const uint8_t secret[static 32], const char *label, uint8_t out[static 32])
{
	/* Cannot fail: HKDF-Expand of one block (RFC 5869). */
	wc_HKDF_Expand(WC_SHA256, secret, 32, (const byte *)label, (word32)strlen(label), out, 32);
}

void clv_admit_reset_secret(const uint8_t secret[static 32], uint8_t out[static 32])
{
	derive(secret, "culvert reset", out);
}

/* Allows a burst of one second's worth. */
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

/* A packet to classify, and its result. */
struct classification {
	struct clv_admit *a;
	const struct clv_rx *rx;
	bool must_prove;
	uint64_t now_ns;
	ngtcp2_tstamp wall_ns;
	uint8_t *response;
	struct clv_admit_result *out;
	struct sockaddr_storage remote;
	socklen_t remote_len;
};

static struct classification begin(struct clv_admit *a, const struct clv_rx *rx, uint64_t now_ns,
				   uint64_t wall_sec, uint8_t *response,
				   struct clv_admit_result *out)
{
	struct classification c = {
		.a = a,
		.rx = rx,
		.now_ns = now_ns,
		.wall_ns = wall_sec * CLV_SEC,
		.response = response,
		.out = out,
	};

	c.remote_len = clv_endpoint_to_sockaddr(&rx->remote, false, &c.remote);
	return c;
}

static void drop(struct classification *c, enum clv_counter why)
{
	clv_count(c->a->counters, why);
	c->out->verdict = CLV_ADMIT_DROP;
}

/* Respond with len bytes; 0 if the writer failed, then the packet is dropped. */
static void respond(struct classification *c, ngtcp2_ssize len, enum clv_counter why,
		    enum clv_counter why_not)
{
	if (len <= 0) {
		drop(c, why_not);
		return;
	}
	clv_count(c->a->counters, why);
	c->out->verdict = CLV_ADMIT_RESPOND;
	c->out->response_len = (size_t)len;
}

/* A rate of 0 allows no responses. */
static bool take(struct clv_bucket *bucket, uint64_t now_ns)
{
	return clv_bucket_has_limit(bucket) && clv_bucket_take(bucket, now_ns);
}

/* Whether the rate limit allows one more response of this kind; if not, drops the packet. */
static bool may_respond(struct classification *c, struct clv_bucket *bucket,
			enum clv_counter why_not)
{
	if (take(bucket, c->now_ns))
		return true;
	drop(c, why_not);
	return false;
}

/* ---- short headers ---- */

/*
 * The peer of a connection we have no state of gets a stateless reset (RFC 9000 section 10.3).  Two
 * endpoints that respond to each other's resets stop, since each response is shorter.
 */
static void classify_short(struct classification *c, const struct clv_quic_header *h)
{
	uint8_t token[CLV_CID_TOKEN_LEN];
	struct clv_cid cid;
	size_t len;

	if (c->rx->payload_len <= RESET_LEN_MIN) { /* a reset must be shorter, and cannot be */
		drop(c, CLV_COUNT_DROP_UNKNOWN);
		return;
	}
	if (!may_respond(c, &c->a->resets, CLV_COUNT_DROP_RESET_LIMIT))
		return;
	memcpy(cid.id, h->dcid, sizeof(cid.id));
	clv_cid_token(c->a->reset_secret, &cid, token);
	len = clv_stateless_reset_write(c->a->rand, token, c->rx->payload_len, c->response,
					RESPONSE_ROOM);
	respond(c, (ngtcp2_ssize)len, CLV_COUNT_RESET_SENT, CLV_COUNT_DROP_UNKNOWN);
}

/* ---- versions ---- */

/* RFC 9000 sections 6.1 and 15: a reserved version keeps clients tolerant of future ones. */
static void classify_version(struct classification *c, const struct clv_quic_header *h)
{
	uint32_t versions[3] = { 0, NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2 };
	uint8_t random[5];
	ngtcp2_ssize n;

	if (h->version == 0) {
		drop(c, CLV_COUNT_DROP_NOT_INITIAL); /* itself a Version Negotiation */
		return;
	}
	if (c->rx->payload_len < NGTCP2_MAX_UDP_PAYLOAD_SIZE) {
		drop(c, CLV_COUNT_DROP_VERSION);
		return;
	}
	if (!may_respond(c, &c->a->versions, CLV_COUNT_DROP_VERSION_LIMIT))
		return;
	clv_rand_bytes(c->a->rand, random, sizeof(random));
	memcpy(&versions[0], random, sizeof(versions[0]));
	versions[0] = (versions[0] & 0xf0f0f0f0) | 0x0a0a0a0a;
	if (versions[0] == h->version)
		versions[0] ^= 0x10000000; /* never offer the version that we refuse */
	n = ngtcp2_pkt_write_version_negotiation(c->response, RESPONSE_ROOM, random[4], h->scid,
						 h->scid_len, h->dcid, h->dcid_len, versions, 3);
	respond(c, n, CLV_COUNT_VERSION_SENT, CLV_COUNT_DROP_VERSION);
}

/* ---- Initials ---- */

static void accept_initial(struct classification *c, const ngtcp2_pkt_hd *hd)
{
	c->out->verdict = CLV_ADMIT_ACCEPT;
	c->out->version = hd->version;
	c->out->dcid = hd->dcid;
	c->out->scid = hd->scid;
}

static void keep_token(struct classification *c, const ngtcp2_pkt_hd *hd, bool is_retry)
{
	c->out->token = hd->token;
	c->out->token_len = hd->tokenlen;
	c->out->token_is_retry = is_retry;
}

static void send_retry(struct classification *c, const ngtcp2_pkt_hd *hd)
{
	uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
	struct clv_cid cid;
	ngtcp2_cid scid;
	ngtcp2_ssize n;

	if (!may_respond(c, &c->a->retries, CLV_COUNT_DROP_RETRY_LIMIT))
		return;
	do { /* RFC 9000 section 17.2.5.1: must differ from the client's */
		clv_cid_random(c->a->rand, &cid);
		ngtcp2_cid_init(&scid, cid.id, sizeof(cid.id));
	} while (ngtcp2_cid_eq(&scid, &hd->dcid));
	n = ngtcp2_crypto_generate_retry_token2(
		token, c->a->token_secret, sizeof(c->a->token_secret), hd->version,
		(const ngtcp2_sockaddr *)&c->remote, c->remote_len, &scid, &hd->dcid, c->wall_ns);
	if (n > 0)
		n = ngtcp2_crypto_write_retry(c->response, RESPONSE_ROOM, hd->version, &hd->scid,
					      &scid, &hd->dcid, token, (size_t)n);
	respond(c, n, CLV_COUNT_RETRY_SENT, CLV_COUNT_DROP_NOT_INITIAL);
}

static bool is_retry_token(const ngtcp2_pkt_hd *hd)
{
	return hd->tokenlen && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2;
}

/* A client accepts only one Retry: refuse its invalid token at once, by the close that RFC 9000
 * section 8.1.2 requires. */
static void classify_retry_token(struct classification *c, const ngtcp2_pkt_hd *hd)
{
	ngtcp2_cid original;
	ngtcp2_ssize n;

	if (ngtcp2_crypto_verify_retry_token2(
		    &original, hd->token, hd->tokenlen, c->a->token_secret,
		    sizeof(c->a->token_secret), hd->version, (const ngtcp2_sockaddr *)&c->remote,
		    c->remote_len, &hd->dcid, RETRY_TOKEN_LIFE, c->wall_ns) == 0) {
		accept_initial(c, hd);
		keep_token(c, hd, true);
		c->out->original_dcid = original;
		return;
	}
	if (!may_respond(c, &c->a->refusals, CLV_COUNT_DROP_REFUSAL_LIMIT))
		return;
	n = ngtcp2_crypto_write_connection_close(c->response, RESPONSE_ROOM, hd->version, &hd->scid,
						 &hd->dcid, NGTCP2_INVALID_TOKEN, NULL, 0);
	respond(c, n, CLV_COUNT_TOKEN_REFUSED, CLV_COUNT_DROP_NOT_INITIAL);
}

static bool is_regular_token_good(struct classification *c, const ngtcp2_pkt_hd *hd)
{
	uint8_t no_data;

	return hd->tokenlen && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR &&
	       ngtcp2_crypto_verify_regular_token2(
		       &no_data, 0, hd->token, hd->tokenlen, c->a->token_secret,
		       sizeof(c->a->token_secret), (const ngtcp2_sockaddr *)&c->remote,
		       c->remote_len, REGULAR_TOKEN_LIFE, c->wall_ns) >= 0;
}

static void classify_initial(struct classification *c, const ngtcp2_pkt_hd *hd)
{
	if (is_retry_token(hd)) {
		classify_retry_token(c, hd);
		return;
	}
	/* RFC 9000 section 7.2; ngtcp2 accepts a shorter one with any token. */
	if (hd->dcid.datalen < NGTCP2_MIN_INITIAL_DCIDLEN) {
		drop(c, CLV_COUNT_DROP_NOT_INITIAL);
		return;
	}
	/* An invalid token is treated as none (RFC 9000 section 8.1.3). */
	if (is_regular_token_good(c, hd)) {
		if (c->must_prove)
			clv_count(c->a->counters, CLV_COUNT_TOKENS_TAKEN);
		accept_initial(c, hd);
		keep_token(c, hd, false);
	} else if (c->must_prove) {
		send_retry(c, hd);
	} else {
		accept_initial(c, hd);
	}
}

static void classify_long(struct classification *c, const struct clv_quic_header *h)
{
	ngtcp2_pkt_hd hd;

	if (h->version != NGTCP2_PROTO_VER_V1 && h->version != NGTCP2_PROTO_VER_V2) {
		classify_version(c, h);
		return;
	}
	if (ngtcp2_pkt_decode_hd_long(&hd, c->rx->payload, c->rx->payload_len) < 0 ||
	    hd.type != NGTCP2_PKT_INITIAL)
		drop(c, CLV_COUNT_DROP_NOT_INITIAL);
	else if (c->rx->payload_len < NGTCP2_MAX_UDP_PAYLOAD_SIZE)
		drop(c, CLV_COUNT_DROP_INITIAL_SHORT); /* RFC 9000 section 14.1 */
	else
		classify_initial(c, &hd);
}

void clv_admit_classify(struct clv_admit *a, const struct clv_rx *rx, bool must_prove,
			uint64_t now_ns, uint64_t wall_sec, uint8_t response[static 1500],
			struct clv_admit_result *out)
{
	struct classification c = begin(a, rx, now_ns, wall_sec, response, out);
	struct clv_quic_header h;

	c.must_prove = must_prove;
	*out = (struct clv_admit_result){ 0 };
	if (clv_quic_header_decode(rx->payload, rx->payload_len, &h)) {
		drop(&c, CLV_COUNT_DROP_MALFORMED);
		return;
	}
	if (a->guard &&
	    !clv_guard_take(a->guard, rx->remote.addr,
			    clv_guard_kind_of(rx->payload[0], h.is_long ? h.version : 0), now_ns)) {
		drop(&c, CLV_COUNT_DROP_GUARD);
		return;
	}
	if (!h.is_long) {
		classify_short(&c, &h);
		return;
	}
	classify_long(&c, &h);
}

void clv_admit_retry(struct clv_admit *a, const struct clv_rx *rx, uint64_t now_ns,
		     uint64_t wall_sec, uint8_t response[static 1500], struct clv_admit_result *out)
{
	struct classification c = begin(a, rx, now_ns, wall_sec, response, out);
	const ngtcp2_pkt_hd hd = { .version = out->version, .dcid = out->dcid, .scid = out->scid };

	send_retry(&c, &hd);
}

void clv_admit_refuse(struct clv_admit *a, enum clv_counter why, uint64_t now_ns,
		      uint8_t response[static 1500], struct clv_admit_result *out)
{
	struct classification c = { .a = a, .now_ns = now_ns, .response = response, .out = out };
	ngtcp2_ssize n;

	drop(&c, why);
	if (!take(&a->refusals, now_ns))
		return;
	n = ngtcp2_crypto_write_connection_close(response, RESPONSE_ROOM, out->version, &out->scid,
						 &out->dcid, NGTCP2_CONNECTION_REFUSED, NULL, 0);
	if (n <= 0)
		return;
	clv_count(a->counters, CLV_COUNT_CONNS_REFUSED);
	out->verdict = CLV_ADMIT_RESPOND;
	out->response_len = (size_t)n;
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
