/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A peer that breaks the rules in its first packet, whose keys any source can derive.  Packets that do
 * not belong to a handshake are discarded, as RFC 9000 section 5.2 allows where there is no strong
 * integrity protection; what TLS refuses is answered by one CONNECTION_CLOSE.  No state is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/core/state.h"
#include "datapath/base/addr.h"
#include "datapath/base/clock.h"
#include "datapath/base/varint.h"
#include "tests/loop/fixture.h"
#include "tests/loop/hostile.h"

enum {
	DISCARDED = 0,
	CRYPTO_ERROR = 0x0100,

	ID_LEN = 8,
	PN_LEN = 4,
	DATAGRAM_LEN = 1200,
	HEAD_LEN = 1 + 4 + 1 + ID_LEN + 1 + ID_LEN + 1 + 2 + PN_LEN,
};

/* A source that sends one Initial and reads the answer. */
struct unknown_source {
	struct world *w;
	struct wire_end end;
	struct clv_endpoint endpoint;
	struct clv_rand rand;
	struct clv_aead_keys client, server;
	uint8_t dcid[ID_LEN], scid[ID_LEN];
	unsigned packets;
	size_t bytes;
	bool is_closed;
	uint64_t code;
};

static void nonce_of(const struct clv_aead_keys *keys, uint8_t pn, uint8_t nonce[12])
{
	memcpy(nonce, keys->iv, 12);
	nonce[11] ^= pn;
}

/* Acknowledgement, padding, and the close: all that such an answer may hold. */
static void read_frames(struct unknown_source *s, const uint8_t *p, const uint8_t *end)
{
	uint64_t type, value;

	while (!clv_varint_read(&p, end, &type)) {
		if (type == 0x02) { /* of one range */
			for (int i = 0; i < 4; i++)
				assert_false(clv_varint_read(&p, end, &value));
			continue;
		}
		if (type == 0x00)
			continue;
		assert_int_equal(type, 0x1c);
		s->is_closed = true;
		assert_false(clv_varint_read(&p, end, &s->code));
		return;
	}
}

static bool deliver(void *self, const struct wire_packet *packet)
{
	struct unknown_source *s = self;
	uint8_t bytes[1500], plain[1500], mask[16], nonce[12], pn_len;
	uint8_t *p = bytes + 1 + 4 + 1 + ID_LEN + 1 + ID_LEN;
	const uint8_t *at;
	uint64_t token_len, len;

	if (!clv_endpoint_equal(&packet->to, &s->endpoint))
		return false;
	s->packets++;
	s->bytes += packet->len;
	assert_in_range(packet->len, HEAD_LEN + CLV_AEAD_TAG_LEN, sizeof(bytes));
	memcpy(bytes, packet->bytes, packet->len);
	assert_int_equal(bytes[0] & 0xf0, 0xc0); /* an Initial */
	assert_memory_equal(bytes + 6, s->scid, ID_LEN);
	at = p;
	assert_false(clv_varint_read(&at, bytes + packet->len, &token_len));
	assert_int_equal(token_len, 0);
	assert_false(clv_varint_read(&at, bytes + packet->len, &len));
	p = bytes + (at - bytes);
	assert_true(len <= (uint64_t)(bytes + packet->len - p));
	clv_hp_key_mask(s->server.hp, mask, p + PN_LEN);
	bytes[0] ^= mask[0] & 0x0f;
	pn_len = (uint8_t)((bytes[0] & 3) + 1);
	for (unsigned i = 0; i < pn_len; i++)
		p[i] ^= mask[1 + i];
	nonce_of(&s->server, p[pn_len - 1], nonce);
	p += pn_len;
	len -= pn_len + (unsigned)CLV_AEAD_TAG_LEN;
	assert_int_equal(
		clv_aead_key_open(s->server.aead, plain, p, len, nonce, bytes, (size_t)(p - bytes)),
		0);
	read_frames(s, plain, plain + len);
	return true;
}

static void source_open(struct unknown_source *s, struct world *w, unsigned number)
{
	ngtcp2_cid dcid;

	memset(s, 0, sizeof(*s));
	s->w = w;
	assert_int_equal(clv_endpoint_parse("198.18.3.1:1000", &s->endpoint), 0);
	s->endpoint.port = htons((uint16_t)(1000 + number));
	clv_rand_init(&s->rand, 77 + number);
	clv_rand_bytes(&s->rand, s->dcid, ID_LEN);
	clv_rand_bytes(&s->rand, s->scid, ID_LEN);
	ngtcp2_cid_init(&dcid, s->dcid, ID_LEN);
	assert_int_equal(
		clv_aead_keys_derive_initial(NGTCP2_PROTO_VER_V1, &dcid, &s->client, &s->server),
		0);
	s->end = (struct wire_end){ .deliver = deliver, .self = s };
	wire_join(&w->wire, &s->end);
}

static void source_close(struct unknown_source *s)
{
	struct wire_end **at = &s->w->wire.ends;

	while (*at != &s->end)
		at = &(*at)->next;
	*at = s->end.next;
	clv_aead_keys_fini(&s->client);
	clv_aead_keys_fini(&s->server);
}

/* An Initial of these frames, padded to the least a client may send. */
static void seal_initial(struct unknown_source *s, const struct raw_bytes *frames,
			 uint8_t out[static DATAGRAM_LEN])
{
	uint8_t plain[DATAGRAM_LEN] = { 0 }, mask[16], nonce[12], *p = out;
	const size_t plain_len = DATAGRAM_LEN - HEAD_LEN - CLV_AEAD_TAG_LEN;
	const size_t len = PN_LEN + plain_len + CLV_AEAD_TAG_LEN;

	assert_true(frames->len <= plain_len);
	memcpy(plain, frames->bytes, frames->len);
	*p++ = 0xc0 | (PN_LEN - 1);
	memcpy(p, "\0\0\0\1\x08", 5);
	memcpy(p + 5, s->dcid, ID_LEN);
	p[5 + ID_LEN] = ID_LEN;
	memcpy(p + 6 + ID_LEN, s->scid, ID_LEN);
	p += 6 + 2 * ID_LEN;
	*p++ = 0; /* no token */
	*p++ = (uint8_t)(0x40 | len >> 8);
	*p++ = (uint8_t)len;
	memset(p, 0, PN_LEN);
	p += PN_LEN;
	nonce_of(&s->client, 0, nonce);
	assert_int_equal(
		clv_aead_key_seal(s->client.aead, p, plain, plain_len, nonce, out, HEAD_LEN), 0);
	clv_hp_key_mask(s->client.hp, mask, p);
	out[0] ^= mask[0] & 0x0f;
	for (int i = 0; i < PN_LEN; i++)
		out[HEAD_LEN - PN_LEN + i] ^= mask[1 + i];
}

static const struct initial_case {
	const char *name;
	const char *frames;
	uint64_t code; /* CRYPTO_ERROR: any TLS alert */
	const char *section;
} cases[] = {
	{ "STREAM", "0a 00 01 00", DISCARDED, "RFC 9000 12.4" },
	{ "MAX_DATA", "10 00", DISCARDED, "RFC 9000 12.4" },
	{ "NEW_CONNECTION_ID", "18 01 00 08 0001020304050607 000102030405060708090a0b0c0d0e0f",
	  DISCARDED, "RFC 9000 12.4" },
	{ "HANDSHAKE_DONE", "1e", DISCARDED, "RFC 9000 12.4" },
	{ "DATAGRAM", "31 01 00", DISCARDED, "RFC 9221 4" },
	{ "an unknown frame", "21", DISCARDED, "RFC 9000 12.4" },
	{ "CRYPTO longer than its packet", "06 00 4fff 00", DISCARDED, "RFC 9000 19.6" },
	{ "ACK of a packet never sent", "02 05 00 00 00", DISCARDED, "RFC 9000 13.1" },
	{ "CRYPTO past what is buffered", "06 80100000 01 00", DISCARDED, "RFC 9000 7.5" },
	{ "no ClientHello", "06 00 05 ff00000100", CRYPTO_ERROR, "RFC 9001 4.8" },
	{ "a Finished first", "06 00 08 1400000400000000", CRYPTO_ERROR, "RFC 9001 4.8" },
	{ "a ClientHello of nothing", "06 00 04 01000000", CRYPTO_ERROR, "RFC 9001 4.8" },
};

static bool run_case(struct world *w, unsigned number)
{
	const struct initial_case *c = &cases[number];
	struct raw_bytes frames = { .len = 0 };
	uint8_t packet[DATAGRAM_LEN];
	struct unknown_source s;
	bool ok;

	source_open(&s, w, number);
	put_hex(&frames, c->frames);
	seal_initial(&s, &frames, packet);
	wire_send(&w->wire, &s.endpoint, &w->relay_endpoint, 0, packet, sizeof(packet));
	world_run(w, CLV_SEC, NULL);
	ok = s.is_closed == (c->code != DISCARDED) && s.packets == s.is_closed &&
	     (!s.is_closed || s.code >> 8 == 1) && s.bytes <= (size_t)3 * DATAGRAM_LEN &&
	     w->relay.control->handshaking == 0;
	if (!ok)
		print_error("%s (%s): closed=%d code=0x%lx, not 0x%lx; %u packets, %u left\n",
			    c->name, c->section, s.is_closed, (unsigned long)s.code,
			    (unsigned long)c->code, s.packets, w->relay.control->handshaking);
	source_close(&s);
	return ok;
}

static void test_a_breach_in_the_first_packet_leaves_nothing(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	unsigned failed = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		failed += !run_case(w, i);
	assert_int_equal(failed, 0);
	hostile_assert_serves(w);
	world_free(w);
}

static void test_a_first_packet_that_does_not_decrypt_gets_no_answer(void **state)
{
	struct world *w = world_new(&(struct world_params){ 0 });
	struct raw_bytes frames = { .len = 0 };
	uint8_t packet[DATAGRAM_LEN];
	struct unknown_source s;

	(void)state;
	source_open(&s, w, 0);
	put_hex(&frames, "06 00 04 01000000");
	seal_initial(&s, &frames, packet);
	packet[DATAGRAM_LEN - 1] ^= 1;
	wire_send(&w->wire, &s.endpoint, &w->relay_endpoint, 0, packet, sizeof(packet));
	/* right, but in a datagram too short (RFC 9000 section 14.1) */
	seal_initial(&s, &frames, packet);
	wire_send(&w->wire, &s.endpoint, &w->relay_endpoint, 0, packet, sizeof(packet) - 1);
	world_run(w, 15 * CLV_SEC, NULL);
	assert_int_equal(s.packets, 0);
	assert_int_equal(w->relay.control->handshaking, 0);
	source_close(&s);
	hostile_assert_serves(w);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_breach_in_the_first_packet_leaves_nothing),
		cmocka_unit_test(test_a_first_packet_that_does_not_decrypt_gets_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
