/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/admission/admit.h"
#include "control/tls/certs.h"
#include "datapath/base/clock.h"
#include "tests/unit/admission/handshake_pair.h"

#define WALL_SEC UINT64_C(1800000000)
#define DAY_SEC	 UINT64_C(86400)

static const uint8_t secret[32] = { 1, 2, 3 };
static const struct clv_endpoint peer_v4 = {
	.addr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
	.port = 0x1234,
};
static const struct clv_endpoint peer_v4_other_port = {
	.addr = { [10] = 0xff, 0xff, 192, 0, 2, 1 },
	.port = 0x4321,
};
static const struct clv_endpoint peer_v4_other_host = {
	.addr = { [10] = 0xff, 0xff, 192, 0, 2, 99 },
	.port = 0x1234,
};
static const struct clv_endpoint peer_v6 = {
	.addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 },
	.port = 0x1234,
};

static const struct clv_admit_limits limits = { 3, 1000, 1000, 1000 };

struct fixture {
	struct clv_admit admit;
	struct clv_rand rand;
	struct clv_counters counters, before;
	uint8_t packet[1600];
	uint8_t answer[1500];
	struct clv_admit_result result;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	clv_rand_init(&f->rand, 7);
	clv_admit_init(&f->admit, secret, &limits, NULL, &f->rand, &f->counters);
	*state = f;
	return f ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void classify(struct fixture *f, const struct clv_endpoint *remote, size_t len,
		     bool must_prove, uint64_t wall_sec)
{
	struct clv_rx rx = { .remote = *remote,
			     .payload = f->packet,
			     .payload_len = (uint32_t)len };

	f->before = f->counters;
	clv_admit_classify(&f->admit, &rx, must_prove, CLV_SEC, wall_sec, f->answer, &f->result);
}

/* One counter was incremented, and no other. */
static void assert_counted(const struct fixture *f, enum clv_counter which)
{
	for (int i = 0; i < CLV_COUNTER_MAX; i++)
		assert_int_equal(f->counters.slot[i] - f->before.slot[i], i == (int)which);
}

static void assert_nothing_counted(const struct fixture *f)
{
	assert_memory_equal(&f->counters, &f->before, sizeof(f->counters));
}

struct header {
	uint8_t type; /* of a long header, 0 Initial in version 1 */
	uint32_t version;
	uint8_t dcid_len, scid_len;
	const uint8_t *token;
	size_t token_len;
	const uint8_t *dcid; /* NULL: 0xd1 repeated */
};

/* Write a long header followed by zeros, with the fields of an Initial if the version has them. */
static void put_long(struct fixture *f, const struct header *h)
{
	uint8_t *p = f->packet;

	memset(f->packet, 0, sizeof(f->packet));
	*p++ = (uint8_t)(0xc0 | h->type << 4);
	*p++ = (uint8_t)(h->version >> 24);
	*p++ = (uint8_t)(h->version >> 16);
	*p++ = (uint8_t)(h->version >> 8);
	*p++ = (uint8_t)h->version;
	*p++ = h->dcid_len;
	if (h->dcid)
		memcpy(p, h->dcid, h->dcid_len);
	else
		memset(p, 0xd1, h->dcid_len);
	p += h->dcid_len;
	*p++ = h->scid_len;
	memset(p, 0x5c, h->scid_len);
	p += h->scid_len;
	*p++ = (uint8_t)(0x40 | h->token_len >> 8);
	*p++ = (uint8_t)h->token_len;
	if (h->token_len)
		memcpy(p, h->token, h->token_len);
	p += h->token_len;
	*p++ = 0x44; /* length 1024 */
	*p++ = 0x00;
}

static uint8_t initial_type(uint32_t version)
{
	return version == NGTCP2_PROTO_VER_V2 ? 1 : 0;
}

/* ---- long headers without connection ---- */

/* Long: one table. */
static void each_kind_of_long_header_has_its_fate(void **state)
{
	static const struct {
		const char *what;
		struct header h;
		size_t len;
		enum clv_admit_verdict verdict;
		enum clv_counter counted;
	} cases[] = {
		{ "Initial of 1199 bytes",
		  { 0, 1, 8, 8, NULL, 0, NULL },
		  1199,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_INITIAL_SHORT },
		{ "Initial with a 7-byte ID",
		  { 0, 1, 7, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "the same with an invalid token",
		  { 0, 1, 7, 8, (const uint8_t *)"token", 5, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "0-RTT",
		  { 1, 1, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "Handshake",
		  { 2, 1, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "Retry",
		  { 3, 1, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "type 0 of version 2 is a Retry",
		  { 0, NGTCP2_PROTO_VER_V2, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "Version Negotiation",
		  { 0, 0, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
		{ "unknown version, short",
		  { 0, 0x1a2a3a4a, 8, 8, NULL, 0, NULL },
		  1199,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_VERSION },
		{ "unknown version, 1200 bytes",
		  { 0, 0x1a2a3a4a, 8, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_RESPOND,
		  CLV_COUNT_VERSION_SENT },
		{ "cut in the IDs",
		  { 0, 1, 20, 20, NULL, 0, NULL },
		  20,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_MALFORMED },
		{ "21-byte ID of version 1",
		  { 0, 1, 21, 8, NULL, 0, NULL },
		  1200,
		  CLV_ADMIT_DROP,
		  CLV_COUNT_DROP_NOT_INITIAL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_long(f, &cases[i].h);
		classify(f, &peer_v4, cases[i].len, false, WALL_SEC);
		if (f->result.verdict != cases[i].verdict)
			fail_msg("%s: verdict %d", cases[i].what, f->result.verdict);
		assert_counted(f, cases[i].counted);
		assert_true(f->result.response_len <= cases[i].len);
	}
}

static void both_versions_are_accepted_with_their_ids(void **state)
{
	static const uint32_t versions[] = { NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2 };
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		put_long(f, &(struct header){ .type = initial_type(versions[i]),
					      .version = versions[i],
					      .dcid_len = 8,
					      .scid_len = 5 });
		classify(f, &peer_v4, 1200, false, WALL_SEC);
		assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
		assert_int_equal(f->result.version, versions[i]);
		assert_int_equal(f->result.dcid.datalen, 8);
		assert_int_equal(f->result.scid.datalen, 5);
		assert_int_equal(f->result.original_dcid.datalen, 0);
		assert_int_equal(f->result.token_len, 0);
		assert_int_equal(f->result.token_len, 0);
		assert_nothing_counted(f);
	}
}

static void version_negotiation_echoes_ids_of_any_length(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p = f->answer;
	bool has_v1 = false, has_v2 = false, has_reserved = false;

	put_long(f, &(struct header){ .version = 0xfafafafa, .dcid_len = 255, .scid_len = 0 });
	classify(f, &peer_v6, 1200, true, WALL_SEC);
	assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
	assert_true(p[0] & 0x80);
	assert_memory_equal(p + 1, "\0\0\0\0", 4);
	assert_int_equal(p[5], 0);
	assert_int_equal(p[6], 255);
	assert_memory_equal(p + 7, f->packet + 6, 255);
	assert_int_equal(f->result.response_len, 7 + 255 + 3 * 4);
	for (p += 7 + 255; p < f->answer + f->result.response_len; p += 4) {
		uint32_t v = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];

		has_v1 |= v == NGTCP2_PROTO_VER_V1;
		has_v2 |= v == NGTCP2_PROTO_VER_V2;
		has_reserved |= (v & 0x0f0f0f0f) == 0x0a0a0a0a;
		assert_int_not_equal(v, 0xfafafafa);
	}
	assert_true(has_v1 && has_v2 && has_reserved);
}

/* ---- tokens ---- */

/* Decode the Retry in the fixture.  Returns the token's length. */
static size_t read_retry(const struct fixture *f, uint8_t dcid[8], uint8_t *token)
{
	const uint8_t *p = f->answer + 5;
	size_t len;

	assert_int_equal(*p, 8); /* the client's SCID */
	p += 1 + 8;
	assert_int_equal(*p, 8);
	memcpy(dcid, p + 1, 8);
	p += 1 + 8;
	len = (size_t)(f->answer + f->result.response_len - p) - 16;
	memcpy(token, p, len);
	return len;
}

static void a_retry_token_proves_the_address_once_and_soon(void **state)
{
	static const struct {
		const char *what;
		const struct clv_endpoint *from;
		uint64_t later_sec;
		bool other_id, other_version, flip;
		bool good;
	} cases[] = {
		{ "at once", &peer_v4, 0, false, false, false, true },
		{ "after 9 seconds", &peer_v4, 9, false, false, false, true },
		{ "after 11 seconds", &peer_v4, 11, false, false, false, false },
		{ "from another port", &peer_v4_other_port, 0, false, false, false, false },
		{ "from another host", &peer_v4_other_host, 0, false, false, false, false },
		{ "to another ID", &peer_v4, 0, true, false, false, false },
		{ "in another version", &peer_v4, 0, false, true, false, false },
		{ "forged", &peer_v4, 0, false, false, true, false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t dcid[8], token[256];
		struct header h = { .version = 1, .dcid_len = 8, .scid_len = 8 };

		put_long(f, &h);
		classify(f, &peer_v4, 1200, true, WALL_SEC);
		assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
		assert_counted(f, CLV_COUNT_RETRY_SENT);
		assert_true(f->result.response_len < 1200);
		h.token_len = read_retry(f, dcid, token);
		h.token = token;
		h.dcid = dcid;
		if (cases[i].other_id)
			dcid[0] ^= 1;
		if (cases[i].flip)
			token[20] ^= 1;
		if (cases[i].other_version) {
			h.version = NGTCP2_PROTO_VER_V2;
			h.type = 1;
		}
		put_long(f, &h);
		classify(f, cases[i].from, 1200, true, WALL_SEC + cases[i].later_sec);
		if ((f->result.verdict == CLV_ADMIT_ACCEPT) != cases[i].good)
			fail_msg("%s: verdict %d", cases[i].what, f->result.verdict);
		assert_int_equal(f->result.token_len > 0, cases[i].good);
		if (!cases[i].good) {
			assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
			assert_counted(f, CLV_COUNT_TOKEN_REFUSED);
			assert_true(f->result.response_len > 0 && f->result.response_len < 1200);
			continue;
		}
		assert_true(f->result.token_is_retry);
		assert_memory_equal(f->result.token, token, h.token_len);
		assert_int_equal(f->result.original_dcid.datalen, 8);
		assert_int_equal(f->result.original_dcid.data[0], 0xd1);
		assert_memory_equal(f->result.dcid.data, dcid, 8);
	}
}

static void a_new_token_lets_a_known_address_in_without_retry(void **state)
{
	static const struct {
		const char *what;
		const struct clv_endpoint *given, *shown;
		uint64_t later_sec;
		bool good;
	} cases[] = {
		{ "same end", &peer_v4, &peer_v4, 0, true },
		{ "another port of the host", &peer_v4, &peer_v4_other_port, 3600, true },
		{ "IPv6", &peer_v6, &peer_v6, 3600, true },
		{ "after 6 days", &peer_v4, &peer_v4, 6 * DAY_SEC, true },
		{ "after 8 days", &peer_v4, &peer_v4, 8 * DAY_SEC, false },
		{ "another host", &peer_v4, &peer_v4_other_host, 0, false },
		{ "another family", &peer_v4, &peer_v6, 0, false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t token[128];
		struct header h = { .version = 1, .dcid_len = 8, .scid_len = 8, .token = token };

		h.token_len = clv_admit_new_token(&f->admit, cases[i].given, WALL_SEC, token);
		assert_in_range(h.token_len, 1, 128);
		put_long(f, &h);
		classify(f, cases[i].shown, 1200, true, WALL_SEC + cases[i].later_sec);
		if ((f->result.token_len > 0) != cases[i].good)
			fail_msg("%s", cases[i].what);
		if (cases[i].good) {
			assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
			assert_false(f->result.token_is_retry);
			assert_int_equal(f->result.original_dcid.datalen, 0);
			assert_memory_equal(f->result.token, token, h.token_len);
		} else {
			assert_counted(f, CLV_COUNT_RETRY_SENT);
		}
		/* Below retry-above, an invalid token does no harm. */
		classify(f, cases[i].shown, 1200, false, WALL_SEC + cases[i].later_sec);
		assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
		assert_int_equal(f->result.token_len > 0, cases[i].good);
		if (!cases[i].good)
			assert_int_equal(f->result.token_len, 0);
	}
}

static void tokens_survive_a_restart_but_not_another_secret(void **state)
{
	struct fixture *f = *state;
	uint8_t token[128], other_secret[32] = { 9 };
	struct header h = { .version = 1, .dcid_len = 8, .scid_len = 8, .token = token };

	h.token_len = clv_admit_new_token(&f->admit, &peer_v4, WALL_SEC, token);
	clv_admit_init(&f->admit, secret, &limits, NULL, &f->rand, &f->counters);
	put_long(f, &h);
	classify(f, &peer_v4, 1200, true, WALL_SEC);
	assert_true(f->result.token_len > 0);
	clv_admit_init(&f->admit, other_secret, &limits, NULL, &f->rand, &f->counters);
	classify(f, &peer_v4, 1200, true, WALL_SEC);
	assert_int_equal(f->result.token_len, 0);
	assert_memory_not_equal(f->admit.token_secret, f->admit.reset_secret, 32);
}

/* ---- short headers ---- */

static void put_short(struct fixture *f, size_t len)
{
	memset(f->packet, 0xab, len);
	f->packet[0] = 0x40;
}

static void a_reset_carries_the_token_of_the_id_and_is_shorter(void **state)
{
	static const size_t lens[] = { 1200, 100, 44, 43, 40, 30, 22 };
	struct fixture *f = *state;
	uint8_t token[16];
	struct clv_cid cid;

	memset(cid.id, 0xab, sizeof(cid.id));
	clv_cid_token(f->admit.reset_secret, &cid, token);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		f->admit.resets.full_ns = 0;
		put_short(f, lens[i]);
		classify(f, &peer_v4, lens[i], false, WALL_SEC);
		assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
		assert_counted(f, CLV_COUNT_RESET_SENT);
		assert_in_range(f->result.response_len, 21, lens[i] - 1);
		assert_int_equal(f->answer[0] & 0xc0, 0x40);
		assert_memory_equal(f->answer + f->result.response_len - 16, token, 16);
	}
}

static void what_is_too_short_to_answer_is_counted(void **state)
{
	static const struct {
		size_t len;
		enum clv_counter counted;
	} cases[] = {
		{ 0, CLV_COUNT_DROP_MALFORMED },
		{ 8, CLV_COUNT_DROP_MALFORMED },
		{ 9, CLV_COUNT_DROP_UNKNOWN },
		{ 21, CLV_COUNT_DROP_UNKNOWN },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_short(f, 32);
		classify(f, &peer_v4, cases[i].len, false, WALL_SEC);
		assert_int_equal(f->result.verdict, CLV_ADMIT_DROP);
		assert_counted(f, cases[i].counted);
	}
}

static void each_kind_of_answer_has_a_rate_and_a_counter_of_its_own(void **state)
{
	static const struct {
		const char *what;
		struct header h; /* version 0: a short header */
		bool must_prove;
		enum clv_counter sent, limited;
	} cases[] = {
		{ "stateless reset",
		  { 0 },
		  false,
		  CLV_COUNT_RESET_SENT,
		  CLV_COUNT_DROP_RESET_LIMIT },
		{ "Retry",
		  { .version = 1, .dcid_len = 8, .scid_len = 8 },
		  true,
		  CLV_COUNT_RETRY_SENT,
		  CLV_COUNT_DROP_RETRY_LIMIT },
		{ "Version Negotiation",
		  { .version = 0x1a2a3a4a, .dcid_len = 8, .scid_len = 8 },
		  false,
		  CLV_COUNT_VERSION_SENT,
		  CLV_COUNT_DROP_VERSION_LIMIT },
		{ "refusal of a token",
		  { .version = 1,
		    .dcid_len = 8,
		    .scid_len = 8,
		    .token = (const uint8_t *)"\xb7 not a token that we made",
		    .token_len = 20 },
		  true,
		  CLV_COUNT_TOKEN_REFUSED,
		  CLV_COUNT_DROP_REFUSAL_LIMIT },
	};
	static const struct clv_admit_limits three = { 3, 3, 3, 3 }, none = { 0 };
	struct fixture *f = *state;
	struct clv_rx rx = { .remote = peer_v4, .payload = f->packet };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		clv_admit_init(&f->admit, secret, &three, NULL, &f->rand, &f->counters);
		memset(&f->counters, 0, sizeof(f->counters));
		rx.payload_len = 1200;
		if (cases[i].h.version)
			put_long(f, &cases[i].h);
		else
			memset(f->packet, 0x40, 1200);
		for (unsigned n = 0; n < 40; n++) /* ten a second, four seconds long */
			clv_admit_classify(&f->admit, &rx, cases[i].must_prove,
					   CLV_SEC + (uint64_t)n * 100 * CLV_MSEC, WALL_SEC,
					   f->answer, &f->result);
		/* three at once, and three for each of 3.9 seconds */
		if (f->counters.slot[cases[i].sent] != 14 ||
		    f->counters.slot[cases[i].limited] != 26)
			fail_msg("%s: %lu answered, %lu not", cases[i].what,
				 f->counters.slot[cases[i].sent],
				 f->counters.slot[cases[i].limited]);
		clv_admit_init(&f->admit, secret, &none, NULL, &f->rand, &f->counters);
		classify(f, &peer_v4, 1200, cases[i].must_prove, WALL_SEC);
		assert_int_equal(f->result.verdict, CLV_ADMIT_DROP);
		assert_counted(f, cases[i].limited);
	}
}

static void the_guard_counts_each_source_and_each_kind_apart(void **state)
{
	const struct clv_guard_limits few = { .host = clv_rate_of(1, 3), .net = clv_rate_of(1, 5) };
	const uint64_t seed[2] = { 1, 2 };
	struct fixture *f = *state;
	struct clv_guard guard;
	struct clv_endpoint other_net = peer_v4_other_host;

	other_net.addr[14] = 3;
	assert_int_equal(clv_guard_init(&guard, &few, 64, seed), 0);
	f->admit.guard = &guard;
	put_long(f, &(struct header){ .version = 1, .dcid_len = 8, .scid_len = 8 });
	for (int i = 0; i < 5; i++) {
		classify(f, &peer_v4, 1200, false, WALL_SEC);
		assert_int_equal(f->result.verdict, i < 3 ? CLV_ADMIT_ACCEPT : CLV_ADMIT_DROP);
		if (i >= 3)
			assert_counted(f, CLV_COUNT_DROP_GUARD);
	}
	/* Its neighbours have what the /24 has left, other networks have their own. */
	for (int i = 0; i < 3; i++) {
		classify(f, &peer_v4_other_host, 1200, false, WALL_SEC);
		assert_int_equal(f->result.verdict, i < 2 ? CLV_ADMIT_ACCEPT : CLV_ADMIT_DROP);
	}
	classify(f, &other_net, 1200, false, WALL_SEC);
	assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
	classify(f, &peer_v6, 1200, false, WALL_SEC);
	assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
	/* Packets with unknown connection IDs are counted separately. */
	memset(f->packet, 0x40, 1200);
	classify(f, &peer_v4, 1200, false, WALL_SEC);
	assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
	clv_guard_fini(&guard);
}

static void a_connection_beyond_a_ceiling_is_refused_in_words(void **state)
{
	struct fixture *f = *state;

	put_long(f, &(struct header){ .version = 1, .dcid_len = 8, .scid_len = 8 });
	classify(f, &peer_v4, 1200, false, WALL_SEC);
	assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
	clv_admit_refuse(&f->admit, CLV_COUNT_DROP_SOURCE_FULL, CLV_SEC, f->answer, &f->result);
	assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
	assert_in_range(f->result.response_len, 20, 100);
	assert_int_equal(f->counters.slot[CLV_COUNT_DROP_SOURCE_FULL], 1);
	assert_int_equal(f->counters.slot[CLV_COUNT_CONNS_REFUSED], 1);
}

static void two_relays_that_reset_each_other_stop(void **state)
{
	struct fixture *f = *state;
	size_t len = 60, rounds = 0;

	put_short(f, len);
	for (;;) {
		f->admit.resets.full_ns = 0;
		classify(f, &peer_v4, len, false, WALL_SEC);
		if (f->result.verdict == CLV_ADMIT_DROP)
			break;
		len = f->result.response_len;
		memcpy(f->packet, f->answer, len);
		assert_true(++rounds < 60);
	}
	assert_true(rounds > 0);
}

/* ---- with real ends ---- */

static void a_handshake_through_retry_completes(void **state)
{
	static const char *const names[] = { "relay.example" };
	struct fixture *f = *state;
	char folder[] = "/tmp/clv-admit-XXXXXX", command[64], error[256];
	struct clv_certs certs;
	struct clv_tls_context *server, *client;
	struct clv_conn_params params = { 0 };
	struct clv_rx rx = { .remote = pair_client_end, .local = pair_server_end };
	struct clv_rx back = { .remote = pair_server_end, .local = pair_client_end };
	struct pair p;

	assert_non_null(mkdtemp(folder));
	assert_int_equal(
		clv_certs_ensure(CLV_PROFILE_PQC, folder, names, 1, &certs, error, sizeof(error)),
		0);
	assert_int_equal(clv_tls_server_context(
				 &(struct clv_tls_server_params){ .cert_file = certs.cert_file,
								  .key_file = certs.key_file },
				 &server, error, sizeof(error)),
			 0);
	assert_int_equal(clv_tls_client_context(
				 &(struct clv_tls_client_params){ .ca_sha256 = certs.ca_sha256 },
				 &client, error, sizeof(error)),
			 0);
	pair_init(&p, server);
	pair_client(&p, client, "relay.example");
	clv_conn_output(p.client, &p.to_server.port, p.now_ns);
	assert_true(p.to_server.count > 0);
	rx.payload = p.to_server.data[0];
	rx.payload_len = (uint32_t)p.to_server.len[0];
	clv_admit_classify(&f->admit, &rx, true, p.now_ns, WALL_SEC, f->answer, &f->result);
	assert_int_equal(f->result.verdict, CLV_ADMIT_RESPOND);
	back.payload = f->answer;
	back.payload_len = (uint32_t)f->result.response_len;
	p.to_server.count = 0;
	p.now_ns += CLV_MSEC;
	clv_conn_input(p.client, &back, p.now_ns);
	clv_conn_output(p.client, &p.to_server.port, p.now_ns);
	assert_true(p.to_server.count > 0);
	rx.payload_len = (uint32_t)p.to_server.len[0];
	clv_admit_classify(&f->admit, &rx, true, p.now_ns, WALL_SEC, f->answer, &f->result);
	assert_int_equal(f->result.verdict, CLV_ADMIT_ACCEPT);
	params.version = f->result.version;
	params.client_dcid = f->result.dcid;
	params.client_scid = f->result.scid;
	params.original_dcid = f->result.original_dcid;
	params.token = f->result.token;
	params.token_len = f->result.token_len;
	params.token_is_retry = f->result.token_is_retry;
	pair_server(&p, &params);
	pair_run(&p);
	assert_true(p.client_done && p.server_done);
	pair_fini(&p);
	clv_tls_context_free(server);
	clv_tls_context_free(client);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	assert_int_equal(system(command), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(each_kind_of_long_header_has_its_fate),
		CASE(both_versions_are_accepted_with_their_ids),
		CASE(version_negotiation_echoes_ids_of_any_length),
		CASE(a_retry_token_proves_the_address_once_and_soon),
		CASE(a_new_token_lets_a_known_address_in_without_retry),
		CASE(tokens_survive_a_restart_but_not_another_secret),
		CASE(a_reset_carries_the_token_of_the_id_and_is_shorter),
		CASE(what_is_too_short_to_answer_is_counted),
		CASE(each_kind_of_answer_has_a_rate_and_a_counter_of_its_own),
		CASE(the_guard_counts_each_source_and_each_kind_apart),
		CASE(a_connection_beyond_a_ceiling_is_refused_in_words),
		CASE(two_relays_that_reset_each_other_stop),
		CASE(a_handshake_through_retry_completes),
	};

	return cmocka_run_group_tests_name("admit", tests, NULL, NULL);
}
